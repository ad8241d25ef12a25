"""A person's numbers on one page: against quota, over the last periods, among peers, and all.

Nothing is computed here. Whose numbers may be seen is decided before any is added up; of the
peers only a rank and a coarse band leave :mod:`crm_core.kpis.peers`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.kpis import queries
from crm_core.kpis.peers import FEWEST, Place, place
from crm_core.money import Money
from crm_core.people import queries as people
from crm_core.people.queries import Person, Viewer, Visibility
from crm_core.periods import Period
from crm_core.quotas import queries as quotas
from crm_core.quotas.arithmetic import expected_share
from serving import exports, performance
from serving.documents import Cell, Column, Document, Figure
from serving.explanations import Words
from serving.performance import RepSummary, Tile

AGAINST_QUOTA = ("attainment", "pacing", "gap", "coverage", "pipeline_needed")
BEHIND_QUOTA = ("bookings", "pipeline_in_period")
OTHERS = (
    "win_rate_closed", "average_deal", "cycle_days", "pipeline", "weighted_pipeline", "slip_rate",
    "new_customers", "activities", "visits", "calls", "effective_follow_ups",
    "new_leads", "lead_conversion", "first_touch_hours",
)  # fmt: skip
IN_TREND = ("bookings", "attainment")
TREND = 6
"""Periods shown, the asked one last."""

PEERS = "a rank among peers: only the rank and a coarse band leave"
TOO_FEW = Words(
    f"Fewer than {FEWEST} reps have a quota for this period, so no rank is shown: it would tell "
    "one person's number.",
    f"本期有配额的销售不足 {FEWEST} 人,为避免暴露个人数据,不显示排名。",
)
NOT_RANKED = Words(
    "Only reps with a quota for this period are ranked.", "只有本期有配额的销售参与排名。"
)


@dataclass(frozen=True, slots=True)
class Point:
    """One period of the trend."""

    period: Period
    bookings: Tile
    attainment: Tile

    @property
    def target(self) -> Money | None:
        """What attainment is measured against, None without a quota."""
        return _target(self.attainment, self.bookings)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersPage:
    """Everything the page shows. ``person`` is (id, name), None for everybody visible.

    ``before`` are the other numbers of the period before, asked for of one person only.
    ``elapsed`` is the share of the quota expected by now. Where ``place`` is None, ``untold``
    says why.
    """

    period: Period
    as_of: dt.datetime
    person: tuple[str, str] | None
    people: tuple[tuple[str, str], ...]
    now: RepSummary
    before: RepSummary | None
    period_before: Period
    others: tuple[Tile, ...]
    trend: tuple[Point, ...]
    elapsed: Decimal | None
    place: Place | None
    untold: Words | None

    @property
    def last_day(self) -> dt.date:
        """The last day of the period."""
        return self.period.end - dt.timedelta(days=1)

    @property
    def target(self) -> Money | None:
        """The quota, None without one."""
        return _target(self.now.tile("attainment"), self.now.tile("bookings"))

    def change(self, tile: Tile) -> Decimal | None:
        """Return by how much a number differs from the period before, None where it cannot."""
        earlier = None if self.before is None else self.before.tile(tile.metric).value
        return None if tile.value is None or earlier is None else tile.value - earlier


def numbers_page(
    session: Session,
    *,
    viewer: Viewer,
    visibility: Visibility,
    person: str | None,
    period: Period,
    as_of: dt.datetime,
) -> NumbersPage:
    """Return the page of a person; of everybody visible where nobody is named.

    Who sees only themselves is named without asking. By a fixed number of statements. Raises
    NoSuchPerson.
    """
    if not visibility.everyone and visibility.user_ids == {viewer.id}:
        person = viewer.id if person is None else person
    scope = performance.of_person(visibility, person)
    staff = people.staff(session, as_of=as_of)
    now = performance.rep_summary(
        session, visibility=scope, period=period, as_of=as_of, person=person,
        metric_ids=(*AGAINST_QUOTA, *BEHIND_QUOTA, *OTHERS),
    )  # fmt: skip
    earlier, before = people.calendar(session).preceding(period), None
    if person is not None:
        before = performance.rep_summary(
            session, visibility=scope, as_of=as_of, metric_ids=OTHERS, period=earlier,
            judged=False,
        )  # fmt: skip
    found, untold = _place(session, person, staff, period=period, as_of=as_of)
    return NumbersPage(
        period=period,
        as_of=as_of,
        person=performance.named(session, person),
        people=tuple((who.id, who.name) for who in staff if visibility.allows(who.id)),
        now=now,
        before=before,
        period_before=earlier,
        others=tuple(now.tile(metric_id) for metric_id in OTHERS),
        trend=tuple(
            Point(each.period, each.tile("bookings"), each.tile("attainment"))
            for each in reversed([now, *_trend(session, scope, person, now)])
        ),
        elapsed=_elapsed(session, period, as_of=as_of),
        place=found,
        untold=untold,
    )


def _trend(
    session: Session, scope: Visibility, person: str | None, now: RepSummary
) -> list[RepSummary]:
    """Return the bookings and attainment of the periods before, latest first."""
    calendar, period, result = people.calendar(session), now.period, []
    for _ in range(TREND - 1):
        period = calendar.preceding(period)
        result.append(
            performance.rep_summary(
                session, visibility=scope, period=period, as_of=now.as_of, metric_ids=IN_TREND,
                person=person, judged=False,
            )
        )  # fmt: skip
    return result


def _elapsed(session: Session, period: Period, *, as_of: dt.datetime) -> Decimal | None:
    day = people.calendar(session).day_of(as_of)
    return expected_share(period, day=day, season=quotas.season(session, as_of=as_of))


def _target(attainment: Tile, bookings: Tile) -> Money | None:
    if attainment.denominator is None or bookings.currency is None:
        return None
    return Money(int(attainment.denominator), bookings.currency)


def _place(
    session: Session,
    person: str | None,
    staff: Sequence[Person],
    *,
    period: Period,
    as_of: dt.datetime,
) -> tuple[Place | None, Words | None]:
    """Return where a rep stands among the reps with a quota, or why it is not told."""
    reps = {who.id for who in staff if who.role == "rep"}
    if person not in reps:
        return None, NOT_RANKED
    everyone = Visibility(everyone=True)
    with company_wide(session, reason=PEERS):
        found = queries.by_subject(
            session, ["attainment"], grouping="user", scope=everyone, period=period, as_of=as_of
        )
    attained = {
        who: value
        for who, values in found.items()
        if who in reps and (value := values["attainment"].value) is not None
    }
    if person not in attained:
        return None, NOT_RANKED
    told = place(attained, person)
    return told, TOO_FEW if told is None else None


COLUMNS = (
    Column("of_period", Words("Period", "期间")),
    Column("metric", Words("Metric", "指标代码")),
    Column("name", Words("Number", "指标")),
    Column("value", Words("Value", "数值"), "number"),
    Column("unit", Words("Unit", "单位")),
    Column("currency", Words("Currency", "币种")),
    Column("rows", Words("Rows", "明细数"), "number"),
    Column("reason", Words("Why there is none", "无值原因")),
)
QUOTA = Words("Quota", "配额")


def document(session: Session, found: NumbersPage, *, viewer: Viewer, language: str) -> Document:
    """Return the page as a table of one line per number and period, the asked period first."""
    lines = [_line(found.period, tile, language) for tile in found.now.tiles]
    points = list(reversed(found.trend))
    for point in points[1:]:
        tiles = (point.bookings, point.attainment)
        lines += [_line(point.period, tile, language) for tile in tiles]
    for point in points:
        target = point.target
        unit = ("money", target.currency) if target is not None else (None, None)
        lines.append((point.period.name, "quota", QUOTA.text(language), target, *unit, None, None))
    whose = None if found.person is None else found.person[1]
    return Document(
        name=f"numbers-{found.period.name}",
        title=Words("Numbers", "业绩"),
        columns=COLUMNS,
        rows=tuple(lines),
        stamp=exports.stamp(
            session, viewer=viewer, period=found.period, as_of=found.as_of,
            about=exports.whose(whose),
            definitions={tile.metric: tile.version for tile in found.now.tiles},
        ),
    )  # fmt: skip


def _line(period: Period, tile: Tile, language: str) -> tuple[Cell, ...]:
    value: Cell = tile.money
    if tile.money is None and tile.value is not None:
        value = Figure(tile.value, tile.unit)
    return (
        period.name, tile.metric, tile.name.text(language), value, tile.unit, tile.currency,
        Figure(Decimal(tile.rows), "count"), tile.reason.text(language) if tile.reason else None,
    )  # fmt: skip
