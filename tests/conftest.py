"""Fixtures of every test: a real PostgreSQL, a rolled-back session, the data sets, no sockets."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm_core import migrations
from crm_core.database import create_engine
from crm_core.postgres import EmbeddedServer

AS_OF = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
REPOSITORY = Path(__file__).parents[1]

_connect = socket.socket.connect


class OutsideConnection(RuntimeError):
    """A test tried to reach something that is not on this machine."""


def _loopback_only(self: socket.socket, address: object) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]  # type: ignore[index]
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise OutsideConnection(f"a test tried to connect to {address!r}")
    return _connect(self, address)


socket.socket.connect = _loopback_only  # type: ignore[method-assign]


@pytest.fixture
def as_of() -> dt.datetime:
    """A fixed present, so that no test depends on the day it runs."""
    return AS_OF


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder of real data sets beside the repository. Absent: loud skip; failure in CI."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        message = f"REAL DATA IS MISSING: no folder {folder}; the tests on real data did not run."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[EmbeddedServer]:
    """One throw-away PostgreSQL server for this test process."""
    # a short path outside pytest's: the server's user must be able to enter it
    home = Path(tempfile.mkdtemp(prefix="winward-test-"))
    home.chmod(0o755)
    server = EmbeddedServer(home, durable=False)
    try:
        with server.running():
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _execute(server: EmbeddedServer, statement: str) -> None:
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def template_database(postgresql: EmbeddedServer) -> str:
    """Name of a migrated, empty database that others are copied from."""
    name = "winward_template"
    _execute(postgresql, f"create database {name}")
    engine = create_engine(postgresql.url(name))
    migrations.upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture
def database_url(postgresql: EmbeddedServer, template_database: str) -> Iterator[str]:
    """URL of a migrated, empty database of this test's own (for code that commits)."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(postgresql, f"create database {name} template {template_database}")
    yield postgresql.url(name)
    _execute(postgresql, f"drop database if exists {name} with (force)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on an empty database of this test's own (for code that commits)."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def shared_engine(postgresql: EmbeddedServer, template_database: str) -> Iterator[Engine]:
    """An engine on one database for the whole run; use it through ``session`` only."""
    _execute(postgresql, f"create database shared_rolled_back template {template_database}")
    engine = create_engine(postgresql.url("shared_rolled_back"))
    yield engine
    engine.dispose()


@pytest.fixture
def session(shared_engine: Engine) -> Iterator[Session]:
    """A session whose work is rolled back after the test."""
    with shared_engine.connect() as connection:
        outer = connection.begin()
        with Session(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        outer.rollback()
