"""``winward imports``: what came in, what a batch did, taking it back, counting it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crm_core.imports.queries import BatchView
    from crm_core.imports.rollback import Undone

Number = Annotated[int, typer.Argument(help="The number of an import: winward imports list.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Imports: list, show, roll back, reconcile.", no_args_is_help=True)
    group.command("list")(list_batches)
    group.command("show")(show)
    group.command("rollback")(rollback)
    group.command("reconcile")(reconcile)
    group.command("work", hidden=True)(work)
    app.add_typer(group, name="imports")


def list_batches(
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the imports with their states."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from crm_core.database import transaction
    from crm_core.imports import batches, queries
    from crm_core.settings import load
    from serving.commandline.store import store

    with store(load()) as engine:
        batches.fail_abandoned(engine)
        with transaction(engine) as session:
            found = queries.batches(session, limit=limit)
    if as_json:
        print(json.dumps([_plain(each) for each in found], ensure_ascii=False, indent=2))
        return
    table = Table("import", "source", "state", "started", "rows", "changed", "rejected", "rows/s")
    for each in found:
        table.add_row(
            str(each.id), escape(each.source), each.status, f"{each.started_at:%Y-%m-%d %H:%M}",
            f"{each.rows:,}", f"{each.changed:,}", f"{each.rejected:,}",
            "–" if each.rows_per_second is None else f"{each.rows_per_second:,}",
        )  # fmt: skip
    Console().print(table)


def _plain(batch: BatchView) -> dict[str, object]:
    from dataclasses import asdict

    plain: dict[str, object] = json.loads(json.dumps(asdict(batch), default=str))
    return plain | {
        "rows": batch.rows,
        "rows_per_second": batch.rows_per_second,
        "kept": batch.kept,
    }


def show(number: Number, as_json: AsJson = False) -> None:
    """Show one import: its state, counts, what a rollback kept, its reconciliation."""
    from crm_core.database import transaction
    from crm_core.imports import batches, queries
    from crm_core.settings import load
    from serving.commandline.store import store

    with store(load()) as engine:
        batches.fail_abandoned(engine)
        with transaction(engine) as session:
            found = queries.batch(session, number)
            kept = queries.kept(session, number, limit=50)
    if as_json:
        listed = [{"table": row.table, "key": row.key, "reason": row.reason} for row in kept]
        print(json.dumps(_plain(found) | {"kept_rows": listed}, ensure_ascii=False, indent=2))
        return
    print(f"Import {found.id} of {found.source}: {found.status}")
    if found.error:
        print(f"  {found.error}")
    for name, counts in found.counts.items():
        told = ", ".join(f"{value:,} {what}" for what, value in counts.items() if value)
        print(f"  {name}: {told}")
    for row in kept:
        print(f"  kept {row.table} {', '.join(row.key)}: {row.reason}")


def rollback(
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Undo an import; rows edited since, and what they need, are kept and named."""
    from crm_core.settings import load
    from serving.commandline.store import store

    with store(load()) as engine:
        if not (yes or as_json):
            typer.confirm(f"Undo import {number}?", abort=True)
        done = _undo(engine, number)
    if as_json:
        print(json.dumps({"batch": number} | done.as_json(), ensure_ascii=False))
        return
    for what, tables in done.as_json().items():
        for table, rows in tables.items():
            print(f"  {what} {rows:,} × {table}")
    if done.kept_rows:
        print(f"{done.kept_rows:,} rows were kept: winward imports show {number} says why.")


def _undo(engine: Engine, number: int, *, by: str | None = None, job: bool = False) -> Undone:
    from crm_core import clock
    from crm_core.database import transaction
    from crm_core.imports.rollback import roll_back

    with transaction(engine) as session:
        return roll_back(session, number, at=clock.now(), by=by, channel="job" if job else "cli")


def reconcile(
    what: Annotated[str, typer.Argument(help="The number of an import, or a folder of files.")],
    as_json: AsJson = False,
) -> None:
    """Count the source and the store independently and compare; exit code 1 if they differ."""
    from pathlib import Path

    from crm_core import clock
    from crm_core.imports import reconciliation
    from crm_core.settings import load
    from serving.commandline.store import store

    with store(load()) as engine:
        if what.isdecimal():
            found = reconciliation.reconcile_batch(engine, int(what), at=clock.now())
        else:
            found = reconciliation.reconcile_folder(engine, Path(what))
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        for line in found.lines():
            print(line)
    if not found.agrees:
        raise typer.Exit(1)


def work() -> None:
    """Do what waits: imports that were uploaded, rollbacks that were asked for (a job's)."""
    from crm_core import clock
    from crm_core.settings import load
    from serving import import_jobs
    from serving.commandline.store import store

    with store(load()) as engine:
        import_jobs.work(engine, load(), now=clock.now)
