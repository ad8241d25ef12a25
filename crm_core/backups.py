"""Dumps of a database, proven whole: taken at one snapshot together with a print of every table.

A print is the number of a table's rows and an order-independent sum of their hashes, so that a
restored database can be compared with what was dumped, row for row, whatever its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from crm_core.errors import Conflict
from crm_core.postgres import run_client

Prints = dict[str, str]
"""By ``schema.table``: the number of rows and the sum of their hashes.

Sequences are outside of any snapshot: they may only be ahead of the rows, which is harmless.
"""

_OUR_SCHEMAS = "n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'"


class NotEmpty(Conflict):
    """There is something in the database that a restore would overwrite."""


class NotTheSame(Conflict):
    """A restored database differs from the one that was dumped."""


def prints(connection: Connection) -> Prints:
    """Return the print of every table that the transaction sees."""
    tables = connection.execute(
        text(
            "select n.nspname, c.relname from pg_class c join pg_namespace n"
            f" on n.oid = c.relnamespace where c.relkind in ('r', 'p') and {_OUR_SCHEMAS}"
            " and not c.relispartition order by 1, 2"
        )
    ).all()
    found: Prints = {}
    for schema, table in tables:
        quoted = f"{_quoted(schema)}.{_quoted(table)}"
        # the cast to numeric cannot overflow however many rows there are
        row = connection.exec_driver_sql(
            "select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)"
            f" from {quoted} t"
        ).one()
        found[f"{schema}.{table}"] = f"{row[0]} rows, {row[1]}"
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return one sentence for each table whose print is not the same."""
    return [
        f"{name} had {before.get(name, 'nothing')} and has {after.get(name, 'nothing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def dump(engine: Engine, target: Path, *, home: Path) -> Prints:
    """Write the whole database to a file while others go on writing; return its prints.

    The prints are taken in the very snapshot that is dumped. Raises ClientFailed.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with snapshot.connect() as connection, connection.begin():
        name = connection.execute(text("select pg_export_snapshot()")).scalar_one()
        run_client(
            home, "pg_dump", engine.url,
            "--format=custom", "--compress=3", "--no-owner", f"--snapshot={name}",
            f"--file={target}",
        )  # fmt: skip
        return prints(connection)


def require_empty(engine: Engine) -> None:
    """Raise NotEmpty when the database holds a table already."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                f" where c.relkind in ('r', 'p') and {_OUR_SCHEMAS}"
            )
        ).scalar_one()
    if found:
        raise NotEmpty(
            f"The database '{engine.url.database}' holds {found} tables already; "
            "restore into another folder with --home, or set another WINWARD_DATABASE_URL."
        )


def load(engine: Engine, source: Path, *, home: Path, expected: Mapping[str, str]) -> None:
    """Restore a dump into an empty database and compare every table with its print.

    All of it or nothing is loaded. Raises NotEmpty, ClientFailed and NotTheSame.
    """
    require_empty(engine)
    run_client(
        home, "pg_restore", engine.url,
        "--no-owner", "--exit-on-error", "--single-transaction", str(source),
    )  # fmt: skip
    with engine.connect() as connection:
        found = differences(expected, prints(connection))
    if found:
        raise NotTheSame(f"What was restored is not what was backed up: {'; '.join(found[:5])}.")
