"""The facts a feature row is made of, as plain frames: what :mod:`features.facts` loads.

Every instant is an int64 of microseconds since 1970 UTC (``MISSING`` where unknown), every id
a text, every missing text None. Nothing here knows a database.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MISSING = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max
SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The company's time zone, the first month of its fiscal year and its currency."""

    time_zone: str
    first_month: int
    currency: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The company's facts known at a time, one frame per table.

    ``opportunities``: id, account_id, pipeline, created_at, recorded_at, source, campaign_id,
    currency, history. ``events``: opportunity_id, field, occurred_at, recorded_at, sequence,
    new_value. ``activities``: id, opportunity_id, kind, occurred_at, recorded_at, user_id,
    contact_id, direction, duration_minutes, outcome. ``opportunity_contacts``: opportunity_id,
    contact_id, role, added_at. ``contacts``: id, seniority. ``accounts``: id, created_at,
    industry, region, country, tier, employees, annual_revenue, custom: as they are now.
    ``account_changes``: account_id, occurred_at, recorded_at, sequence, changes (a JSON text;
    the first of an account is its whole first state). ``orders``: id,
    account_id, ordered_at, recorded_at, status. ``users``: id, hired_at. ``products``: id,
    family. ``stages``: pipeline, stage, position, kind. ``fx_rates``: base, quote, valid_at,
    recorded_at, rate. ``custom_fields``: table_name, name, kind, label_en, label_zh of the
    company's own fields of deals and accounts.
    """

    calendar: Calendar
    opportunities: pd.DataFrame
    events: pd.DataFrame
    activities: pd.DataFrame
    opportunity_contacts: pd.DataFrame
    contacts: pd.DataFrame
    accounts: pd.DataFrame
    orders: pd.DataFrame
    users: pd.DataFrame
    products: pd.DataFrame
    stages: pd.DataFrame
    fx_rates: pd.DataFrame
    custom_fields: pd.DataFrame
    account_changes: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is asked: deals (positions in the history) and the instants they are seen at."""

    deal: Ints
    at: Ints

    def __len__(self) -> int:
        return len(self.deal)


def microseconds(instant: dt.datetime) -> int:
    """Return an instant as microseconds since 1970 UTC, exact."""
    return (instant - _EPOCH) // dt.timedelta(microseconds=1)


def to_microseconds(values: pd.Series[pd.Timestamp]) -> Ints:
    """Return timezone-aware times as microseconds since 1970 UTC; missing ones as MISSING."""
    utc = pd.to_datetime(values, utc=True)
    numbers = utc.astype("datetime64[us, UTC]").astype("int64").to_numpy().astype(np.int64)
    return np.where(utc.isna().to_numpy(), MISSING, numbers)


def to_instants(values: Ints) -> pd.Series[pd.Timestamp]:
    """Return microseconds since 1970 as UTC times of microsecond resolution."""
    times = pd.Series(values.astype("datetime64[us]"))
    return times.dt.tz_localize("UTC")


def local(values: Ints, time_zone: str) -> pd.DatetimeIndex:
    """Return instants on the company's clock, without zone."""
    index = pd.DatetimeIndex(values.astype("datetime64[us]")).tz_localize("UTC")
    return index.tz_convert(time_zone).tz_localize(None)


def days_between(later: Ints, earlier: Ints) -> Floats:
    """Return the days from earlier to later, NaN where either is MISSING."""
    with np.errstate(over="ignore"):
        days = (later - earlier) / DAY
    return np.where((later == MISSING) | (earlier == MISSING), np.nan, days)
