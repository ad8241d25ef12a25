"""A database and its application that many tests use one after another, emptied in between.

Copying the template and making the application takes longer than most of the tests do.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import Engine, text

from crm_core import row_security
from crm_core.database import WEB_ROLE, create_engine, transaction, web_engine
from crm_core.postgres import EmbeddedServer
from crm_core.settings import Settings
from serving.app import create_app
from tests.conftest import _execute


@contextmanager
def kept_store(postgresql: EmbeddedServer, template_database: str) -> Iterator[Engine]:
    """Yield an engine, as the owner of the tables, on a copy of the template; drop it then."""
    name = f"kept_{uuid.uuid4().hex[:12]}"
    _execute(postgresql, f"create database {name} template {template_database}")
    engine = create_engine(postgresql.url(name))
    row_security.let_in(engine)
    yield engine
    engine.dispose()
    _execute(postgresql, f"drop database {name} with (force)")


@contextmanager
def application_of(store: Engine, home: Path) -> Iterator[FastAPI]:
    """Yield the application as the web role, with as many connections as a small server has."""
    url = store.url.set(username=WEB_ROLE).render_as_string(hide_password=False)
    bound = web_engine(url, pool_size=5, max_overflow=0)
    yield create_app(Settings(home=home), bound)
    bound.dispose()


def filled(engine: Engine) -> list[str]:
    """Return the tables that hold a row."""
    with engine.connect() as connection:
        names = connection.scalars(
            text("select tablename from pg_tables where schemaname = 'public'")
        ).all()
        counts = ", ".join(f'exists (select 1 from "{name}")' for name in names)
        found = connection.execute(text(f"select {counts}")).one()
    return [name for name, holds in zip(names, found, strict=True) if holds]


def leave_empty(engine: Engine, seeded: Collection[str]) -> None:
    """Delete what stands in the tables that the migrations themselves did not fill."""
    with transaction(engine) as session:
        session.execute(text("set local session_replication_role = replica"))
        for name in set(filled(engine)) - set(seeded):
            session.execute(text(f'delete from "{name}"'))
