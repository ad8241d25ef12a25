"""Files of one row per subject that leave the program: CSV or Parquet, whole or not at all."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

import pandas as pd

from crm_core.errors import Invalid

ENDINGS = (".csv", ".parquet")
_FORMULA = re.compile(r"^(?:[=@\t\r]|[+-](?!\d+(?:[.,]\d+)?$))")


class NotATableFile(Invalid):
    """The ending or the folder of the file does not allow it to be written."""


def check_target(path: Path) -> None:
    """Raise NotATableFile unless the path can take a table: said before any work is done."""
    if path.suffix.lower() not in ENDINGS:
        raise NotATableFile(f"--out {path} must end in .csv or .parquet.")
    if not path.absolute().parent.is_dir():
        raise NotATableFile(f"--out {path}: its folder does not exist; make it first.")


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame whole or not at all: it is renamed into place when it is complete.

    A CSV text that a spreadsheet would run as a formula is led by an apostrophe. Exact decimals
    stay exact in both forms.
    """
    check_target(path)
    with tempfile.NamedTemporaryFile(
        dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
    ) as file:
        partial = Path(file.name)
    try:
        if path.suffix.lower() == ".csv":
            harmless = frame.apply(lambda column: column.map(_harmless, na_action="ignore"))
            harmless.to_csv(partial, index=False, encoding="utf-8", lineterminator="\n")
        else:
            frame.to_parquet(partial, index=False)
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        raise


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
