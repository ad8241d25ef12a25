"""Ranks with ties shown as ties, in a metric's own direction; who is told what. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from crm_core.errors import Invalid

Direction = Literal["higher", "lower", "neither"]
Ties = Literal["shared", "dense"]
Names = Literal["own", "top", "all"]
TOP = 3
FEWEST = 5
"""Fewer ranked subjects let everybody work out who is who; then only one's own rank is told."""


class NotRanked(Invalid):
    """A metric without a better direction cannot be ranked."""


@dataclass(frozen=True, slots=True)
class Place:
    """A subject's rank, 1 is best; None for a subject without a value, which is never last.

    ``tied`` says that others have exactly the same value.
    """

    subject_id: str
    rank: int | None
    value: Decimal | None
    tied: bool = False


def ranked(
    values: Mapping[str, Decimal | None], *, direction: Direction, ties: Ties
) -> tuple[Place, ...]:
    """Return every subject with its rank, best first; equals in the order of their ids.

    ``shared`` ranks go 1 1 3, ``dense`` ones 1 1 2. Equal values always share a rank: nothing
    else breaks a tie. Raises NotRanked for a metric with no better direction.
    """
    if direction == "neither":
        raise NotRanked("Neither direction of this metric is better; it cannot be ranked.")
    sign = -1 if direction == "higher" else 1
    valued = sorted(
        ((value, subject) for subject, value in values.items() if value is not None),
        key=lambda pair: (sign * pair[0], pair[1]),
    )
    places: list[Place] = []
    different = 0
    counts: dict[Decimal, int] = {}
    for value, _ in valued:
        counts[value] = counts.get(value, 0) + 1
    for position, (value, subject) in enumerate(valued, 1):
        before = places[-1] if places else None
        same = before is not None and before.value == value
        different += not same
        rank = (before.rank if before and same else position) if ties == "shared" else different
        places.append(Place(subject, rank, value, counts[value] > 1))
    without = sorted(subject for subject, value in values.items() if value is None)
    return (*places, *(Place(subject, None, None) for subject in without))


@dataclass(frozen=True, slots=True)
class Seen:
    """One line as a viewer may see it: without a name, and without a value, where not told."""

    subject_id: str | None
    rank: int | None
    value: Decimal | None
    tied: bool
    is_own: bool


def told(
    places: Sequence[Place], *, own: frozenset[str], visible: frozenset[str] | None, names: Names
) -> tuple[Seen, ...]:
    """Return the lines that a viewer is shown, best first.

    Lines of subjects in ``visible`` (None: all) are theirs to read anyway. Of the others the
    policy says: nothing but the two ranks around one's own (``own``), the names of the first
    TOP ranks too (``top``), or everybody (``all``). Values are told only with the name. Among
    fewer than FEWEST nothing of the others is told.
    """
    ranks = {p.rank for p in places if p.subject_id in own and p.rank is not None}
    enough = sum(place.rank is not None for place in places) >= FEWEST
    lines = []
    for place in places:
        if visible is None or place.subject_id in visible or place.subject_id in own:
            lines.append(_line(place, own, named=True))
        elif enough and place.rank is not None:
            is_named = names == "all" or (names == "top" and place.rank <= TOP)
            is_near = any(abs(place.rank - rank) <= 2 for rank in ranks)
            if is_named or is_near:
                lines.append(_line(place, own, named=is_named))
    return tuple(lines)


def _line(place: Place, own: frozenset[str], *, named: bool) -> Seen:
    return Seen(
        subject_id=place.subject_id if named else None, rank=place.rank,
        value=place.value if named else None, tied=place.tied,
        is_own=place.subject_id in own,
    )  # fmt: skip
