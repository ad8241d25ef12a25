"""Amounts in the company's currency, by the rate of a named day, in SQL and in Python.

A file of its own beside ``queries.py``: these are expressions that metrics put into their own
statements, so that a converted sum is one query and every row is rounded once, half even, as
:mod:`crm_core.money` rounds.

The rule names are ``transaction_date`` (the day of the fact) and ``as_of`` (the day of the
question, for what is still open). The rate in force on a day is the latest with ``valid_from``
on or before it; without one for the pair, the inverse pair's; without either, the amount has no
value in the company's currency, and no rate is guessed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from babel.numbers import list_currencies
from sqlalchemy import CTE, ColumnElement, Numeric, Select, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.money import Money, convert, from_major, minor_digits
from crm_core.orders.models import FxRate

_EXACT = Numeric(60, 20)
"""Wide enough that a division keeps 20 decimals; PostgreSQL's default may keep only four."""

_UNUSUAL = {code: minor_digits(code) for code in sorted(list_currencies())}
_UNUSUAL = {code: digits for code, digits in _UNUSUAL.items() if digits != 2}

Expression = ColumnElement[Any]


def half_even(value: Expression) -> Expression:
    """Return the nearest integer, ties to even, as :func:`crm_core.money.round_half_even`."""
    half = literal(Decimal("0.5"), Numeric)
    is_tie = func.abs(value - func.trunc(value)) == half
    return case((is_tie, 2 * func.round(value * half)), else_=func.round(value))


def minor_per_major(currency: Expression) -> Expression:
    """Return how many minor units one major unit of the currency in that column has."""
    by_digits: dict[int, list[str]] = {}
    for code, digits in _UNUSUAL.items():
        by_digits.setdefault(digits, []).append(code)
    whens = [
        (currency.in_(codes), literal(Decimal(10) ** digits, Numeric))
        for digits, codes in sorted(by_digits.items())
    ]
    return case(*whens, else_=literal(Decimal(100), Numeric))


def major(minor: Expression, currency: Expression) -> Expression:
    """Return the exact decimal in major units of an amount in minor units."""
    return cast(minor, _EXACT) / minor_per_major(currency)


def valued(rows: Select[Any], *, to: str, name: str, known_at: dt.datetime) -> CTE:
    """Return rows with their ``value``: minor units of currency ``to``, rounded once.

    ``rate`` is the rate it was converted at (null where none was needed or known), in units of
    ``to`` per unit where ``rate_is_direct``, else the other way round.

    The rows have columns ``major`` (decimal or null), ``currency`` and ``rate_day``. The value is
    null where the amount is, or where no rate is known for the pair on that day. The steps are
    materialised, so that no rate is looked up twice for one row. Rates recorded after
    ``known_at`` are not looked at.
    """
    given = rows.subquery(f"{name}_given")
    is_direct = (FxRate.base == given.c.currency) & (FxRate.quote == to)
    is_inverse = (FxRate.base == to) & (FxRate.quote == given.c.currency)
    rate = (
        select(FxRate.rate, is_direct.label("is_direct"))
        .where(
            is_direct | is_inverse,
            FxRate.valid_from <= given.c.rate_day,
            FxRate.recorded_at <= known_at,
        )
        .order_by(is_direct.desc(), FxRate.valid_from.desc(), FxRate.recorded_at.desc())
        .limit(1)
        .lateral(f"{name}_rate")
    )
    exact = cast(given.c.major, _EXACT)
    converted = case(
        (given.c.currency == to, exact),
        (rate.c.is_direct, exact * rate.c.rate),
        else_=exact / rate.c.rate,
    )
    scale = literal(Decimal(10) ** minor_digits(to), Numeric)
    stepped = (
        select(
            given,
            rate.c.rate.label("rate"),
            rate.c.is_direct.label("rate_is_direct"),
            (converted * scale).label("exact"),
        )
        .outerjoin(rate, given.c.currency != to)
        .cte(f"{name}_exact")
        .prefix_with("MATERIALIZED")
    )
    return select(stepped, half_even(stepped.c.exact).label("value")).cte(name)


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates into one currency in force on one day; ``divisors`` are of pairs given inversely.

    An amount is divided by a divisor, as in SQL: multiplying by its reciprocal could turn a tie.
    """

    to: str
    by_currency: Mapping[str, Decimal]
    divisors: Mapping[str, Decimal] = field(default_factory=dict)

    def convert(self, amount: Money) -> Money | None:
        """Return the amount in currency ``to``; None when no rate is known."""
        if amount.currency == self.to:
            return amount
        rate = self.by_currency.get(amount.currency)
        if rate is not None:
            return convert(amount, rate=rate, to=self.to)
        divisor = self.divisors.get(amount.currency)
        return None if divisor is None else from_major(amount.major / divisor, self.to)


def rates(session: Session, *, to: str, day: dt.date, known_at: dt.datetime) -> Rates:
    """Return every rate into currency ``to`` on a day, as known at a time, by one query."""
    found = session.execute(
        select(FxRate.base, FxRate.quote, FxRate.rate)
        .ext(distinct_on(FxRate.base, FxRate.quote))
        .where(
            (FxRate.base == to) | (FxRate.quote == to),
            FxRate.valid_from <= day,
            FxRate.recorded_at <= known_at,
        )
        .order_by(FxRate.base, FxRate.quote, FxRate.valid_from.desc(), FxRate.recorded_at.desc())
    ).all()
    inverse = {quote: rate for base, quote, rate in found if base == to}
    direct = {base: rate for base, quote, rate in found if quote == to}
    return Rates(to, direct, inverse)
