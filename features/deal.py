"""What the deal's own record says: momentum, dates, money, process, belief. Pure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.fact_tables import DAY, MISSING, Floats, Ints, Pairs, days_between, local
from features.history import ON_HOLD, Endings, History
from features.rates import Rates, reached
from features.timeline import Ladder, Seen, Timeline

Columns = dict[str, Floats]
_CATEGORY_LEVELS = {
    "omitted": -1, "pipeline": 0, "best_case": 1, "most_likely": 2, "commit": 3, "closed": 4,
}  # fmt: skip
_WEEK = 7 * DAY
_LAST_VALUES = 500


def _nan_where(missing: np.ndarray, values: Floats) -> Floats:
    return np.where(missing, np.nan, values)


def take(values: np.ndarray, row: Ints, *, missing: float = np.nan) -> Floats:
    """Return the value of each row as a number, ``missing`` where the row is -1."""
    if not len(values):
        return np.full(len(row), missing)
    return np.where(row >= 0, values[row], missing)


def running_median(key: Ints, known: Ints, values: Floats, asked: Ints, at: Ints) -> Floats:
    """Return the median of the key's last values known at the Monday before each instant.

    NaN until five are known. Taken weekly, so that a past answer never changes.
    """
    week = at // _WEEK
    order = np.lexsort((known, key))
    key, known, values = key[order], known[order], values[order]
    result = np.full(len(asked), np.nan)
    questions, where = np.unique(np.stack([asked, week]), axis=1, return_inverse=True)
    answers = np.full(questions.shape[1], np.nan)
    for number in range(questions.shape[1]):
        one, monday = questions[0, number], questions[1, number] * _WEEK
        low, high = np.searchsorted(key, [one, one + 1])
        end = low + int(np.searchsorted(known[low:high], monday, side="right"))
        if one >= 0 and end - low >= 5:
            answers[number] = np.median(values[max(low, end - _LAST_VALUES) : end])
    result[:] = answers[where.ravel()]
    return result


def momentum(history: History, pairs: Pairs, rates: Rates) -> Columns:
    """Return where the deal stands, how it moved there and how that compares."""
    stage, entered = history.stage_at(pairs)
    age = days_between(pairs.at, history.created[pairs.deal])
    in_stage = days_between(pairs.at, entered)
    usual = running_median(*history.dwell, stage, pairs.at)
    ends = history.endings
    wins = (ends.sign > 0) & ends.won
    cycle = days_between(ends.occurred[wins], history.created[ends.deal[wins]])
    whole, asked = np.zeros(int(wins.sum()), np.int64), np.zeros(len(pairs), np.int64)
    usual_cycle = running_median(whole, ends.known[wins], cycle, asked, pairs.at)
    return {
        "stage_code": _nan_where(stage < 0, stage.astype(np.float64)),
        "stage_progress": take(history.stages.progress, stage),
        "stage_lift": _stage_lift(history, stage, rates),
        "days_in_stage": in_stage,
        "days_in_stage_ratio": in_stage / np.maximum(usual, 0.25),
        "days_to_stage": np.maximum(age - in_stage, 0),
        "deal_age_days": age,
        "deal_age_ratio": age / np.maximum(usual_cycle, 0.25),
        "is_on_hold": _nan_where(stage < 0, (history.kind_of(stage) == ON_HOLD).astype(float)),
        **_moves(history, pairs),
    }


def _stage_lift(history: History, stage: Ints, rates: Rates) -> Floats:
    """Return the lift of the deals that had reached the same stage."""
    theta, _ = rates.theta("stage", lambda: _reached_stages(history), stage, parent=rates.company)
    return rates.lift(theta)


def _reached_stages(history: History) -> tuple[Endings, Ints]:
    line, number = history.stage_line
    met = pd.DataFrame({"deal": line.owner, "stage": number, "known": line.known})
    met = met[number >= 0].sort_values("known").drop_duplicates(["deal", "stage"])
    return reached(
        history.endings,
        met["deal"].to_numpy(np.int64),
        met["stage"].to_numpy(np.int64),
        met["known"].to_numpy(np.int64),
    )


def _moves(history: History, pairs: Pairs) -> Columns:
    """Return how often the stage changed, went back and was skipped."""
    line, stage = history.stage_line
    seen = line.seen(pairs.deal, pairs.at)
    follows = seen.follows()
    now = stage[seen.row]
    before = np.roll(now, 1)
    moved = follows & (now != before)
    rank = take(history.stages.rank, now)
    jump = rank - take(history.stages.rank, np.where(follows, before, -1))
    recent = line.occurred[seen.row] > pairs.at[seen.pair] - 28 * DAY
    return {
        "stage_moves": seen.count(moved),
        "stage_moves_28": seen.count(moved & recent),
        "stage_regressions": seen.count(moved & (jump < 0)),
        "stages_skipped": seen.total(np.where(moved & (jump > 1), jump - 1, 0.0)),
    }


def _changes(line: Timeline, pairs: Pairs, values: Floats) -> tuple[Seen, Floats, Floats, Floats]:
    """Return what is seen, the current and first value, and the steps between values."""
    seen = line.seen(pairs.deal, pairs.at)
    now = values[seen.row]
    step = np.where(seen.follows(), now - np.roll(now, 1), np.nan)
    filled = ~np.isnan(now)
    return seen, take(values, seen.last()), take(values, seen.first(filled)), step


def dates(history: History, pairs: Pairs) -> Columns:
    """Return what the expected close date says and how it moved, in days."""
    line, number = history.once("close dates", lambda: _close_dates(history))
    seen, close_on, _, step = _changes(line, pairs, number)
    pushed, pulled = step > 0, step < 0
    zone, first_month = history.facts.calendar.time_zone, history.facts.calendar.first_month
    today = _day_number(local(pairs.at, zone))
    created = _day_number(local(history.created[pairs.deal], zone))
    quarter_start, quarter_end = quarter_bounds(local(pairs.at, zone), first_month)
    none = np.isnan(close_on)
    ahead = np.where(none, 0, close_on + 1).astype("datetime64[D]")
    starts, _ = quarter_bounds(pd.DatetimeIndex(ahead), first_month)
    return {
        "close_date_pushes": seen.count(pushed),
        "close_date_pulls": seen.count(pulled),
        "days_pushed": seen.total(np.where(pushed, step, 0.0)),
        "days_to_close_date": close_on - today,
        "days_overdue": _nan_where(none, np.maximum(today - close_on, 0)),
        "closes_this_quarter": _nan_where(
            none, ((close_on >= quarter_start) & (close_on < quarter_end)).astype(float)
        ),
        "closes_on_period_end": _nan_where(none, (starts == close_on + 1).astype(float)),
        "planned_days": close_on - created,
    }


def _close_dates(history: History) -> tuple[Timeline, Floats]:
    """Return the timeline of expected close dates as day numbers, NaN where emptied."""
    line, text = history.events("expected_close_on")
    day = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    return line, np.asarray((day - pd.Timestamp("1970-01-01")).dt.days, np.float64)


def _day_number(times: pd.DatetimeIndex) -> Floats:
    return times.normalize().to_numpy().astype("datetime64[D]").astype(np.float64)


def quarter_bounds(times: pd.DatetimeIndex, first_month: int) -> tuple[Floats, Floats]:
    """Return the first day of each time's fiscal quarter and of the next one, as day numbers."""
    months = times.year.to_numpy() * 12 + times.month.to_numpy() - 1
    start = months - (months - (first_month - 1)) % 3
    since = start - 1970 * 12
    first = since.astype("datetime64[M]").astype("datetime64[D]")
    after = (since + 3).astype("datetime64[M]").astype("datetime64[D]")
    return first.astype(np.float64), after.astype(np.float64)


def money(history: History, pairs: Pairs) -> Columns:
    """Return the amount in the company's currency, its course, and the owner's usual."""
    line, text = history.events("amount")
    amount = history.once(
        "amounts", lambda: pd.to_numeric(text, errors="coerce").to_numpy(np.float64)
    )
    seen, current, first, step = _changes(line, pairs, amount)
    rate = _exchange_rate(history, pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        logged = np.log1p(np.where(current >= 0, current * rate, np.nan))
        change = np.log((current + 1) / (first + 1))
    return {
        "amount_log": logged,
        "amount_vs_rep": logged - _usual_amount(history, pairs, line, amount),
        "amount_ups": seen.count(step > 0),
        "amount_downs": seen.count(step < 0),
        "amount_change": change,
    }


def _exchange_rate(history: History, pairs: Pairs) -> Floats:
    """Return units of the company's currency per unit of the deal's, NaN without a rate.

    The rate in force by then as it was known then: a later correction of it changes nothing.
    """
    home = history.facts.calendar.currency
    currency = history.deals["currency"].to_numpy(object)[pairs.deal]
    rate = np.where(currency == home, 1.0, np.nan)
    table = history.facts.fx_rates
    for foreign in pd.unique(currency[currency != home]):
        for base, quote, power in ((foreign, home, 1.0), (home, foreign, -1.0)):
            use = table[(table["base"] == base) & (table["quote"] == quote)]
            known, row = _in_force(use["valid_at"].to_numpy(), use["recorded_at"].to_numpy())
            last = np.searchsorted(known, pairs.at, side="right") - 1
            found = take(use["rate"].to_numpy(np.float64)[row] ** power, last)
            rate = np.where((currency == foreign) & np.isnan(rate), found, rate)
    return rate


def _in_force(valid: Ints, recorded: Ints) -> tuple[Ints, Ints]:
    """Return the instants at which a rate became known, and which row counts from each on.

    The one valid the latest; of the same day, the one recorded the latest.
    """
    best = np.lexsort((recorded, valid))
    known = np.maximum(valid, recorded)[best]
    order = np.argsort(known, kind="stable")
    return known[order], best[np.maximum.accumulate(order)]


def _usual_amount(history: History, pairs: Pairs, line: Timeline, amount: Floats) -> Floats:
    """Return the mean log of first amounts of the owner's deals, shrunk to the company's."""
    of_company, of_owner = history.once(
        "first amounts", lambda: _amount_ladders(history, line, amount)
    )
    company = of_company.upto(np.zeros(len(pairs), np.int64), pairs.at)
    owner = history.owner_at(pairs)
    own = of_owner.upto(owner, pairs.at)
    with np.errstate(invalid="ignore"):
        mean = company[1] / company[0]
    return _nan_where(owner < 0, (own[1] + 5 * mean) / (own[0] + 5))


def _amount_ladders(history: History, line: Timeline, amount: Floats) -> tuple[Ladder, Ladder]:
    """Return the running count and sum of logged first amounts, of the company and by owner."""
    filled = np.flatnonzero(amount >= 0)
    order = filled[np.lexsort((line.known[filled], line.owner[filled]))]
    opening = order[np.unique(line.owner[order], return_index=True)[1]]
    at = Pairs(line.owner[opening], line.known[opening])
    logged = np.log1p(amount[opening] * _exchange_rate(history, at))
    use = ~np.isnan(logged)
    at, logged = Pairs(at.deal[use], at.at[use]), logged[use]
    ones, nobody = np.ones(len(logged)), np.zeros(len(logged), np.int64)
    owner = history.owner_at(at)
    return Ladder(nobody, at.at, ones, logged), Ladder(owner, at.at, ones, logged)


def process(history: History, pairs: Pairs) -> Columns:
    """Return how complete the record is and how it was kept."""
    empty = np.zeros(len(pairs))
    for name in ("amount", "expected_close_on", "product_id"):
        line, value = history.events(name)
        last = line.seen(pairs.deal, pairs.at).last()
        filled = value.notna().to_numpy()
        empty += ~(take(filled, last, missing=0.0) > 0)
    empty += history.deals["source"].isna().to_numpy()[pairs.deal]
    empty += history.account[pairs.deal] < 0
    line, owner = history.owner_line
    seen = line.seen(pairs.deal, pairs.at)
    changed = seen.follows() & (owner[seen.row] != np.roll(owner[seen.row], 1))
    line = history.change_line
    latest = line.seen(pairs.deal, pairs.at)
    recent = line.occurred[latest.row] > pairs.at[latest.pair] - _WEEK
    last = latest.last()
    moment = np.where(last >= 0, line.occurred[last], MISSING) if len(line) else last * 0 + MISSING
    without = (history.deals["history"] == "none").to_numpy()[pairs.deal]
    return {
        "missing_fields": empty,
        "owner_changes": seen.count(changed),
        "changes_7": latest.count(recent),
        "days_since_change": days_between(pairs.at, moment),
        "history_none": without.astype(np.float64),
    }


def belief(history: History, pairs: Pairs) -> Columns:
    """Return what the owner believes: the forecast category and how often it changed."""
    line, text = history.events("forecast_category")
    level = np.asarray(text.map(_CATEGORY_LEVELS), dtype=np.float64)
    seen, current, _, step = _changes(line, pairs, level)
    return {
        "forecast_category": current,
        "forecast_category_changes": seen.count(step != 0) - seen.count(np.isnan(step)),
    }
