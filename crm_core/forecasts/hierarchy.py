"""Who is below whom on a day: one tree of people, so that every deal is rolled up exactly once.

A file of its own: pure, and shared by cells, adjustments, snapshots and the bridge. A person's
superior is whom they reported to on that day; without one, who leads the unit they were placed
in, or the nearest unit above that somebody leads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

LEADS = ("leader", "manager")


@dataclass(frozen=True, slots=True)
class Member:
    """A person with their place on a day; ``has_left`` stays where they last were."""

    id: str
    name: str
    role: str
    manager_id: str | None
    unit_ids: tuple[str, ...]
    has_left: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """Everybody with their superior. ``cut`` names who stood in a circle and lost it here."""

    members: Mapping[str, Member]
    parents: Mapping[str, str | None]
    children: Mapping[str, tuple[str, ...]]
    cut: frozenset[str] = field(default_factory=frozenset)

    def below(self, person: str) -> frozenset[str]:
        """Return the person and everybody below; empty for who was not there."""
        if person not in self.members:
            return frozenset()
        found = [person]
        for each in found:
            found.extend(self.children[each])
        return frozenset(found)

    def above(self, person: str) -> tuple[str, ...]:
        """Return the person's superiors, the direct one first."""
        found = []
        superior = self.parents.get(person)
        while superior is not None:
            found.append(superior)
            superior = self.parents[superior]
        return tuple(found)

    @property
    def tops(self) -> tuple[str, ...]:
        """Who has nobody above and leads somebody: the tops that a company's roll-up adds."""
        return tuple(
            person
            for person, superior in self.parents.items()
            if superior is None and self.children[person]
        )

    def is_placed(self, person: str | None) -> bool:
        """Return whether a roll-up through the tree counts the person's deals."""
        if person is None or person not in self.members:
            return False
        return self.parents[person] is not None or bool(self.children[person])

    def part(self, person: str) -> dict[str, str | None]:
        """Return the superiors of the person's part of the tree, the person at its top."""
        within = self.below(person)
        return {each: self.parents[each] if each != person else None for each in sorted(within)}


def build(people: Sequence[Member], units: Mapping[str, str | None]) -> Tree:
    """Return the tree of these people; ``units`` maps an org unit to the one above.

    A circle is cut at its member of the smallest id, who then counts as without a superior.
    """
    members = {person.id: person for person in sorted(people, key=lambda each: each.id)}
    parents: dict[str, str | None] = {
        person.id: person.manager_id if person.manager_id in members else None
        for person in members.values()
    }
    cut = _cut_circles(parents)
    leaders = _leaders(members.values())
    for person in members.values():
        if parents[person.id] is None:
            parents[person.id] = _leader_of(person, leaders, units, parents)
    children: dict[str, list[str]] = {person: [] for person in members}
    for person_id, superior in parents.items():
        if superior is not None:
            children[superior].append(person_id)
    fixed = {person_id: tuple(found) for person_id, found in children.items()}
    return Tree(members, parents, fixed, cut)


def _cut_circles(parents: dict[str, str | None]) -> frozenset[str]:
    cut: set[str] = set()
    sound: set[str] = set()
    for start in parents:
        walked: dict[str, None] = {}
        each: str | None = start
        while each is not None and each not in sound and each not in walked:
            walked[each] = None
            each = parents[each]
        if each is not None and each in walked:
            names = list(walked)
            smallest = min(names[names.index(each) :])
            parents[smallest] = None
            cut.add(smallest)
        sound.update(walked)
    return frozenset(cut)


def _leaders(people: Collection[Member]) -> dict[str, list[str]]:
    """Return, by unit, who leads people and is placed in it: leaders before managers."""
    found: dict[str, list[str]] = {}
    for role in LEADS:
        for person in people:
            if person.role == role and not person.has_left:
                for unit in person.unit_ids:
                    found.setdefault(unit, []).append(person.id)
    return found


def _leader_of(
    person: Member,
    leaders: Mapping[str, Sequence[str]],
    units: Mapping[str, str | None],
    parents: Mapping[str, str | None],
) -> str | None:
    for placed_in in person.unit_ids:
        unit: str | None = placed_in
        seen = set()
        while unit is not None and unit not in seen:
            seen.add(unit)
            for leader in leaders.get(unit, ()):
                if leader != person.id and not _is_below(leader, person.id, parents):
                    return leader
            unit = units.get(unit)
    return None


def _is_below(person: str, superior: str, parents: Mapping[str, str | None]) -> bool:
    each: str | None = person
    while each is not None:
        if each == superior:
            return True
        each = parents[each]
    return False
