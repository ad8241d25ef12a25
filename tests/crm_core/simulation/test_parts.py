"""A large company is made in parts, as Parquet, and is one company all the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import Engine

from crm_core import exchange
from crm_core.imports.operations import import_path
from crm_core.simulation import generate
from crm_core.simulation.world import Region, World, world_of
from tests.crm_core.simulation.companies import UNTIL, Generated

RECORDED_AT = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
Ask = Callable[[str], list[tuple[object, ...]]]


def _world() -> World:
    regions = tuple(
        Region(area, tuple((f"{area} team {n}", 1) for n in range(10)), unit=f"{area} one")
        for area in ("EMEA", "Asia Pacific")
    )
    return replace(world_of("large"), regions=regions, years=0.6, accounts_per_seat=10)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("parts")
    generate(home / "c", seed=7, size="large", until=UNTIL, truth=home / "t", world=_world())
    return home


@pytest.fixture(scope="module")
def ask(company: Path) -> Ask:
    """Return a function that asks SQL of the tables."""
    connection = duckdb.connect()
    for table in exchange.TABLES:
        path = company / "c" / f"{table.name}.parquet"
        connection.execute(f"create view {table.name} as select * from '{path}'")
    return lambda sql: connection.execute(sql).fetchall()


class TestParts:
    @pytest.mark.parametrize("table", exchange.TABLES, ids=lambda table: table.name)
    def test_have_keys_and_references_of_one_company(self, ask: Ask, table: exchange.Table) -> None:
        (rows,) = ask(f"select count(*) from {table.name}")[0]
        assert rows
        names = {row[0] for row in ask(f"describe {table.name}")}
        keys = [name for name in table.key if name in names]
        if keys and len(keys) == len(table.key):
            whole = ", ".join(keys)
            assert not ask(f"select {whole} from {table.name} group by all having count(*) > 1")
        for column in table.columns:
            if column.refers_to and column.name in names:
                lost = ask(
                    f"select count(*) from {table.name} a where {column.name} is not null and "
                    f"not exists (select 1 from {column.refers_to} b where b.id = a.{column.name})"
                )
                assert lost == [(0,)], column.name

    def test_are_under_one_head(self, ask: Ask) -> None:
        assert ask("select count(*) from users where manager_id is null") == [(1,)]
        assert ask("select count(*) - count(distinct email) from users") == [(0,)]
        sums = ask(
            "select period_start, sum(amount) filter (subject_kind = 'user'), "
            "max(amount) filter (subject_id = 'O-COMPANY') from quotas group by 1"
        )
        assert sums
        assert all(reps == whole for _, reps, whole in sums)

    def test_differ_from_each_other(self, ask: Ask) -> None:
        firsts = ask(
            "select created_at from opportunities where id like '%-000001' order by created_at"
        )
        assert len(firsts) == len(set(firsts)) == 2

    def test_are_imported_without_a_rejected_row(self, company: Path, engine: Engine) -> None:
        report = import_path(
            engine, company / "c", mapping=None, recorded_at=RECORDED_AT, dry_run=False,
            rejected_folder=None, progress=None,
        )  # fmt: skip
        assert {table for table, counts in report.tables.items() if counts.rejected} == set()
        assert report.tables["opportunities"].inserted > 300


class TestFormats:
    def test_say_the_same(self, small: Generated, tmp_path: Path) -> None:
        generate(
            tmp_path / "c", seed=7, size="small", until=UNTIL, truth=tmp_path / "t",
            file_format="parquet",
        )  # fmt: skip
        for table in exchange.TABLES:
            ours = duckdb.sql(f"select * from '{tmp_path / 'c'}/{table.name}.parquet'").df()
            theirs = small.rows(table.name)
            assert len(ours) == len(theirs), table.name
            assert set(ours) == set(theirs[0]), table.name
        amounts = duckdb.sql(f"select sum(amount) from '{tmp_path / 'c'}/orders.parquet'")
        expected = sum(float(row["amount"]) for row in small.rows("orders"))
        assert float(amounts.fetchall()[0][0]) == pytest.approx(expected)


class TestImport:
    def test_takes_the_small_company_whole(self, small: Generated, engine: Engine) -> None:
        report = import_path(
            engine, small.folder, mapping=None, recorded_at=RECORDED_AT, dry_run=False,
            rejected_folder=None, progress=None,
        )  # fmt: skip
        assert {table for table, counts in report.tables.items() if counts.rejected} == set()
        assert report.tables["activities"].inserted == small.summary.rows["activities"]
