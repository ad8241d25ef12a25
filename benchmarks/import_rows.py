"""Rows per second of ``winward import`` against PostgreSQL's ``COPY`` of the same files.

Ours reads, profiles, checks every value and reference, resolves corrections, completes histories
and writes the facts in one transaction. The reference is COPY into tables of text without any
constraint: what the server needs to take the bytes in.
"""

from __future__ import annotations

from pathlib import Path

from psycopg import sql
from sqlalchemy import Engine

from benchmarks import company
from benchmarks.compare import Comparison, by_turns, say

TURNS = 3


def compare() -> Comparison:
    """Import the small company into new databases and copy its files into others."""
    with company.place() as here:
        folder, rows = company.files(here.folder, size="small")
        turns = iter(range(TURNS))
        engines = [here.database(f"ours_{turn}") for turn in turns]
        bare = here.database("bare")
        say("importing …")
        fresh = iter(engines)
        ours, reference = by_turns(
            lambda: company.bring_in(next(fresh), folder), lambda: copy(bare, folder), turns=TURNS
        )
        for engine in (*engines, bare):
            engine.dispose()
    return Comparison("import", ours, reference, sum(rows.values()), "rows")


def copy(engine: Engine, folder: Path) -> None:
    """COPY every file into a new table of text columns."""
    connection = engine.raw_connection()
    try:
        with connection.cursor() as cursor:  # type: ignore[attr-defined] # psycopg's own
            cursor.execute("drop schema if exists bare cascade")
            cursor.execute("create schema bare")
            for path in sorted(folder.glob("*.csv")):
                with path.open("rb") as file:
                    names = file.readline().decode("utf-8-sig").strip().split(",")
                    table = sql.Identifier("bare", path.stem)
                    columns = sql.SQL(", ").join(
                        sql.SQL("{} text").format(sql.Identifier(name)) for name in names
                    )
                    cursor.execute(sql.SQL("create table {} ({})").format(table, columns))
                    statement = sql.SQL("copy {} from stdin (format csv)").format(table)
                    with cursor.copy(statement) as stream:
                        while block := file.read(1 << 16):
                            stream.write(block)
        connection.commit()
    finally:
        connection.close()
