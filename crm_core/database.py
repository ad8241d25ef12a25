"""The database session's only door: base class, column types, engine, ``transaction()``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    String,
    TypeDecorator,
    text,
)
from sqlalchemy import create_engine as _create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import NullPool

from crm_core.errors import Invalid

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(naming_convention=NAMING)


class NaiveTime(ValueError):
    """A time without a zone reached the database; a bug in the caller."""


class Instant(TypeDecorator[dt.datetime]):
    """A timezone-aware instant, stored and returned in UTC. Refuses naive times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Refuse a naive time; convert to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise NaiveTime(f"{value!r} has no time zone.")
        return value.astimezone(dt.UTC)

    def process_result_value(
        self, value: dt.datetime | None, dialect: Dialect
    ) -> dt.datetime | None:
        """Return the instant in UTC whatever the server's zone."""
        return None if value is None else value.astimezone(dt.UTC)


class Minor(TypeDecorator[int]):
    """An amount in minor units; its currency stands in the column beside it."""

    impl = BigInteger
    cache_ok = True


Currency = String(3)
"""An ISO 4217 code."""


WEB_ROLE = "winward_app"
"""The database role as which the web works; ``crm_core/row_security.py`` says what it sees."""


class UnboundRole(Invalid):
    """The web's database role is not bound by row-level security; the server must not start."""


def create_engine(
    url: str,
    *,
    role: str | None = None,
    company_wide: bool = False,
    **options: Any,  # noqa: ANN401 - passed through unchanged
) -> Engine:
    """Return an engine on a PostgreSQL URL, with psycopg 3 and UTC sessions.

    With ``role`` every connection works as that role from its start, also after a reset.
    ``company_wide`` is for :func:`company_wide_engine` only.
    """
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    # the server notices within seconds that a killed program will not read the answer
    settings = "-c timezone=UTC -c client_connection_check_interval=2s"
    if role is not None:
        settings += f" -c role={role}"
    if company_wide:
        settings += " -c winward.everyone=on"
    connect_args = {
        "options": settings,
        **options.pop("connect_args", {}),
    }
    return _create_engine(url, pool_pre_ping=True, connect_args=connect_args, **options)


Guard = Callable[[Session], None]
_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


@contextmanager
def guarded(guard: Guard) -> Iterator[None]:
    """Ask ``guard`` right before every commit of the block's transactions; it refuses by raising.

    A job's work is guarded by the question whether the job is still its worker's.
    """
    before = _guard.set(guard)
    try:
        yield
    finally:
        _guard.reset(before)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Yield a session; commit when the block ends, roll everything back when it raises.

    This is the only place that commits. One transaction per request or command.
    """
    with Session(engine, expire_on_commit=False) as session:
        try:
            yield session
            guard = _guard.get()
            if guard is not None:
                guard(session)
        except BaseException:
            session.rollback()
            raise
        session.commit()


def run(session: Session, sql: str, **values: object) -> int:
    """Execute a statement; return the number of rows it touched."""
    result: Any = session.execute(text(sql), values)
    return int(result.rowcount)


def web_engine(url: str, **options: Any) -> Engine:  # noqa: ANN401 - passed through unchanged
    """Return an engine for web requests, bound by row-level security. Raises UnboundRole.

    A URL whose user is not itself bound works as ``winward_app`` from the connection's start.
    """
    plain = create_engine(url)
    try:
        bound = _unbound(plain) is None
    finally:
        plain.dispose()
    engine = create_engine(url, role=None if bound else WEB_ROLE, **options)
    try:
        require_bound(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def require_bound(engine: Engine) -> None:
    """Raise UnboundRole unless the engine's role is bound by row-level security."""
    try:
        why = _unbound(engine)
    except DBAPIError as error:
        if WEB_ROLE not in str(error.orig):
            raise
        why = f"its user may not work as {WEB_ROLE}"
    if why is not None:
        raise UnboundRole(
            f"The web server does not start: {why}, so row-level security would not bind it. "
            f"Grant {WEB_ROLE} to the user of WINWARD_DATABASE_URL, or name a user that may only "
            f"work as {WEB_ROLE} in WINWARD_APP_DATABASE_URL."
        )


def _unbound(engine: Engine) -> str | None:
    """Return why row-level security does not bind this engine's role, None if it does."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "select r.rolname, r.rolsuper, r.rolbypassrls, exists ("
                "  select 1 from pg_class c where c.relkind in ('r', 'p')"
                "  and c.relnamespace = current_schema()::regnamespace"
                "  and pg_has_role(r.oid, c.relowner, 'usage')) as is_owner"
                " from pg_roles r where r.rolname = current_user"
            )
        ).one()
    if row.rolsuper:
        return f"its database role {row.rolname} is a superuser"
    if row.rolbypassrls:
        return f"its database role {row.rolname} bypasses row-level security"
    if row.is_owner:
        return f"its database role {row.rolname} owns tables"
    return None


def set_scope(
    session: Session,
    *,
    user_id: str | None,
    everyone: bool,
    user_ids: Collection[str],
    unit_ids: Collection[str] = (),
) -> None:
    """Say whose records this transaction may see; it is forgotten when the transaction ends."""
    session.execute(
        text(
            "select set_config('winward.me', :me, true),"
            " set_config('winward.everyone', :everyone, true),"
            " set_config('winward.people', cast(cast(:people as text[]) as text), true),"
            " set_config('winward.units', cast(cast(:units as text[]) as text), true)"
        ),
        {
            "me": user_id or "",
            "everyone": "on" if everyone else "off",
            "people": sorted(user_ids),
            "units": sorted(unit_ids),
        },  # fmt: skip
    )


def set_now(session: Session, now: dt.datetime) -> None:
    """Say what time it is for what the database itself writes down in this transaction."""
    setting = text("select set_config('winward.now', :now, true)")
    session.execute(setting, {"now": now.isoformat()})


def company_wide_engine(bind: Engine | Connection, *, reason: str) -> Engine:
    """Return an engine on the same store and as the same role that sees the company's facts.

    Without a pool: what a model's memory is filled from, beside the requests' own connections.
    """
    assert reason, "say why the whole company's facts are needed"
    asked = text("select case when current_user <> session_user then current_user end")
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            role = connection.scalar(asked)
    else:
        role = bind.scalar(asked)
    url = bind.engine.url.render_as_string(hide_password=False)
    return create_engine(url, role=role, company_wide=True, poolclass=NullPool)


@contextmanager
def company_wide(session: Session, *, reason: str) -> Iterator[None]:
    """Lift the transaction's scope for a block that needs the whole company's facts.

    Only for what the viewer's own numbers rest on (a model's inputs, norms, credit by the owner
    of the time); what leaves the block must be the viewer's. ``reason`` says why, to readers:
    tests/house/test_row_security.py lists every place.
    """
    assert reason, "say why the whole company's facts are needed"
    before = session.scalar(text("select current_setting('winward.everyone', true)")) or "off"
    everyone = text("select set_config('winward.everyone', :value, true)")
    session.execute(everyone, {"value": "on"})
    try:
        yield
    finally:
        with suppress(DBAPIError):  # a failed transaction has lost its scope already
            session.execute(everyone, {"value": before})
