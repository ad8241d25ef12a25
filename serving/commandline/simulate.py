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
        "demo",
        help="small (200 accounts), demo (60 reps, 9,000 deals), medium (60 reps, 20,000 deals) "
        "or large (5,120 reps, a million deals, Parquet).",
    ),
    until: str = typer.Option(
        "", help="Nothing is recorded on this day or later, as 2026-06-30; left out: today."
    ),
    truth: Path | None = typer.Option(
        None, help="Where the sealed truth goes; left out: FOLDER-truth beside the folder."
    ),
    world: str = typer.Option(
        "base", help="base, no_effect, unconfounded, strong_confounding, drift, …"
    ),
    confounding: float | None = typer.Option(
        None, help="How far reps act on what nobody records: 0 not at all, 1 as in the base world."
    ),
    policy: Path | None = typer.Option(
        None, help="A YAML or JSON file: the same world, but this decides what is done."
    ),
    file_format: str | None = typer.Option(
        None, "--format", help="csv or parquet; left out: csv, and parquet for large."
    ),
    futures: int = typer.Option(
        0, help="Futures to tell of each open deal, for its true chance to win (in the truth)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
) -> None:
    """Write a simulated company with known causal effects, ready for 'winward import FOLDER'."""
    from crm_core import simulation

    summary = simulation.simulate(
        folder,
        simulation.Request(size, world, confounding, policy, file_format, futures),
        seed=seed,
        until=_day(until) if until else clock.now().date(),
        truth=truth or folder.with_name(f"{folder.name}-truth"),
        progress=_say,
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(summary), default=str, indent=1))
        return
    print(f"{summary.company}: {summary.first_day} to {summary.until}, seed {summary.seed}")
    for table, rows in summary.rows.items():
        print(f"  {table:22} {rows:>12,}")
    print("Demo users: " + ", ".join(summary.logins.values()))


def _say(done: int, parts: int) -> None:
    if parts > 1:
        typer.echo(f"Part {done} of {parts}", err=True)


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise NotADay(f"--until {text!r} is not a day ({error}); write 2026-06-30.") from error
