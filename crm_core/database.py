"""The database session's only door: base class, column types, engine, ``transaction()``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Engine, MetaData, String, TypeDecorator, text
from sqlalchemy import create_engine as _create_engine
from sqlalchemy.orm import DeclarativeBase, Session

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


def create_engine(url: str, **options: Any) -> Engine:  # noqa: ANN401 - passed through unchanged
    """Return an engine on a PostgreSQL URL, with psycopg 3 and UTC sessions."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            url = "postgresql+psycopg://" + url.removeprefix(prefix)
    # the server notices within seconds that a killed program will not read the answer
    connect_args = {
        "options": "-c timezone=UTC -c client_connection_check_interval=2s",
        **options.pop("connect_args", {}),
    }
    return _create_engine(url, pool_pre_ping=True, connect_args=connect_args, **options)


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Yield a session; commit when the block ends, roll everything back when it raises.

    This is the only place that commits. One transaction per request or command.
    """
    with Session(engine, expire_on_commit=False) as session:
        try:
            yield session
        except BaseException:
            session.rollback()
            raise
        session.commit()


def run(session: Session, sql: str, **values: object) -> int:
    """Execute a statement; return the number of rows it touched."""
    result: Any = session.execute(text(sql), values)
    return int(result.rowcount)
