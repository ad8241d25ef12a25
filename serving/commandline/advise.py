"""``winward advise|kpis|settle``: what to do next, how things stand, and what followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from serving.commandline.asking import asking
from serving.commandline.languages import parse_locale

AS_OF = typer.Option(
    None,
    "--as-of",
    metavar="T",
    help="Time to stand at: a day (00:00 at the company) or an ISO time; default: now.",
)
OUT = typer.Option(..., "--out", metavar="F", help="File to write, .csv or .parquet.")
LOCALE = typer.Option(
    "en",
    "--locale",
    callback=parse_locale,
    help="Language of the sentences: en or zh-CN (zh for short).",
)
AS_JSON = typer.Option(False, "--json", help="Print the counts as JSON for a script.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(advise)
    app.command()(kpis)
    app.command()(settle)


def _tell(result: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    print(json.dumps(result, ensure_ascii=False, indent=1) if as_json else sentence)


def advise(
    out: Path = OUT, as_of: str | None = AS_OF, locale: str = LOCALE, as_json: bool = AS_JSON
) -> None:
    """Write what to do next on every open deal, with the fact that says so.

    Decided once per deal and company day, and logged with every candidate, rank and propensity.
    The expected lift is the playbook's prior until own experiments say more.
    """
    from serving import table_file
    from serving.coaching.advice_file import advice_file
    from serving.commandline import wording

    table_file.check_target(out)
    with asking(as_of) as opened:
        found = advice_file(opened.session, as_of=opened.as_of, now=opened.now, locale=locale)
        table_file.write(found.table, out)
    _tell(
        {**found.as_json(locale), "out": str(out)},
        wording.advice(found, out, locale=locale),
        as_json=as_json,
    )


def kpis(
    period: str = typer.Option(..., "--period", help="2026, 2026-Q4, 2026-11 or 2026-W47."),
    out: Path = OUT,
    as_of: str | None = AS_OF,
    locale: str = LOCALE,
    as_json: bool = AS_JSON,
) -> None:
    """Write every metric of a period for the company, each org unit and each person.

    An empty value comes with its reason; it is never a zero.
    """
    from serving import table_file
    from serving.kpi_file import kpi_table

    table_file.check_target(out)
    with asking(as_of) as opened:
        table = kpi_table(
            opened.session,
            period=opened.calendar.parse(period),
            as_of=opened.as_of,
            locale=locale,
        )
        table_file.write(table, out)
    _tell(
        {"rows": len(table), "out": str(out)},
        f"{len(table)} values written to {out}.",
        as_json=as_json,
    )


def settle(as_of: str | None = AS_OF, as_json: bool = AS_JSON) -> None:
    """Write down what is known by now to have followed each recommendation.

    It says what followed, not what the advice caused. Settling again adds only what is new.
    """
    from crm_core.advice.operations import settle_outcomes

    with asking(as_of) as opened:
        settled = settle_outcomes(opened.session, as_of=opened.as_of)
    said = ", ".join(f"{count} {kind}" for kind, count in settled.items())
    _tell(settled, f"New outcomes: {said}.", as_json=as_json)
