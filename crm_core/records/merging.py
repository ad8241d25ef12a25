"""Merging two records that are one: a survivor keeps the best of both, the other redirects to it.

What belonged to the loser belongs to the survivor afterwards. The loser stays as a tombstone with
all that is needed to undo the merge, and later imports of its id go to the survivor.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.audit import operations as audit
from crm_core.database import run
from crm_core.errors import Conflict, Invalid, NotFound
from crm_core.records import history, locks
from crm_core.records.duplicates import TABLES
from crm_core.records.models import MergedRecord
from crm_core.records.tables import SHAPES, shape

Rule = Literal["survivor", "loser", "newest", "longest", "non_empty"]
RULES: tuple[Rule, ...] = get_args(Rule)
_NEVER = frozenset({"id", "custom"})
_COLLIDES = {
    "usage": ("day", "measure"),
    "opportunity_contacts": ("opportunity_id",),
}
"""Tables in which survivor and loser may both have the row: the survivor's counts."""
_SUBJECT = {"accounts": "account", "contacts": "contact", "leads": "lead"}
_BESIDE = ("notes", "tasks")


class MergeInvalid(Invalid):
    """What is asked to be merged cannot be."""


class NotMerged(NotFound):
    """The record is no tombstone of a merge."""


class CannotUndo(Conflict):
    """The merge cannot be undone any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Two records and which value of each field to keep; ``non_empty`` where nothing is said."""

    table: str
    survivor: str
    loser: str
    rules: Mapping[str, Rule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge does: the survivor's fields that change, and what moves to it, by table."""

    changes: Mapping[str, tuple[Any, Any]]
    moves: Mapping[str, int]


def merge(
    session: Session,
    wanted: Wanted,
    *,
    user_id: str | None,
    channel: audit.Channel,
    recorded_at: dt.datetime,
    dry_run: bool = False,
) -> Merged:
    """Merge the loser into the survivor, or say what that would do.

    Whether the person may do so is asked before. Raises MergeInvalid and NotFound.
    """
    _check(wanted)
    locks.hold(session, wanted.table, [wanted.survivor, wanted.loser])
    survivor = _row(session, wanted.table, wanted.survivor)
    loser = _row(session, wanted.table, wanted.loser)
    changes = _changes(session, wanted, survivor, loser)
    if dry_run:
        return Merged(changes, _counts(session, wanted))
    _tell_history(session, user_id, recorded_at)
    moved = _move(session, wanted.table, wanted.loser, wanted.survivor)
    _set(session, wanted.table, wanted.survivor, {name: new for name, (_, new) in changes.items()})
    run(session, f"delete from {wanted.table} where id = :id", id=wanted.loser)
    run(session, "select set_config('winward.merging', 'off', true)")
    session.add(
        MergedRecord(
            table_name=wanted.table, loser_id=wanted.loser, survivor_id=wanted.survivor,
            merged_at=recorded_at, user_id=user_id, loser=loser, moved=moved,
            before={name: old for name, (old, _) in changes.items()},
            after={name: new for name, (_, new) in changes.items()},
        )
    )  # fmt: skip
    session.flush()
    _audit(session, "merge", wanted.table, wanted.survivor, changes, wanted.loser, user_id,
           channel, recorded_at)  # fmt: skip
    return Merged(changes, {name: len(found["keys"]) for name, found in moved.items()})


def undo(
    session: Session,
    table: str,
    loser: str,
    *,
    user_id: str | None,
    channel: audit.Channel,
    recorded_at: dt.datetime,
) -> str:
    """Bring a merged record and what was its own back; return the survivor's id.

    Fields of the survivor that somebody changed since keep their values. Raises NotMerged and
    CannotUndo.
    """
    tomb = session.get(MergedRecord, (table, loser), with_for_update=True)
    if tomb is None:
        raise NotMerged(f"{loser!r} of {table} was not merged into another record.")
    if _find(session, table, tomb.survivor_id) is None:
        raise CannotUndo(
            f"{tomb.survivor_id!r} was itself merged meanwhile; undo that merge first."
        )
    locks.hold(session, table, [loser, tomb.survivor_id])
    _tell_history(session, user_id, recorded_at)
    run(
        session,
        f"insert into {table} select * from jsonb_populate_record(null::{table}, "
        "cast(:row as jsonb))",
        row=json.dumps(tomb.loser),
    )
    _move_back(session, table, tomb)
    now = _row(session, table, tomb.survivor_id)
    back = {name: old for name, old in tomb.before.items() if now.get(name) == tomb.after.get(name)}
    _set(session, table, tomb.survivor_id, back)
    run(session, "select set_config('winward.merging', 'off', true)")
    survivor = tomb.survivor_id
    session.delete(tomb)
    session.flush()
    _audit(session, "undo merge", table, survivor, {}, loser, user_id, channel, recorded_at)
    return survivor


def _check(wanted: Wanted) -> None:
    if wanted.table not in TABLES:
        raise MergeInvalid(f"Only {', '.join(TABLES)} can be merged.")
    if wanted.survivor == wanted.loser:
        raise MergeInvalid("A record cannot be merged into itself.")
    known = {column.name for column in shape(wanted.table).table.columns} - _NEVER
    for name, rule in wanted.rules.items():
        if name not in known and not name.startswith("x_"):
            raise MergeInvalid(f"{wanted.table} has no field {name!r} to keep one value of.")
        if rule not in RULES:
            raise MergeInvalid(f"A rule is one of {', '.join(RULES)}.")


def _find(session: Session, table: str, key: str) -> dict[str, Any] | None:
    found = session.scalar(
        text(f"select to_jsonb(t) from {table} t where t.id = :id for update"), {"id": key}
    )
    return None if found is None else dict(found)


def _row(session: Session, table: str, key: str) -> dict[str, Any]:
    found = _find(session, table, key)
    if found is None:
        raise NotFound(f"There is no record {key!r} in {table}.")
    return found


def _changes(
    session: Session, wanted: Wanted, survivor: dict[str, Any], loser: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return the survivor's fields that change: old and new, by stored column."""
    changes = {}
    for name, old in survivor.items():
        if name in _NEVER:
            continue
        rule = wanted.rules.get(name.removesuffix("_minor"), "non_empty")
        new = _chosen(session, wanted, rule, name, old, loser[name])
        if new != old and not (name == "parent_id" and new in (wanted.survivor, wanted.loser)):
            changes[name] = (old, new)
    _keep_money_with_its_currency(changes, survivor, loser)
    mine, theirs = survivor.get("custom") or {}, loser.get("custom") or {}
    custom = {
        name: _chosen(session, wanted, wanted.rules.get(name, "non_empty"), name, mine.get(name),
                      theirs.get(name))
        for name in sorted({*mine, *theirs})
    }  # fmt: skip
    custom = {name: value for name, value in custom.items() if value is not None}
    if custom != mine:
        changes["custom"] = (mine, custom)
    return changes


def _keep_money_with_its_currency(
    changes: dict[str, tuple[Any, Any]], survivor: dict[str, Any], loser: dict[str, Any]
) -> None:
    """Take an amount only together with the currency that it is counted in."""
    amounts = [name for name in survivor if name.endswith("_minor")]
    if not amounts or survivor.get("currency") == loser.get("currency"):
        return
    moved = [name for name in amounts if name in changes]
    if moved and all(survivor[name] is None or name in changes for name in amounts):
        changes["currency"] = (survivor.get("currency"), loser.get("currency"))
        return
    for name in (*moved, "currency"):
        changes.pop(name, None)


def _chosen(
    session: Session, wanted: Wanted, rule: Rule, name: str, mine: Any, theirs: Any  # noqa: ANN401 - stored values
) -> Any:  # noqa: ANN401  # fmt: skip
    if rule == "survivor":
        return mine
    if rule == "loser":
        return theirs
    if mine in (None, "") or theirs in (None, ""):
        return theirs if mine in (None, "") else mine
    if rule == "longest":
        return theirs if len(str(theirs)) > len(str(mine)) else mine
    if rule == "newest":
        one, other = (_since(session, wanted.table, key, name)
                      for key in (wanted.survivor, wanted.loser))  # fmt: skip
        return theirs if other is not None and (one is None or other > one) else mine
    return mine


def _since(session: Session, table: str, key: str, name: str) -> dt.datetime | None:
    """Return when a record took on the value it has."""
    told = history.changes(session, SHAPES[table], key, as_of=_EVER)
    found = [
        each.occurred_at
        for each in told
        if name in each.values or name in (each.values.get("custom") or {})
    ]
    return max(found, default=None)


_EVER = dt.datetime.max.replace(tzinfo=dt.UTC)


def _children(table: str) -> list[tuple[str, str]]:
    """Return every (table, column) that names a record of this table."""
    return [
        (other.name, column.name)
        for other in exchange.TABLES
        for column in other.columns
        if column.refers_to == table
    ]


def _counts(session: Session, wanted: Wanted) -> dict[str, int]:
    counts = {}
    for other, column in _children(wanted.table):
        count = session.scalar(
            text(f"select count(*) from {other} where {column} = :loser"), {"loser": wanted.loser}
        )
        if count:
            counts[f"{other}.{column}"] = int(count)
    return counts


def _tell_history(session: Session, user_id: str | None, recorded_at: dt.datetime) -> None:
    run(
        session,
        "select set_config('winward.merging', 'on', true), "
        "set_config('winward.recorded_at', :at, true), set_config('winward.user_id', :who, true)",
        at=recorded_at.isoformat(),
        who=user_id or "",
    )


def _identity(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in SHAPES[table].stored.primary_key.columns)


def _move(session: Session, table: str, loser: str, survivor: str) -> dict[str, Any]:
    """Give the loser's rows to the survivor; return what moved and what it had already."""
    moved: dict[str, Any] = {}
    for other, column in _children(table):
        dropped = _drop_collisions(session, other, column, loser, survivor)
        keys = ", ".join(f"t.{name}::text" for name in _identity(other))
        found = session.execute(
            text(
                f"update {other} t set {column} = :survivor where t.{column} = :loser "
                f"returning jsonb_build_array({keys})"
            ),
            {"survivor": survivor, "loser": loser},
        ).scalars()
        rows = list(found)
        if rows or dropped:
            moved[f"{other}.{column}"] = {"keys": rows, "dropped": dropped}
    for other in _BESIDE:
        found = session.execute(
            text(
                f"update {other} set subject_id = :survivor where subject_kind = :kind "
                "and subject_id = :loser returning jsonb_build_array(id::text)"
            ),
            {"survivor": survivor, "loser": loser, "kind": _SUBJECT[table]},
        ).scalars()
        rows = list(found)
        if rows:
            moved[f"{other}.subject_id"] = {"keys": rows, "dropped": []}
    return moved


def _drop_collisions(
    session: Session, other: str, column: str, loser: str, survivor: str
) -> list[Any]:
    """Take away the loser's rows that the survivor has too; return them for an undo."""
    rest = _COLLIDES.get(other)
    if rest is None:
        return []
    same = " and ".join(f"o.{name} = t.{name}" for name in rest)
    found = session.execute(
        text(
            f"delete from {other} t where t.{column} = :loser and exists (select 1 from {other} o "
            f"where o.{column} = :survivor and {same}) returning to_jsonb(t)"
        ),
        {"loser": loser, "survivor": survivor},
    ).scalars()
    return list(found)


def _move_back(session: Session, table: str, tomb: MergedRecord) -> None:
    """Give back what moved and is the survivor's still."""
    for place, found in tomb.moved.items():
        other, _, column = place.partition(".")
        identity = ("id",) if other in _BESIDE else _identity(other)
        keys = [[tomb.survivor_id if name == column else part for name, part in
                 zip(identity, key, strict=True)] for key in found["keys"]]  # fmt: skip
        for key in keys:
            match = " and ".join(f"{name}::text = :k{i}" for i, name in enumerate(identity))
            run(
                session,
                f"update {other} set {column} = :loser where {column} = :survivor and {match}",
                loser=tomb.loser_id,
                survivor=tomb.survivor_id,
                **{f"k{i}": part for i, part in enumerate(key)},
            )
        for row in found["dropped"]:
            run(
                session,
                f"insert into {other} select * from jsonb_populate_record(null::{other}, "
                "cast(:row as jsonb)) on conflict do nothing",
                row=json.dumps(row),
            )
    del table


def _set(session: Session, table: str, key: str, values: Mapping[str, Any]) -> None:
    """Write stored columns of a record, each in its column's own type."""
    if not values:
        return
    columns = ", ".join(values)
    shown = ", ".join(f"v.{name}" for name in values)
    run(
        session,
        f"update {table} t set ({columns}) = (select {shown} from "
        f"jsonb_populate_record(null::{table}, cast(:row as jsonb)) v) where t.id = :id",
        row=json.dumps(dict(values)),
        id=key,
    )


def _audit(
    session: Session,
    action: str,
    table: str,
    key: str,
    changes: Mapping[str, tuple[Any, Any]],
    loser: str,
    user_id: str | None,
    channel: audit.Channel,
    recorded_at: dt.datetime,
) -> None:
    audit.record(
        session, actor=user_id, action=action, table=table, record_id=key,
        changes={**changes, "merged": (None, loser)}, occurred_at=recorded_at, channel=channel,
        address=None,
    )  # fmt: skip
