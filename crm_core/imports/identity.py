"""The mapping of a folder that is already in the exchange format: every column to itself."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from crm_core import exchange
from crm_core.errors import Invalid, NotFound
from crm_core.imports import limits, readers
from crm_core.imports.exports import KINDS_FILE
from crm_core.imports.mapping import CustomKind, Mapping
from crm_core.imports.rows import IGNORED, LINE

NAME = "exchange"
_ENDINGS = (".csv", ".parquet", ".xlsx", ".tsv", ".txt")


class MissingColumn(Invalid):
    """A table of the exchange format lacks a column that it must have."""


def build(path: Path) -> tuple[Mapping, list[str]]:
    """Return the mapping of a folder (or one file) and the files in it that are no table.

    Raises NotFound when no file is named after a table, MissingColumn naming file and column.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist; give the folder or file to import.")
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    names = {table.name for table in exchange.TABLES}
    files: dict[str, object] = {}
    tables: list[dict[str, object]] = []
    ignored: list[str] = []
    kinds = _kinds(candidates)
    for file in candidates:
        if not file.is_file() or file.suffix.lower() not in _ENDINGS:
            continue
        if file.stem == KINDS_FILE:
            continue
        if file.stem not in names:
            ignored.append(file.name)
            continue
        if file.stem in files:
            raise Invalid(f"{path} holds {file.stem} twice; keep one of the files.")
        files[file.stem] = {"path": file.name, "trim": False}
        tables.append(_table(file, kinds))
    if not tables:
        raise NotFound(
            f"{path} holds no table of the exchange format (accounts.csv, orders.parquet, …); "
            "give a mapping with --mapping, or see docs/imports.md."
        )
    order = {table.name: position for position, table in enumerate(exchange.TABLES)}
    tables.sort(key=lambda item: order[str(item["table"])])
    mapping = Mapping.model_validate({"name": NAME, "files": files, "tables": tables})
    return mapping, ignored


def _kinds(candidates: list[Path]) -> dict[tuple[str, str], str]:
    """Return what the custom fields hold, where an export's ``custom_fields`` file says so."""
    kinds = {}
    for file in candidates:
        if file.stem != KINDS_FILE or file.suffix.lower() not in _ENDINGS:
            continue
        with readers.open_source(file, file.name, readers.Options()) as source:
            for row in (row for batch in source.batches for row in batch.to_pylist()):
                table, name, kind = (row.get(column) for column in ("table", "name", "kind"))
                if kind not in get_args(CustomKind):
                    raise Invalid(
                        f"{file.name}, line {row[LINE]}: {kind!r} is not a kind of custom field; "
                        f"write one of {', '.join(get_args(CustomKind))}."
                    )
                kinds[str(table), str(name)] = str(kind)
    return kinds


def _table(file: Path, kinds: dict[tuple[str, str], str]) -> dict[str, object]:
    table = exchange.table(file.stem)
    with readers.open_source(file, file.name, readers.Options()) as source:
        present = [name for name in source.names if name not in IGNORED]
    for column in table.columns:
        if column.required and column.name not in present:
            raise MissingColumn(
                f"{file.name} has no column {column.name!r}, which every {table.name} file must "
                f"have; it has {', '.join(map(limits.shown, present[:30]))}."
            )
    columns = {column.name: column.name for column in table.columns if column.name in present}
    custom = {
        name: {"column": name, "kind": kinds.get((table.name, name))}
        for name in present
        if table.custom_fields and name.startswith("x_")
    }
    return {"table": table.name, "from": table.name, "columns": columns, "custom": custom}
