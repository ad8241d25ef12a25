"""``winward retrain``: what training the win-rate model anew would gain."""

from __future__ import annotations

import contextlib
import json
import sys

import typer

from serving.commandline.times import parse_as_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrain)


def retrain(
    as_of: str | None = typer.Option(
        None, "--as-of", metavar="T", help="Train on what was known at T; default: now."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the finding as JSON."),
) -> None:
    """Train a challenger, compare it with the model that serves, and tell who decides.

    The rules of data health run first. Nothing is promoted unless WINWARD_RETRAIN_PROMOTES is
    set: 'winward promote win-rate' does it. Runs in the night to Monday by itself.
    """
    from sqlalchemy.orm import Session

    from crm_core import clock
    from crm_core.people.queries import calendar
    from crm_core.settings import load
    from serving import retraining
    from serving.commandline.store import database_urls, facts

    settings, now = load(), clock.now()
    with database_urls(settings) as urls, facts(urls["winward"]) as engine:
        with Session(engine) as session:
            moment = parse_as_of(as_of, calendar=calendar(session), now=now)
        with contextlib.redirect_stdout(sys.stderr):
            found = retraining.check(engine, urls, settings, as_of=moment, now=now)
    print(json.dumps(found.as_json(), indent=1) if as_json else found.sentence())
