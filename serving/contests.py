"""Leaderboards as the page and the API show them: the rule, and what the viewer is told of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from crm_core.contests import operations, queries
from crm_core.contests.arithmetic import FEWEST, Names, Seen, told
from crm_core.contests.queries import Rule
from crm_core.database import company_wide
from crm_core.kpis.metric import Metric
from crm_core.money import Money, from_major
from crm_core.people.queries import Viewer, Visibility, company, company_day

RANKED = "a rank is among all participants; only what the rule tells leaves"
MOST = 500


@dataclass(frozen=True, slots=True)
class Standings:
    """A leaderboard with the lines the viewer is told, best first.

    ``participants`` have a value, ``without`` have none and so no rank.
    """

    rule: Rule
    metric: Metric
    currency: str
    lines: tuple[Seen, ...]
    participants: int
    without: int
    names: Mapping[str, str]
    is_over: bool
    fewest: int = FEWEST

    def money(self, line: Seen) -> Money | None:
        """Return a line's value as money, None where it is no money or not told."""
        if line.value is None or self.metric.unit != "money":
            return None
        return from_major(line.value, self.currency)


def standings(
    session: Session,
    leaderboard_id: int,
    *,
    viewer: Viewer,
    visibility: Visibility,
    now: dt.datetime,
) -> Standings:
    """Return one leaderboard as the viewer may see it. Raises NoSuchLeaderboard."""
    rule = queries.rule(session, leaderboard_id)
    with company_wide(session, reason=RANKED):
        places = queries.places(session, rule, as_of=now)
    own, visible = _own(rule, viewer, visibility)
    names: Names = "all" if rule.names == "all" else "top" if rule.names == "top" else "own"
    return Standings(
        rule=rule, metric=queries.metric_named(session, rule.metric, as_of=now),
        currency=company(session).currency,
        lines=told(places, own=own, visible=visible, names=names)[:MOST],
        participants=sum(place.rank is not None for place in places),
        without=sum(place.rank is None for place in places),
        names=queries.names_of(session, rule),
        is_over=company_day(session, now) >= rule.ends_on,
    )  # fmt: skip


def _own(
    rule: Rule, viewer: Viewer, visibility: Visibility
) -> tuple[frozenset[str], frozenset[str] | None]:
    """Return which subjects are the viewer's own, and whose numbers they see anyway."""
    if visibility.everyone:
        return frozenset({viewer.id}), None
    if rule.grouping == "user":
        return frozenset({viewer.id}), visibility.user_ids
    return frozenset(), visibility.unit_ids


def freeze(session: Session, leaderboard_id: int, *, now: dt.datetime) -> int:
    """Freeze a leaderboard's result; return how many took part.

    Raises NoSuchLeaderboard and NotOver.
    """
    with company_wide(session, reason=RANKED):
        return operations.freeze(session, leaderboard_id, today=company_day(session, now), now=now)
