"""Every write about people's logins: passwords, log in, log out, and the brake on guessing."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, func, select, text
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import transaction
from crm_core.errors import Invalid, NotAllowed, NotFound
from crm_core.people import queries
from crm_core.people.models import LoginAttempt, LoginSession, User

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""Argon2id with OWASP's parameters: 2 passes over 19 MiB in one lane."""

CONCURRENT_HASHES = threading.BoundedSemaphore(2)
"""A storm of log-ins must not take the machine from everybody who is already in."""

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 256
FAILURES_ALLOWED = 10
FAILURES_ALLOWED_PER_ADDRESS = 300
FAILURES_ALLOWED_PER_EMAIL = 100
"""From all addresses together. A browser that its owner logged in with before is not counted
against it, so that guessing from everywhere cannot lock the owner out."""

FAILURE_WINDOW = dt.timedelta(minutes=15)


class NoSuchUser(NotFound):
    """No user has this id or e-mail."""


class UnfitPassword(Invalid):
    """The new password is too short or too long."""


class WrongCredentials(NotAllowed):
    """The e-mail and password do not belong together; which of them is wrong is not said."""


class TooManyAttempts(NotAllowed):
    """Too many failed log-ins; ``retry_after`` seconds must pass first."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Login:
    """A new login: the secret for the cookie (stored nowhere), whose it is and until when."""

    token: str = field(repr=False)
    csrf_token: str = field(repr=False)
    user_id: str
    expires_at: dt.datetime
    device: str = field(repr=False)
    """What a browser shows at its next log-in to be known; it opens nothing by itself."""


def set_password(session: Session, *, email: str, password: str) -> str:
    """Give the user a new password, end all their logins and return their id.

    Raises NoSuchUser and UnfitPassword.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UnfitPassword(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; choose another."
        )
    user = _by_email(session, email)
    if user is None:
        raise NoSuchUser(f"No user has the e-mail {email!r}; import the user first.")
    user.password_hash = _hash(password)
    audit.record_here(
        session, action="set_password", table="users", record_id=user.id,
        changes={"password": (None, None)},
    )  # fmt: skip
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    return user.id


def log_in(
    engine: Engine,
    *,
    email: str,
    password: str,
    address: str,
    recorded_at: dt.datetime,
    hours: int,
    device: str | None = None,
    channel: audit.Channel = "page",
) -> Login:
    """Check the password and open a login of ``hours`` hours.

    Takes the engine, not a session: a failed attempt stays counted although it raises, and no
    connection is held while the password is hashed. Unknown users cost the same work as known
    ones. ``device`` is what an earlier login gave this browser.
    Raises WrongCredentials and TooManyAttempts.
    """
    email = email.strip().casefold()
    nobodys = _unknown_users_hash()  # made before anybody is looked up, so that nobody pays for it
    with transaction(engine) as session:
        user = _by_email(session, email)
        _count_attempt(
            session,
            email=email,
            address=address,
            recorded_at=recorded_at,
            is_known_device=_is_known(device, user),
        )
        may_enter = user is not None and not queries.has_left(session, user, as_of=recorded_at)
        stored = user.password_hash if user is not None and may_enter else None
    if not _matches(stored or nobodys, password) or stored is None or user is None:
        with transaction(engine) as session:
            _told(session, "login_refused", None, email, recorded_at, channel, address)
        raise WrongCredentials("This e-mail and password do not belong together; try again.")
    with transaction(engine) as session:
        _told(session, "login", user.id, email, recorded_at, channel, address)
        mine = (LoginAttempt.email == email, LoginAttempt.address == address)
        session.execute(delete(LoginAttempt).where(*mine))
        known_by = _device_of(user.id, stored)
        return _open(session, user.id, recorded_at=recorded_at, hours=hours, device=known_by)


def log_out(session: Session, *, token: str) -> None:
    """End the login with this secret; ending an unknown one changes nothing."""
    hashed = queries.token_hash(token)
    ended = delete(LoginSession).where(LoginSession.token_hash == hashed)
    user_id = session.scalar(ended.returning(LoginSession.user_id))
    if user_id is not None:
        audit.record_here(session, action="logout", table="users", record_id=user_id, changes={})


def _told(
    session: Session,
    action: str,
    user_id: str | None,
    email: str,
    at: dt.datetime,
    channel: audit.Channel,
    address: str,
) -> None:
    """Write a log-in, or one that was refused, into the audit log."""
    audit.record(
        session, actor=user_id, action=action, table="users", record_id=user_id,
        changes={} if user_id else {"email": (None, email[:320])}, occurred_at=at,
        channel=channel, address=address,
    )  # fmt: skip


def _device_of(user_id: str, password_hash: str) -> str:
    """Return what a browser is known by; nobody can make it up, a new password ends it."""
    message = f"known device of {user_id}".encode()
    return hmac.new(password_hash.encode(), message, hashlib.sha256).hexdigest()


def _is_known(device: str | None, user: User | None) -> bool:
    if not device or user is None or user.password_hash is None:
        return False
    return hmac.compare_digest(device.encode(), _device_of(user.id, user.password_hash).encode())


def _open(
    session: Session, user_id: str, *, recorded_at: dt.datetime, hours: int, device: str
) -> Login:
    expired = (LoginSession.user_id == user_id, LoginSession.expires_at <= recorded_at)
    session.execute(delete(LoginSession).where(*expired))
    login = Login(
        token=secrets.token_urlsafe(32),
        csrf_token=secrets.token_urlsafe(32),
        user_id=user_id,
        expires_at=recorded_at + dt.timedelta(hours=hours),
        device=device,
    )
    session.add(
        LoginSession(
            token_hash=queries.token_hash(login.token),
            user_id=user_id,
            csrf_token=login.csrf_token,
            created_at=recorded_at,
            expires_at=login.expires_at,
        )
    )
    return login


def _by_email(session: Session, email: str) -> User | None:
    wanted = email.strip().casefold()
    return session.scalars(
        select(User).where(func.lower(User.email) == wanted).order_by(User.id).limit(1)
    ).first()


def _count_attempt(
    session: Session, *, email: str, address: str, recorded_at: dt.datetime, is_known_device: bool
) -> None:
    """Count this attempt as failed until it succeeds. Raises TooManyAttempts.

    Counting before checking, under locks, leaves no room for a burst of parallel guesses.
    """
    for key in (f"log in as {email}", f"log in from {address}"):  # always in this order
        session.execute(
            text("select pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
        )
    start = recorded_at - FAILURE_WINDOW
    session.execute(delete(LoginAttempt).where(LoginAttempt.occurred_at <= start))
    from_here, of_email = LoginAttempt.address == address, LoginAttempt.email == email
    limits = [(FAILURES_ALLOWED, from_here & of_email), (FAILURES_ALLOWED_PER_ADDRESS, from_here)]
    if not is_known_device:
        limits.append((FAILURES_ALLOWED_PER_EMAIL, of_email))
    for allowed, condition in limits:
        oldest, failures = session.execute(
            select(func.min(LoginAttempt.occurred_at), func.count()).where(condition)
        ).one()
        if failures >= allowed:
            wait = max(1, int((oldest + FAILURE_WINDOW - recorded_at).total_seconds()))
            raise TooManyAttempts(
                "Too many failed log-ins; wait up to 15 minutes and try again.",
                retry_after=wait,
            )
    session.add(LoginAttempt(email=email, address=address, occurred_at=recorded_at))


@cache
def _unknown_users_hash() -> str:
    """Return a hash that no password matches, so that unknown users cost the same time."""
    return _hash(secrets.token_urlsafe(32))


def _hash(password: str) -> str:
    with CONCURRENT_HASHES:
        return str(HASHER.hash(password))


def _matches(stored: str, password: str) -> bool:
    with CONCURRENT_HASHES:
        try:
            return bool(HASHER.verify(stored, password[: LONGEST_PASSWORD + 1]))
        except (VerificationError, InvalidHashError):
            return False
