"""Load the facts known at a time from PostgreSQL, fast: COPY to CSV, read by Arrow."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Collection
from functools import lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg import Connection as DriverConnection
from sqlalchemy import Connection, Engine, select

from crm_core.errors import NotFound
from crm_core.people.models import Company
from crm_core.periods import FiscalCalendar
from features.fact_tables import MISSING, Calendar, Facts

_WHOLE = {
    "position", "sequence", "created_at", "occurred_at", "recorded_at", "added_at", "ordered_at",
    "hired_at", "valid_at",
}  # fmt: skip
_REAL = {"duration_minutes", "employees", "annual_revenue", "rate"}


class NoCompany(NotFound):
    """The store is empty: no company is set up yet."""


@lru_cache(maxsize=1)
def _queries() -> dict[str, str]:
    """Return the query of each table, from the SQL file beside this module."""
    text = resources.files("features").joinpath("facts.sql").read_text("utf-8")
    parts = text.split("-- table: ")[1:]
    return {name.strip(): query.strip() for name, query in (p.split("\n", 1) for p in parts)}


def calendar(connection: Connection) -> Calendar:
    """Return the company's time zone, fiscal year and currency. Raises NoCompany."""
    row = connection.execute(
        select(Company.time_zone, Company.fiscal_year_start_month, Company.currency)
    ).first()
    if row is None:
        raise NoCompany("No company is set up; import its data with `winward import` first.")
    return Calendar(row.time_zone, row.fiscal_year_start_month, row.currency)


def fiscal(calendar: Calendar) -> FiscalCalendar:
    """Return the calendar that turns days into instants and periods."""
    return FiscalCalendar(ZoneInfo(calendar.time_zone), calendar.first_month)


def load(engine: Engine, *, as_of: dt.datetime, tables: Collection[str] | None = None) -> Facts:
    """Return every fact known at ``as_of``: it had happened and was recorded by then.

    ``tables`` limits what is read; the others are empty. All are read in one snapshot of the
    database. Raises NoCompany.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        known = calendar(connection)
        driver = connection.connection.driver_connection
        if not isinstance(driver, DriverConnection):
            raise TypeError(f"facts are read through psycopg, not {type(driver).__name__}")
        values: dict[str, dt.datetime | str] = {"as_of": as_of, "zone": known.time_zone}
        frames = {
            name: _copy(driver, query if tables is None or name in tables else _none(query), values)
            for name, query in _queries().items()
        }
        connection.rollback()
    return Facts(calendar=known, **frames)


def _none(query: str) -> str:
    """Return the query without its rows, so that only the columns come."""
    return f"select * from ({query}) as nothing limit 0"  # noqa: S608 - our own query


def _copy(
    driver: DriverConnection[Any], query: str, values: dict[str, dt.datetime | str]
) -> pd.DataFrame:
    """Return the rows of a query, read as CSV from COPY."""
    buffer = io.BytesIO()
    statement = f"copy ({query}) to stdout (format csv, header)".encode()
    with driver.cursor() as cursor, cursor.copy(statement, values) as stream:
        for block in stream:
            buffer.write(block)
    names = buffer.getvalue().split(b"\n", 1)[0].decode().split(",")
    table = pacsv.read_csv(
        pa.py_buffer(buffer.getbuffer()),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: _arrow_type(name) for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return pd.DataFrame({name: _column(table[name]) for name in names})


def _arrow_type(name: str) -> pa.DataType:
    if name in _WHOLE:
        return pa.int64()
    return pa.float64() if name in _REAL else pa.string()


def _column(column: pa.ChunkedArray) -> Any:  # noqa: ANN401 - numpy or object, as Arrow gives it
    """Return a column for pandas; integers that are null become MISSING."""
    if pa.types.is_integer(column.type):
        return column.fill_null(MISSING).to_numpy().astype("int64")
    return column.to_pandas()
