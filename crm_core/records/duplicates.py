"""Records that may be the same thing twice: candidates, each with a score and its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, func, literal, or_, select, text
from sqlalchemy.orm import Session

from crm_core.accounts import likeness
from crm_core.errors import Conflict
from crm_core.people.queries import Visibility
from crm_core.records import scopes
from crm_core.records.tables import Relation, Shape, shape

TABLES = ("accounts", "contacts", "leads")
WORTH_A_LOOK = 0.7
ALMOST_CERTAIN = 0.9
_MOST_COMPARED = 100
_SHOWN = 10
_NAME = {"accounts": "name", "contacts": "name", "leads": "x_name"}
_EMAIL = {"accounts": "x_email", "contacts": "email", "leads": "x_email"}
_PHONE = {"accounts": "x_phone", "contacts": "phone", "leads": "x_phone"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that may be the same: how sure, and why."""

    key: str
    name: str | None
    score: float
    reasons: tuple[str, ...]


class LooksLikeADuplicate(Conflict):
    """A new record looks like one that exists; the candidates say which and why."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        first = candidates[0]
        super().__init__(
            f"This looks like {first.key!r} ({first.name}), which exists already: "
            f"{', '.join(first.reasons)}. Use that record, or send allow_duplicate=true."
        )
        self.candidates = tuple(candidates)
        self.problems = tuple(
            (each.key, f"{each.name}: {each.score:.2f} ({', '.join(each.reasons)})")
            for each in candidates
        )


def candidates(
    session: Session, table: Shape, record: Mapping[str, Any], *, may: Visibility
) -> list[Candidate]:
    """Return the records within reach that a record may duplicate, the likeliest first."""
    if table.name not in TABLES:
        return []
    rows: Relation = table.stored
    alike = list(_alike(rows, table.name, record))
    if not alike:
        return []
    own = record.get("id")
    statement = (
        select(rows)
        .where(or_(*alike), scopes.condition(table.name, rows, may))
        .where(rows.c.id != own if own else literal(value=True))
        .order_by(rows.c.id)
        .limit(_MOST_COMPARED)
    )
    session.execute(text("set local pg_trgm.similarity_threshold = 0.45"))
    found = [
        judged
        for row in session.execute(statement).mappings()
        if (judged := _judge(table.name, record, _flat(row))) is not None
    ]
    return sorted(found, key=lambda one: (-one.score, one.key))[:_SHOWN]


def require_new(
    session: Session, table: Shape, record: Mapping[str, Any], *, may: Visibility
) -> None:
    """Raise LooksLikeADuplicate when a record is almost certainly there already."""
    found = [
        each for each in candidates(session, table, record, may=may) if each.score >= ALMOST_CERTAIN
    ]
    if found:
        raise LooksLikeADuplicate(found)


def pairs(
    session: Session, table: Shape, *, may: Visibility, since: str | None, limit: int
) -> list[tuple[str, Candidate]]:
    """Return pairs of records within reach that may be the same, going on behind ``since``."""
    rows: Relation = shape(table.name).stored
    statement = (
        select(rows).where(scopes.condition(table.name, rows, may)).order_by(rows.c.id).limit(limit)
    )
    if since is not None:
        statement = statement.where(rows.c.id > since)
    found = []
    for row in session.execute(statement).mappings().all():
        for each in candidates(session, table, _flat(row), may=may):
            if each.key > row["id"]:
                found.append((str(row["id"]), each))
    return found


def _flat(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row by column name
    return {**row, **(row.get("custom") or {})}


def _alike(rows: Relation, table: str, record: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the conditions under which a row is worth comparing."""
    name = record.get(_NAME[table])
    if isinstance(name, str) and name.strip():
        column = func.lower(_column(rows, _NAME[table]))
        yield column.op("%")(name.lower())
        yield column == name.lower()
        core = likeness.name(name)
        if len(core) >= 3:
            yield column.contains(core, autoescape=True)
    mail = record.get(_EMAIL[table])
    if isinstance(mail, str) and mail.strip():
        yield func.lower(func.trim(_column(rows, _EMAIL[table]))) == likeness.email(mail)
    number = record.get(_PHONE[table])
    digits = likeness.phone(number) if isinstance(number, str) else None
    if digits:
        stored = func.regexp_replace(_column(rows, _PHONE[table]), r"\D", "", "g")
        yield func.right(stored, 9) == digits


def _column(rows: Relation, name: str) -> Any:  # noqa: ANN401 - a column
    return rows.c.custom.op("->>")(name) if name.startswith("x_") else cast(rows.c[name], Text)


def _judge(table: str, record: Mapping[str, Any], other: Mapping[str, Any]) -> Candidate | None:
    """Return how sure it is that two records are the same, None when it is not worth a look."""
    score, reasons = 0.0, []
    for weight, reason in _signs(table, record, other):
        reasons.append(reason)
        score = 1 - (1 - score) * (1 - weight)
    country, foreign = record.get("country"), other.get("country")
    if country and foreign and country != foreign:
        score *= 0.8
    if score < WORTH_A_LOOK:
        return None
    return Candidate(str(other["id"]), other.get(_NAME[table]), min(score, 0.99), tuple(reasons))


def _signs(
    table: str, record: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[tuple[float, str]]:
    """Yield what speaks for it: how strongly, and in words."""
    mine, theirs = record.get(_NAME[table]), other.get(_NAME[table])
    same_place = table != "contacts" or record.get("account_id") == other.get("account_id")
    if mine and theirs:
        close = likeness.similarity(likeness.name(str(mine)), likeness.name(str(theirs)))
        if close == 1.0:
            yield (0.95 if same_place else 0.6), "same name"
        elif close >= 0.6:
            yield close * (0.9 if same_place else 0.6), f"similar name ({close:.0%})"
    mine, theirs = record.get(_EMAIL[table]), other.get(_EMAIL[table])
    if mine and theirs:
        if likeness.email(str(mine)) == likeness.email(str(theirs)):
            yield 0.97, "same e-mail"
        elif likeness.domain(str(mine)) and likeness.domain(str(mine)) == likeness.domain(
            str(theirs)
        ):
            yield 0.2, "same e-mail domain"
    mine, theirs = record.get(_PHONE[table]), other.get(_PHONE[table])
    if mine and theirs and likeness.phone(str(mine)) == likeness.phone(str(theirs)) is not None:
        yield 0.75, "same telephone number"
