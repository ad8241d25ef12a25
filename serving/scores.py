"""What is said of one deal as of one time: a bundle's numbers with their reasons, checked."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_core.advice.operations import NewPrediction
from crm_core.periods import FiscalCalendar
from features.categories import MOST_VALUES
from features.opportunity import CATEGORY_NAMES, OWN_FIELDS
from serving import score_words
from serving.champions import WIN_RATE, Champion
from serving.explanations import (
    Effect,
    Reason,
    Words,
    check_sum,
    effects,
    reasons,
)
from training.bundle import Scores

Kind = Literal["model", "base_rate", "none"]
_UTC = FiscalCalendar(ZoneInfo("UTC"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """What is said of one deal as of one time.

    ``kind``: ``model``; ``base_rate`` (nothing known tells deals apart, so all get the rate of
    similar deals); ``none`` (``abstained`` says what is missing, every number is None). ``low``
    and ``high`` bound the probability where the bundle can tell; ``n_similar`` deals are what
    they rest on, for a base rate all closed ones. ``p_win_in_period`` is the chance of a win by the
    end of the fiscal quarter of ``as_of``; it and ``median_days_to_close`` (won or lost) are None
    where later time did not bear such estimates out. ``base_value`` and the contributions of
    ``effects`` sum to ``margin``, the log-odds of ``p_win``. ``hindsight`` is said where the model
    was trained on later facts than were known at ``as_of``.
    """

    opportunity_id: str
    as_of: dt.datetime
    kind: Kind
    model_version: str | None
    p_win: float | None = None
    p_win_in_period: float | None = None
    median_days_to_close: float | None = None
    low: float | None = None
    high: float | None = None
    n_similar: int | None = None
    margin: float | None = None
    base_value: float | None = None
    contributions: Mapping[str, float]
    effects: tuple[Effect, ...] = ()
    reasons: tuple[Reason, ...] = ()
    note: Words | None = None
    hindsight: Words | None = None
    abstained: Words | None = None
    horizon: Words = score_words.HORIZON
    row_hash: str | None = None
    trained_as_of: dt.datetime | None = None

    @property
    def is_given(self) -> bool:
        """Whether a model was asked and answered as it could have then: a fact to be kept."""
        return self.row_hash is not None and self.hindsight is None

    def sentences(self) -> tuple[Words, ...]:
        """Return what is said in words, most important first."""
        said = (self.hindsight, self.abstained, self.note)
        first = [words for words in said if words is not None]
        return (*first, *(reason.sentence for reason in self.reasons))

    def as_prediction(self, *, scored_at: dt.datetime) -> NewPrediction:
        """Return what is written down of it."""
        said = [
            *({"en": words.en, "zh": words.zh} for words in (self.note,) if words is not None),
            *(reason.as_json() for reason in self.reasons),
        ]
        return NewPrediction(
            opportunity_id=self.opportunity_id,
            model=WIN_RATE,
            model_version=self.model_version or "",
            model_as_of=self.trained_as_of,
            as_of=self.as_of,
            scored_at=scored_at,
            kind=self.kind,
            p_win=self.p_win,
            p_win_in_period=self.p_win_in_period,
            low=self.low,
            high=self.high,
            n_similar=self.n_similar,
            median_days_to_close=self.median_days_to_close,
            margin=self.margin,
            base_value=self.base_value,
            contributions=dict(self.contributions),
            reasons=said,
            abstained=None if self.abstained is None else self.abstained.en,
            row_hash=self.row_hash,
        )


def explained(
    champion: Champion, rows: pd.DataFrame, *, calendar: FiscalCalendar = _UTC
) -> list[ScoreView]:
    """Return the bundle's explained scores of feature rows; each is checked to add up.

    A row from before the model was trained is marked as hindsight.
    """
    zone = calendar.time_zone
    bundle = champion.bundle
    table = np.ascontiguousarray(rows.reindex(columns=list(bundle.features)).to_numpy(np.float64))
    scores = bundle.score(table)
    deals = rows["entity_id"].astype(str).tolist()
    moments = [stamp.to_pydatetime() for stamp in rows["as_of"]]
    told = rows.attrs
    ahead = np.array([_days_left(moment, calendar) for moment in moments], dtype=np.float64)
    outlook = bundle.outlook(table, scores.p, ahead)
    views = [
        replace(
            _view(champion, scores, number, table[number], told, deal, moment, zone),
            p_win_in_period=_or_none(outlook.won_by[number]),
            median_days_to_close=_or_none(outlook.median_days[number]),
        )
        for number, (deal, moment) in enumerate(zip(deals, moments, strict=True))
    ]
    return [
        view
        if champion.trained_as_of <= view.as_of
        else replace(view, hindsight=score_words.hindsight(champion, view.as_of, zone=zone))
        for view in views
    ]


def _days_left(moment: dt.datetime, calendar: FiscalCalendar) -> float:
    """Return the days until the fiscal quarter of a moment ends."""
    _, end = calendar.bounds(calendar.quarter_of(calendar.day_of(moment)))
    return (end - moment) / dt.timedelta(days=1)


def _view(
    champion: Champion,
    scores: Scores,
    number: int,
    row: NDArray[np.float64],
    told: Mapping[Any, Any],
    deal: str,
    moment: dt.datetime,
    zone: ZoneInfo,
) -> ScoreView:
    bundle = champion.bundle
    plain: dict[str, Any] = {
        "opportunity_id": deal,
        "as_of": moment,
        "kind": scores.kind,
        "model_version": champion.version,
        "row_hash": hashlib.sha256(row.tobytes()).hexdigest(),
        "trained_as_of": champion.trained_as_of,
    }
    if scores.kind == "none":
        said = score_words.too_little(bundle, zone=zone)
        return ScoreView(**plain, contributions={}, abstained=said)
    by_group = dict(zip(scores.groups, scores.contributions[number].tolist(), strict=True))
    margin = float(scores.margin[number])
    check_sum(base_value=scores.base_value, contributions=by_group, margin=margin)
    similar = int(scores.similar[number])
    p = float(scores.p[number])
    is_model = scores.kind == "model"
    # the band of rates by stage and age would be that of all deals: none is claimed
    has_band = is_model or not bundle.parts
    by_feature = scores.by_feature[number]
    return ScoreView(
        **plain,
        p_win=p,
        low=_or_none(scores.low[number]) if has_band else None,
        high=_or_none(scores.high[number]) if has_band else None,
        n_similar=similar or None,
        margin=margin,
        base_value=scores.base_value,
        contributions=by_group,
        effects=effects(base_value=scores.base_value, contributions=by_group),
        reasons=_reasons(champion, by_group, by_feature, row, told) if is_model else (),
        note=None if is_model else score_words.rate(bundle, p, similar),
    )


def _reasons(
    champion: Champion,
    by_group: Mapping[str, float],
    by_feature: NDArray[np.float64],
    row: NDArray[np.float64],
    told: Mapping[Any, Any],
) -> tuple[Reason, ...]:
    features = champion.bundle.features
    values = dict(zip(features, row.tolist(), strict=True))
    return reasons(
        by_group=by_group,
        by_feature=dict(zip(features, by_feature.tolist(), strict=True)),
        groups=champion.bundle.groups,
        values=values,
        categories=_categories(values, told.get(CATEGORY_NAMES, {})),
        own=told.get(OWN_FIELDS),
    )


def _categories(values: Mapping[str, float], names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the names behind the row's category codes; the shared last code has none."""
    found = {}
    for column, labels in names.items():
        code = values.get(column, math.nan)
        if code < min(len(labels), MOST_VALUES - 1):  # false for NaN
            found[column] = labels[int(code)]
    return found


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
