"""The three filters: money, numbers and times in a reader's language and the company's zone."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale, dates, numbers

from crm_core.money import Money

ABSENT = "–"
MoneyStyle = Literal["whole", "exact", "compact"]
NumberStyle = Literal["plain", "whole", "one", "percent", "tenths", "points", "decimal"]
TimeStyle = Literal["day", "short", "time", "clock", "month"]

_PATTERNS = {"decimal": "#,##0.000", "whole": "#,##0", "one": "#,##0.#", "tenths": "#,##0.0%"}
_TIMES = {
    "en": {
        "day": "d MMM y", "short": "d MMM", "time": "d MMM y, HH:mm", "clock": "HH:mm",
        "month": "MMM y",
    },
    "zh": {
        "day": "y年M月d日", "short": "M月d日", "time": "y年M月d日 HH:mm", "clock": "HH:mm",
        "month": "y年M月",
    },
}  # fmt: skip


def money(value: Money | None, *, locale: Locale, style: MoneyStyle = "whole") -> str:
    """Return an amount: in whole units (lists), exact to the minor unit, or compact (tiles)."""
    if value is None:
        return ABSENT
    if style == "compact" and abs(value.major) >= 10_000:
        return str(
            numbers.format_compact_currency(
                value.major, value.currency, locale=locale, fraction_digits=1
            )
        )
    if style == "exact":
        return str(numbers.format_currency(value.major, value.currency, locale=locale))
    pattern = numbers.parse_pattern(locale.currency_formats["standard"].pattern)
    pattern.frac_prec = (0, 0)
    return str(pattern.apply(value.major, locale, currency=value.currency, currency_digits=False))


def number(value: float | Decimal | None, *, locale: Locale, style: NumberStyle = "plain") -> str:
    """Return a number; of a fraction ``percent``, ``tenths`` of one, or signed ``points``."""
    if value is None:
        return ABSENT
    if style == "percent":
        if 0 < value < Decimal("0.005"):
            return "<" + str(numbers.format_percent(Decimal("0.01"), locale=locale))
        if Decimal("0.995") < value < 1:
            return ">" + str(numbers.format_percent(Decimal("0.99"), locale=locale))
        return str(numbers.format_percent(value, locale=locale))
    if style == "points":
        return str(numbers.format_decimal(100 * value, format="+0.0;−0.0", locale=locale))
    pattern = _PATTERNS.get(style)
    return str(numbers.format_decimal(value, format=pattern, locale=locale))


def when(
    value: dt.datetime | dt.date | None, *, locale: Locale, zone: ZoneInfo, style: TimeStyle = "day"
) -> str:
    """Return a day, or an instant on the company's clock."""
    if value is None:
        return ABSENT
    pattern = _TIMES["zh" if locale.language == "zh" else "en"][style]
    if isinstance(value, dt.datetime):
        return str(dates.format_datetime(value, pattern, tzinfo=zone, locale=locale))
    return str(dates.format_date(value, pattern, locale=locale))
