"""The embedded PostgreSQL starts whatever the last one left behind, or says why not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from crm_core.database import create_engine
from crm_core.postgres import DatabaseUnavailable, EmbeddedServer, UnusableHome, prepare_home


def short_folder() -> Path:
    """Return a new folder that the server's user can enter, with a short path for the socket."""
    folder = Path(tempfile.mkdtemp(prefix="winward-pg-"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The home of a server of this module's own, which its tests may ill-treat."""
    folder = short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(home)
    yield server
    server.stop()


def _ask(server: EmbeddedServer, question: str) -> object:
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            answer = connection.execute(text(question))
            return answer.scalar() if answer.returns_rows else None
    finally:
        engine.dispose()


def _postmaster(server: EmbeddedServer) -> int:
    return int((server.data / "postmaster.pid").read_text().split("\n")[0])


def test_the_last_user_stops_the_server(server):
    with server.running():
        with EmbeddedServer(server.home).running():
            assert _ask(server, "select 1") == 1
        assert server.is_running()
    assert not server.is_running()


def test_a_killed_server_comes_back_with_its_data(server):
    with server.running():
        _ask(server, "create table if not exists kept (n int)")
        _ask(server, "insert into kept values (7)")
        os.kill(_postmaster(server), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while server.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)
    with server.running():
        assert _ask(server, "select max(n) from kept") == 7


@pytest.mark.parametrize("content", ["999999999\n", "{own}\n", ""], ids=["dead", "reused", "empty"])
def test_a_lock_file_left_behind_does_not_block_the_start(server, content):
    with server.running():
        pass
    lock = server.data / "postmaster.pid"
    lock.write_text(content.format(own=os.getpid()))
    shutil.chown(lock, server.data.stat().st_uid, server.data.stat().st_gid)
    with server.running():
        assert _ask(server, "select 1") == 1


def test_the_callers_variables_do_not_reach_the_server(server, monkeypatch):
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with server.running():
        assert _ask(server, "show port") == "5432"


def test_data_of_another_major_version_are_left_alone_and_named(server):
    with server.running():
        pass
    version = server.data / "PG_VERSION"
    before = version.read_text()
    version.write_text("17\n")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"written by PostgreSQL 17 .* --home"):
            server.start()
    finally:
        version.write_text(before)


def test_an_interrupted_creation_is_done_again():
    home = short_folder()
    try:
        partial = home / "postgresql.partial"
        partial.mkdir()
        (partial / "half").write_text("written")
        server = EmbeddedServer(home, durable=False)
        with server.running():
            assert _ask(server, "select 1") == 1
        assert not partial.exists()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("below", ["", "folder"])
def test_a_home_that_is_a_file_is_refused_with_the_remedy(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(UnusableHome, match=r"is not a folder; choose another folder with --home"):
        prepare_home(tmp_path / "file" / below if below else tmp_path / "file")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_home_that_cannot_be_created_is_refused_with_the_remedy():
    with pytest.raises(UnusableHome, match=r"cannot be read and written .*--home"):
        prepare_home(Path("/proc/winward"))


def test_a_home_that_may_not_be_read_is_refused_with_the_remedy():
    home = short_folder()
    home.chmod(0o000)
    code = (
        "import os, sys; from pathlib import Path; from crm_core import postgres\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: postgres.prepare_home(Path(sys.argv[1]))\n"
        "except postgres.UnusableHome as error: print(error.message)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, home], capture_output=True, text=True, check=True
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert "cannot be read and written (permission denied)" in done.stdout


def test_a_full_disk_is_named_with_the_remedy():
    home = short_folder()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "winward-test", home],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        shutil.rmtree(home)
        pytest.skip("a small disk can be mounted by root only")
    try:
        with pytest.raises(UnusableHome, match=r"the disk of .* is full; free some space"):
            EmbeddedServer(home).start()
    finally:
        subprocess.run(["umount", home], check=True)
        shutil.rmtree(home)
