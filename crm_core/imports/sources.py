"""An import's files read anew, apart from the code that imported them, for counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Engine, select

from crm_core import exchange
from crm_core.database import transaction
from crm_core.errors import Invalid
from crm_core.imports import operations, readers
from crm_core.imports.rows import PROBLEM
from crm_core.imports.scratch import literal, quoted
from crm_core.people.models import Company

_UNGUARDED = "regexp_replace({c}, '^''(''*[=+\\-@\\t\\r])', '\\1')"
_MEMORY = "512MB"


@dataclass(slots=True)
class Columns:
    """Tables of a source: the SQL of each, its columns, and how text in them is read."""

    label: str
    basis: str
    connection: duckdb.DuckDBPyConnection
    tables: dict[str, list[tuple[str, list[str]]]]
    currency: str
    is_typed: bool


@dataclass(slots=True)
class Given:
    """The rows of one table, latest version of each key, as batches for COPY."""

    rows: int
    batches: Iterator[pa.RecordBatch]


@contextmanager
def open_folder(engine: Engine, path: Path, *, only: list[str] | None = None) -> Iterator[Columns]:
    """Yield a folder (or file) in the exchange format, read by DuckDB itself."""
    company = _company(engine)
    connection = duckdb.connect(config={"memory_limit": _MEMORY, "threads": 2})
    try:
        connection.execute("load icu")
        connection.execute(f"set TimeZone = {literal(company.time_zone)}")
        tables = {}
        names = {table.name for table in exchange.TABLES}
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.stem in names and not (only and file.stem not in only):
                tables[file.stem] = [(quoted(file.stem), _read(connection, file))]
        yield Columns(path.name, "files", connection, tables, company.currency, is_typed=False)
    finally:
        connection.close()


@contextmanager
def open_batch(
    engine: Engine, path: Path, mapping: str | None, *, only: list[str]
) -> Iterator[Columns]:
    """Yield what an import read: the files themselves, or what a mapping makes of them."""
    if mapping is None:
        with open_folder(engine, path, only=only) as found:
            yield found
        return
    company = _company(engine)
    with operations.mapped(engine, path, mapping) as (connection, compiled):
        tables: dict[str, list[tuple[str, list[str]]]] = {}
        for number, item in enumerate(compiled):
            if only and item.table.name not in only:
                continue
            name = quoted(f"counted_{number}")
            connection.execute(f"create table {name} as {item.query}")
            connection.execute(f"delete from {name} where _reason is not null")
            columns = [column for column, _ in item.columns]
            tables.setdefault(item.table.name, []).append((name, columns))
        yield Columns(path.name, "mapping", connection, tables, company.currency, is_typed=True)


def _company(engine: Engine) -> Company:
    with transaction(engine) as session:
        found: Company | None = session.scalar(select(Company))
        if found is None:
            raise Invalid("The store has no company yet, so nothing to compare; import first.")
        return found


def _read(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    """Make a file a table of the connection; return its columns."""
    name, place = quoted(file.stem), literal(str(file))
    if file.suffix.lower() == ".parquet":
        connection.execute(f"create view {name} as select * from read_parquet({place})")
    elif file.suffix.lower() == ".csv":
        connection.execute(
            f"create view {name} as select * from read_csv({place}, all_varchar = true, "
            "header = true, delim = ',', quote = '\"', escape = '\"', null_padding = false)"
        )
    else:
        with readers.open_source(file, file.name, readers.Options()) as source:
            for number, batch in enumerate(source.batches):
                connection.register("incoming", batch)
                verb = f"insert into {name}" if number else f"create table {name} as"
                connection.execute(f"{verb} select * from incoming where {PROBLEM} is null")
                connection.unregister("incoming")
    return [str(row[0]) for row in connection.execute(f"describe {name}").fetchall()]


def counted(
    source: Columns,
    table: exchange.Table,
    key: tuple[str, ...],
    amount: str | None,
    day: str | None,
) -> Given:
    """Return a table's keys with amount, currency, day and state: one row per key."""
    parts = []
    for name, columns in source.tables[table.name]:
        cells = [
            "concat_ws('|', " + ", ".join(_cell(source, table, each, columns) for each in key) + ")"
            " as k",
            f"{_decimal(source, amount, columns)} as amount",
            f"coalesce({_plain(source, 'currency', columns)}, {literal(source.currency)})"
            " as currency",
            f"{_cell(source, table, day, columns) if day else 'null'} as day",
            f"{_state(source, table, columns)} as state",
            f"{_plain(source, 'pipeline', columns)} as pipeline",
            f"{_cell(source, table, 'recorded_at', columns, missing=True)} as version",
        ]
        parts.append(f"select {', '.join(cells)} from {name}")
    union = " union all ".join(parts)
    source.connection.execute(f"create or replace temp table counting as {union}")
    rows = source.connection.execute("select count(*) from counting").fetchall()[0][0]
    reader = source.connection.execute(
        "select k, amount::varchar, currency, day, state, pipeline from counting qualify "
        "row_number() over (partition by k order by version desc nulls last) = 1"
    ).to_arrow_reader(20_000)
    return Given(int(rows), iter(reader))


def _plain(source: Columns, name: str | None, columns: list[str]) -> str:
    if name is None or name not in columns:
        return "null"
    text = f"cast({quoted(name)} as varchar)"
    if source.is_typed:
        return text
    return f"nullif({_UNGUARDED.format(c=text)}, '')"


def _state(source: Columns, table: exchange.Table, columns: list[str]) -> str:
    if table.name == "orders":
        return f"coalesce(lower({_plain(source, 'status', columns)}), 'signed')"
    return _plain(source, "stage", columns)


def _decimal(source: Columns, name: str | None, columns: list[str]) -> str:
    return f"try_cast({_plain(source, name, columns)} as decimal(38, 6))"


def _cell(
    source: Columns, table: exchange.Table, name: str, columns: list[str], *, missing: bool = False
) -> str:
    """Return the SQL of a value as both sides write it: times in microseconds, dates in ISO."""
    if name not in columns:
        return "null::varchar" if missing or name != "kind" else "'revenue'"
    kind = next((c.kind for c in table.columns if c.name == name), "text")
    text = _plain(source, name, columns)
    if kind == "instant":
        zone = "timestamp" if source.is_typed else "timestamptz"
        return f"epoch_us(try_cast({text} as {zone}))::varchar"
    if kind == "date":
        return f"try_cast({text} as date)::varchar"
    if kind == "choice":
        return f"lower({text})"
    return text
