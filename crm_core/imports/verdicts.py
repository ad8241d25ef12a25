"""The verdict on every single row, as a file that a person or a script can filter."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.imports.rejected import FolderUnusable, check_folder, check_place
from crm_core.imports.rows import guard
from crm_core.imports.scratch import quoted
from crm_core.imports.staging import Stage

HEADER = ("file", "line", "table", "id", "verdict", "column", "reason")
_ROWS = 5_000
_WORDS = {
    "inserted": "insert",
    "updated": "update",
    "unchanged": "unchanged",
    "rejected": "reject",
    "duplicate": "duplicate",
}


def check_places(source: Path, rejected_folder: Path | None, verdicts_file: Path | None) -> None:
    """Refuse places for the rejected rows and the verdicts before anything is read."""
    if rejected_folder is not None:
        check_folder(rejected_folder, source)
    if verdicts_file is not None:
        check_file(verdicts_file, source)


def check_file(path: Path, source: Path) -> None:
    """Refuse a place that cannot be written, or that is a file to be imported."""
    where = path.resolve()
    if path.is_dir() or where == source.resolve() or where.parent == source.resolve():
        raise FolderUnusable(f"{path} is a folder or lies among the files to import; name another.")
    check_place(path.parent, "the verdicts")


def write(
    session: Session, path: Path, stages: Iterable[Stage], label: Callable[[Stage], str]
) -> None:
    """Write one line per row of every stage, in the order of the files; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(HEADER)
            for stage in stages:
                _write_stage(session, writer.writerow, stage, label(stage))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_stage(
    session: Session, write_row: Callable[[list[object]], object], stage: Stage, file: str
) -> None:
    key = [f"{quoted(name)}::text" for name in stage.table.key if stage.has(name)]
    shown = f"concat_ws(', ', {', '.join(key)})" if key else "null"
    found = session.execute(
        text(
            f"select _line, {shown}, _verdict, _column, _reason from {stage.name} "
            "order by _line, _n"
        ),
        execution_options={"stream_results": True, "max_row_buffer": _ROWS},
    )
    for part in found.partitions(_ROWS):
        for line, key_text, verdict, column, reason in part:
            texts = [guard(key_text), _WORDS[verdict], guard(column), guard(reason)]
            write_row([guard(file), line, stage.table.name, *texts])
