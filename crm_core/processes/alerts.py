"""Alerts: raised once per person and cause, snoozed, read, resolved; at once or in a digest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.errors import Invalid, NotFound
from crm_core.people.models import User
from crm_core.people.queries import company_or_none
from crm_core.processes.models import Alert, AlertPreference

Mode = Literal["now", "digest", "off"]
KINDS = (
    "slipped", "stalled", "task_due", "task_overdue", "approval_waiting", "approval_decided",
    "lead_stranded", "assigned", "mention", "rule", "webhook_failed", "data_health", "churn_risk",
    "off_pace", "retraining",
)  # fmt: skip
DIGEST_HOUR = 8
MOST_SHOWN = 200
_DEFAULT_MODE: Mapping[str, Mode] = {"slipped": "digest", "stalled": "digest"}


class NoSuchAlert(NotFound):
    """The person has no alert with this number."""


class BadAlertSetting(Invalid):
    """The kind or the time of an alert is wrong."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert as its person sees it."""

    id: int
    kind: str
    severity: str
    subject_kind: str | None
    subject_id: str | None
    words: dict[str, Any]
    times: int
    first_at: dt.datetime
    last_at: dt.datetime
    is_read: bool
    snoozed_until: dt.datetime | None


def raise_alert(
    session: Session,
    *,
    user_id: str,
    kind: str,
    dedupe_key: str,
    words: Mapping[str, Any],
    now: dt.datetime,
    severity: Literal["info", "warning", "urgent"] = "info",
    subject_kind: str | None = None,
    subject_id: str | None = None,
) -> None:
    """Tell a person something, once: the same cause again only counts up.

    A person who wants this kind in a digest sees it from the next digest on; one who does not
    want it gets nothing.
    """
    if kind not in KINDS:
        raise BadAlertSetting(f"There is no kind of alert {kind!r}.")
    session.flush()  # in the teller's own scope
    with company_wide(session, reason="how another person wants it, and whether they know"):
        mode = modes(session, user_id)[kind]
        if mode != "off":
            is_later = mode == "digest" and severity != "urgent"
            _tell(session, now=now, values={
                "user_id": user_id, "kind": kind, "severity": severity, "dedupe_key": dedupe_key,
                "words": dict(words), "subject_kind": subject_kind, "subject_id": subject_id,
                "visible_at": next_digest(session, now) if is_later else now,
            })  # fmt: skip


def _tell(session: Session, *, values: Mapping[str, Any], now: dt.datetime) -> None:
    fresh = insert(Alert).values(**values, first_at=now, last_at=now)
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=[Alert.user_id, Alert.dedupe_key],
            index_where=Alert.resolved_at.is_(None),
            set_={
                "times": Alert.times + 1,
                "last_at": func.greatest(Alert.last_at, fresh.excluded.last_at),
                "words": fresh.excluded.words,
            },
        )
    )


def keep_only(
    session: Session, *, kind: str, dedupe_keys: Collection[str], now: dt.datetime
) -> None:
    """Resolve the alerts of a kind whose cause is gone: those whose key is not among these."""
    session.execute(
        update(Alert)
        .where(
            Alert.kind == kind,
            Alert.resolved_at.is_(None),
            Alert.dedupe_key.not_in(list(dedupe_keys)),
        )
        .values(resolved_at=now)
    )


def resolve(session: Session, dedupe_key: str, *, now: dt.datetime) -> None:
    """Resolve the alerts of one cause, whoever has them."""
    session.flush()  # in the scope of whose doing it is
    with company_wide(session, reason="what is settled is settled for everybody who was told"):
        session.execute(
            update(Alert)
            .where(Alert.dedupe_key == dedupe_key, Alert.resolved_at.is_(None))
            .values(resolved_at=now)
        )


def next_digest(session: Session, now: dt.datetime) -> dt.datetime:
    """Return when the company's next digest appears: 8 o'clock on its own clock."""
    company = company_or_none(session)
    zone = ZoneInfo(company.time_zone) if company else ZoneInfo("UTC")
    local = now.astimezone(zone)
    day = local.date() + dt.timedelta(days=int(local.hour >= DIGEST_HOUR))
    return dt.datetime.combine(day, dt.time(DIGEST_HOUR), tzinfo=zone)


def modes(session: Session, user_id: str) -> dict[str, Mode]:
    """Return how a person wants each kind of alert."""
    chosen = session.execute(
        select(AlertPreference.kind, AlertPreference.mode).where(AlertPreference.user_id == user_id)
    )
    wanted: dict[str, Mode] = {kind: _DEFAULT_MODE.get(kind, "now") for kind in KINDS}
    for kind, mode in chosen:
        wanted[kind] = cast("Mode", mode)
    return wanted


def choose_mode(session: Session, *, user_id: str, kind: str, mode: Mode) -> None:
    """Set how a person wants a kind of alert."""
    if kind not in KINDS:
        raise BadAlertSetting(f"There is no kind of alert {kind!r}.")
    statement = insert(AlertPreference).values(user_id=user_id, kind=kind, mode=mode)
    session.execute(
        statement.on_conflict_do_update(index_elements=["user_id", "kind"], set_={"mode": mode})
    )


def _open(user_id: str, now: dt.datetime) -> ColumnElement[bool]:
    return and_(
        Alert.user_id == user_id,
        Alert.resolved_at.is_(None),
        Alert.visible_at <= now,
        or_(Alert.snoozed_until.is_(None), Alert.snoozed_until <= now),
    )


def count_unread(session: Session, user_id: str, *, now: dt.datetime) -> int:
    """Return how many alerts wait to be read."""
    counted = select(func.count()).where(_open(user_id, now), Alert.read_at.is_(None))
    return session.scalar(counted) or 0


def listed(session: Session, user_id: str, *, now: dt.datetime) -> tuple[Shown, ...]:
    """Return a person's open alerts: unread first, then urgent ones, then the newest."""
    rank = func.array_position(["urgent", "warning", "info"], Alert.severity)
    found = session.scalars(
        select(Alert)
        .where(_open(user_id, now))
        .order_by(Alert.read_at.is_not(None), rank, Alert.last_at.desc(), Alert.id.desc())
        .limit(MOST_SHOWN)
    )
    return tuple(_shown(each) for each in found)


def _shown(found: Alert) -> Shown:
    return Shown(
        found.id, found.kind, found.severity, found.subject_kind, found.subject_id, found.words,
        found.times, found.first_at, found.last_at, found.read_at is not None,
        found.snoozed_until,
    )  # fmt: skip


def _own(session: Session, user_id: str, alert_id: int) -> Alert:
    found = session.scalar(
        select(Alert).where(
            Alert.id == alert_id, Alert.user_id == user_id, Alert.resolved_at.is_(None)
        )
    )
    if found is None:
        raise NoSuchAlert("There is no such alert of yours; it may be settled by now.")
    return found


def read(session: Session, alert_id: int, *, user_id: str, now: dt.datetime) -> Shown:
    """Mark an alert as read. Raises NoSuchAlert."""
    found = _own(session, user_id, alert_id)
    found.read_at = found.read_at or now
    session.flush()
    return _shown(found)


def read_all(session: Session, *, user_id: str, now: dt.datetime) -> int:
    """Mark everything that is shown as read; return how many."""
    done = session.execute(
        update(Alert)
        .where(_open(user_id, now), Alert.read_at.is_(None))
        .values(read_at=now)
        .returning(Alert.id)
    )
    return len(done.all())


def snooze(
    session: Session, alert_id: int, *, user_id: str, until: dt.datetime, now: dt.datetime
) -> Shown:
    """Hide an alert until a time; it comes back unread. Raises NoSuchAlert, BadAlertSetting."""
    if not now < until <= now + dt.timedelta(days=366):
        raise BadAlertSetting("A snooze must end in the future; choose a later day.")
    found = _own(session, user_id, alert_id)
    found.snoozed_until, found.read_at = until, None
    session.flush()
    return _shown(found)


def is_raised(kind: str, dedupe_key: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a column
    """Return the condition that an open alert of this kind and cause exists."""
    return exists().where(
        Alert.kind == kind, Alert.dedupe_key == dedupe_key, Alert.resolved_at.is_(None)
    )


def known_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Return which of these causes were ever told to somebody."""
    return set(session.scalars(select(Alert.dedupe_key).where(Alert.dedupe_key.in_(list(keys)))))


def people_in(session: Session, roles: Collection[str]) -> list[str]:
    """Return the ids of those who work here in one of these roles and have not left."""
    found = select(User.id).where(User.role.in_(list(roles)), User.left_on.is_(None))
    return list(session.scalars(found.order_by(User.id)))
