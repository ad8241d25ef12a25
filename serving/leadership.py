"""The company by org unit: bookings, open forecast amounts and quota of each unit and its parts.

Nothing is computed here: bookings are the metric's own cells, open amounts the forecast's, and
both are added up along the tree by :mod:`crm_core.kpis.folding`, so that the parts of a unit
sum to it exactly. Whose records count is decided before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.errors import NotFound
from crm_core.forecasts import queries as forecasts
from crm_core.kpis.folding import ancestors, folded
from crm_core.kpis.slices import NotSliceable, slices
from crm_core.money import Money, from_major
from crm_core.people import queries as people
from crm_core.people.queries import Unit, Viewer, Visibility
from crm_core.periods import Period
from crm_core.quotas import queries as quotas
from crm_core.quotas.arithmetic import attainment, expected_share, pacing
from serving import exports, performance
from serving.cells import rows_link
from serving.documents import Cell, Column, Document, Figure
from serving.explanations import Words

OPEN = ("commit", "most_likely", "best_case", "pipeline")
"""The forecast categories of open deals, each apart from the others."""

BOOKED = "bookings"
Amounts = dict[str, int]


class NoSuchUnit(NotFound):
    """There is no such org unit among those the viewer leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One line: a unit, what lies directly in one, a person, or what has no place.

    ``quota``, ``attainment`` and ``pacing`` are None where there is none; ``link`` leads to its
    parts or its rows.
    """

    id: str | None
    name: str
    kind: str
    depth: int
    link: str | None
    amounts: Mapping[str, Money]
    quota: Money | None
    attainment: Decimal | None
    pacing: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyTree:
    """A unit (None: everything the viewer may see) with its parts, two levels of them."""

    period: Period
    as_of: dt.datetime
    currency: str
    whole: Node
    parts: tuple[Node, ...]
    path: tuple[Unit, ...]
    elapsed: Decimal | None
    version: int
    reason: Words | None
    """Why some bookings are in no sum: amounts without an exchange rate."""

    @property
    def last_day(self) -> dt.date:
        """The last day of the period."""
        return self.period.end - dt.timedelta(days=1)

    def money(self, major: Decimal) -> Money:
        """Return an amount in the company's currency."""
        return from_major(major, self.currency)


def company_tree(
    session: Session,
    *,
    visibility: Visibility,
    unit: str | None,
    period: Period,
    as_of: dt.datetime,
) -> CompanyTree:
    """Return a unit with its parts, everything without one. Raises NoSuchUnit.

    By a fixed number of statements.
    """
    known = {each.id: each for each in people.unit_tree(session)}
    if unit is not None and (unit not in known or not visibility.leads(unit)):
        raise NoSuchUnit("There is no such org unit among those you may see.")
    with company_wide(session, reason=performance.CREDIT):
        facts = _Facts(session, known, visibility, period=period, as_of=as_of)
    page = _Page(facts, known, visibility)
    tops = [part for part in page.parts(None, depth=1) if part.depth == 1]
    if unit is None and [part.kind for part in tops] == ["unit"]:
        unit = tops[0].id  # the one unit is everything: its parts tell more
    return CompanyTree(
        period=period,
        as_of=as_of,
        currency=facts.currency,
        whole=page.unit(unit, depth=0),
        parts=tuple(page.parts(unit, depth=1)),
        path=tuple(known[each] for each in reversed(ancestors(facts.parents, unit))),
        elapsed=facts.elapsed,
        version=facts.version,
        reason=facts.reason,
    )


class _Facts:
    """What the page is made of, read once."""

    def __init__(
        self,
        session: Session,
        known: Mapping[str, Unit],
        visibility: Visibility,
        *,
        period: Period,
        as_of: dt.datetime,
    ) -> None:
        self.period = period
        self.parents = {each.id: each.parent_id for each in known.values()}
        self.currency = people.company(session).currency
        day = people.calendar(session).day_of(as_of)
        season = quotas.season(session, as_of=as_of)
        self.elapsed = expected_share(period, day=day, season=season)
        self.of_people: dict[tuple[str | None, str | None], Amounts] = {}
        self.names: dict[str, str] = {}
        self._read_bookings(session, visibility, period, as_of)
        self._read_open(session, visibility, period, as_of)
        own: dict[str | None, Amounts] = {}
        for (place, _), amounts in self.of_people.items():
            into = own.setdefault(place, {})
            for kind, amount in amounts.items():
                into[kind] = into.get(kind, 0) + amount
        self.own = own
        self.sums = folded(self.parents, own)
        self.targets = {
            kind: quotas.targets(
                session, subject_kind=kind, metric=BOOKED, scope=visibility, period=period,
                currency=self.currency, as_of=as_of,
            )
            for kind in ("org_unit", "user")
        }  # fmt: skip

    def _read_bookings(
        self, session: Session, visibility: Visibility, period: Period, as_of: dt.datetime
    ) -> None:
        try:
            found = slices(
                session, BOOKED, by=("team", "person"), scope=visibility, period=period,
                as_of=as_of,
            )  # fmt: skip
        except NotSliceable:  # too many people for one page: units alone
            found = slices(
                session, BOOKED, by=("team",), scope=visibility, period=period, as_of=as_of
            )
        self.version = found.metric.version
        told = found.whole.reasons
        self.reason = None if told is None else Words(told[1], told[0])
        for cell in found.cells:
            place, person = (*cell.key, None)[:2]
            if person is not None and cell.labels[1] is not None:
                self.names[person] = cell.labels[1]
            minor = int(cell.value.numerator or 0)
            self._add(place, person, BOOKED, minor)

    def _read_open(
        self, session: Session, visibility: Visibility, period: Period, as_of: dt.datetime
    ) -> None:
        now = forecasts.moment(session, as_of=as_of)
        owners = None if visibility.everyone else visibility.user_ids
        found = forecasts.owned(session, now, period, owners)
        members = forecasts.tree(session, day=forecasts.place_day(now, period)).members
        for owner, by_category in found.items():
            member = members.get(owner) if owner is not None else None
            place = member.unit_ids[0] if member is not None and member.unit_ids else None
            if member is not None:
                self.names[member.id] = member.name
            for category in OPEN:
                if category in by_category:
                    self._add(place, owner, category, by_category[category].minor)

    def _add(self, place: str | None, person: str | None, kind: str, minor: int) -> None:
        amounts = self.of_people.setdefault((place, person), {})
        amounts[kind] = amounts.get(kind, 0) + minor


class _Page:
    """Makes the lines of the page from the facts."""

    def __init__(self, facts: _Facts, known: Mapping[str, Unit], visibility: Visibility) -> None:
        self.facts, self.known = facts, known
        self.shown = {each for each in known if visibility.leads(each)}

    def children(self, unit: str | None) -> list[str]:
        """Return the units right below one; the topmost ones shown for None."""
        found = [
            each
            for each in self.shown
            if self.facts.parents[each] == unit
            or (unit is None and self.facts.parents[each] not in self.shown)
        ]
        return sorted(found, key=lambda each: (self.known[each].name, each))

    def unit(self, unit: str | None, *, depth: int) -> Node:
        """Return a unit's line with everything below it; the whole for None."""
        name = "" if unit is None else self.known[unit].name
        kind = "whole" if unit is None else "unit"
        link = (
            None if unit is None else f"/company?unit={quote(unit, safe='')}&period={self.period}"
        )
        amounts = self.facts.sums.get(unit, {})
        return self._node(unit, name, kind, depth, link, amounts, subject="org_unit")

    @property
    def period(self) -> str:
        """The period's name, for links."""
        return self.facts.period.name

    def parts(self, unit: str | None, *, depth: int) -> list[Node]:
        """Return what a unit is made of: the units below, two levels deep, people, the rest."""
        found: list[Node] = []
        for child in self.children(unit):
            found.append(self.unit(child, depth=depth))
            if depth == 1:
                found += [self.unit(each, depth=2) for each in self.children(child)]
        shown = set(self.children(unit))
        if unit is None:
            rest = [each for each in self.facts.own if not self._lies_in(each, shown)]
        else:
            rest = [each for each in (unit,) if each in self.facts.own]
        people_in = [pair for pair in self.facts.of_people if pair[0] in rest]
        for pair in sorted(people_in, key=self._by_name):
            found.append(self._person(*pair, self.facts.of_people[pair], depth))
        return found

    def _by_name(self, pair: tuple[str | None, str | None]) -> tuple[bool, str, str]:
        person = pair[1] or ""
        return pair[1] is None, self.facts.names.get(person, person), str(pair[0])

    def _lies_in(self, place: str | None, units: set[str]) -> bool:
        return not units.isdisjoint(ancestors(self.facts.parents, place))

    def _person(
        self, place: str | None, person: str | None, amounts: Mapping[str, int], depth: int
    ) -> Node:
        if person is None:
            name, kind = "", "directly" if place is not None else "nowhere"
            link = rows_link(BOOKED, self.period, {"team": place})
            return self._node(None, name, kind, depth, link, amounts, subject=None)
        link = rows_link(BOOKED, self.period, {"team": place, "person": person})
        name = self.facts.names.get(person, person)
        kind = "person" if place is not None else "unplaced"
        return self._node(person, name, kind, depth, link, amounts, subject="user")

    def _node(
        self,
        key: str | None,
        name: str,
        kind: str,
        depth: int,
        link: str | None,
        amounts: Mapping[str, int],
        *,
        subject: Literal["org_unit", "user"] | None,
    ) -> Node:
        currency = self.facts.currency
        target = None
        if key is not None and subject is not None and key in self.facts.targets[subject]:
            target = self.facts.targets[subject][key].target.amount
        booked = Money(amounts.get(BOOKED, 0), currency)
        attained = attainment(booked=booked, target=target)
        return Node(
            id=key, name=name, kind=kind, depth=depth, link=link,
            amounts={each: Money(amounts.get(each, 0), currency) for each in (BOOKED, *OPEN)},
            quota=target, attainment=attained,
            pacing=pacing(attained=attained, elapsed=self.facts.elapsed),
        )  # fmt: skip


KINDS = {
    "whole": Words("Everything you may see", "您可查看的全部"),
    "directly": Words("People directly in the unit", "直属本单位的人员"),
    "nowhere": Words("Credited to nobody", "未归属任何人"),
}
COLUMNS = (
    Column("level", Words("Level", "层级"), "number"),
    Column("kind", Words("Kind", "类型")),
    Column("id", Words("Id", "编号")),
    Column("name", Words("Name", "名称")),
    Column("quota", Words("Quota", "配额"), "number"),
    Column(BOOKED, Words("Bookings", "签约额"), "number"),
    Column("attainment", Words("Attainment", "完成率"), "number"),
    Column("pacing", Words("Pacing", "进度比"), "number"),
    Column("commit", Words("Commit", "承诺"), "number"),
    Column("most_likely", Words("Most likely", "很可能"), "number"),
    Column("best_case", Words("Best case", "乐观"), "number"),
    Column("pipeline", Words("Pipeline", "储备"), "number"),
)


def document(session: Session, found: CompanyTree, *, viewer: Viewer, language: str) -> Document:
    """Return the page as a table: the whole first, then its parts with their level."""
    name = found.path[-1].name if found.path else KINDS["whole"].text(language)
    return Document(
        name=f"company-{found.period.name}",
        title=Words("The company by unit", "公司各单位业绩"),
        columns=COLUMNS,
        rows=tuple(_line(each, language) for each in (found.whole, *found.parts)),
        stamp=exports.stamp(
            session, viewer=viewer, period=found.period, as_of=found.as_of,
            about=Words(name, name), definitions={BOOKED: found.version},
        ),
    )  # fmt: skip


def _line(node: Node, language: str) -> tuple[Cell, ...]:
    ratios = (node.attainment, node.pacing)
    return (
        Figure(Decimal(node.depth), "count"), node.kind, node.id,
        node.name or (KINDS[node.kind].text(language) if node.kind in KINDS else None),
        node.quota, node.amounts[BOOKED],
        *(None if each is None else Figure(each, "ratio") for each in ratios),
        *(node.amounts[category] for category in OPEN),
    )  # fmt: skip
