"""``winward simulate``: a simulated company as exchange files, with its sealed truth."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path

import typer

from crm_core import clock
from crm_core.errors import Invalid


class NotADay(Invalid):
    """A text is not a date of the calendar; write 2026-06-30."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    folder: Path = typer.Argument(help="A new or empty folder for the exchange tables."),
    seed: int = typer.Option(7, help="The same seed gives the same files, byte for byte."),
    size: str = typer.Option(
        "demo", help="small (8 reps, 2 years) or demo (60 reps, 3 years, about 12,000 deals)."
    ),
    until: str = typer.Option(
        "", help="Nothing is recorded on this day or later, as 2026-06-30; left out: today."
    ),
    truth: Path | None = typer.Option(
        None, help="Where the sealed truth goes; left out: FOLDER-truth beside the folder."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Write a simulated company with known causal effects, ready for 'winward import FOLDER'."""
    from crm_core.simulation import generate
    from crm_core.simulation.world import known_size

    summary = generate(
        folder,
        seed=seed,
        size=known_size(size),
        until=_day(until) if until else clock.now().date(),
        truth=truth or folder.with_name(f"{folder.name}-truth"),
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(summary), default=str, indent=1))
        return
    print(f"{summary.company}: {summary.first_day} to {summary.until}, seed {summary.seed}")
    for table, rows in summary.rows.items():
        print(f"  {table:22} {rows:>9,}")
    print("Demo users: " + ", ".join(summary.logins.values()))


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise NotADay(f"--until {text!r} is not a day ({error}); write 2026-06-30.") from error
