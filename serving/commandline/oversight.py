"""``winward audit verify`` and ``winward permissions``: whether the log holds, who may do what."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from crm_core import settings as configuration
from crm_core.errors import Conflict

audit = typer.Typer(help="The audit log.", no_args_is_help=True)


class LogBroken(Conflict):
    """A row of the audit log was altered, removed or replaced."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(audit, name="audit")
    app.command()(permissions)


@audit.command()
def verify(
    seal: str | None = typer.Option(None, help="The seal that an earlier check printed last."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Check every row of the log against its chain; name the first that does not hold.

    Keep the printed seal outside the database: it is the only thing that tells when the newest
    rows were cut off. With --seal the log must still hold it, or more.
    """
    from crm_core.audit import queries
    from crm_core.database import transaction
    from serving.commandline.store import store

    with store(configuration.load()) as engine, transaction(engine) as session:
        broken = queries.first_broken(session)
        if broken is not None:
            raise LogBroken(
                f"Row {broken.id} of the audit log does not hold (place {broken.place} of chain"
                f" {broken.chain}: {broken.kind}); compare it with a backup."
            )
        present = queries.seal(session)
        if seal is not None and not queries.extends(session, seal):
            raise LogBroken("The newest rows that this seal covers are missing from the log.")
    if as_json:
        print(json.dumps(asdict(present)))
    else:
        print(f"All {present.rows} rows hold. Seal: {present.text}")


def permissions(
    out: Path = typer.Option(help="A .csv or .parquet file."),
) -> None:
    """Write who may do what: one row per role, table, field and action, with its reach."""
    import pandas as pd

    from crm_core.people.permissions import matrix
    from serving import table_file

    frame = pd.DataFrame([asdict(cell) for cell in matrix()])
    table_file.write(frame, out)
    print(f"{len(frame)} rows in {out}")
