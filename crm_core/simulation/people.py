"""The sales organisation: seats, who sat in them when, teams, a re-organisation, hidden traits.

A seat is a territory with accounts. Reps come and go; while a seat is empty the team's first
line leads its deals. Traits (skill, diligence, optimism) are truth and never leave the package.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

import numpy as np

from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal
from crm_core.simulation.names import person
from crm_core.simulation.weeks import Weeks, date_of
from crm_core.simulation.world import World

MAIL_DOMAIN = "halden-instruments.example"
DEMO_LOGINS = {
    "rep": "rep@demo.winward",
    "manager": "manager@demo.winward",
    "leader": "leader@demo.winward",
    "sales_ops": "ops@demo.winward",
    "admin": "admin@demo.winward",
}
_Traits = tuple[Floats, Floats, Floats, Floats]
COMPANY_UNIT = "O-COMPANY"
_STYLES = {
    "EMEA": ("german", "french", "english"),
    "Americas": ("english", "english", "spanish"),
    "Greater China": ("chinese",),
    "Asia Pacific": ("japanese", "english", "english"),
}
_GAP_WEEKS = (2, 8)
_FEW = 400
_STAYS_WEEKS = 8
"""Nobody leaves this soon after joining, or this close to the end."""


@dataclass(slots=True)
class Member:
    """A person of the company. ``placements`` are (unit, first week, week after the last)."""

    index: int
    name: str
    email: str
    role: str
    unit: str
    region: str
    manager: int | None
    hired_on: dt.date
    left_on: dt.date | None = None
    placements: list[tuple[str, int, int | None]] = field(default_factory=list)
    former_managers: list[tuple[int, int]] = field(default_factory=list)
    """Whom they reported to before, each with the first week of the next."""

    @property
    def id(self) -> str:
        """The exchange id."""
        return f"U{self.index + 1:03d}"


@dataclass(frozen=True, slots=True)
class Unit:
    """An org unit; validity as week numbers, None = always."""

    id: str
    name: str
    kind: str
    parent: str | None
    begins: int | None = None
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Organisation:
    """Members, units, and for each seat and week the member in charge and the team."""

    members: list[Member]
    units: list[Unit]
    seat_region: tuple[str, ...]
    holder: Integers
    """Shape (seats, weeks): index of the member in charge, a manager while a seat is empty."""
    team: Integers
    """Shape (seats, weeks): index into ``team_units``."""
    team_units: tuple[str, ...]
    skill: Floats
    diligence: Floats
    optimism: Floats
    trust: Floats
    """How much advice weighs with each member at first."""
    first_week: Integers
    """Week in which each member began; negative for those who were there before."""
    operations_member: int

    def part(self, seats: slice) -> Organisation:
        """Return the same people in charge of some of the seats only."""
        return replace(
            self,
            seat_region=self.seat_region[seats],
            holder=self.holder[seats],
            team=self.team[seats],
        )


class _Builder:
    """Collects members, each with a name and so an e-mail address of their own."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.members: list[Member] = []
        self.names: set[str] = set()

    def _unused(self, style: str, first: float, second: float) -> tuple[str, str]:
        """Return a name that no colleague has; colleagues with one name confuse a demo.

        In a company with more people than names the address at least is one's own.
        """
        for attempt in range(40 if len(self.members) > _FEW else 1000):
            name, latin = person(style, (first + attempt * 0.29) % 1.0, second)
            if name not in self.names:
                self.names.add(name)
                return name, latin
            second = (second + 0.37) % 1.0
        return name, f"{latin}.{len(self.members) + 1}"

    def hire(
        self, role: str, unit: str, region: str, manager: int | None, hired_on: dt.date
    ) -> Member:
        index = len(self.members)
        drawn = self.draws.uniform(Stream.PERSON, np.asarray([index]), 0, 4)[:, 0]
        styles = _STYLES[region]
        style = styles[int(drawn[0] * len(styles))]
        name, latin = self._unused(style, float(drawn[1]), float(drawn[2]))
        email = f"{latin}@{MAIL_DOMAIN}"
        member = Member(index, name, email, role, unit, region, manager, hired_on)
        self.members.append(member)
        return member


def organisation(world: World, weeks: Weeks, draws: Draws) -> Organisation:
    """Return the sales organisation over all weeks."""
    builder = _Builder(draws)
    units, team_units, leaders = _units(world, weeks, builder)
    seat_region, team = _seats(world, weeks, team_units)
    managers = {unit: leaders[unit] for unit in team_units}
    holder = _holders(world, weeks, builder, seat_region, team, team_units, managers)
    _place(builder.members, holder, team, team_units)
    for role, email in DEMO_LOGINS.items():
        next(m for m in builder.members if m.role == role and m.left_on is None).email = email
    traits = _traits(world, builder.members, draws)
    operations = next(m.index for m in builder.members if m.role == "sales_ops")
    first = np.asarray(
        [((m.hired_on - date_of(weeks.start_day)).days) // 7 for m in builder.members]
    )
    return Organisation(
        builder.members, units, seat_region, holder, team, team_units, *traits, first, operations
    )


def _units(
    world: World, weeks: Weeks, builder: _Builder
) -> tuple[list[Unit], tuple[str, ...], dict[str, int]]:
    """Return units, team ids (the last one takes over from the second), unit → its head."""
    founded = date_of(weeks.start_day) - dt.timedelta(days=900)
    home = world.regions[0].name
    head = builder.hire("leader", COMPANY_UNIT, home, None, founded)
    for role in ("sales_ops", "admin", "finance", "data_scientist"):
        builder.hire(role, COMPANY_UNIT, home, head.index, founded)
    units = [Unit(COMPANY_UNIT, "Halden Instruments", "company", None)]
    leads = {COMPANY_UNIT: head.index}
    change = _reorganisation_week(weeks)
    teams: list[str] = []
    for r, region in enumerate(world.regions):
        region_unit = Unit(f"O-R{r + 1}", region.unit or region.name, "region", COMPANY_UNIT)
        units.append(region_unit)
        lead = builder.hire("leader", region_unit.id, region.name, head.index, founded)
        leads[region_unit.id] = lead.index
        for t, (name, _) in enumerate(region.teams):
            unit_id = f"O-R{r + 1}T{t + 1}"
            closes = change if (r, t) == (0, 1) else None
            units.append(Unit(unit_id, name, "team", region_unit.id, None, closes))
            manager = builder.hire("manager", unit_id, region.name, lead.index, founded)
            leads[unit_id] = manager.index
            teams.append(unit_id)
    successor = f"O-R1T{max(9, len(world.regions[0].teams) + 1)}"
    units.append(Unit(successor, "Western and Northern Europe", "team", "O-R1", change))
    leads[successor] = leads["O-R1T2"]
    return units, (*teams, successor), leads


def _reorganisation_week(weeks: Weeks) -> int:
    """Return the quarter start nearest to 60 % of the history."""
    starts = np.flatnonzero(weeks.is_quarter_start)
    return int(starts[np.argmin(np.abs(starts - 0.6 * weeks.count))])


def _seats(
    world: World, weeks: Weeks, team_units: tuple[str, ...]
) -> tuple[tuple[str, ...], Integers]:
    """Return each seat's region and each seat's team by week, the re-organisation included."""
    regions, first = [], []
    team = 0
    for region in world.regions:
        for _, count in region.teams:
            regions += [region.name] * count
            first += [team] * count
            team += 1
    by_week = np.repeat(np.asarray(first)[:, None], weeks.count, axis=1)
    change, renamed = _reorganisation_week(weeks), len(team_units) - 1
    moving = np.asarray(first) == 1
    # the new team also takes the last seat of the neighbouring team
    moving[world.regions[0].teams[0][1] - 1] = True
    by_week[np.ix_(moving, np.arange(change, weeks.count))] = renamed
    return tuple(regions), by_week


def _holders(
    world: World,
    weeks: Weeks,
    builder: _Builder,
    seat_region: tuple[str, ...],
    team: Integers,
    team_units: tuple[str, ...],
    managers: dict[str, int],
) -> Integers:
    """Return who leads each seat's deals by week; hires and dismisses on the way."""
    holder = np.zeros(team.shape, dtype=np.int64)
    monday = date_of(weeks.start_day)
    for seat, region in enumerate(seat_region):
        drawn = builder.draws.uniform(
            Stream.SEAT, np.full(weeks.count, seat), np.arange(weeks.count), 2
        )
        tenure = 60 + int(drawn[1, 0] * 1500) if seat == 0 or drawn[0, 0] > 0.2 else 40
        week, hired = 0, monday - dt.timedelta(days=tenure)
        while week < weeks.count:
            unit = team_units[team[seat, week]]
            rep = builder.hire("rep", unit, region, managers[unit], hired)
            leaves = _leaving_week(world, weeks, seat, week, drawn[0])
            holder[seat, week:leaves] = rep.index
            if leaves < weeks.count:
                rep.left_on = monday + dt.timedelta(weeks=leaves)
            gap = _GAP_WEEKS[0] + int(drawn[1, leaves - 1] * (_GAP_WEEKS[1] - _GAP_WEEKS[0]))
            vacant = slice(leaves, min(leaves + gap, weeks.count))
            holder[seat, vacant] = [managers[team_units[t]] for t in team[seat, vacant]]
            week = leaves + gap
            hired = monday + dt.timedelta(weeks=week)
    return holder


def _leaving_week(world: World, weeks: Weeks, seat: int, week: int, drawn: Floats) -> int:
    """Return the week from which a rep who began in ``week`` is gone; the count if never.

    The rep of the first seat is the demo's and stays.
    """
    if seat == 0:
        return weeks.count
    latest = weeks.count - _STAYS_WEEKS
    for candidate in range(week + _STAYS_WEEKS, latest):
        if drawn[candidate] < world.attrition_per_year / 52:
            return candidate
    return weeks.count


def _place(
    members: list[Member], holder: Integers, team: Integers, team_units: tuple[str, ...]
) -> None:
    """Fill in where each rep was placed when, and where everybody stands at the end."""
    for seat in range(len(holder)):
        changes = np.flatnonzero((np.diff(holder[seat]) != 0) | (np.diff(team[seat]) != 0)) + 1
        bounds = [0, *changes.tolist(), holder.shape[1]]
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            member = members[holder[seat, begin]]
            if member.role == "rep":
                last = None if end == holder.shape[1] else int(end)
                member.placements.append((team_units[team[seat, begin]], int(begin), last))
                member.unit = team_units[team[seat, begin]]
    heads = {m.unit: m.index for m in members if m.role == "manager"}
    successor = team_units[-1]
    predecessor = team_units[1]
    begins = min(b for m in members for u, b, _ in m.placements if u == successor)
    for member in members:
        if member.role == "rep":
            led = [
                heads[predecessor if unit == successor else unit]
                for unit, _, _ in member.placements
            ]
            member.manager = led[-1]
            moves = zip(led, led[1:], member.placements[1:], strict=False)
            member.former_managers = [(old, p[1]) for old, new, p in moves if old != new]
        elif member.unit == predecessor:
            member.placements = [(predecessor, 0, begins), (successor, begins, None)]
            member.unit = successor
        else:
            member.placements = [(member.unit, 0, None)]


def _traits(world: World, members: list[Member], draws: Draws) -> _Traits:
    """Return hidden skill, diligence, optimism and trust in advice; managers are average."""
    u = draws.uniform(Stream.PERSON, np.arange(len(members)), 1, 7)
    standard = normal(u[0], u[1])
    diligence = world.rho * standard + np.sqrt(1 - world.rho**2) * normal(u[2], u[3])
    optimism = world.optimism_sd * normal(u[4], u[5])
    skill = world.skill_sd * standard
    for member in members:
        if member.role != "rep":
            skill[member.index] = diligence[member.index] = optimism[member.index] = 0.0
        elif member.email == DEMO_LOGINS["rep"]:
            # an ordinary rep: good enough to win, not too tidy to be coached
            skill[member.index], diligence[member.index] = 0.1, -0.3
            optimism[member.index] = 0.4
    return skill, diligence, optimism, 0.3 + u[6]
