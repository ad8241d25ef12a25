"""``winward backup`` and ``winward restore``: a whole installation into one file and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crm_core.settings import Settings
    from serving.backups import Summary
    from serving.commandline.progress import Steps


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


FILE = typer.Argument(..., metavar="FILE", help="The backup, a .tar file.")
AS_JSON = typer.Option(False, "--json", help="Print the summary as JSON for a script.")


def backup(
    file: Path = FILE,
    verify: bool = typer.Option(
        True, help="Restore it into a fresh database of its own and compare every table."
    ),
    as_json: bool = AS_JSON,
) -> None:
    """Write facts, model tracking and models into one file while everything goes on running.

    The file holds the whole company: keep it as safe as the store. It appears whole or not at
    all. Feature files are not in it; a restore builds them anew.
    """
    from crm_core import clock
    from crm_core.settings import load
    from serving import backups
    from serving.commandline.store import database_urls, facts

    settings = load()
    steps = _steps()
    with database_urls(settings) as urls, facts(urls["winward"]):
        summary = backups.back_up(
            settings, urls, file, now=clock.now(), verify=verify, step=steps.step
        )
    _tell(summary, "written to", as_json=as_json)


def restore(
    file: Path = FILE,
    home: Path | None = typer.Option(None, "--home", help="New folder for database and models."),
    as_json: bool = AS_JSON,
) -> None:
    """Bring a backup into an empty installation, compare every table, and build the features.

    Nothing that exists is overwritten: name a new folder, or set WINWARD_DATABASE_URL to an
    empty database. Then start it with 'winward up'.
    """
    from crm_core.settings import read
    from serving import backups
    from serving.commandline.store import database_urls

    settings = read(home=home)
    steps = _steps()
    summary = backups.restore(settings, database_urls, file, step=steps.step)
    _derive(settings, steps)
    _tell(summary, "restored from", as_json=as_json)


def _derive(settings: Settings, steps: Steps) -> None:
    """Build what is not in a backup: the registry and tables of MLflow and Feast, the features."""
    from sqlalchemy.orm import Session

    from crm_core import clock
    from crm_core.people.queries import company_or_none
    from features import snapshots
    from serving.commandline.store import database_urls, facts

    now = clock.now()
    with database_urls(settings) as urls, facts(urls["winward"]) as engine:
        with Session(engine) as session:
            if company_or_none(session) is None:
                return
        with steps.step("Build features") as advance:
            snapshots.build(
                engine,
                as_of=now,
                recorded_at=now,
                settings=settings,
                progress=advance,
                feast_url=urls["feast"],
            )


def _steps() -> Steps:
    from rich.console import Console

    from serving.commandline.progress import Steps

    return Steps(Console(stderr=True, highlight=False))


def _tell(summary: Summary, verb: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary.as_json(), indent=1))
        return
    proof = "restored and compared, table by table" if summary.verified else "not verified"
    print(
        f"{summary.rows:,} rows of {summary.tables} tables and {summary.files} files "
        f"({summary.bytes / 1e6:.1f} MB) {verb} {summary.path}: {proof}."
    )
