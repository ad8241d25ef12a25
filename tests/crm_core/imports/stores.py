"""A store as text: what every table holds, to compare before and after."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text

from crm_core.database import transaction
from crm_core.imports.operations import import_path
from crm_core.imports.rollback import roll_back

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
KEPT_ON_PURPOSE = {
    "alembic_version", "audit_log", "import_batches", "import_changes", "import_rejections",
}  # fmt: skip
"""Tables that tell of imports; everything else is a fact, or the history of one."""


def dump(engine):
    """Return every table of facts as its sorted rows in text."""
    found = {}
    with transaction(engine) as session:
        names = session.scalars(
            text("select tablename from pg_tables where schemaname = 'public' order by 1")
        ).all()
        for name in set(names) - KEPT_ON_PURPOSE:
            rows = session.scalars(text(f'select t::text from "{name}" t')).all()
            found[name] = sorted(rows)
    return found


def bring(engine, folder, *, at=NOW, **options):
    """Import a folder; return the report and the number of its batch."""
    report = import_path(
        engine, folder, mapping=None, recorded_at=at, dry_run=False, rejected_folder=None,
        progress=None, **options,
    )  # fmt: skip
    with transaction(engine) as session:
        return report, session.scalar(text("select max(id) from import_batches"))


def undo(engine, number, *, at=NOW):
    """Roll a batch back."""
    with transaction(engine) as session:
        return roll_back(session, number, at=at)


def execute(engine, sql):
    """Run a statement as somebody else would."""
    with transaction(engine) as session:
        session.execute(text(sql))


def one(engine, sql):
    """Return the one value of a query."""
    with transaction(engine) as session:
        return session.execute(text(sql)).scalar()
