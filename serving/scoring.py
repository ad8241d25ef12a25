"""From a deal and a time to an explained probability, or to the reason why there is none.

One function makes the row (``features.snapshots.rows``, the same as for training), the promoted
bundle scores it, the explanation is checked to add up on every row, and what was said is written
down in ``crm_core.advice``. A deal that cannot be scored gets no number, but always a sentence.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core.advice.operations import NewPrediction, record_predictions
from crm_core.database import company_wide, transaction
from crm_core.opportunities.standings import Standing, standings
from crm_core.settings import Settings
from features import snapshots
from features.categories import MOST_VALUES
from features.opportunity import CATEGORY_NAMES
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
NO_VERSION = "none"
HORIZON = Words("won in the end, whenever the deal closes", "最终赢单，不限何时结单")
NO_MODEL = Words(
    "No win-rate model is promoted yet; train one with winward train win-rate.",
    "尚未启用赢率模型；请先运行 winward train win-rate。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreView:
    """What is said of one deal as of one time.

    ``kind``: ``model``; ``base_rate`` (nothing known tells deals apart, so all get the rate of
    similar deals); ``none`` (``abstained`` says what is missing, every number is None). ``low``
    and ``high`` bound the probability where the bundle can tell. ``base_value`` and the
    contributions of ``effects`` sum to ``margin``, the log-odds of ``p_win``.
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
    abstained: Words | None = None
    horizon: Words = HORIZON
    row_hash: str | None = None
    is_unknown: bool = False

    def sentences(self) -> tuple[Words, ...]:
        """Return what is said in words, most important first."""
        first = [words for words in (self.abstained, self.note) if words is not None]
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
            model_version=self.model_version or NO_VERSION,
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


def score_one(
    session: Session,
    *,
    opportunity_id: str,
    as_of: dt.datetime,
    champion: Champion | None,
    settings: Settings,
    scored_at: dt.datetime,
) -> ScoreView:
    """Return what is said of one deal as known at ``as_of``, and write it down."""
    pairs = pd.DataFrame({"entity_id": [opportunity_id], "as_of": [pd.Timestamp(as_of)]})
    stood = standings(session, opportunity_ids=[opportunity_id], as_of=as_of)
    with company_wide(session, reason="a live row has the same inputs as a training row"):
        (view,) = _views(
            partial(snapshots.rows, session.connection(), settings=settings),
            pairs,
            stood={as_of: stood},
            champion=champion,
        )
    write_down(session, [view], scored_at=scored_at)
    return view


def score_many(
    engine: Engine,
    *,
    opportunity_ids: Collection[str] | None,
    as_of: dt.datetime,
    champion: Champion | None,
    settings: Settings,
    scored_at: dt.datetime,
) -> list[ScoreView]:
    """Return what is said of these deals, or of every deal open as of then; and write it down.

    Ordered by deal id; a deal that is named twice is scored once.
    """
    with transaction(engine) as session:
        stood = standings(session, opportunity_ids=opportunity_ids, as_of=as_of)
    if opportunity_ids is None:
        chosen = [deal for deal, each in stood.items() if not each.is_closed]
    else:
        chosen = list(opportunity_ids)
    pairs = pd.DataFrame({"entity_id": sorted(set(chosen)), "as_of": pd.Timestamp(as_of)})
    return _score(engine, pairs, {as_of: stood}, champion, settings, scored_at)


def score_pairs(
    engine: Engine,
    pairs: pd.DataFrame,
    *,
    champion: Champion | None,
    settings: Settings,
    scored_at: dt.datetime,
) -> list[ScoreView]:
    """Return what is said of each deal at its own time (``entity_id``, ``as_of``); a replay.

    In the order given. Each score sees only what was known at its time, as a live one did; the
    model is today's champion all the same.
    """
    moments = [stamp.to_pydatetime() for stamp in pairs["as_of"].drop_duplicates()]
    stood = {}
    with transaction(engine) as session:
        for moment in moments:
            ids = pairs.loc[pairs["as_of"] == moment, "entity_id"].tolist()
            stood[moment] = standings(session, opportunity_ids=ids, as_of=moment)
    return _score(engine, pairs, stood, champion, settings, scored_at)


def write_down(session: Session, views: Sequence[ScoreView], *, scored_at: dt.datetime) -> int:
    """Log what was said of the deals that exist; return how many."""
    known = [view for view in views if not view.is_unknown]
    return record_predictions(session, [view.as_prediction(scored_at=scored_at) for view in known])


def _score(
    engine: Engine,
    pairs: pd.DataFrame,
    stood: Mapping[dt.datetime, Mapping[str, Standing]],
    champion: Champion | None,
    settings: Settings,
    scored_at: dt.datetime,
) -> list[ScoreView]:
    make_rows = partial(snapshots.rows, engine, settings=settings)
    views = _views(make_rows, pairs, stood=stood, champion=champion)
    with transaction(engine) as session:
        write_down(session, views, scored_at=scored_at)
    return views


def _views(
    make_rows: Callable[..., pd.DataFrame],
    pairs: pd.DataFrame,
    *,
    stood: Mapping[dt.datetime, Mapping[str, Standing]],
    champion: Champion | None,
) -> list[ScoreView]:
    """Return one view per pair, in order: abstentions first decided, the others scored at once."""
    asked = [
        (str(deal), moment.to_pydatetime())
        for deal, moment in pairs[["entity_id", "as_of"]].itertuples(index=False)
    ]
    silent = {
        (deal, moment): said
        for deal, moment in asked
        if (said := _why_not(stood[moment].get(deal), moment, champion)) is not None
    }
    scored: dict[tuple[str, dt.datetime], ScoreView] = {}
    live = [pair for pair in asked if pair not in silent]
    if live and champion is not None:
        frame = pd.DataFrame(live, columns=["entity_id", "as_of"]).drop_duplicates()
        rows = make_rows(frame, columns=champion.bundle.features)
        scored = {(view.opportunity_id, view.as_of): view for view in explained(champion, rows)}
    version = None if champion is None else champion.version
    return [
        scored[pair] if pair in scored else _abstention(pair, silent[pair], version, stood)
        for pair in asked
    ]


def _why_not(
    standing: Standing | None, as_of: dt.datetime, champion: Champion | None
) -> Words | None:
    """Return why a deal gets no number before any model is asked, None if one may be asked."""
    if standing is None:
        moment = as_of.isoformat(timespec="minutes")
        return Words(
            f"This deal was not known as of {moment}; ask for a time after it was recorded.",
            f"截至 {moment} 尚无此商机的记录；请选择其录入之后的时间。",
        )
    if standing.is_closed:
        day = standing.since.date().isoformat()
        return Words(
            f"The deal was {standing.kind} on {day}; there is no chance left to estimate.",
            f"商机已于 {day} {'赢单' if standing.kind == 'won' else '丢单'}，无需再估计概率。",
        )
    if champion is None:
        return NO_MODEL
    return None


def _abstention(
    pair: tuple[str, dt.datetime],
    said: Words,
    version: str | None,
    stood: Mapping[dt.datetime, Mapping[str, Standing]],
) -> ScoreView:
    deal, moment = pair
    return ScoreView(
        opportunity_id=deal,
        as_of=moment,
        kind="none",
        model_version=version,
        contributions={},
        abstained=said,
        is_unknown=deal not in stood[moment],
    )


def explained(champion: Champion, rows: pd.DataFrame) -> list[ScoreView]:
    """Return the bundle's explained scores of feature rows; each is checked to add up."""
    bundle = champion.bundle
    table = np.ascontiguousarray(rows.reindex(columns=list(bundle.features)).to_numpy(np.float64))
    scores = bundle.score(table)
    deals = rows["entity_id"].astype(str).tolist()
    moments = [stamp.to_pydatetime() for stamp in rows["as_of"]]
    names = rows.attrs.get(CATEGORY_NAMES, {})
    return [
        _view(champion, scores, number, table[number], names, deal, moment)
        for number, (deal, moment) in enumerate(zip(deals, moments, strict=True))
    ]


def _view(
    champion: Champion,
    scores: Scores,
    number: int,
    row: NDArray[np.float64],
    names: Mapping[str, Sequence[str]],
    deal: str,
    moment: dt.datetime,
) -> ScoreView:
    plain: dict[str, Any] = {
        "opportunity_id": deal,
        "as_of": moment,
        "kind": scores.kind,
        "model_version": champion.version,
        "row_hash": hashlib.sha256(row.tobytes()).hexdigest(),
    }
    if scores.kind == "none":
        return ScoreView(**plain, contributions={}, abstained=_too_little(scores.abstained))
    by_group = dict(zip(scores.groups, scores.contributions[number].tolist(), strict=True))
    margin = float(scores.margin[number])
    check_sum(base_value=scores.base_value, contributions=by_group, margin=margin)
    similar = int(scores.similar[number])
    p = float(scores.p[number])
    is_model = scores.kind == "model"
    by_feature = scores.by_feature[number]
    return ScoreView(
        **plain,
        p_win=p,
        low=_or_none(scores.low[number]),
        high=_or_none(scores.high[number]),
        n_similar=similar or None,
        margin=margin,
        base_value=scores.base_value,
        contributions=by_group,
        effects=effects(base_value=scores.base_value, contributions=by_group),
        reasons=_reasons(champion, by_group, by_feature, row, names) if is_model else (),
        note=None if is_model else _rate_note(champion, p, similar),
    )


def _reasons(
    champion: Champion,
    by_group: Mapping[str, float],
    by_feature: NDArray[np.float64],
    row: NDArray[np.float64],
    names: Mapping[str, Sequence[str]],
) -> tuple[Reason, ...]:
    features = champion.bundle.features
    values = dict(zip(features, row.tolist(), strict=True))
    return reasons(
        by_group=by_group,
        by_feature=dict(zip(features, by_feature.tolist(), strict=True)),
        groups=champion.bundle.groups,
        values=values,
        categories=_categories(values, names),
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


def _rate_note(champion: Champion, p: float, similar: int) -> Words:
    """Say which rate this is: that of all deals, or of a stage and age while deals are few.

    The base rate is an estimate that allows for deals still open, not a share that was counted.
    """
    percent = f"{100 * p:.0f} %"
    if champion.bundle.parts:
        return Words(
            f"Too few closed deals to learn more (n = {similar}): about {percent} of deals at this"
            " stage and age were won.",
            f"已结单商机太少，无法学到更多（n = {similar}）："
            f"处于此阶段和时长的商机约有 {percent} 赢单。",
        )
    count_en, count_zh = (f" (n = {similar})", f"（n = {similar}）") if similar else ("", "")
    return Words(
        f"No better than the base rate: an estimated {percent} of all deals are won in the end, "
        f"open ones counted in{count_en}.",
        f"不优于基准赢率：估计所有商机（含未结单）最终约有 {percent} 赢单{count_zh}。",
    )


def _too_little(said: str | None) -> Words:
    reason = said or "There are too few closed deals to learn from."
    return Words(reason, f"可供学习的已结单商机太少。（{reason}）")
