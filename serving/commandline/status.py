"""``winward status`` and ``winward migrate``: what is there, and bringing it up to date."""

from __future__ import annotations

import json
from typing import Literal

import typer

from crm_core import settings as configuration
from crm_core.settings import Settings
from serving.commandline.progress import Steps

Part = Literal["facts", "jobs", "tracking"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(migrate)


def migrate(
    only: Part | None = typer.Option(None, help="Bring only this part up to date."),
) -> None:
    """Bring the databases to the newest version: facts, jobs, tracking and feature registry."""
    from serving import job_queue
    from serving.commandline.store import database_urls, facts

    settings = configuration.load()
    steps = Steps()
    with database_urls(settings) as urls:
        if only in (None, "facts"):
            with steps.step("Migrate the facts"), facts(urls["winward"]):
                pass
        if only in (None, "jobs"):
            with steps.step("Prepare the queue of jobs"):
                job_queue.prepare(urls["winward"])
        if only in (None, "tracking"):
            with steps.step("Prepare model tracking"):
                _prepare_tracking(settings, urls)


def _prepare_tracking(settings: Settings, urls: dict[str, str]) -> None:
    from training import registry

    registry.prepare(urls["mlflow"], settings=settings)


def status(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Say what is stored, which model serves and whether the service and its jobs run."""
    from serving.commandline.condition import gathered
    from serving.commandline.store import database_urls, facts

    settings = configuration.load()
    with database_urls(settings) as urls, facts(urls["winward"]) as engine:
        found = gathered(engine, settings)
    if as_json:
        print(json.dumps(found, indent=2, default=str))
        return
    width = max(len(name) for name in found)
    for name, value in found.items():
        print(f"{name.replace('_', ' '):{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(entry)}" for name, entry in value.items()) or "–"
    return "–" if value is None else str(value)
