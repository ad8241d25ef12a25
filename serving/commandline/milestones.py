"""What the first start has already done to a store, kept in that store.

So an interrupted first start goes on where it stopped, and a customer's own company is never
taken for an unfinished demo.
"""

from __future__ import annotations

from sqlalchemy import Engine, text

_SCHEMA = "winward_setup"


def reached(engine: Engine) -> dict[str, str]:
    """Return the milestones of this store with their evidence (a version, a state)."""
    with engine.connect() as connection:
        if connection.scalar(text("select to_regclass(:name)"), {"name": f"{_SCHEMA}.milestones"}):
            rows = connection.execute(text(f"select name, evidence from {_SCHEMA}.milestones"))  # noqa: S608 - a constant
            return {row.name: row.evidence for row in rows}
    return {}


def reach(engine: Engine, name: str, evidence: str) -> None:
    """Write down that a milestone is reached; a later evidence replaces the earlier."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"create schema if not exists {_SCHEMA}")
        connection.exec_driver_sql(
            f"create table if not exists {_SCHEMA}.milestones "
            "(name text primary key, evidence text not null)"
        )
        connection.execute(
            text(
                f"insert into {_SCHEMA}.milestones values (:name, :evidence) "  # noqa: S608 - a constant
                "on conflict (name) do update set evidence = excluded.evidence"
            ),
            {"name": name, "evidence": evidence},
        )
