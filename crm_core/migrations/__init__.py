"""Alembic migrations, shipped in the package and configured in code."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from crm_core import row_security
from crm_core.errors import Conflict

_LOCK = 7_246_913_001  # any number of ours: two programs must not migrate at once


class NewerStore(Conflict):
    """The store was migrated by a newer program than this one."""


def configuration(url: str = "") -> Config:
    """Return Alembic's configuration for the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def newest() -> str:
    """Return the id of the newest migration that this program knows."""
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    if head is None:
        raise LookupError("the package ships no migration")
    return head


def knows(revision: str) -> bool:
    """Return whether this program has a migration of that id."""
    script = ScriptDirectory.from_config(configuration())
    return revision in {each.revision for each in script.walk_revisions()}


def applied(engine: Engine) -> str | None:
    """Return the id of the migration the database is at, None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_current(engine: Engine) -> bool:
    """Return whether the tables and their row-level security are what this program knows."""
    if applied(engine) != newest():
        return False
    with engine.connect() as connection:
        return row_security.applied(connection) == row_security.digest()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to a revision; one program at a time, the others wait.

    Raises NewerStore.
    """
    _run(engine, revision, command.upgrade)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to a revision."""
    _run(engine, revision, command.downgrade)


def _run(engine: Engine, revision: str, step: object) -> None:
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        try:
            _refuse_newer(MigrationContext.configure(connection).get_current_revision())
            config = configuration()
            config.attributes["connection"] = connection
            row_security.lift(connection)
            step(config, revision)  # type: ignore[operator]
            row_security.apply(connection)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("select pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and not knows(revision):
        raise NewerStore(
            f"The store is at migration {revision} and this program knows up to {newest()}: a "
            "newer Winward wrote it. Use that version, or restore a backup of before into a new "
            "home; nothing was changed."
        )
