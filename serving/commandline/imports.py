"""``winward import`` and ``winward export``: a company's files in and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from crm_core.imports.choice import Choice
    from crm_core.imports.proposals import Proposal
    from crm_core.imports.report import ImportReport


SOME_REJECTED = 7
"""Exit code of an import that took some rows and rejected others."""


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("import")(import_files)
    app.command("export")(export_files)
    app.command("profile")(profile_files)


def import_files(
    path: Annotated[Path, typer.Argument(help="A folder, file, workbook or zip archive.")],
    mapping: Annotated[
        str | None,
        typer.Option(
            help="A shipped mapping's name or a YAML file; none, or exchange: the exchange format."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge every row and write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    rejected: Annotated[
        Path | None, typer.Option(help="Folder for files of the rejected rows.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="CSV file for the verdict on every single row.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Write without asking after the preview.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(help="A phase: only these tables, such as accounts,contacts.")
    ] = None,
    pilot: Annotated[
        str | None,
        typer.Option(help="A trial slice: owner_id=…, team=… or a number of deals."),
    ] = None,
    since: Annotated[
        int | None, typer.Option(help="Report what changed since this earlier import (cut-over).")
    ] = None,
) -> None:
    """Import files: profile, check and write them in one transaction, and report every row.

    Exit code 0: every row was taken. 7: some rows were rejected (the others were written, or
    would be). 2 to 5: nothing was written, and the sentence says why. 6: the disk is full.
    """
    from functools import partial

    from crm_core.imports.choice import Choice
    from crm_core.settings import load
    from serving.commandline.store import store

    choice = Choice.of(only=only, pilot=pilot, since=since)
    run = partial(
        _run, path=path, mapping=mapping, rejected=rejected, choice=choice, verdicts=verdicts
    )
    with store(load()) as engine:
        asks = not (dry_run or yes or as_json) and sys.stdin.isatty()
        if asks:
            _show(run(engine, dry_run=True, quiet=False))
            if not typer.confirm("Write this into the store?"):
                raise typer.Exit(1)
        report = run(engine, dry_run=dry_run, quiet=as_json)
        health = _checked(engine) if report.changed and not dry_run else None
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        _show(report)
        if health is not None:
            print(health)
    if any(counts.rejected for counts in report.tables.values()):
        raise typer.Exit(SOME_REJECTED)


def _checked(engine: Engine) -> str:
    """Run the rules of data health on what is known now; return how it stands."""
    from crm_core import clock
    from serving import data_health

    return data_health.after_import(engine, now=clock.now())


def _run(
    engine: Engine,
    *,
    path: Path,
    mapping: str | None,
    choice: Choice,
    dry_run: bool,
    rejected: Path | None,
    verdicts: Path | None,
    quiet: bool,
) -> ImportReport:
    from crm_core import clock
    from crm_core.imports.operations import import_path

    with _progress(quiet=quiet) as progress:
        return import_path(
            engine,
            path,
            mapping=None if mapping == "exchange" else mapping,
            recorded_at=clock.now(),
            dry_run=dry_run,
            rejected_folder=rejected,
            progress=progress,
            choice=choice,
            verdicts_file=verdicts,
        )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a spinner with the phase and its rows on stderr; yield what moves it."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, quiet=quiet),
        transient=True,
    ) as shown:
        task = shown.add_task("starting", total=None)

        def progress(phase: str, done: int, total: int | None) -> None:
            rows = f": {done:,} rows" if done else ""
            shown.update(task, description=f"{phase}{rows}", total=total)

        yield progress


def _show(report: ImportReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from crm_core.errors import printable

    def shown(text: str) -> str:
        return escape(printable(text))

    console = Console()
    for profile in report.profiles:
        console.print(
            f"[bold]{escape(profile.file)}[/]: {profile.rows:,} rows, {profile.format}"
            f"{', ' + profile.encoding if profile.encoding else ''}, "
            f"{profile.coverage:.0%} of its columns mapped"
        )
    table = Table("table", *(("rows", "inserted", "updated", "unchanged", "rejected", "duplicate")))
    for name, counts in report.tables.items():
        cells = (
            counts.rows,
            counts.inserted,
            counts.updated,
            counts.unchanged,
            counts.rejected,
            counts.duplicate,
        )
        table.add_row(name, *(f"{cell:,}" for cell in cells))
    console.print(table)
    for finding in report.findings:
        where = ".".join(part for part in (finding.table, finding.column) if part)
        told = f" (such as {'; '.join(finding.examples)})" if finding.examples else ""
        console.print(f"  {finding.rows:,} × {shown(where)} {shown(finding.text)}{shown(told)}")
    for rejection in report.rejections[:20]:
        console.print(
            f"  [red]rejected[/] {shown(rejection.file)}, line {rejection.line}: "
            f"{shown(rejection.reason)}"
        )
    for file in report.rejected_files:
        console.print(f"  rejected rows: {escape(str(file))}")
    for line in _outcome(report):
        console.print(line)


def _outcome(report: ImportReport) -> Iterator[str]:
    """Yield what came of it all."""
    for name, changes in report.delta.items():
        told = ", ".join(f"{rows:,} {what.replace('_', ' ')}" for what, rows in changes.items())
        yield f"  since the earlier import, {name}: {told}"
    if report.already_imported:
        yield "These files were imported before; every row was compared again."
    if report.dry_run:
        yield "Dry run: nothing was written."
    elif not report.changed:
        yield "Nothing changed."


def profile_files(
    path: Annotated[Path, typer.Argument(help="A folder, file or workbook of any system.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the proposed mapping here; else it is printed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Look at foreign files and propose a mapping: what each column holds and becomes.

    Nothing is stored. Exit code 1 when the mapping still needs something that it names.
    """
    from crm_core.imports.proposing import propose

    proposal = propose(path)
    if out is not None:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(proposal.yaml)
    if as_json:
        print(json.dumps(proposal.as_json(), ensure_ascii=False, indent=2))
    else:
        _show_proposal(proposal)
        if out is None:
            print(proposal.yaml)
    if not proposal.is_complete:
        raise typer.Exit(1)


def _show_proposal(proposal: Proposal) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from crm_core.errors import printable

    console = Console(stderr=True)
    for file in proposal.files:
        console.print(
            f"[bold]{escape(printable(file.profile.file))}[/]: {file.profile.rows:,} rows, "
            f"taken for {file.table or 'nothing known'}"
        )
        table = Table("column", "holds", "filled", "from", "to", "becomes")
        for match in file.matches:
            source = match.source
            cells = (source.name, match.found.kind, f"{source.filled:,}",
                     source.minimum or "", source.maximum or "", match.target or "–")  # fmt: skip
            table.add_row(*(escape(printable(cell[:40])) for cell in cells))
        console.print(table)
        if file.missing:
            console.print(f"  still needed: {', '.join(file.missing)}")
    console.print(
        f"Coverage: {proposal.coverage:.0%} of the columns that hold data, "
        f"{proposal.cells:.0%} of the filled cells."
    )


def export_files(
    folder: Annotated[Path, typer.Argument(help="A new folder to write one file per table into.")],
    form: Annotated[
        str,
        typer.Option("--format", help="csv (safe to open in a spreadsheet) or parquet (typed)."),
    ] = "csv",
    as_json: Annotated[bool, typer.Option("--json", help="Print the row counts as JSON.")] = False,
) -> None:
    """Export every table of the exchange format; `winward import` of it brings all of it back.

    The folder appears whole or not at all, and must be new or empty.
    """
    from crm_core.imports.exports import export
    from crm_core.settings import load
    from serving.commandline.store import store

    if form not in ("csv", "parquet"):
        raise typer.BadParameter("write csv or parquet", param_hint="--format")
    with store(load()) as engine, _progress(quiet=as_json) as progress:
        counts = export(
            engine, folder, form="csv" if form == "csv" else "parquet", progress=progress
        )
    if as_json:
        print(json.dumps(counts))
        return
    for name, rows in counts.items():
        print(f"{name}: {rows:,}")
