"""Rows per second of ``winward import``, and of its rollback, against bare PostgreSQL.

Ours reads, profiles, checks every value and reference, resolves corrections, completes histories,
keeps what a rollback needs and writes the facts in one transaction. The references are COPY of the
same files into tables of text without any constraint (what the server needs to take the bytes in)
and COPY followed by an upsert by key (what a script that trusts its input does).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
from psycopg import Cursor, sql
from sqlalchemy import Engine, text

from benchmarks import company
from benchmarks.compare import Comparison, by_turns, say
from crm_core import exchange
from crm_core.database import transaction
from crm_core.imports import rollback

TURNS = 3
WANTED = 100_000
ACCOUNTS = 1_000

Reference = Callable[[Engine, Path], None]


def small() -> list[Comparison]:
    """Import the small company into new databases and copy its files into others."""
    with company.place() as here:
        folder, _ = company.files(here.folder, size="small")
        return [_against(here, "import", folder, copy)]


def mix() -> list[Comparison]:
    """Import 100,000 rows of every table of a company, beside COPY and beside an upsert."""
    with company.place() as here:
        whole, rows = company.files(here.folder, size="medium")
        folder = a_part(whole, here.folder / "mix", share=WANTED / sum(rows.values()))
        return [
            _against(here, "import-mix", folder, copy),
            _against(here, "import-mix-upsert", folder, upsert),
        ]


def orders() -> list[Comparison]:
    """Import 100,000 orders into a store that knows their accounts, beside both references."""
    with company.place() as here:
        before, folder = some_orders(here.folder)
        return [
            _against(here, "import-orders", folder, copy, before),
            _against(here, "import-orders-upsert", folder, upsert, before),
        ]


def undo() -> list[Comparison]:
    """Roll 100,000 rows of every table back, beside the COPY that brings them in."""
    with company.place() as here:
        whole, made = company.files(here.folder, size="medium")
        folder = a_part(whole, here.folder / "mix", share=WANTED / sum(made.values()))
        engines = [here.database(f"undone_{turn}") for turn in range(TURNS)]
        bare = here.database("bare")
        rows = 0
        for engine in engines:
            rows = company.bring_in(engine, folder)
        fresh = iter(engines)
        ours, reference = by_turns(
            lambda: _roll_back(next(fresh)), lambda: copy(bare, folder), turns=TURNS
        )
        for engine in (*engines, bare):
            engine.dispose()
    return [Comparison("rollback", ours, reference, rows, "rows")]


def _roll_back(engine: Engine) -> None:
    with transaction(engine) as session:
        number = session.scalar(text("select max(id) from import_batches"))
        rollback.roll_back(session, int(number or 0), at=company.RECORDED_AT)


def _against(
    here: company.Place,
    name: str,
    folder: Path,
    reference: Reference,
    before: Path | None = None,
) -> Comparison:
    """Import a folder into new databases, which may hold others first, beside a reference."""
    engines = [here.database(f"ours_{turn}") for turn in range(TURNS)]
    bare = here.database("bare")
    for engine in engines if before else ():
        company.bring_in(engine, before or folder)
    say(f"{name} …")
    fresh = iter(engines)
    rows: list[int] = []
    ours, theirs = by_turns(
        lambda: rows.append(company.bring_in(next(fresh), folder)),
        partial(reference, bare, folder),
        turns=TURNS,
    )
    for engine in (*engines, bare):
        engine.dispose()
    return Comparison(name, ours, theirs, rows[0], "rows")


def a_part(whole: Path, folder: Path, *, share: float) -> Path:
    """Write the files of a share of a company's accounts, with all that belongs to them."""
    folder.mkdir(exist_ok=True)
    connection = duckdb.connect()

    def read(name: str) -> str:
        return f"read_csv('{whole / name}.csv', all_varchar = true)"

    kept = f"(select id from {read('accounts')} where hash(id) % 10000 < {share * 10_000})"
    deals = f"(select id from {read('opportunities')} where account_id in {kept})"
    ours = f"(select id from {read('orders')} where account_id in {kept})"
    rules = {
        "accounts": f"id in {kept}",
        "leads": f"converted_opportunity_id in {deals}",
        "credits": f"order_id in {ours}",
        "opportunity_contacts": f"opportunity_id in {deals}",
        "opportunity_events": f"opportunity_id in {deals}",
    }
    for path in sorted(whole.glob("*.csv")):
        shown = "*"
        if path.stem == "accounts":
            shown = f"* replace (case when parent_id in {kept} then parent_id end as parent_id)"
        has_account = "account_id" in path.open().readline().split(",")
        rule = rules.get(path.stem) or (f"account_id in {kept}" if has_account else "true")
        connection.execute(
            f"copy (select {shown} from {read(path.stem)} where {rule}) to '{folder / path.name}'"
        )
    connection.close()
    return folder


def some_orders(folder: Path) -> tuple[Path, Path]:
    """Write a company with accounts, users and products, and beside it 100,000 orders."""
    before, after = folder / "before", folder / "orders"
    written = {
        before / "company.csv": ["name,currency,time_zone", "Bench,EUR,Europe/Berlin"],
        before / "users.csv": [
            "id,name,email,role,time_zone",
            *(f"u{n},User {n},u{n}@bench.example,rep,Europe/Berlin" for n in range(50)),
        ],
        before / "products.csv": ["id,name", *(f"p{n},Product {n}" for n in range(20))],
        before / "accounts.csv": [
            "id,name,created_at,owner_id",
            *(f"a{n},Account {n},2020-01-01T00:00:00Z,u{n % 50}" for n in range(ACCOUNTS)),
        ],
        after / "orders.csv": [
            "id,account_id,ordered_on,owner_id,product_id,quantity,amount,currency,status",
            *(
                f"o{n},a{n * 7 % ACCOUNTS},202{n % 6}-0{n % 9 + 1}-1{n % 10},u{n % 50},"
                f"p{n % 20},{n % 9 + 1},{n * 37 % 100_000}.{n % 100:02},EUR,signed"
                for n in range(WANTED)
            ),
        ],
    }
    for path, lines in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return before, after


def copy(engine: Engine, folder: Path) -> None:
    """COPY every file into a new table of text columns."""
    _bare(engine, folder, _copy_in)


def upsert(engine: Engine, folder: Path) -> None:
    """COPY every file aside and write it by its key into a table that has an index on that."""
    _bare(engine, folder, _upsert_in)


Load = Callable[["Cursor[tuple[object, ...]]", Path, list[str]], None]


def _bare(engine: Engine, folder: Path, load: Load) -> None:
    connection = engine.raw_connection()
    try:
        with connection.cursor() as cursor:  # type: ignore[attr-defined] # psycopg's own
            cursor.execute("drop schema if exists bare cascade")
            cursor.execute("create schema bare")
            for path in sorted(folder.glob("*.csv")):
                with path.open() as file:
                    names = file.readline().removeprefix("\ufeff").strip().split(",")
                load(cursor, path, names)
        connection.commit()
    finally:
        connection.close()


def _copy_in(
    cursor: Cursor[tuple[object, ...]],
    path: Path,
    names: list[str],
    schema: str = "bare",
) -> None:
    table = sql.Identifier(schema, path.stem)
    columns = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in names)
    kind = sql.SQL("temporary table" if schema == "pg_temp" else "table")
    cursor.execute(sql.SQL("create {} {} ({})").format(kind, table, columns))
    statement = sql.SQL("copy {} from stdin (format csv, header)").format(table)
    with path.open("rb") as file, cursor.copy(statement) as stream:
        while block := file.read(1 << 16):
            stream.write(block)


def _upsert_in(cursor: Cursor[tuple[object, ...]], path: Path, names: list[str]) -> None:
    _copy_in(cursor, path, names, "pg_temp")
    stored, aside = sql.Identifier("bare", path.stem), sql.Identifier("pg_temp", path.stem)
    key = [name for name in exchange.table(path.stem).key if name in names] or names[:1]
    keys = sql.SQL(", ").join(map(sql.Identifier, key))
    cursor.execute(sql.SQL("create table {} (like {})").format(stored, aside))
    cursor.execute(
        sql.SQL("create unique index on {} ({}) nulls not distinct").format(stored, keys)
    )
    sets = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names
    )
    cursor.execute(
        sql.SQL("insert into {} select * from {} on conflict ({}) do update set {}").format(
            stored, aside, keys, sets
        )
    )
    cursor.execute(sql.SQL("drop table {}").format(aside))
