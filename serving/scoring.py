"""From a deal and a time to an explained probability, or to the reason why there is none.

One function makes the row (``features.snapshots.rows``, the same as for training), a promoted
bundle that had been trained by then scores it, and what was said is written down in
``crm_core.advice``. A deal that cannot be scored gets no number, but always a sentence.
docs/models.md says which version answers and what is kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

import pandas as pd
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core.advice.operations import record_predictions
from crm_core.advice.queries import is_newly_told
from crm_core.database import company_wide, transaction
from crm_core.opportunities.standings import Standing, standings
from crm_core.people import queries as people
from crm_core.periods import FiscalCalendar
from crm_core.settings import Settings
from features import snapshots
from serving import score_words
from serving.champions import WIN_RATE, Champion, Lineage
from serving.explanations import Words
from serving.scores import ScoreView, explained

Pair = tuple[str, dt.datetime]


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers: the models, on the company's clock.

    A time is answered by a model trained by then, unless hindsight was asked for: then the one
    that serves now answers, and says so.
    """

    models: Lineage
    calendar: FiscalCalendar
    in_hindsight: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The company's time zone."""
        return self.calendar.time_zone

    def champion(self, moment: dt.datetime) -> Champion | None:
        """Return the model that answers for a time, None when there is none."""
        if self.in_hindsight:
            return self.models.current
        return self.models.trained_by(moment)


def calendar_of(session: Session) -> FiscalCalendar:
    """Return the company's fiscal calendar, that of UTC before there is a company."""
    row = people.company_or_none(session)
    if row is None:
        return FiscalCalendar(ZoneInfo("UTC"))
    return FiscalCalendar(ZoneInfo(row.time_zone), row.fiscal_year_start_month)


def zone_of(session: Session) -> ZoneInfo:
    """Return the company's time zone, UTC before there is a company."""
    return calendar_of(session).time_zone


def score_one(
    session: Session,
    *,
    opportunity_id: str,
    as_of: dt.datetime,
    models: Lineage,
    settings: Settings,
    in_hindsight: bool = False,
) -> ScoreView:
    """Return what is said of one deal as known at ``as_of``; nothing is written down."""
    (view,) = score_moments(
        session,
        opportunity_id=opportunity_id,
        moments=[as_of],
        models=models,
        settings=settings,
        in_hindsight=in_hindsight,
    )
    return view


def score_moments(
    session: Session,
    *,
    opportunity_id: str,
    moments: Sequence[dt.datetime],
    models: Lineage,
    settings: Settings,
    in_hindsight: bool = False,
) -> list[ScoreView]:
    """Return what is said of one deal as known at each of some times; nothing is written down."""
    answering = Answering(models, calendar_of(session), in_hindsight)
    stood = {
        moment: standings(session, opportunity_ids=[opportunity_id], as_of=moment)
        for moment in moments
    }
    pairs = [(opportunity_id, moment) for moment in moments]
    with company_wide(session, reason="a live row has the same inputs as a training row"):
        make_rows = partial(snapshots.rows, session.connection(), settings=settings)
        return _views(make_rows, pairs, stood=stood, answering=answering)


def score_many(
    engine: Engine,
    *,
    opportunity_ids: Collection[str] | None,
    as_of: dt.datetime,
    models: Lineage,
    settings: Settings,
    scored_at: dt.datetime,
    in_hindsight: bool = False,
) -> list[ScoreView]:
    """Return what is said of these deals, or of every deal open as of then; and write it down.

    Ordered by deal id; a deal that is named twice is scored once.
    """
    with transaction(engine) as session:
        stood = standings(session, opportunity_ids=opportunity_ids, as_of=as_of)
        answering = Answering(models, calendar_of(session), in_hindsight)
    if opportunity_ids is None:
        chosen = [deal for deal, each in stood.items() if not each.is_closed]
    else:
        chosen = list(opportunity_ids)
    pairs = [(deal, as_of) for deal in sorted(set(chosen))]
    return _score(engine, pairs, {as_of: stood}, answering, settings, scored_at)


def score_pairs(
    engine: Engine,
    pairs: pd.DataFrame,
    *,
    models: Lineage,
    settings: Settings,
    scored_at: dt.datetime,
    in_hindsight: bool = False,
) -> list[ScoreView]:
    """Return what is said of each deal at its own time (``entity_id``, ``as_of``); a replay.

    In the order given. Each score sees only what was known at its time, as a live one did, and
    is given by a model trained by then.
    """
    asked = [
        (str(deal), moment.to_pydatetime())
        for deal, moment in pairs[["entity_id", "as_of"]].itertuples(index=False)
    ]
    stood = {}
    with transaction(engine) as session:
        answering = Answering(models, calendar_of(session), in_hindsight)
        for moment in dict.fromkeys(moment for _, moment in asked):
            ids = [deal for deal, at in asked if at == moment]
            stood[moment] = standings(session, opportunity_ids=ids, as_of=moment)
    return _score(engine, asked, stood, answering, settings, scored_at)


def write_down(session: Session, views: Sequence[ScoreView], *, scored_at: dt.datetime) -> int:
    """Keep what a model said that had been trained by then; return how many.

    An abstention without a model, and hindsight, are told but never kept: they would stand in
    for a number that was given.
    """
    given = [view.as_prediction(scored_at=scored_at) for view in views if view.is_given]
    return record_predictions(session, given)


def write_if_new(session: Session, view: ScoreView, *, scored_at: dt.datetime) -> int:
    """Keep the present score of a deal if its facts or the model changed since the last one."""
    if not view.is_given or not is_newly_told(
        session,
        view.opportunity_id,
        model=WIN_RATE,
        version=view.model_version or "",
        as_of=view.as_of,
    ):
        return 0
    return write_down(session, [view], scored_at=scored_at)


def _score(
    engine: Engine,
    pairs: Sequence[Pair],
    stood: Mapping[dt.datetime, Mapping[str, Standing]],
    answering: Answering,
    settings: Settings,
    scored_at: dt.datetime,
) -> list[ScoreView]:
    make_rows = partial(snapshots.rows, engine, settings=settings)
    views = _views(make_rows, pairs, stood=stood, answering=answering)
    with transaction(engine) as session:
        write_down(session, views, scored_at=scored_at)
    return views


def _views(
    make_rows: Callable[..., pd.DataFrame],
    pairs: Sequence[Pair],
    *,
    stood: Mapping[dt.datetime, Mapping[str, Standing]],
    answering: Answering,
) -> list[ScoreView]:
    """Return one view per pair, in order: each model scores all its deals at once."""
    champions = {moment: answering.champion(moment) for moment in stood}
    found: dict[Pair, ScoreView] = {}
    by_version: dict[str, list[Pair]] = {}
    for pair in dict.fromkeys(pairs):
        champion = champions[pair[1]]
        silent = _why_not(stood[pair[1]].get(pair[0]), pair[1], champion, answering)
        if silent is not None or champion is None:
            found[pair] = _abstention(pair, silent, champion)
        else:
            by_version.setdefault(champion.version, []).append(pair)
    able = {each.version: each for each in champions.values() if each is not None}
    for version, asked in by_version.items():
        champion = able[version]
        frame = pd.DataFrame(asked, columns=["entity_id", "as_of"])
        rows = make_rows(frame, columns=champion.bundle.features)
        for view in explained(champion, rows, calendar=answering.calendar):
            found[view.opportunity_id, view.as_of] = view
    return [found[pair] for pair in pairs]


def _why_not(
    standing: Standing | None,
    as_of: dt.datetime,
    champion: Champion | None,
    answering: Answering,
) -> Words | None:
    """Return why a deal gets no number before any model is asked, None if one may be asked."""
    if standing is None:
        return score_words.unknown(as_of, zone=answering.zone)
    if standing.is_closed:
        return score_words.closed(standing, zone=answering.zone)
    if champion is None:
        return score_words.not_trained_by(as_of, answering.models, zone=answering.zone)
    return None


def _abstention(pair: Pair, said: Words | None, champion: Champion | None) -> ScoreView:
    return ScoreView(
        opportunity_id=pair[0],
        as_of=pair[1],
        kind="none",
        model_version=None if champion is None else champion.version,
        contributions={},
        abstained=said,
    )
