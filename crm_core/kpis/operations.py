"""Defining, changing and retiring user-defined metrics. A version is never changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict
from crm_core.kpis import definitions
from crm_core.kpis.checking import DraftInvalid, check_parts, checked
from crm_core.kpis.drafts import Definition, Draft
from crm_core.kpis.metric import Metric
from crm_core.kpis.models import MetricVersion
from crm_core.people import permissions
from crm_core.people.models import User
from crm_core.people.queries import HasRole, company_day

TABLE = "metric_definitions"
_LOCK = 7_246_913_011  # any number of ours: two drafts at once could name each other
_LONGEST_REASON = 1000
_EARLIEST, _LATEST = dt.date(2000, 1, 1), dt.date(2100, 1, 1)


class NothingNew(Conflict):
    """The draft says what the newest version says already."""


class StillUsed(Conflict):
    """Other metrics are computed from this one."""


def define(
    session: Session,
    draft: Draft,
    *,
    valid_from: dt.date,
    reason: str,
    owner_id: str | None,
    viewer: HasRole,
    now: dt.datetime,
) -> Definition:
    """Write a metric's first or next version; return it.

    It counts from ``valid_from`` on, for questions asked as of that day or later; what was
    published keeps the version it was computed with. Raises MayNot, DraftInvalid, NothingNew.
    """
    permissions.require(viewer, "edit", TABLE)
    check_draft(session, draft)
    _check_frame(session, valid_from=valid_from, reason=reason, owner_id=owner_id)
    newest = definitions.to_come(session).get(draft.id)
    if newest is not None and not newest.is_retired and _says_the_same(
        newest, draft, valid_from, owner_id
    ):  # fmt: skip
        raise NothingNew(f"{draft.id} v{newest.version} says this already.")
    made = Definition(
        draft=draft, version=definitions.newest_version(session, draft.id) + 1,
        valid_from=valid_from, recorded_at=now, reason=reason.strip(), owner_id=owner_id,
        user_id=viewer.id,
    )  # fmt: skip
    _write(session, made, before=newest)
    return made


def retire(
    session: Session, metric_id: str, *, reason: str, viewer: HasRole, now: dt.datetime
) -> Definition:
    """Let a metric be asked for no longer from now on; its versions and values stay.

    Raises MayNot, UnknownMetric, StillUsed.
    """
    permissions.require(viewer, "edit", TABLE)
    _lock(session)
    newest = definitions.history(session, metric_id)[0]
    if newest.is_retired:
        raise NothingNew(f"{metric_id} is retired already.")
    above = definitions.dependents(session, metric_id)
    if above:
        raise StillUsed(f"{metric_id} is part of {', '.join(above)}; change or retire those first.")
    today = company_day(session, now)
    _check_frame(session, valid_from=today, reason=reason, owner_id=newest.owner_id)
    made = Definition(
        draft=newest.draft, version=newest.version + 1, valid_from=today, recorded_at=now,
        reason=reason.strip(), is_retired=True, owner_id=newest.owner_id, user_id=viewer.id,
    )  # fmt: skip
    _write(session, made, before=newest)
    return made


def check_draft(session: Session, draft: Draft) -> None:
    """Raise DraftInvalid unless the draft holds together with every other metric."""
    _lock(session)
    checked(session, draft)
    newest = definitions.to_come(session)
    alive = {name: each for name, each in newest.items() if not each.is_retired}
    known = definitions.shipped()
    known |= {name: each.metric() for name, each in alive.items()}
    edges = {name: set(each.draft.parts) for name, each in alive.items()}
    check_parts(draft, known, edges)
    _check_dependents(session, draft, known)


def _check_dependents(session: Session, draft: Draft, known: Mapping[str, Metric]) -> None:
    before = known.get(draft.id)
    above = definitions.dependents(session, draft.id)
    if before is not None and before.unit != draft.unit and above:
        raise DraftInvalid(
            f"{', '.join(above)} rest on {draft.id} being in {before.unit}; define another metric.",
            field="unit",
        )


def _lock(session: Session) -> None:
    session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _check_frame(
    session: Session, *, valid_from: dt.date, reason: str, owner_id: str | None
) -> None:
    if not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise DraftInvalid(f"Say why, in at most {_LONGEST_REASON} characters.", field="reason")
    if not _EARLIEST <= valid_from < _LATEST:
        raise DraftInvalid("A version counts from a day of this century.", field="valid_from")
    if owner_id is not None and session.get(User, owner_id) is None:
        raise DraftInvalid("There is no such person to own the metric.", field="owner_id")


def _says_the_same(
    newest: Definition, draft: Draft, valid_from: dt.date, owner_id: str | None
) -> bool:
    return (newest.draft, newest.valid_from, newest.owner_id) == (draft, valid_from, owner_id)


def _write(session: Session, made: Definition, *, before: Definition | None) -> None:
    stored = made.draft.as_json()
    del stored["id"]
    session.add(
        MetricVersion(
            metric=made.id, version=made.version, definition=stored, valid_from=made.valid_from,
            is_retired=made.is_retired, reason=made.reason, owner_id=made.owner_id,
            user_id=made.user_id, recorded_at=made.recorded_at,
        )
    )  # fmt: skip
    session.flush()
    audit.record_here(
        session, action="retire" if made.is_retired else "define", table="metric_versions",
        record_id=made.id, changes=_changes(before, made),
    )  # fmt: skip


def _changes(before: Definition | None, made: Definition) -> dict[str, tuple[object, object]]:
    old = {} if before is None else _flat(before)
    new = _flat(made)
    return {name: (old.get(name), value) for name, value in new.items() if old.get(name) != value}


def _flat(definition: Definition) -> dict[str, object]:
    return {
        **definition.draft.as_json(), "version": definition.version,
        "valid_from": definition.valid_from, "reason": definition.reason,
        "is_retired": definition.is_retired, "owner_id": definition.owner_id,
    }  # fmt: skip
