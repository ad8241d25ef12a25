"""What the model commands say to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from features.snapshots import BuildReport
    from serving.coaching.advice_file import AdviceFile
    from training.pipeline import Promotion
    from training.reports import TrainingReport

_COLUMNS = (
    ("version", "version"),
    ("as_of", "as of"),
    ("kind", "serves"),
    ("log_loss", "log loss"),
    ("base_rate_log_loss", "base rate"),
    ("ece", "ECE"),
    ("auc", "AUC"),
    ("decision", "decision"),
    ("aliases", "aliases"),
)


def build(report: BuildReport) -> list[str]:
    """Say what was built."""
    return [
        f"{report.landmarks} rows of {report.deals} deals as of {report.as_of.isoformat()}, "
        f"{len(report.columns)} features; {report.open_deals} deals are open.",
        f"Kept in {report.folder}.",
    ]


def training(version: str, report: TrainingReport) -> list[str]:
    """Say how good the trained model is, and against what."""
    lines = [
        f"Version {version}: {report.verdict}. It serves a {report.kind.replace('_', ' ')} "
        f"({report.family}), learnt from {report.rows} rows, {report.deals_won} deals won, "
        f"{report.deals_lost} lost, {report.rows_open} rows still open.",
    ]
    if report.served is not None:
        lines.append(f"Judged on deals since {report.window_start}:")
        for name, scores in {"served": report.served, **report.baselines}.items():
            ranked = "" if scores.auc is None else f", AUC {scores.auc.value:.3f}"
            lines.append(
                f"  {name:<16} log loss {scores.log_loss.value:.4f} "
                f"[{scores.log_loss.low:.4f}, {scores.log_loss.high:.4f}]"
                f", ECE {scores.ece:.3f}{ranked}"
            )
    return [*lines, *(leak.sentence() for leak in report.leaks)]


def advice(found: AdviceFile, out: Path, *, locale: str) -> str:
    """Say how many actions were written, of how many deals, and what could not be judged."""
    head = (
        f"{len(found.table)} actions on {found.advised} of {found.deals} open deals "
        f"written to {out}; {found.held_out} deals are in the comparison group."
    )
    return "\n".join([head, *(f"  {words.text(locale)}" for words in found.unrecorded)])


def promotion(found: Promotion) -> list[str]:
    """Say what the gates decided."""
    if found.promoted:
        head = f"Version {found.version} serves" + (" by force." if found.forced else ".")
    elif found.serving is None:
        head = f"Version {found.version} was not promoted; nothing serves."
    else:
        head = f"Version {found.version} was not promoted; version {found.serving} still serves."
    return [head, *(f"  {sentence}" for sentence in (*found.refusals, *found.notes))]


def versions(found: list[dict[str, Any]]) -> list[str]:
    """Return the list of versions as a table."""
    if not found:
        return ["No model was trained yet; run winward train win-rate."]
    table = [[title for _, title in _COLUMNS]]
    table += [[_cell(row[name]) for name, _ in _COLUMNS] for row in found]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(value)
    return "–" if value is None else str(value)
