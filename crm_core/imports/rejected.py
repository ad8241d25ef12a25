"""Files of rejected rows: as the source had them, with the reason, ready to be imported again."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.imports.mapping import FileSpec
from crm_core.imports.rows import IGNORED, guard
from crm_core.imports.scratch import Scratch, quoted
from crm_core.imports.staging import Stage


class FolderUnusable(Invalid):
    """The folder for the rejected rows cannot take them."""


def check_folder(folder: Path, source: Path) -> None:
    """Refuse a folder that cannot be written, or in which a file of the source would be replaced.

    Asked before anything is read, so that hours of judging do not end without their answer.
    """
    resolved = folder.resolve()
    if resolved in (source.resolve(), source.resolve().parent):
        raise FolderUnusable(
            f"{folder} holds the files to import; name another folder for the rejected rows."
        )
    check_place(folder, "the rejected rows")


def check_place(path: Path, what: str) -> None:
    """Refuse a path below something that is no folder or may not be written."""
    place = path.absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise FolderUnusable(f"{place} is not a folder that {what} can be written into.")


def write(
    session: Session,
    scratch: Scratch,
    folder: Path,
    files: dict[str, FileSpec],
    stages: Iterable[Stage],
) -> list[Path]:
    """Write one CSV per source file that had rejected rows; return their paths.

    The header is the source's plus ``winward_line``, ``winward_column`` and ``winward_reason``,
    which the importer ignores. Cells that a spreadsheet would run begin with an apostrophe.
    """
    by_file: dict[str, list[Stage]] = {}
    for stage in stages:
        by_file.setdefault(stage.file, []).append(stage)
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for key, judged in by_file.items():
        if _collect(session, scratch, judged):
            spec = files[key]
            name = PurePosixPath(spec.member or spec.path).stem
            path = folder / f"{name}.csv"
            _write_file(scratch, key, path, spec)
            written.append(path)
    return written


def _collect(session: Session, scratch: Scratch, stages: list[Stage]) -> int:
    """Copy line, column and reason of every rejected row into the scratch database."""
    scratch.rows(
        "create or replace temp table rejects (line bigint, col varchar, reason varchar)",
        "The list of rejected rows",
    )
    total = 0
    for stage in stages:
        found = session.execute(
            text(
                f"select _line, _column, _reason from {stage.name} "
                "where _verdict = 'rejected' order by _line"
            ),
            execution_options={"stream_results": True},
        )
        for part in found.partitions(5_000):
            scratch.insert("rejects", [tuple(row) for row in part])
            total += len(part)
    return total


def _write_file(scratch: Scratch, key: str, path: Path, spec: FileSpec) -> None:
    names = [name for name in scratch.columns(key) if not name.startswith("_")]
    names = [name for name in names if name not in IGNORED]
    cells = ", ".join(f"s.{quoted(name)}" for name in names)
    query = (
        f"select {cells}{',' if cells else ''} s._line, r.col, r.reason from {quoted(key)} s "
        "join (select line, string_agg(col, '; ') as col, string_agg(reason, '; ') as reason "
        "from rejects group by line) r on r.line = s._line order by s._line"
    )
    with path.open("w", encoding=spec.encoding or "utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=spec.delimiter or ",")
        writer.writerow([*names, *IGNORED])
        for batch in scratch.batches(query, "The list of rejected rows"):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                writer.writerow([guard(None if v is None else str(v)) or "" for v in row])
