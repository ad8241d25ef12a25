"""Whether a draft of a metric holds together: its names, kinds, unit and parts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import get_args

from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.drafts import WAYS, Draft
from crm_core.kpis.facts import BY_ID, Fact, fields
from crm_core.kpis.formula_reading import of_kind, read
from crm_core.kpis.formulas import Formula, FormulaInvalid, Kind
from crm_core.kpis.metric import Direction, Metric, Unit

_ID = re.compile(r"x_[a-z0-9_]{1,38}")
_LONGEST_NAME = 100
_FORMULA_WAYS = ("sum", "mean", "median", "count_distinct", "share")


class DraftInvalid(Invalid):
    """A draft of a metric does not hold together; ``field`` is the part that is wrong.

    ``position`` is the place in a formula, from 1; ``near`` holds names like an unknown one.
    """

    def __init__(
        self, message: str, *, field: str, position: int | None = None, near: tuple[str, ...] = ()
    ) -> None:
        self.field = field
        self.position = position
        self.near = near
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Checked:
    """A draft whose formulas were read; ``attributes`` are the fields they may name."""

    draft: Draft
    fact: Fact | None = None
    value: Formula | None = None
    filter: Formula | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that the formulas read."""
        formulas = [each for each in (self.value, self.filter) if each is not None]
        return tuple(dict.fromkeys(name for each in formulas for name in each.fields))


def checked(session: Session, draft: Draft) -> Checked:
    """Return the draft with its formulas read; its parts are checked by :func:`check_parts`.

    Raises DraftInvalid, with the place where a formula is wrong.
    """
    _check_words(draft)
    if draft.way == "ratio":
        _require_absent(draft, ("fact", "value", "filter"))
        if len(draft.parts) != 2:
            raise DraftInvalid("A ratio needs a numerator and a denominator.", field="numerator")
        return Checked(draft)
    _require_absent(draft, ("numerator", "denominator"))
    fact = BY_ID.get(draft.fact or "")
    if fact is None:
        raise DraftInvalid(
            f"There is no fact {draft.fact!r}; there are {', '.join(BY_ID)}.", field="fact"
        )
    known = fields(session, fact)
    kinds = {name: each.kind for name, each in known.items()}
    return Checked(draft, fact, _value(draft, kinds), _filter(draft, kinds), known)


def _check_words(draft: Draft) -> None:
    if not _ID.fullmatch(draft.id):
        raise DraftInvalid(
            "A metric's id is x_ and then 1 to 38 small letters, digits or underscores.",
            field="id",
        )
    for name in ("name_zh", "name_en"):
        given = getattr(draft, name).strip()
        if not 0 < len(given) <= _LONGEST_NAME:
            raise DraftInvalid(
                f"{name} is missing or longer than {_LONGEST_NAME} characters.", field=name
            )
    for name, allowed in (
        ("way", WAYS), ("unit", get_args(Unit)), ("direction", get_args(Direction)),
    ):  # fmt: skip
        if getattr(draft, name) not in allowed:
            raise DraftInvalid(f"{name} is one of {', '.join(allowed)}.", field=name)


def _require_absent(draft: Draft, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(draft, name) is not None:
            raise DraftInvalid(f"A metric by {draft.way} has no {name}.", field=name)


def _value(draft: Draft, kinds: Mapping[str, Kind]) -> Formula | None:
    if draft.way not in _FORMULA_WAYS:
        if draft.value is not None:
            raise DraftInvalid("A count has no value; use a filter.", field="value")
        _require_unit(draft, "count")
        return None
    if draft.value is None:
        raise DraftInvalid(f"A metric by {draft.way} needs a value.", field="value")
    wanted: Kind = "money" if draft.unit == "money" else "number"
    if draft.way == "share":
        _require_unit(draft, "ratio")
        wanted = "boolean"
    elif draft.way == "count_distinct":
        _require_unit(draft, "count")
        wanted = "text"
    return _formula("value", draft.value, kinds, wanted)


def _require_unit(draft: Draft, unit: str) -> None:
    if draft.unit != unit:
        raise DraftInvalid(f"The unit of a metric by {draft.way} is {unit}.", field="unit")


def _filter(draft: Draft, kinds: Mapping[str, Kind]) -> Formula | None:
    if draft.filter is None:
        return None
    return _formula("filter", draft.filter, kinds, "boolean")


def _formula(field_name: str, text: str, kinds: Mapping[str, Kind], wanted: Kind) -> Formula:
    try:
        return of_kind(read(text, kinds), wanted)
    except FormulaInvalid as error:
        raise DraftInvalid(
            f"In the {field_name}: {error.message}",
            field=field_name, position=error.position, near=error.near,
        ) from None  # fmt: skip


def check_parts(draft: Draft, known: Mapping[str, Metric], edges: Mapping[str, set[str]]) -> None:
    """Refuse a ratio of unknown metrics, of itself, or of the wrong unit. Raises DraftInvalid.

    ``edges`` are the parts of every user-defined metric, in force or to come.
    """
    for name in ("numerator", "denominator"):
        part = getattr(draft, name)
        if part is not None and part not in known and part != draft.id:
            near = get_close_matches(part, sorted(known), n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise DraftInvalid(f"There is no metric {part!r}.{hint}", field=name)
    round_trip = cycle({**edges, draft.id: set(draft.parts)}, draft.id)
    if round_trip:
        raise DraftInvalid(
            f"{draft.id} would be computed from itself: {' → '.join(round_trip)}.",
            field="numerator",
        )
    if draft.parts:
        unit = unit_of_ratio(*(known[part].unit for part in draft.parts))
        if draft.unit != unit:
            raise DraftInvalid(
                f"{draft.numerator} ÷ {draft.denominator} is in {unit}, not {draft.unit}.",
                field="unit",
            )


def cycle(edges: Mapping[str, set[str]], start: str) -> tuple[str, ...]:
    """Return a way from a metric through its parts back to itself, empty without one."""
    paths: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while paths:
        path = paths.pop()
        for part in sorted(edges.get(path[-1], ())):
            if part == start:
                return (*path, part)
            if part not in seen:
                seen.add(part)
                paths.append((*path, part))
    return ()


def unit_of_ratio(numerator: Unit, denominator: Unit) -> Unit:
    """Return the unit of one metric ÷ another: amounts per piece stay amounts."""
    if numerator != denominator and denominator in ("count", "ratio"):
        return numerator
    return "ratio"
