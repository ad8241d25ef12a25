"""``winward health``: run the rules of data health now, and the month's report as a PDF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from serving.commandline.languages import parse_locale

if TYPE_CHECKING:
    import datetime as dt

    from sqlalchemy.orm import Session

    from crm_core.health.queries import Checkup

FAILING = 1
"""The exit code when a critical rule fails."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(health)


def health(
    cause: str = typer.Option("by_hand", hidden=True, help="What made it run (set by jobs)."),
    report: Path | None = typer.Option(None, help="Write this month's report there, a .pdf."),
    locale: str = typer.Option(
        "en", callback=parse_locale, help="Language: en or zh-CN (zh for short)."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print every rule as JSON."),
) -> None:
    """Run every rule of data health on what is known now, and say what fails.

    Exits with 1 when a critical rule fails: training or pay runs are stopped by it.
    """
    from sqlalchemy.orm import Session

    from crm_core import clock
    from crm_core.settings import load
    from serving import data_health
    from serving.commandline.store import store

    now = clock.now()
    with store(load()) as engine:
        found = data_health.check(engine, now=now, cause=cause)  # type: ignore[arg-type]
        if report is not None:
            with Session(engine) as session:
                _write(session, report, locale=locale, now=now)
    _tell(found, locale=locale, as_json=as_json)
    if cause == "by_hand" and any(each.rule.severity == "critical" for each in found.failing):
        raise typer.Exit(FAILING)


def _write(session: Session, target: Path, *, locale: str, now: dt.datetime) -> None:
    from zoneinfo import ZoneInfo

    from crm_core.people.queries import company
    from serving import data_health, health_report

    own = company(session)
    found = data_health.report(session, month=None, as_of=now, examples=True)
    target.write_bytes(
        health_report.pdf(found, company=own.name, locale=locale, time_zone=ZoneInfo(own.time_zone))
    )


def _tell(found: Checkup, *, locale: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=1))
        return
    print(f"{len(found.results)} rules, {len(found.failing)} fail.")
    for result in found.failing:
        print(
            f"  {result.rule.severity:8} {result.rule.name(locale)}: {result.failing:,} of "
            f"{result.checked:,}. {result.rule.remedy(locale)}"
        )
        for key, detail in result.examples[:3]:
            print(f"           {key}: {detail}")


def _as_json(found: Checkup) -> dict[str, object]:
    return {
        "as_of": found.as_of.isoformat(),
        "rules": [
            {
                "rule": result.rule.id,
                "dimension": result.rule.dimension,
                "severity": result.rule.severity,
                "status": result.status,
                "checked": result.checked,
                "failing": result.failing,
                "examples": [{"key": key, "detail": detail} for key, detail in result.examples],
            }
            for result in found.results
        ],
    }
