"""Small histories of facts, as frames, and a company in a database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from crm_core.database import create_engine
from crm_core.settings import Settings


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def feast_url(engine: Engine) -> str:
    """URL of an empty database beside the facts' for the registry and the online store."""
    from features.snapshots import sibling_url

    url = sibling_url(engine)
    name = f"{engine.url.database}_feast"
    admin = create_engine(
        engine.url.set(database="postgres").render_as_string(hide_password=False),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        connection.execute(text(f'create database "{name}"'))
    yield url
    with admin.connect() as connection:
        connection.execute(text(f'drop database if exists "{name}" with (force)'))
    admin.dispose()
