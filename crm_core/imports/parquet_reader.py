"""Parquet files, read in batches of bounded size; every value becomes canonical text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crm_core.imports import limits
from crm_core.imports.rows import LINE, PROBLEM, Source

_ROWS = 20_000
_LETTERS = 32 * limits.MEBIBYTE
_LARGEST_FOOTER = 16 * limits.MEBIBYTE


def open_parquet(path: Path, label: str) -> Source:
    """Return a Parquet file. Raises Damaged when it is cut off, Refused for bombs."""
    _check_footer(path, label)
    try:
        described = pq.read_schema(path)
        names = list(described.names)
        limits.check_header(label, names)
        # one copy of a value that repeats: a small file must not become a large memory
        texts = [field.name for field in described if _is_text(field.type)]
        file = pq.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise limits.Damaged(
            f"{label} is a damaged or cut-off Parquet file; write it again."
        ) from error
    try:
        _check_size(path, label, file.metadata)
    except limits.Refused:
        file.close()
        raise
    return Source(label, "parquet", None, None, names, _batches(file, names, label), file.close)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _check_footer(path: Path, label: str) -> None:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 8))
        footer = int.from_bytes(stream.read(4), "little")
    if _LARGEST_FOOTER < footer < path.stat().st_size:
        raise limits.Refused(
            f"{label} needs {footer / limits.MEBIBYTE:.0f} MiB to describe itself: it has too many "
            f"columns or parts; at most {limits.MOST_COLUMNS:,} columns are read."
        )


def _check_size(path: Path, label: str, metadata: pq.FileMetaData) -> None:
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    limits.check_ratio(label, unpacked, path.stat().st_size)


def _batches(file: pq.ParquetFile, names: list[str], label: str) -> Iterator[pa.Table]:
    first = 1
    try:
        for batch in file.iter_batches(batch_size=_ROWS):
            step = _step(batch, label, first)
            for start in range(0, batch.num_rows, step):
                part = batch.slice(start, step)
                yield _text_table(part, names, first, label)
                first += part.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise limits.Damaged(
            f"{label} is damaged after row {first - 1:,}; write it again."
        ) from error


def _step(batch: pa.RecordBatch, label: str, first: int) -> int:
    """Return how many rows become text at once, by their longest values."""
    width = 1
    for column in batch.columns:
        values = column.dictionary if pa.types.is_dictionary(column.type) else column
        if not _is_text(values.type) and not pa.types.is_binary(values.type):
            continue
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > limits.LONGEST_LINE_BYTES:
            raise limits.Refused(
                f"{label}, after row {first - 1:,}: a cell is longer than "
                f"{limits.LONGEST_LINE:,} characters; is this a table?"
            )
        width += longest
    return max(1, min(_ROWS, _LETTERS // width))


def _text_table(batch: pa.RecordBatch, names: list[str], first: int, label: str) -> pa.Table:
    rows = batch.num_rows
    columns = [_as_text(batch.column(position)) for position in range(len(names))]
    for name, column in zip(names, columns, strict=True):
        _check_text(column, name, first, label)
    lines = pa.array(range(first, first + rows), pa.int64())
    return pa.table([lines, pa.nulls(rows, pa.string()), *columns], names=[LINE, PROBLEM, *names])


def _check_text(column: pa.Array, name: str, first: int, label: str) -> None:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise limits.Refused(
            f"{label}, column {limits.shown(name)!r} after row {first - 1:,}: a value is not "
            "UTF-8 text; write the file again."
        ) from error
    found = pc.index(pc.match_substring(column, "\x00"), True).as_py()
    if found >= 0:
        raise limits.Refused(
            f"{label}, row {first + found:,}, column {limits.shown(name)!r} holds a NUL character, "
            "which no text can; write the file again without it."
        )


def _as_text(column: pa.Array) -> pa.Array:
    """Return a column as text: whole floats without a fraction, times in ISO 8601."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        text = pc.cast(column, pa.timestamp(kind.unit)).cast(pa.string())
        return pc.binary_join_element_wise(text, "+00:00", "") if kind.tz else text
    if pa.types.is_floating(kind):
        text = column.cast(pa.float64()).cast(pa.string())
        return pc.replace_substring_regex(text, r"\.0$", "")
    if pa.types.is_binary(kind) or pa.types.is_nested(kind):
        return pc.cast(
            pa.array([None if v is None else str(v) for v in column.to_pylist()]), pa.string()
        )
    return column.cast(pa.string())
