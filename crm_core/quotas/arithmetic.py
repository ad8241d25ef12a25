"""Targets and attainment: pure numbers. No quota is None, never zero."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from crm_core.money import CurrencyMismatch, Money, apply_rate, total
from crm_core.periods import Period, share

_SUNDAY_TO_MONDAY = 7
_WORKING = 5


@dataclass(frozen=True, slots=True)
class Quota:
    """A target over days ``[start, end)`` for somebody who is there the whole time."""

    start: dt.date
    end: dt.date
    amount: Money

    @property
    def days(self) -> int:
        """Number of days the target is for."""
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a target: how much of which quota counts, and for how many of its days."""

    quota: Quota
    days: int
    amount: Money


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
) -> Target | None:
    """Return a person's target in a period, prorated by the days they were there.

    Each part is quota × active days inside the period ÷ days of the quota, rounded once. None
    without an applicable quota, or when the person was not there on any of its days. Raises
    CurrencyMismatch when the parts are in several currencies.
    """
    parts = []
    for quota in applicable(quotas, period):
        window = Period(max(quota.start, period.start), min(quota.end, period.end), period.name)
        days, _ = share(active_from=active_from or window.start, active_to=active_to, period=window)
        if days:
            amount = apply_rate(quota.amount, Decimal(days) / Decimal(quota.days))
            parts.append(Part(quota, days, amount))
    if not parts:
        return None
    return Target(total((p.amount for p in parts), currency=parts[0].amount.currency), tuple(parts))


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


def pacing(*, attained: Decimal | None, elapsed: Decimal | None) -> Decimal | None:
    """Return attainment ÷ the elapsed share of the period; 1 = on course if sales were even.

    None when either is: nothing can be on course to a target that does not exist.
    """
    if attained is None or not elapsed:
        return None
    return attained / elapsed
