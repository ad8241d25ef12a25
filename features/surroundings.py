"""What surrounds the deal: its account, its owner, the season and the company. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.deal import Columns, quarter_bounds, take
from features.fact_tables import DAY, MISSING, Bools, Floats, Ints, Pairs, days_between, local
from features.history import History, positions
from features.rates import Rates
from features.timeline import Ladder, Timeline, superseded

YEAR = 365 * DAY


def account(history: History, pairs: Pairs, rates: Rates) -> Columns:
    """Return the record with the account, shrunk to its industry's, and what it is."""
    code = history.account[pairs.deal]
    ends, states = history.endings, history.account_states
    row = states.row_at(code, pairs.at)
    industry_of = history.once(
        "industries", lambda: np.append(_codes(states.table["industry"]), -1)
    )
    by_industry, _ = rates.theta(
        "account industry",
        lambda: (
            ends,
            industry_of[states.row_at(history.account[ends.deal], ends.counted)],
        ),
        industry_of[row],
        parent=rates.company,
    )
    parent = np.where(np.isnan(by_industry), rates.company, by_industry)
    theta, closed = rates.theta(
        "account", lambda: (ends, history.account[ends.deal]), code, parent=parent
    )
    created = np.append(history.facts.accounts["created_at"].to_numpy(np.int64), MISSING)[code]
    created = np.where(created > pairs.at, MISSING, created)
    return {
        "account_lift": rates.lift(theta),
        "account_closed": np.log1p(closed),
        "account_open_deals": np.where(code < 0, np.nan, _open_of_account(history, pairs, code)),
        "account_tenure_days": days_between(pairs.at, created),
        **_orders(history, pairs, code),
        "account_employees": np.log1p(take(states.numbers("employees"), row)),
        "account_revenue": np.log1p(take(states.numbers("annual_revenue"), row)),
    }


def _codes(values: pd.Series) -> Ints:
    return np.asarray(pd.factorize(values, sort=True)[0], np.int64)


def _open_of_account(history: History, pairs: Pairs, code: Ints) -> Floats:
    """Return the account's other open deals."""

    def build() -> Ladder:
        deal, known = history.births
        ends = history.endings
        return Ladder(
            np.concatenate([history.account[deal], history.account[ends.deal]]),
            np.concatenate([known, ends.known]),
            np.concatenate([np.ones(len(deal)), -ends.sign]),
        )

    ladder = history.once("account load", build)
    return ladder.upto(code, pairs.at)[0] - history.is_open_at(pairs)


def _orders(history: History, pairs: Pairs, code: Ints) -> Columns:
    """Return how many orders stood in the last year and how long ago the last one was."""
    line, signed = history.once("orders", lambda: _order_line(history))
    seen = line.seen(code, pairs.at)
    valid = signed[seen.row]
    recent = valid & (line.occurred[seen.row] > pairs.at[seen.pair] - YEAR)
    last = seen.last(valid)
    when = np.where(last >= 0, line.occurred[last], MISSING) if len(line) else last * 0 + MISSING
    unknown = (code < 0) | (pairs.at < (line.known.min() if len(line) else np.iinfo(np.int64).max))
    return {
        "orders_12m": np.where(unknown, np.nan, seen.count(recent)),
        "days_since_order": days_between(pairs.at, when),
    }


def _order_line(history: History) -> tuple[Timeline, Bools]:
    """Return the timeline of orders by account, and which of them stand as signed."""
    table = history.facts.orders
    recorded = table["recorded_at"].to_numpy(np.int64)
    number = _codes(table["id"])
    line = Timeline(
        positions(history.account_index, table["account_id"]),
        table["ordered_at"].to_numpy(np.int64),
        recorded,
        owners=len(history.account_index),
        until=superseded((number,), recorded),
    )
    return line, np.asarray(table["status"] == "signed", dtype=bool)[line.order]


def rep(history: History, pairs: Pairs, rates: Rates) -> Columns:
    """Return the owner's record, load and tenure; NaN where nobody owns the deal."""
    owner = history.owner_at(pairs)
    ends = history.endings
    theta, _ = rates.theta(
        "owner",
        lambda: (ends, history.owner_at(Pairs(ends.deal, ends.counted))),
        owner,
        parent=rates.company,
    )
    mine = history.is_open_at(pairs)
    births = history.once("owner births", lambda: _births_by_owner(history))
    new = births.upto(owner, pairs.at)[0] - births.upto(owner, pairs.at - 28 * DAY)[0]
    hired = np.append(history.facts.users["hired_at"].to_numpy(np.int64), MISSING)[owner]
    hired = np.where(hired > pairs.at, MISSING, hired)
    nobody = owner < 0
    return {
        "rep_lift": rates.lift(theta),
        "rep_open_deals": np.where(
            nobody, np.nan, history.load_ladder.upto(owner, pairs.at)[0] - mine
        ),
        "rep_new_28": np.where(nobody, np.nan, new),
        "rep_tenure_days": days_between(pairs.at, hired),
    }


def _births_by_owner(history: History) -> Ladder:
    deal, known = history.births
    return Ladder(history.owner_at(Pairs(deal, known)), known, np.ones(len(deal)))


def calendar(history: History, pairs: Pairs, rates: Rates) -> Columns:
    """Return the week of the fiscal quarter and how the company did lately.

    Neither the hour or weekday of creation, nor the month, nor the number of open deals is a
    feature: on a log of months they tell the date, and the date does not extrapolate. The
    company's own rate may only raise the probability (its sign is constrained), so that it
    cannot be used to tell one month from another.
    """
    zone, first_month = history.facts.calendar.time_zone, history.facts.calendar.first_month
    now = local(pairs.at, zone)
    start, _ = quarter_bounds(now, first_month)
    today = now.normalize().to_numpy().astype("datetime64[D]").astype(np.float64)
    return {
        "week_of_quarter": (today - start) // 7 + 1,
        "company_rate": np.where(rates.endings_known, rates.company, np.nan),
        "company_rate_28": rates.recent(28),
    }
