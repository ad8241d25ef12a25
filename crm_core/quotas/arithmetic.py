"""Targets and attainment: pure numbers. No quota is None, never zero."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from crm_core.money import CurrencyMismatch, Money, allocate, apply_rate, total
from crm_core.periods import Period
from crm_core.quotas.presence import Presence, Segment, segments

_SUNDAY_TO_MONDAY = 7
_WORKING = 5


@dataclass(frozen=True, slots=True)
class Change:
    """From ``day`` on the quota is another amount, for ``planned_days`` as in :class:`Quota`."""

    day: dt.date
    amount: Money
    planned_days: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """A target over days ``[start, end)``, and what it became later in the period.

    ``planned_days`` is what the amount is for, in days at full strength; None: every day, for
    somebody who is there the whole time.
    """

    start: dt.date
    end: dt.date
    amount: Money
    planned_days: Decimal | None = None
    changes: tuple[Change, ...] = ()

    @property
    def days(self) -> int:
        """Number of days the target is for."""
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True)
class Share:
    """What one segment of a person's time gets of a quota; shares of a part sum to it exactly."""

    segment: Segment
    amount: Money


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a target: how much of which quota counts, and for how many of its days.

    ``days`` are those the person was there; the shares say where, and at which strength.
    """

    quota: Quota
    days: int
    amount: Money
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a person is measured against in a period: the sum of its parts."""

    amount: Money
    parts: tuple[Part, ...]


def applicable(quotas: Sequence[Quota], period: Period) -> list[Quota]:
    """Return which of one subject's quotas a period is measured by.

    The quota of exactly this period; else those inside it when they fill it without a gap or an
    overlap (four quarters for a year); else the shortest quota that contains it. Otherwise none:
    half a year of quotas is no year's target.
    """
    for quota in quotas:
        if (quota.start, quota.end) == (period.start, period.end):
            return [quota]
    tiling = _tiling(quotas, period)
    if tiling:
        return tiling
    around = [q for q in quotas if q.start <= period.start and q.end >= period.end]
    return [min(around, key=lambda quota: (quota.days, quota.start))] if around else []


def _tiling(quotas: Sequence[Quota], period: Period) -> list[Quota]:
    """Return quotas that fill the period exactly, the longest first where several would."""
    result: list[Quota] = []
    day = period.start
    while day < period.end:
        following = [q for q in quotas if q.start == day and q.end <= period.end]
        if not following:
            return []
        result.append(max(following, key=lambda quota: quota.days))
        day = result[-1].end
    return result


def target(
    quotas: Sequence[Quota],
    *,
    period: Period,
    active_from: dt.date | None,
    active_to: dt.date | None,
    presence: Presence | None = None,
) -> Target | None:
    """Return a person's target in a period, prorated by the days they were there.

    Each part is quota × days there, each at its strength (ramp), ÷ the days the quota is for,
    rounded once; its shares by unit and strength are allocated by largest remainder, so that
    they sum to it. A quota that changed inside the period counts as two. None without an
    applicable quota, or when the person was not there on any of its days. Raises
    CurrencyMismatch when the parts are in several currencies.
    """
    stay = presence or Presence(hired_on=active_from, left_on=active_to)
    parts = []
    for quota in applicable(quotas, period):
        window = Period(max(quota.start, period.start), min(quota.end, period.end), period.name)
        for piece, amount, planned in _pieces(quota, window):
            found = _part(quota, segments(stay, piece), amount, planned)
            if found is not None:
                parts.append(found)
    if not parts:
        return None
    return Target(total((p.amount for p in parts), currency=parts[0].amount.currency), tuple(parts))


def _pieces(quota: Quota, window: Period) -> Iterator[tuple[Period, Money, Decimal]]:
    """Yield the stretches of the window over which the amount does not change."""
    amount, planned, start = quota.amount, quota.planned_days, window.start
    for change in quota.changes:
        if change.day >= window.end:
            break
        if change.day > start:
            yield Period(start, change.day, window.name), amount, planned or Decimal(quota.days)
            start = change.day
        amount, planned = change.amount, change.planned_days
    yield Period(start, window.end, window.name), amount, planned or Decimal(quota.days)


def _part(
    quota: Quota, stretches: Sequence[Segment], amount: Money, planned: Decimal
) -> Part | None:
    weights = [segment.weight for segment in stretches]
    if not sum(weights):
        return None
    whole = apply_rate(amount, sum(weights, Decimal(0)) / planned)
    amounts = allocate(whole, weights)
    shares = tuple(Share(s, m) for s, m in zip(stretches, amounts, strict=True))
    return Part(quota, sum(segment.days for segment in stretches), whole, shares)


def by_unit(targets: Iterable[Target]) -> dict[str | None, Money]:
    """Return what of people's targets falls to each org unit; sums to the targets exactly.

    None is the time they spent in no unit. Raises CurrencyMismatch.
    """
    found: dict[str | None, Money] = {}
    for each in targets:
        for part in each.parts:
            for share in part.shares:
                unit = share.segment.org_unit_id
                before = found.get(unit, Money(0, share.amount.currency))
                found[unit] = before + share.amount
    return found


def attainment(*, booked: Money, target: Money | None) -> Decimal | None:
    """Return booked ÷ target as a fraction (1 = on quota), not capped: 1.4 is 40 % over.

    None without a target or with one of zero or less: absence is not failure. Raises
    CurrencyMismatch.
    """
    if target is None or target.minor <= 0:
        return None
    if booked.currency != target.currency:
        raise CurrencyMismatch(
            f"{booked.currency} cannot be held against a quota in {target.currency}; convert one."
        )
    return Decimal(booked.minor) / Decimal(target.minor)


def working_days(start: dt.date, end: dt.date) -> int:
    """Return the Mondays to Fridays in ``[start, end)``; public holidays count as working."""
    weeks, rest = divmod(max(0, (end - start).days), _SUNDAY_TO_MONDAY)
    first = start.weekday()
    extra = sum(1 for i in range(rest) if (first + i) % _SUNDAY_TO_MONDAY < _WORKING)
    return weeks * _WORKING + extra


def elapsed_share(period: Period, *, day: dt.date) -> Decimal | None:
    """Return the share of the period's working days up to and with ``day``.

    None before the period and for one without a working day.
    """
    whole = working_days(period.start, period.end)
    done = working_days(period.start, min(day + dt.timedelta(days=1), period.end))
    return Decimal(done) / Decimal(whole) if whole and done else None


def expected_share(
    period: Period, *, day: dt.date, season: Sequence[Decimal] = ()
) -> Decimal | None:
    """Return the share of the period's sales that is expected up to and with ``day``.

    Its working days, each weighted by its month: ``season`` holds the share of a year's sales of
    each month from January on, spread evenly over the month's working days. Without a season
    every working day counts the same. None before the period and without a working day.
    """
    if not season:
        return elapsed_share(period, day=day)
    until = min(day + dt.timedelta(days=1), period.end)
    whole = _seasonal(period.start, period.end, season)
    done = _seasonal(period.start, until, season)
    return done / whole if whole and done else None


def _seasonal(start: dt.date, end: dt.date, season: Sequence[Decimal]) -> Decimal:
    result, first = Decimal(0), start.replace(day=1)
    while first < end:
        following = (first + dt.timedelta(days=32)).replace(day=1)
        inside = working_days(max(first, start), min(following, end))
        result += season[first.month - 1] * inside / working_days(first, following)
        first = following
    return result


def pacing(*, attained: Decimal | None, elapsed: Decimal | None) -> Decimal | None:
    """Return attainment ÷ the elapsed share of the period; 1 = on course if sales were even.

    None when either is: nothing can be on course to a target that does not exist.
    """
    if attained is None or not elapsed:
        return None
    return attained / elapsed
