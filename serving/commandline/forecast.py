"""``winward forecast``: what a period will close; ``forecast snapshot``: the day frozen."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from crm_core.errors import Invalid
from serving.commandline.advise import AS_JSON, AS_OF, LOCALE
from serving.commandline.asking import asking

forecast = typer.Typer(
    help="Forecast a period; freeze the day's forecast.", invoke_without_command=True
)


class NothingAsked(Invalid):
    """The command needs a period and a file."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(forecast, name="forecast")


@forecast.callback()
def write(
    context: typer.Context,
    period: str | None = typer.Option(None, help="2026, 2026-Q4, 2026-11 or 2026-W47."),
    out: Path | None = typer.Option(
        None, "--out", metavar="F", help="File to write, .csv or .parquet."
    ),
    as_of: str | None = AS_OF,
    locale: str = LOCALE,
    as_json: bool = AS_JSON,
) -> None:
    """Write what the company, each org unit and each person will close in a period.

    The mean is the best baseline's until a revenue model is trained; the quantiles and the chance
    to attain quota are then empty, and the last column says so.
    """
    if context.invoked_subcommand is not None:
        return
    if period is None or out is None:
        raise NothingAsked("Give --period and --out, as in: --period 2026-Q4 --out forecast.csv")
    from serving import forecast_file, table_file

    table_file.check_target(out)
    with asking(as_of) as store:
        table = forecast_file.forecast_table(
            store.session, period=store.calendar.parse(period), as_of=store.as_of, locale=locale
        )
        table_file.write(table, out)
    told = {"rows": len(table), "out": str(out)}
    print(json.dumps(told) if as_json else f"{len(table)} forecasts written to {out}.")


@forecast.command()
def snapshot(as_of: str | None = AS_OF, as_json: bool = AS_JSON) -> None:
    """Freeze every deal and cell as known now, keep what the baselines say, settle past periods.

    Once per company day: asked again, the first snapshot stands. Snapshots go forward in time.
    """
    from serving import forecasting

    with asking(as_of) as store:
        done = forecasting.freeze(store.session, as_of=store.as_of, now=store.now)
    if as_json:
        print(json.dumps(done, default=str))
        return
    if not done["is_new"]:
        print(f"{done['day']} has its snapshot already.")
    else:
        print(
            f"{done['day']}: {done['open_deals']} open deals; {done['deals']} deals and "
            f"{done['cells']} cells changed since the snapshot before."
        )
