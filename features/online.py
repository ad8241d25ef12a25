"""Feast's PostgreSQL online store, written by COPY: half a million values in seconds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from psycopg import Connection, sql

from features.feast_runtime import (
    FeatureView,
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
    RepoConfig,
    entity_key_bytes,
    open_connection,
    table_name,
)


class CopyOnlineStoreConfig(PostgreSQLOnlineStoreConfig):  # type: ignore[misc]  # Feast is untyped
    """Configuration of :class:`CopyOnlineStore`: a PostgreSQL database."""

    type: Literal["features.online.CopyOnlineStore"] = "features.online.CopyOnlineStore"


class CopyOnlineStore(PostgreSQLOnlineStore):  # type: ignore[misc]  # Feast is untyped
    """The stock store's tables and reads; writes go through COPY and one merge."""

    _conn: Connection[Any] | None = None

    @contextmanager
    def _get_conn(self, config: RepoConfig, autocommit: bool = False) -> Iterator[Connection[Any]]:
        if self._conn is None or self._conn.closed:
            self._conn = open_connection(config.online_store)
        self._conn.set_autocommit(autocommit)
        yield self._conn

    def close(self) -> None:
        """Close the connection, if one was opened."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[Any, dict[str, Any], dt.datetime, dt.datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the entities' values, replacing older ones."""
        target = sql.Identifier(table_name(config, table))
        with self._get_conn(config) as connection, connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("create temp table incoming (like {}) on commit drop").format(target)
            )
            with cursor.copy(
                "copy incoming (entity_key, feature_name, value, event_ts, created_ts) "
                "from stdin (format binary)"
            ) as stream:
                stream.set_types(["bytea", "text", "bytea", "timestamptz", "timestamptz"])
                for row in _rows(config, data):
                    stream.write_row(row)
            cursor.execute(
                sql.SQL(
                    "insert into {} (entity_key, feature_name, value, event_ts, created_ts) "
                    "select entity_key, feature_name, value, event_ts, created_ts from incoming "
                    "on conflict (entity_key, feature_name) do update set value = excluded.value, "
                    "event_ts = excluded.event_ts, created_ts = excluded.created_ts"
                ).format(target)
            )
            connection.commit()
        if progress is not None:
            progress(len(data))


def _rows(
    config: RepoConfig, data: list[tuple[Any, dict[str, Any], dt.datetime, dt.datetime | None]]
) -> Iterator[tuple[bytes, str, bytes, dt.datetime, dt.datetime | None]]:
    for key, values, moment, created in data:
        entity = entity_key_bytes(config, key)
        at, known = _aware(moment), None if created is None else _aware(created)
        for name, value in values.items():
            yield entity, name, value.SerializeToString(), at, known


def _aware(moment: dt.datetime) -> dt.datetime:
    """Return the instant with its zone; Feast hands over UTC without one."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
