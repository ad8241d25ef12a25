"""What the model commands say to a person."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path
    from zoneinfo import ZoneInfo

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
    ("aliases", "standing"),
)


def moment(instant: dt.datetime | str | None, zone: ZoneInfo) -> str:
    """Return an instant on the company's clock, a day alone where it is that day's midnight."""
    if instant is None:
        return "–"
    read = dt.datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    here = read.astimezone(zone)
    if here.timetz().replace(tzinfo=None) == dt.time():
        return here.date().isoformat()
    return here.strftime("%Y-%m-%d %H:%M")


def build(report: BuildReport, zone: ZoneInfo) -> list[str]:
    """Say what was built."""
    return [
        f"{report.landmarks} rows of {report.deals} deals as of {moment(report.as_of, zone)} "
        f"({zone}), {len(report.columns)} features; {report.open_deals} deals are open.",
        f"Kept in {report.folder}.",
    ]


def training(version: str, report: TrainingReport, zone: ZoneInfo) -> list[str]:
    """Say how good the trained model is, against what, and what it did not learn from."""
    lines = [
        f"Version {version} as of {moment(report.as_of, zone)}: {report.verdict}. It serves a "
        f"{report.kind.replace('_', ' ')} ({report.family}), learnt from {report.rows} rows, "
        f"{report.deals_won} deals won, {report.deals_lost} lost, {report.rows_open} rows still "
        "open.",
    ]
    if report.left_out:
        lines += ["Left out:", *(f"  {each.sentence()}" for each in report.left_out)]
    lines += _judged(report, zone) + _tried(report) + _timing(report)
    return [*lines, *(leak.sentence() for leak in report.leaks)]


def _timing(report: TrainingReport) -> list[str]:
    if not report.timing:
        return []
    held = all(each.holds for each in report.timing)
    return [
        "Wins within a time, on the last weeks followed for so long"
        f"{'' if held else ' (did not hold: no times are served)'}:",
        *(
            f"  {f'{each.days:.0f} days':<16} predicted {each.predicted:.3f}, observed "
            f"{each.observed:.3f}, Brier {each.brier:.4f} (flat {each.brier_flat:.4f})"
            for each in report.timing
        ),
    ]


def older_build(built: dt.datetime, asked: dt.datetime, zone: ZoneInfo) -> list[str]:
    """Say that rows were learnt from an older build than asked for; nothing within a day."""
    if asked - built < dt.timedelta(days=1):
        return []
    return [
        f"Learnt from the features built as of {moment(built, zone)}, the newest up to "
        f"{moment(asked, zone)}; `winward features build --as-of {asked.isoformat()}` makes newer "
        "ones."
    ]


def _judged(report: TrainingReport, zone: ZoneInfo) -> list[str]:
    if report.served is None:
        return []
    lines = [
        f"Judged on deals since {moment(report.window_start, zone)} ({zone}); in brackets the "
        "95 % interval, and the ECE that chance alone exceeds once in twenty:"
    ]
    for name, scores in {"served": report.served, **report.baselines}.items():
        ranked = "" if scores.auc is None else f", AUC {scores.auc.value:.3f}"
        lines.append(
            f"  {name:<16} log loss {scores.log_loss.value:.4f} "
            f"[{scores.log_loss.low:.4f}, {scores.log_loss.high:.4f}]"
            f", ECE {scores.ece:.3f} [{scores.ece_by_chance:.3f}]{ranked}"
        )
    return lines


def _tried(report: TrainingReport) -> list[str]:
    if not report.candidates:
        return []
    lines = ["Candidates on the deals before, uncalibrated:"]
    for name, tried in report.candidates.items():
        ranked = "" if tried.auc is None else f", AUC {tried.auc:.3f}"
        chosen = "  ← chosen" if name == report.choice.get("family") else ""
        lines.append(
            f"  {name:<16} log loss {tried.log_loss:.4f}, ECE {tried.ece:.3f}{ranked}{chosen}"
        )
    return lines


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


def versions(found: list[dict[str, Any]], zone: ZoneInfo) -> list[str]:
    """Return the list of versions as a table, times on the company's clock."""
    if not found:
        return ["No model was trained yet; run winward train win-rate."]
    table = [[title for _, title in _COLUMNS]]
    for row in found:
        shown = {**row, "as_of": moment(row["as_of"], zone), "aliases": _standing(row["aliases"])}
        table.append([_cell(shown[name]) for name, _ in _COLUMNS])
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


_STANDINGS = {
    "champion": "champion: serves",
    "previous": "served before",
    "challenger": "challenger: does not serve yet",
}


def _standing(aliases: list[str]) -> str | None:
    """Return one standing of a version: what serves is no challenger of itself."""
    return next((words for alias, words in _STANDINGS.items() if alias in aliases), None)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "–" if value is None else str(value)
