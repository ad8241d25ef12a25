"""Training the win-rate model: from a frame and outcomes to a bundle and an honest report.

The order: labels as known at the cut → forward-chaining folds choose the model → the later
window, which the choice never saw, judges it → the chosen model is fitted on everything and
calibrated by all out-of-time predictions. If it is not better than the base rate beyond noise,
the base rate is what is served, and the report says so.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from training import baselines, calibration, columns, leakage, second_look
from training.bundle import Band, Bundle, Kind
from training.censoring import pooled_labels, share_won_in_the_end, soft_labels, teach
from training.datasets import TrainingSet, fingerprint, forward_folds, landmark_weights
from training.evaluation import Interval, Tried, auc, logit, sigmoid
from training.intake import LeftOut, admit
from training.judgement import IDENTITY, OutOfTime, Verdict, compare, joined
from training.model import Family, WinRateModel
from training.parts import Array, Encoder, Part
from training.reports import BETTER, NO_BETTER, TOO_FEW, Leak, TrainingReport
from training.selection import (
    Choice,
    Judged,
    Layout,
    Prepared,
    Selection,
    decayed,
    prepare,
    side_by_side,
)
from training.timing import Timing
from training.timing_judgement import TimingFound, look
from training.window_scores import WindowJudge
from training.windows import LaterWindow

__all__ = ["LaterWindow", "TrainedModel", "WinRateModel", "train"]

FEWEST_OF_EACH = 40
FEWEST_FOR_A_RATE = 10
FEWEST_FOR_TREES = 300
SHARES = (0.5, 0.65, 0.8, 1.0)
UNVERSIONED = "unregistered"


class TrainingSettings(Protocol):
    """What a training needs to know of the settings."""

    @property
    def threads(self) -> int:
        """Threads to use."""

    @property
    def trials(self) -> int:
        """Optuna trials; 0 keeps the default shape."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What came of a training: the bundle to serve, the report, the later window."""

    bundle: Bundle
    report: TrainingReport
    window: LaterWindow | None


def train(
    frame: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    as_of: dt.datetime,
    settings: TrainingSettings,
    seed: int = 7,
    journal: Path | None = None,
) -> TrainedModel:
    """Return the model trained on what was known at ``as_of``, judged on later time.

    ``frame`` and ``outcomes`` are as ``features.store.training_frame`` and
    ``features.labels.outcomes`` return them. Never fails for want of data: with few deals the
    bundle serves a shrunk rate, with almost none it abstains and says what is missing.
    """
    taken = admit(frame, outcomes, as_of=as_of)
    run = _Run(
        data=taken.data, left_out=taken.left_out, as_of=as_of, settings=settings, seed=seed,
        journal=journal,
    )  # fmt: skip
    # one thread: the sums of linear algebra, and so the model, depend on how rows are shared out
    with threadpool_limits(limits=1, user_api="blas"):
        if min(taken.data.deals_won, taken.data.deals_lost) < FEWEST_OF_EACH:
            return run.cold_start()
        return run.full()


@dataclass(frozen=True, slots=True)
class _Found:
    """What the folds and the window said about the chosen candidate."""

    choice: Choice
    candidates: dict[str, Tried]
    verdict: Verdict
    bands: tuple[Band, ...]
    window: LaterWindow
    better: bool
    counting_open: Interval
    by_stage: bool
    timing: TimingFound


class _Run:
    """One training; keeps the time each step took."""

    def __init__(
        self,
        *,
        data: TrainingSet,
        left_out: tuple[LeftOut, ...],
        as_of: dt.datetime,
        settings: TrainingSettings,
        seed: int,
        journal: Path | None,
    ) -> None:
        self.data = data
        self.left_out = left_out
        self.as_of = as_of
        self.settings = settings
        self.seed = seed
        self.journal = journal
        self.layout: Layout = columns.layout(data.features)
        self.seconds: dict[str, float] = {}
        self.mark = time.perf_counter()

    def _timed(self, step: str) -> None:
        moment = time.perf_counter()
        self.seconds[step] = moment - self.mark
        self.mark = moment

    # -- with too few deals ---------------------------------------------------------------

    def cold_start(self) -> TrainedModel:
        """Return a shrunk table or rate, or an abstention, without any judgement."""
        won, lost = self.data.deals_won, self.data.deals_lost
        if won + lost < FEWEST_FOR_A_RATE or min(won, lost) == 0:
            missing = (
                f"A win rate needs at least {FEWEST_FOR_A_RATE} closed deals, won and lost ones; "
                f"{won} won and {lost} lost are known as of {self.as_of.isoformat()}."
            )
            bundle = self._bundle("none", parts=(), bands=(), abstained=missing, base=0.0)
            return self._without_judgement(bundle)
        weight = landmark_weights(self.data)
        rate = share_won_in_the_end(self.data, weight)
        parts = self._table()
        self._timed("fit")
        bundle = self._bundle(
            "base_rate",
            parts=parts,
            bands=(calibration.rate_band(rate, won + lost),),
            base=float(logit(np.array([rate]))[0]),
        )
        return self._without_judgement(bundle)

    def _table(self) -> tuple[tuple[float, Part], ...]:
        """Return the shrunk rates by stage and age, nothing if the frame has neither."""
        if self.layout.stage is None or self.layout.age is None:
            return ()
        weight = landmark_weights(self.data)
        y = pooled_labels(self.data, self.layout.ages(self.data.X))
        model = WinRateModel(family="table", stage=self.layout.stage, age=self.layout.age)
        return tuple(model.fit(self.data.X, y, weight).parts_)

    def _without_judgement(self, bundle: Bundle) -> TrainedModel:
        report = self._report(TOO_FEW, bundle.kind, None)
        return TrainedModel(replace(bundle, card=report.summary()), report, None)

    # -- with enough ----------------------------------------------------------------------

    def full(self) -> TrainedModel:
        """Return the chosen model, or the base rate if nothing beats it beyond noise."""
        leaks = leakage.feature_leaks(self.data, undated=columns.undated(self.data.features))
        found = self._find()
        leaks += leakage.model_leak(_auc(found.window))
        bundle = self._fitted(found) if found.better else self._base_rate(found)
        self._timed("final_fit")
        report = self._report(
            BETTER if found.better else NO_BETTER,
            "model" if found.better else "base_rate",
            found,
            leaks=leaks,
        )
        self._timed("report")
        return TrainedModel(replace(bundle, card=report.summary()), report, found.window)

    def _families(self) -> tuple[Family, ...]:
        if self.data.deals_won + self.data.deals_lost < FEWEST_FOR_TREES:
            return ("base_rate", "table", "linear")
        return ("base_rate", "table", "linear", "trees", "blend")

    def _find(self) -> _Found:
        folds = side_by_side(
            lambda fold: prepare(fold, self.layout, seed=self.seed, threads=1),
            list(forward_folds(self.data, shares=SHARES)),
            threads=self.settings.threads,
        )
        folds = [fold for fold in folds if len(fold.test_y) and len(fold.y)]
        self._timed("prepare")
        earlier, later = folds[:-1], folds[-1]
        selection = Selection(earlier, self.layout, seed=self.seed, threads=self.settings.threads)
        chosen, candidates = selection.best(
            families=self._families(), trials=self.settings.trials, journal=self.journal
        )
        self._timed("select")
        model = chosen.choice.model(self.layout, seed=self.seed, threads=self.settings.threads)
        weight = decayed(later, chosen.choice.half_life)
        model.fit(later.X, later.y, weight, later.deal)
        margin = model.decision_function(later.test_rows)
        timing = look(folds, lambda X: sigmoid(model.decision_function(X)), seed=self.seed)
        self._timed("judge")
        return self._weigh(chosen, candidates, folds, margin, timing)

    def _weigh(
        self,
        chosen: Judged,
        candidates: dict[str, Tried],
        folds: list[Prepared],
        margin: Array,
        timing: TimingFound,
    ) -> _Found:
        """Return the calibrator, the bands and the verdict from all out-of-time margins."""
        known = [
            _out_of_time(fold, each)
            for fold, each in zip(folds, (*chosen.margins, margin), strict=True)
        ]
        verdict = compare(known, seed=self.seed)
        counting_open = second_look.gain_counting_open(
            chosen.choice, folds, self.data, self.layout, seed=self.seed,
            threads=self.settings.threads,
        )  # fmt: skip
        rows = joined(known)
        a, b = verdict.model.line
        return _Found(
            choice=chosen.choice,
            candidates=candidates,
            verdict=verdict,
            bands=calibration.bands(a * rows.margin + b, rows.y, rows.weight, rows.deal),
            window=self._window(
                folds[-1], sigmoid(verdict.model.margins[-1]), sigmoid(verdict.base.margins[-1])
            ),
            better=verdict.better
            and chosen.choice.family != "base_rate"
            and counting_open.value < 0.0,
            counting_open=counting_open,
            by_stage=second_look.table_holds(folds, self.layout),
            timing=timing,
        )

    def _window(self, later: Prepared, p: Array, p_base: Array) -> LaterWindow:
        return LaterWindow(
            start=later.cut,
            features=self.data.features,
            X=later.test_rows,
            y=later.test_y,
            weight=later.test_weight,
            deal=later.test_deal,
            as_of=later.test_as_of,
            p=p,
            p_base=p_base,
        )

    def _fitted(self, found: _Found) -> Bundle:
        weight = landmark_weights(self.data)
        teacher = teach(self.data, weight, seed=self.seed, threads=self.settings.threads)
        y = soft_labels(self.data, weight, teacher=teacher)
        recent = landmark_weights(self.data, half_life_days=found.choice.half_life)
        model = found.choice.model(self.layout, seed=self.seed, threads=self.settings.threads).fit(
            self.data.X, y, recent, self.data.deal
        )
        return self._bundle(
            "model",
            parts=tuple(model.parts_),
            bands=found.bands,
            base=model.base_,
            encoder=model.encoder_,
            calibrator=found.verdict.model.line,
            timing=found.timing.timing(teacher),
        )

    def _base_rate(self, found: _Found) -> Bundle:
        """Return the rates by stage and age, or one for everyone where those are worse.

        A new deal is won less often than one that has lived on, for losses come early: one rate
        for all ages is right for none. It serves only where later time contradicts the table.
        """
        a, b = found.verdict.base.line
        rate = float(sigmoid(a * logit(np.array([baselines.base_rate(self.data)])) + b)[0])
        deals = self.data.deals_won + self.data.deals_lost
        by_stage = found.by_stage
        return self._bundle(
            "base_rate",
            parts=self._table() if by_stage else (),
            calibrator=(a, b) if by_stage else IDENTITY,
            bands=(calibration.rate_band(rate, deals),),
            base=float(logit(np.array([rate]))[0]),
        )

    # -- what comes out -------------------------------------------------------------------

    def _bundle(
        self,
        kind: Kind,
        *,
        parts: tuple[tuple[float, Part], ...],
        bands: tuple[Band, ...],
        base: float,
        abstained: str | None = None,
        encoder: Encoder | None = None,
        calibrator: tuple[float, float] = (1.0, 0.0),
        timing: Timing | None = None,
    ) -> Bundle:
        return Bundle(
            kind=kind,
            version=UNVERSIONED,
            as_of=self.as_of.isoformat(),
            fingerprint=fingerprint(self.data),
            features=self.data.features,
            groups=columns.groups(self.data.features),
            encoder=encoder or Encoder(tables={}, overall=base),
            parts=parts,
            slope=calibrator[0],
            intercept=calibrator[1],
            base_margin=base,
            bands=bands,
            abstained=abstained,
            card={},
            timing=timing,
        )

    def _report(
        self,
        verdict: str,
        kind: str,
        found: _Found | None,
        *,
        leaks: tuple[Leak, ...] = (),
    ) -> TrainingReport:
        data = self.data
        window = found.window if found else None
        judge = WindowJudge(data, self.layout, self.seed)
        chosen = asdict(found.choice) if found else {}
        return TrainingReport(
            as_of=self.as_of.isoformat(),
            verdict=verdict,
            kind=kind,
            family=found.choice.family if found and kind == "model" else "base_rate",
            choice=chosen,
            features=data.features,
            rows=len(data),
            rows_open=int((~data.is_resolved).sum()),
            deals_won=data.deals_won,
            deals_lost=data.deals_lost,
            window_start=_moment(window.start) if window else None,
            served=judge.served(window, kind) if window else None,
            baselines=judge.baselines(window, kind) if window else {},
            gain=found.verdict.gain if found else None,
            gain_counting_open=found.counting_open if found else None,
            ranking=found.verdict.ranking if found else None,
            candidates=found.candidates if found else {},
            calibrator=found.verdict.model.line if found else (1.0, 0.0),
            leaks=leaks,
            timing=found.timing.horizons if found else (),
            left_out=self.left_out,
            fingerprint=fingerprint(data),
            seed=self.seed,
            seconds=self.seconds,
        )


def _out_of_time(fold: Prepared, margin: Array) -> OutOfTime:
    return OutOfTime(
        margin=margin,
        base=np.full(len(margin), float(logit(np.array([fold.base]))[0])),
        y=fold.test_y,
        weight=fold.test_weight,
        deal=fold.test_deal,
    )


def _auc(window: LaterWindow) -> float | None:
    return auc(window.y, window.p, window.weight)


def _moment(number: float) -> str:
    return dt.datetime.fromtimestamp(number * 86_400.0, tz=dt.UTC).isoformat()
