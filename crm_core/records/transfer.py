"""Handing records over to another owner from a day on.

What was before that day stays with whom it was: closed deals, orders and the credit for them do
not move, and every question about an earlier time is answered as before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import run
from crm_core.errors import Invalid, NotFound
from crm_core.opportunities import transfers
from crm_core.people import queries as people
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.records import locks, scopes
from crm_core.records.tables import Relation, shape

TABLES = ("accounts", "leads", "opportunities")
"""What can be handed over. Orders cannot: who sold, sold."""


class TransferInvalid(Invalid):
    """What is asked to be handed over cannot be."""


class NoSuchOwner(NotFound):
    """The person who should own the records does not exist, or is out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to hand over: the records of ``from_user``, or those named by table; from when on."""

    to_user: str
    effective_on: dt.date
    from_user: str | None = None
    records: Mapping[str, Sequence[str]] | None = None
    tables: Sequence[str] = TABLES


@dataclass(frozen=True, slots=True)
class Handed:
    """What was handed over of one table, and what was left, each with the reason."""

    table: str
    moved: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


def transfer(
    session: Session,
    wanted: Wanted,
    *,
    within: Visibility,
    user_id: str | None,
    channel: audit.Channel,
    recorded_at: dt.datetime,
    dry_run: bool = False,
) -> list[Handed]:
    """Hand records over from the company's midnight of a day on; return what became of each.

    Only records within reach move. Left where they are: closed deals, and records that got
    another owner on or after that day. Raises TransferInvalid and NoSuchOwner.
    """
    occurred_at = _check(session, wanted, within, recorded_at)
    done = []
    for table in wanted.tables:
        found = _found(session, table, wanted, within)
        locks.hold(session, table, found)
        left = _left(session, table, wanted, found, occurred_at)
        moved = [key for key in found if key not in left]
        if moved and not dry_run:
            _move(session, table, moved, wanted, user_id, occurred_at, recorded_at)
            _audit(session, table, moved, found, wanted, user_id, channel, recorded_at)
        done.append(Handed(table, tuple(moved), tuple(sorted(left.items()))))
    return done


def _check(
    session: Session, wanted: Wanted, within: Visibility, recorded_at: dt.datetime
) -> dt.datetime:
    """Return the instant from which the new owner owns."""
    if (wanted.from_user is None) == (wanted.records is None):
        raise TransferInvalid("Say either whose records to hand over, or which ones.")
    unknown = set(wanted.tables) - set(TABLES) | set(wanted.records or ()) - set(TABLES)
    if unknown:
        raise TransferInvalid(f"Only {', '.join(TABLES)} can be handed over.")
    owner = session.get(User, wanted.to_user)
    if owner is None or not within.allows(owner.id):
        raise NoSuchOwner(f"There is nobody with the id {wanted.to_user!r} among your people.")
    zone = ZoneInfo(people.company(session).time_zone)
    occurred_at = dt.datetime.combine(wanted.effective_on, dt.time(), zone).astimezone(dt.UTC)
    if occurred_at > recorded_at:
        raise TransferInvalid(
            f"{wanted.effective_on} has not begun yet; hand the records over on that day."
        )
    if owner.left_on is not None and owner.left_on <= recorded_at.astimezone(zone).date():
        raise TransferInvalid(f"{owner.name} left on {owner.left_on}; choose somebody else.")
    return occurred_at


def _found(
    session: Session, table: str, wanted: Wanted, within: Visibility
) -> dict[str, str | None]:
    """Return the records to hand over that are within reach, with their present owners."""
    rows: Relation = shape(table).stored
    chosen = (
        rows.c.owner_id == wanted.from_user
        if wanted.records is None
        else rows.c.id.in_(list(wanted.records.get(table, ())))
    )
    statement = (
        select(rows.c.id, rows.c.owner_id)
        .where(chosen, rows.c.owner_id.is_distinct_from(wanted.to_user))
        .where(scopes.condition(table, rows, within))
        .order_by(rows.c.id)
        .with_for_update()
    )
    return {key: owner for key, owner in session.execute(statement)}  # noqa: C416 - rows are no pairs


def _left(
    session: Session,
    table: str,
    wanted: Wanted,
    found: Mapping[str, str | None],
    occurred_at: dt.datetime,
) -> dict[str, str]:
    """Return the records that stay where they are, with the reason."""
    left = {
        key: "it is not there, or not yours to hand over"
        for key in (wanted.records or {}).get(table, ())
        if key not in found
    }
    if table == "opportunities":
        late = transfers.later_owners(session, list(found), since=occurred_at)
        reason = "the deal is closed, or got an owner on or after that day"
    else:
        late = _changed_since(session, table, list(found), occurred_at)
        reason = "it got an owner on or after that day"
    return left | dict.fromkeys(late, reason)


def _changed_since(
    session: Session, table: str, ids: Collection[str], since: dt.datetime
) -> set[str]:
    found = session.execute(
        text(
            "select key from record_events where table_name = :table and key = any(:ids) "
            "and changes ? 'owner_id' and not changes ? 'id' and occurred_at >= :since"
        ),
        {"table": table, "ids": list(ids), "since": since},
    )
    return set(found.scalars())


def _move(
    session: Session,
    table: str,
    ids: Sequence[str],
    wanted: Wanted,
    user_id: str | None,
    occurred_at: dt.datetime,
    recorded_at: dt.datetime,
) -> None:
    if table == "opportunities":
        transfers.hand_over(
            session, ids, to_user=wanted.to_user, user_id=user_id, occurred_at=occurred_at,
            recorded_at=recorded_at,
        )  # fmt: skip
        return
    _tell_history(session, occurred_at.isoformat(), recorded_at.isoformat(), user_id)
    rows = shape(table).stored
    session.execute(rows.update().where(rows.c.id.in_(ids)).values(owner_id=wanted.to_user))
    _tell_history(session, "", "", None)


def _tell_history(session: Session, occurred: str, recorded: str, user_id: str | None) -> None:
    run(
        session,
        "select set_config('winward.occurred_at', :occurred, true), "
        "set_config('winward.recorded_at', :recorded, true), "
        "set_config('winward.user_id', :who, true)",
        occurred=occurred,
        recorded=recorded,
        who=user_id or "",
    )


def _audit(
    session: Session,
    table: str,
    moved: Sequence[str],
    owners: Mapping[str, str | None],
    wanted: Wanted,
    user_id: str | None,
    channel: audit.Channel,
    recorded_at: dt.datetime,
) -> None:
    audit.record_all(
        session,
        [
            audit.Entry(
                actor=user_id,
                action="transfer",
                table=table,
                record_id=key,
                changes={
                    "owner_id": (owners[key], wanted.to_user),
                    "effective_on": (None, wanted.effective_on),
                },
                occurred_at=recorded_at,
                channel=channel,
            )
            for key in moved
        ],
    )
