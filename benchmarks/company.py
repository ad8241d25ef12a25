"""A throw-away PostgreSQL with the simulated company in it, for benchmarks to work on."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, text

from benchmarks.compare import say
from crm_core import migrations
from crm_core.database import create_engine
from crm_core.imports.operations import import_path
from crm_core.postgres import EmbeddedServer
from crm_core.simulation import generate

SEED = 20_260_101
UNTIL = dt.date(2026, 6, 30)
AS_OF = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
RECORDED_AT = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
Size = Literal["small", "demo", "medium"]


@dataclass(frozen=True, slots=True)
class Place:
    """A server of our own and a folder for files."""

    server: EmbeddedServer
    folder: Path

    def database(self, name: str, *, migrated: bool = True) -> Engine:
        """Return an engine on a new database, with our tables unless told not to."""
        administrative = create_engine(self.server.url("postgres"), isolation_level="AUTOCOMMIT")
        with administrative.connect() as connection:
            connection.execute(text(f"drop database if exists {name} with (force)"))
            connection.execute(text(f"create database {name}"))
        administrative.dispose()
        engine = create_engine(self.server.url(name))
        if migrated:
            migrations.upgrade(engine)
        return engine


@contextmanager
def place() -> Iterator[Place]:
    """Yield a place that is gone afterwards; the server writes durably, as in production."""
    home = Path(tempfile.mkdtemp(prefix="winward-benchmark-"))
    home.chmod(0o755)
    try:
        server = EmbeddedServer(home)
        with server.running():
            yield Place(server, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def files(folder: Path, *, size: Size, until: dt.date = UNTIL) -> tuple[Path, dict[str, int]]:
    """Write the company's exchange files; return their folder and the rows of each table."""
    say(f"simulating the {size} company …")
    target = folder / f"company-{size}"
    made = generate(target, seed=SEED, size=size, until=until, truth=folder / "truth")
    return target, dict(made.rows)


def bring_in(engine: Engine, folder: Path, *, recorded_at: dt.datetime = RECORDED_AT) -> int:
    """Import the files; return how many rows they had. None may have been rejected."""
    report = import_path(
        engine,
        folder,
        mapping=None,
        recorded_at=recorded_at,
        dry_run=False,
        rejected_folder=None,
        progress=None,
    )
    counts = report.tables.values()
    assert not any(count.rejected for count in counts), report.rejections[:3]
    return sum(count.rows for count in counts)
