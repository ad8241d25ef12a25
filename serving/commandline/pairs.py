"""Reading the (deal, time) pairs of ``winward score win-rate --pairs FILE``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from crm_core.errors import Invalid
from crm_core.periods import FiscalCalendar
from serving.commandline.times import NotATime, parse_as_of


class NotPairs(Invalid):
    """A file does not hold pairs of a deal and a time; the message names the line."""


def read_pairs(path: Path, *, calendar: FiscalCalendar, now: dt.datetime) -> pd.DataFrame:
    """Return the pairs (``entity_id``, ``as_of``) of a CSV or Parquet file, in its order.

    The file has the columns opportunity_id and as_of; times are read like ``--as-of``. A pair
    that comes twice is kept once. Raises NotPairs.
    """
    try:
        if path.suffix.lower() == ".parquet":
            given = pd.read_parquet(path)
        else:
            given = pd.read_csv(path, dtype="string", encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise NotPairs(f"--pairs {path} cannot be read: {error}") from error
    missing = [name for name in ("opportunity_id", "as_of") if name not in given]
    if missing:
        raise NotPairs(
            f"--pairs {path} has no column {', '.join(missing)}; it needs opportunity_id and as_of."
        )
    pairs = pd.DataFrame(
        {
            "entity_id": given["opportunity_id"].astype("string"),
            "as_of": _moments(given["as_of"], path, calendar=calendar, now=now),
        }
    )
    if pairs["entity_id"].isna().any():
        line = int(pairs["entity_id"].isna().to_numpy().argmax()) + 2
        raise NotPairs(f"--pairs {path}, line {line}: opportunity_id is empty.")
    return pairs.drop_duplicates(ignore_index=True)


def _moments(
    column: pd.Series, path: Path, *, calendar: FiscalCalendar, now: dt.datetime
) -> pd.Series:
    known: dict[object, dt.datetime] = {}
    for line, value in enumerate(column, start=2):
        if value in known:
            continue
        text = value.isoformat() if isinstance(value, dt.datetime | dt.date) else str(value)
        try:
            known[value] = parse_as_of(text, calendar=calendar, now=now)
        except NotATime as error:
            raise NotPairs(f"--pairs {path}, line {line}: {error.message}") from error
    return pd.to_datetime(column.map(known), utc=True)
