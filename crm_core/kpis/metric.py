"""What a metric is: its name, formula in words, unit, event date and when it is None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crm_core.errors import NotFound

Texts = tuple[str, str]
"""The same sentence in zh-CN and English."""
Unit = Literal["money", "ratio", "days", "hours", "count"]
Direction = Literal["higher", "lower", "neither"]
Aggregation = Literal[
    "sum", "count", "distinct", "ratio", "average", "median", "survival", "pace", "derived",
    "quotient",
]  # fmt: skip
"""How rows become a number.

``ratio`` and ``average`` are Σ value ÷ Σ weight; ``survival`` reads a curve off rows whose value is
the outcome (1, 0, none yet) at the age ``weight``; ``pace`` is rows × mean value ÷ median weight;
``derived`` is computed from a quota and other metrics. ``distinct`` counts different labels and
``quotient`` is one metric ÷ another; only user-defined metrics are of these two.
"""
Goal = Literal["bookings", "invoiced", "cash_received", "gross_margin", "new_customers"]
"""What a quota may be for."""
Form = Literal["attainment", "pacing", "gap", "coverage", "pipeline_needed"]
"""What is computed of a quota."""

FIRST = ("2026-11 v1: first definition",)
CREDITED = "revenue credits of the order by share; without any, its owner whole"
AT_ORDER = "transaction_date: the rate in force on ordered_on"


class UnknownMetric(NotFound):
    """There is no metric of that name in the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One definition; every pair of texts is (zh-CN, English).

    ``goal`` and ``form`` say what of which quota a derived metric is; ``curve_days`` at which age
    a survival curve is read (0: where it crosses one half).
    """

    id: str
    version: int = 1
    names: Texts
    formulas: Texts
    unit: Unit
    direction: Direction
    aggregation: Aggregation
    source: str
    event_date: str
    credit: str
    currency_rule: str
    none_when: Texts
    since: tuple[str, ...] = FIRST
    parts: tuple[str, ...] = ()
    goal: Goal | None = None
    form: Form | None = None
    curve_days: int | None = None

    def name(self, locale: str) -> str:
        """Return the name in the locale's language, English unless Chinese."""
        return self.names[0 if _is_chinese(locale) else 1]

    def formula(self, locale: str) -> str:
        """Return the formula sentence in the locale's language."""
        return self.formulas[0 if _is_chinese(locale) else 1]


def _is_chinese(locale: str) -> bool:
    return locale.lower().startswith("zh")
