"""A backup taken while others write comes back whole, or is refused with the reason."""

from __future__ import annotations

import datetime as dt
import io
import json
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from crm_core import backups, migrations
from crm_core.backups import NotEmpty, NotTheSame
from crm_core.database import create_engine, transaction
from crm_core.errors import Conflict
from crm_core.postgres import ClientFailed, EmbeddedServer
from crm_core.settings import Settings
from serving.backups import HomeInUse, NotABackup, back_up, restore
from tests import factories as make

NOW = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)


@pytest.fixture
def home(postgresql: EmbeddedServer) -> Path:
    """A home whose PostgreSQL tools are those of the tests' server."""
    return postgresql.home


@pytest.fixture
def names(postgresql: EmbeddedServer) -> Iterator[list[str]]:
    """Names of three empty databases, dropped afterwards."""
    made = [f"backup_{number}" for number in range(3)]
    engine = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"create database {name}")
    yield made
    with engine.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"drop database {name} with (force)")
    engine.dispose()


@pytest.fixture
def urls(postgresql: EmbeddedServer, database_url: str, names: list[str]) -> dict[str, str]:
    """A company with a deal, and a tracking database that names an artifact in its home."""
    engine = create_engine(database_url)
    with transaction(engine) as session:
        make.a_company(session)
        deal = make.an_opportunity(session, key="d1")
        deal.name = '"Köln", 上海; a\nsecond line'
    engine.dispose()
    return {"winward": database_url, "mlflow": postgresql.url(names[0])}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "old"
    (folder / "models" / "win_rate").mkdir(parents=True)
    (folder / "models" / "win_rate" / "current.json").write_text('{"version": "3"}')
    return Settings(home=folder)


@pytest.fixture
def databases(postgresql: EmbeddedServer, names: list[str]):
    @contextmanager
    def opened(_: Settings) -> Iterator[dict[str, str]]:
        yield {"winward": postgresql.url(names[1]), "mlflow": postgresql.url(names[2])}

    return opened


@pytest.fixture
def backup(settings: Settings, urls: dict[str, str], tmp_path: Path) -> Path:
    target = tmp_path / "kept" / "winward.tar"
    back_up(settings, urls, target, now=NOW, verify=False)
    return target


def rewritten(source: Path, target: Path, change) -> Path:
    """Write a backup again with one member's bytes changed."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old.getmembers():
            content = change(member.name, old.extractfile(member).read())
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


class TestPrints:
    def test_notice_every_kind_of_change(self, engine: Engine):
        with transaction(engine) as session:
            make.a_company(session)
        seen = []
        for change in (
            "select 1",
            "update company set name = 'Other'",
            "insert into org_units (id, name) values ('a', 'A')",
            "update org_units set name = null || 'A', valid_from = '2026-01-01' where id = 'none'",
            "delete from org_units",
        ):
            with transaction(engine) as session:
                session.execute(text(change))
            with engine.connect() as connection:
                seen.append(backups.prints(connection))
        told = [
            {sentence.split(" ")[0] for sentence in backups.differences(a, b)}
            for a, b in zip(seen, seen[1:], strict=False)
        ]
        assert "public.company" in told[0]
        assert "public.org_units" in told[1]
        assert told[2] == set()
        assert "public.org_units" in told[3]


class TestBackUp:
    def test_comes_back_the_same(self, backup, databases, urls, tmp_path, postgresql, names):
        fresh = Settings(home=tmp_path / "new")
        told = restore(fresh, databases, backup)
        assert told.verified
        assert told.rows > 5
        assert (fresh.home / "models/win_rate/current.json").read_text() == '{"version": "3"}'
        assert [path.name for path in fresh.home.iterdir()] == ["models"]
        engine = create_engine(postgresql.url(names[1]))
        with engine.connect() as connection:
            name = connection.scalar(text("select name from opportunities where id = 'd1'"))
        assert name == '"Köln", 上海; a\nsecond line'
        assert migrations.is_current(engine)
        engine.dispose()

    def test_is_one_moment_while_others_write(self, settings, urls, databases, tmp_path):
        """Every writer's pair of rows is in it, or neither is."""
        stop = threading.Event()
        engine = create_engine(urls["winward"])
        written = []

        def write() -> None:
            while not stop.is_set() and len(written) < 5000:
                with transaction(engine) as session:
                    for table, more in (("products", ""), ("campaigns", "")):
                        session.execute(
                            text(f"insert into {table} (id, name) values (:id, 'x'){more}"),
                            {"id": f"n{len(written)}"},
                        )
                written.append(1)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            target = tmp_path / "busy.tar"
            back_up(settings, urls, target, now=NOW, verify=False)
        finally:
            stop.set()
            writer.join()
            engine.dispose()
        restore(Settings(home=tmp_path / "new"), databases, target)
        with databases(settings) as restored:
            engine = create_engine(restored["winward"])
            with engine.connect() as connection:
                products = connection.scalar(text("select count(*) from products"))
                campaigns = connection.scalar(text("select count(*) from campaigns"))
            engine.dispose()
        assert products == campaigns <= len(written)

    def test_proves_itself_in_a_fresh_server(self, settings, urls, tmp_path):
        told = back_up(settings, urls, tmp_path / "b.tar", now=NOW, verify=True)
        assert told.verified
        assert told.path.stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    def test_overwrites_nothing(self, settings, urls, tmp_path):
        target = tmp_path / "b.tar"
        target.write_text("mine")
        with pytest.raises(Conflict, match="exists already"):
            back_up(settings, urls, target, now=NOW, verify=False)
        assert target.read_text() == "mine"

    def test_leaves_no_file_when_a_dump_fails(self, settings, urls, tmp_path):
        lost = {**urls, "mlflow": urls["mlflow"].replace("backup_0", "nowhere")}
        with pytest.raises(Exception, match="nowhere"):
            back_up(settings, lost, tmp_path / "b" / "b.tar", now=NOW, verify=False)
        assert list((tmp_path / "b").iterdir()) == []


class TestRestore:
    def test_refuses_what_was_changed_after_it_was_written(self, backup, databases, tmp_path):
        def flip(name, content):
            if name != "winward.dump":
                return content
            return content[:-1] + bytes([content[-1] ^ 1])

        damaged = rewritten(backup, tmp_path / "damaged.tar", flip)
        with pytest.raises(NotABackup, match=r"damaged: winward\.dump"):
            restore(Settings(home=tmp_path / "new"), databases, damaged)
        assert list((tmp_path / "new").iterdir()) == []

    def test_refuses_a_file_that_is_cut_off(self, backup, databases, tmp_path):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
        with pytest.raises(NotABackup):
            restore(Settings(home=tmp_path / "new"), databases, cut)

    def test_refuses_the_backup_of_a_newer_program(self, backup, databases, tmp_path):
        def newer(name, content):
            if name != "manifest.json":
                return content
            return json.dumps({**json.loads(content), "migration": "9999"}).encode()

        later = rewritten(backup, tmp_path / "later.tar", newer)
        with pytest.raises(NotABackup, match="newer Winward"):
            restore(Settings(home=tmp_path / "new"), databases, later)

    def test_notices_a_table_that_is_not_what_it_was(self, backup, databases, tmp_path):
        def other(name, content):
            if name != "manifest.json":
                return content
            told = json.loads(content)
            told["prints"]["winward"]["public.company"] = "2 rows, 5"
            return json.dumps(told).encode()

        with pytest.raises(NotTheSame, match=r"public\.company had 2 rows"):
            restore(
                Settings(home=tmp_path / "new"),
                databases,
                rewritten(backup, tmp_path / "other.tar", other),
            )
        assert list((tmp_path / "new").iterdir()) == []

    def test_overwrites_no_database_and_no_home(self, backup, databases, settings, tmp_path):
        with pytest.raises(HomeInUse, match="models"):
            restore(settings, databases, backup)
        restore(Settings(home=tmp_path / "new"), databases, backup)
        with pytest.raises(NotEmpty, match="tables already"):
            restore(Settings(home=tmp_path / "other"), databases, backup)

    def test_writes_nothing_outside_its_folder(self, backup, databases, tmp_path):
        evil = tmp_path / "evil.tar"
        with tarfile.open(evil, "w") as archive:
            member = tarfile.TarInfo("../../escaped")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        with pytest.raises(NotABackup):
            restore(Settings(home=tmp_path / "new"), databases, evil)
        assert not list(tmp_path.parent.glob("**/escaped"))


def test_a_tool_that_fails_says_why(home, database_url):
    from sqlalchemy import make_url

    from crm_core.postgres import run_client

    with pytest.raises(ClientFailed, match="pg_dump failed"), tempfile.TemporaryDirectory() as at:
        run_client(home, "pg_dump", make_url(database_url), f"--file={at}/no/such")
