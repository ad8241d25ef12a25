"""What a training run found, in a form that is logged, gated and shown to people."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from training.evaluation import Interval, Scores, Tried
from training.intake import LeftOut
from training.timing import Horizon

NO_BETTER = "no better than the base rate"
BETTER = "better than the base rate"
TOO_FEW = "too few closed deals"


@dataclass(frozen=True, slots=True)
class Leak:
    """Something too good to be true: ``what`` (a feature, or the model) reached this AUC."""

    what: str
    auc: float
    limit: float

    def sentence(self) -> str:
        """Return the finding with what to do about it."""
        return (
            f"Suspected leakage: {self.what} ranks won above lost deals with AUC {self.auc:.3f} "
            f"(limit {self.limit:.2f}). Check when it becomes known; the model is not promotable."
        )


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """One training run, judged on later time than it saw.

    ``verdict`` is one of the three sentences above. ``served`` are the scores of what would be
    served, on landmarks from ``window_start`` to ``as_of`` predicted with what was known at
    ``window_start``; ``baselines`` are others' on the same rows. ``gain`` is the paired
    difference of log loss to the base rate over all forward folds (below 0: better),
    ``gain_counting_open`` the same on all later rows, those of open deals too, ``ranking`` the
    AUC within each fold's time.
    ``candidates`` are the scores of the best of each family on the selection folds,
    ``left_out`` what was in the frame and not learnt from. ``timing`` is how well wins within
    some days were told, for the horizons that later time could judge.
    """

    as_of: str
    verdict: str
    kind: str
    family: str
    choice: dict[str, Any]
    features: tuple[str, ...]
    rows: int
    rows_open: int
    deals_won: int
    deals_lost: int
    window_start: str | None
    served: Scores | None
    baselines: dict[str, Scores]
    gain: Interval | None
    gain_counting_open: Interval | None
    ranking: Interval | None
    candidates: dict[str, Tried]
    calibrator: tuple[float, float]
    leaks: tuple[Leak, ...]
    timing: tuple[Horizon, ...]
    left_out: tuple[LeftOut, ...]
    fingerprint: str
    seed: int
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return everything in plain JSON."""
        plain = asdict(self)
        plain["suspected_leakage"] = [leak.sentence() for leak in self.leaks]
        plain["left_out"] = [
            {**asdict(each), "sentence": each.sentence()} for each in self.left_out
        ]
        return {name: _finite(each) for name, each in plain.items()}

    def summary(self) -> dict[str, Any]:
        """Return what a page says of the model that serves, in plain JSON."""
        scores, base = self.served, self.baselines.get("base_rate")
        found: dict[str, Any] = {
            "verdict": self.verdict,
            "family": self.family,
            "as_of": self.as_of,
            "window_start": self.window_start,
            "rows": self.rows,
            "deals_won": self.deals_won,
            "deals_lost": self.deals_lost,
            "fingerprint": self.fingerprint,
        }
        if scores is not None and base is not None:
            found |= {
                "log_loss": scores.log_loss.value,
                "base_rate_log_loss": base.log_loss.value,
                "ece": scores.ece,
                "ece_by_chance": scores.ece_by_chance,
                "auc": None if scores.auc is None else scores.auc.value,
                "window_rows": scores.rows,
                "window_deals": scores.deals,
            }
        return dict(found)

    def metrics(self) -> dict[str, float]:
        """Return the numbers that a tracking server plots, intervals as _low and _high."""
        found: dict[str, float] = {
            "rows": float(self.rows),
            "rows_open": float(self.rows_open),
            "deals_won": float(self.deals_won),
            "deals_lost": float(self.deals_lost),
        }
        for name, scores in {"served": self.served, **self.baselines}.items():
            if scores is not None:
                found.update(_flat(name, scores))
        if self.gain is not None:
            found.update(_spread("gain", self.gain))
        if self.gain_counting_open is not None:
            found.update(_spread("gain_counting_open", self.gain_counting_open))
        if self.ranking is not None:
            found.update(_spread("ranking", self.ranking))
        for each in self.timing:
            name = f"timing.won_in_{each.days:.0f}_days"
            found |= {
                f"{name}.predicted": each.predicted,
                f"{name}.observed": each.observed,
                f"{name}.brier": each.brier,
                f"{name}.brier_flat": each.brier_flat,
            }
        for name, tried in self.candidates.items():
            found[f"selection.{name}"] = tried.log_loss
            found[f"selection.{name}.ece"] = tried.ece
            if tried.auc is not None:
                found[f"selection.{name}.auc"] = tried.auc
        found.update({f"left_out.{each.reason}": float(each.count) for each in self.left_out})
        found.update({f"seconds.{name}": value for name, value in self.seconds.items()})
        return found


def _spread(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _flat(name: str, scores: Scores) -> dict[str, float]:
    found = _spread(f"{name}.log_loss", scores.log_loss)
    found |= {
        f"{name}.brier": scores.brier,
        f"{name}.ece": scores.ece,
        f"{name}.ece_by_chance": scores.ece_by_chance,
        f"{name}.slope": scores.slope,
        f"{name}.intercept": scores.intercept,
        f"{name}.rows": float(scores.rows),
        f"{name}.deals": float(scores.deals),
    }
    if scores.auc is not None:
        found |= _spread(f"{name}.auc", scores.auc)
    if scores.auc_within_stage is not None:
        found[f"{name}.auc_within_stage"] = scores.auc_within_stage
    return found


def _finite(value: object) -> object:
    """Return JSON-safe values: no NaN, no infinity, no tuples."""
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def card(report: TrainingReport) -> str:
    """Return the model card: what it is for, how good, on whom, and where not to trust it."""
    lines = [
        f"# Win rate as of {report.as_of}",
        "",
        f"**Verdict: {report.verdict}.** Served: {report.kind} ({report.family}).",
        "",
        "Purpose: the probability that an open deal is won in the end. Not the effect of any "
        "action, and not to be used to rank people.",
        "",
        f"Population: landmarks of open deals (creation, stage entries, weekly); {report.rows} "
        f"rows, of them {report.rows_open} of deals still open, {report.deals_won} deals won, "
        f"{report.deals_lost} lost. Labels as known at {report.as_of}.",
        "",
    ]
    lines += _table(report)
    lines += _tried(report)
    lines += _timing(report)
    if report.left_out:
        lines += ["", "Left out:", "", *(f"- {each.sentence()}" for each in report.left_out)]
    lines += [
        "",
        "Known limits: judged on deals resolved so far, reweighted for those still open; a "
        "change of the market after the cut is not in the interval. Slow deals that no past "
        "deal resembles are the least certain.",
        "",
        f"Data fingerprint: `{report.fingerprint}`; seed {report.seed}; "
        f"{len(report.features)} features.",
    ]
    lines += ["", *(leak.sentence() for leak in report.leaks)]
    return "\n".join(lines).rstrip() + "\n"


def _table(report: TrainingReport) -> list[str]:
    if report.served is None:
        return ["No later window could be judged: too few deals."]
    lines = [
        f"Judged on landmarks since {report.window_start}, with what was known then "
        "(95 % intervals over deals). Beside the ECE stands what a perfectly calibrated model "
        "would exceed once in twenty on so few deals:",
        "",
        "| | log loss | Brier | ECE (by chance) | slope | AUC | AUC within stage |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, scores in {"served": report.served, **report.baselines}.items():
        loss, area = scores.log_loss, scores.auc
        ranked = "–" if area is None else f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"
        within = scores.auc_within_stage
        lines.append(
            f"| {name} | {loss.value:.4f} [{loss.low:.4f}, {loss.high:.4f}] | {scores.brier:.4f} "
            f"| {scores.ece:.4f} ({scores.ece_by_chance:.4f}) | {scores.slope:.2f} | {ranked} "
            f"| {'–' if within is None else f'{within:.3f}'} |"
        )
    return lines


def _timing(report: TrainingReport) -> list[str]:
    if not report.timing:
        return []
    lines = [
        "",
        "When wins come: rows of the later window followed for so long, predicted before. A flat "
        "forecast that knew the observed share would have the last Brier score. Dates are served "
        "only if every line beats it with a level at most 5 points off:",
        "",
        "| won within | rows | predicted | observed | Brier | flat |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.days:.0f} days | {each.rows} | {each.predicted:.3f} | {each.observed:.3f} "
        f"| {each.brier:.4f} | {each.brier_flat:.4f} |"
        for each in report.timing
    ]
    return lines


def _tried(report: TrainingReport) -> list[str]:
    if not report.candidates:
        return []
    lines = [
        "",
        "Candidates on the earlier folds, uncalibrated; of those that cannot be told from the "
        "best the simplest is taken:",
        "",
        "| candidate | log loss | ECE | AUC |",
        "|---|---|---|---|",
    ]
    chosen = report.choice.get("family")
    for name, tried in report.candidates.items():
        title = f"**{name}** (chosen)" if name == chosen else name
        ranked = "–" if tried.auc is None else f"{tried.auc:.3f}"
        lines.append(f"| {title} | {tried.log_loss:.4f} | {tried.ece:.4f} | {ranked} |")
    return lines
