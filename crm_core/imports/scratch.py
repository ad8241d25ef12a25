"""The scratch database of one import: the source as text, with bounded memory.

DuckDB holds the rows of every source file as the reader gave them and writes to a folder what
exceeds its memory. What a mapping's own SQL may do is bounded here: no file, no network, no
setting can be reached from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crm_core.errors import Invalid
from crm_core.imports.rows import LINE, PROBLEM, Source

_MEMORY = "320MB"
_BATCH = 20_000
Progress = Callable[[str, int, int | None], None]


class QueryInvalid(Invalid):
    """An expression or query of a mapping does not run."""


def quoted(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


class Scratch:
    """A DuckDB database beside a folder that the caller removes; one thread uses it at a time.

    It works on one thread too: the server has the other one, and two cost twice the work.
    """

    def __init__(self, folder: Path, *, time_zone: str) -> None:
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": _MEMORY,
                "threads": 1,
                "temp_directory": str(folder / "spill"),
                "preserve_insertion_order": True,
            },
        )
        run = self._connection.execute
        run("load icu")
        run(f"set TimeZone = {literal(time_zone)}")
        run(
            "create macro slug(t) as trim(regexp_replace(lower(trim(t)), '[^\\p{L}\\p{N}]+',"
            " '-', 'g'), '-')"
        )
        run("set enable_external_access = false")
        run("set lock_configuration = true")

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The database itself."""
        return self._connection

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self, key: str, source: Source, progress: Progress) -> int:
        """Copy a source file into the table ``key``; return its number of rows."""
        columns = ", ".join(f"{quoted(name)} varchar" for name in source.names)
        run = self._connection.execute
        run(f"create table {quoted(key)} ({LINE} bigint, {PROBLEM} varchar, {columns})")
        run("begin")
        rows = 0
        for batch in source.batches:
            self._connection.register("incoming", batch)
            run(f"insert into {quoted(key)} select * from incoming")
            self._connection.unregister("incoming")
            rows += batch.num_rows
            progress(f"reading {source.label}", rows, None)
        run("commit")
        return rows

    def empty(self, key: str, names: list[str]) -> None:
        """Create an empty table for an optional file that is absent."""
        columns = "".join(f", {quoted(name)} varchar" for name in names)
        self._connection.execute(
            f"create table {quoted(key)} ({LINE} bigint, {PROBLEM} varchar{columns})"
        )

    def view(self, name: str, query: str) -> None:
        """Define a view from a mapping's query, materialised once. Raises QueryInvalid."""
        try:
            self._connection.execute(f"create table {quoted(name)} as {query}")
        except duckdb.Error as error:
            raise QueryInvalid(
                f"View {name} of the mapping does not run: {_said(error)}"
            ) from error
        if LINE not in self.columns(name):
            raise QueryInvalid(f"View {name} of the mapping must return a column {LINE}.")

    def columns(self, name: str) -> list[str]:
        """Return the column names of a table."""
        rows = self._connection.execute(f"describe {quoted(name)}").fetchall()
        return [str(row[0]) for row in rows]

    def rows(self, query: str, what: str) -> list[tuple[Any, ...]]:
        """Return all rows of a small query. Raises QueryInvalid naming ``what``."""
        try:
            return list(self._connection.execute(query).fetchall())
        except duckdb.Error as error:
            raise QueryInvalid(f"{what} does not run: {_said(error)}") from error

    def table(self, query: str, what: str) -> pa.Table:
        """Return all rows of a query as columns. Raises QueryInvalid naming ``what``."""
        try:
            return self._connection.execute(query).to_arrow_table()
        except duckdb.Error as error:
            raise QueryInvalid(f"{what} does not run: {_said(error)}") from error

    def insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert a few thousand rows into a table."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        names = self.columns(table)
        self._connection.register("incoming", pa.table(columns, names=names))
        self._connection.execute(f"insert into {quoted(table)} select * from incoming")
        self._connection.unregister("incoming")

    def batches(self, query: str, what: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a large query in batches. Raises QueryInvalid naming ``what``."""
        try:
            reader = self._connection.execute(query).to_arrow_reader(_BATCH)
            yield from reader
        except duckdb.Error as error:
            raise QueryInvalid(f"{what} does not run: {_said(error)}") from error


def _said(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\n", maxsplit=1)[0].split())[:400]
