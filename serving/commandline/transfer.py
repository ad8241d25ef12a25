"""``winward transfer``: hand a person's accounts, leads and open deals over to another."""

from __future__ import annotations

import json

import typer

from crm_core import clock, settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(transfer)


def transfer(
    to: str = typer.Option(..., "--to", metavar="USER", help="Id of the new owner."),
    effective_on: str = typer.Option(
        ..., "--effective-on", metavar="DAY", help="First day of the new owner, today or before."
    ),
    whose: str = typer.Option(
        None, "--from", metavar="USER", help="Id of the owner whose records to hand over."
    ),
    account: list[str] = typer.Option([], "--account", help="Only this account (repeatable)."),
    lead: list[str] = typer.Option([], "--lead", help="Only this lead (repeatable)."),
    deal: list[str] = typer.Option([], "--deal", help="Only this deal (repeatable)."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would move; write nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Hand records over from a day on; closed deals, orders and their credit stay.

    Example: winward transfer --from ann --to bob --effective-on 2026-11-01
    """
    from crm_core.database import transaction
    from crm_core.people.queries import Visibility
    from crm_core.records.transfer import Wanted
    from crm_core.records.transfer import transfer as hand_over
    from serving.commandline.store import store
    from serving.commandline.times import parse_day

    named = {"accounts": account, "leads": lead, "opportunities": deal}
    records = {table: ids for table, ids in named.items() if ids}
    with store(settings.load()) as engine, transaction(engine) as session:
        done = hand_over(
            session,
            Wanted(
                to_user=to, effective_on=parse_day(effective_on, option="--effective-on"),
                from_user=whose, records=records or None,
            ),
            within=Visibility(everyone=True), user_id=None, channel="cli",
            recorded_at=clock.now(), dry_run=dry_run,
        )  # fmt: skip
    if as_json:
        print(json.dumps([{"table": each.table, "moved": each.moved, "left": dict(each.left)}
                          for each in done], ensure_ascii=False))  # fmt: skip
        return
    for each in done:
        print(f"{each.table}: {len(each.moved)} {'would move' if dry_run else 'moved'}")
        for key, reason in each.left:
            print(f"  {key} stays: {reason}")
