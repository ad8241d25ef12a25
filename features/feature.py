"""What one feature is: its place in an explanation and its words for sellers, in two languages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
Unit = Literal[
    "count", "days", "minutes", "flag", "share", "ratio", "log_amount", "log_count", "log_ratio",
    "log_odds", "number", "hour", "weekday", "month", "week", "code", "level", "days_until",
]  # fmt: skip
"""How a value reads. ``log_odds`` is a lift over the company's own rate (0 = average); ``code``
is the order in which a category first appeared; ``level`` an ordered choice; ``days_until`` the
days to a day ahead (below 0: it has passed)."""
FieldKind = Literal["number", "date", "boolean", "category", "text"]
"""What a company's own field holds."""

WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
LEVELS = {
    "en": ("omitted", "pipeline", "best case", "most likely", "commit", "closed"),
    "zh": ("不计入", "管道", "最佳情况", "很可能", "承诺", "已结单"),
}
LEANS = {
    ("en", True): "{fact}; similar deals were won more often",
    ("en", False): "{fact}; similar deals were won less often",
    ("zh", True): "{fact}；类似商机的赢单率较高",
    ("zh", False): "{fact}；类似商机的赢单率较低",
}
"""How a fact and its direction are said together: an association, never a cause."""


@dataclass(frozen=True, slots=True)
class Group:
    """A family of features that an explanation adds up to one reason."""

    name: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class OwnField:
    """A company's own field: its kind, and what the company calls it (None: by its name)."""

    kind: FieldKind
    en: str | None = None
    zh: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a frame.

    ``monotone`` is +1 or -1 where more of it may only raise or lower the probability, else 0.
    ``belief`` marks what a person entered as opinion; the model for coaching leaves it out.
    ``undated`` marks what rests on a value as it is today, because no history of it is read:
    whoever trains must trust it less (``training.leakage``).
    ``fact_en`` and ``fact_zh`` state the fact with the slot ``{value}``; ``zero_*`` states it
    when the value is 0 and ``missing_*`` when it is not known (empty: no sentence).
    """

    name: str
    group: str
    unit: Unit
    en: str
    zh: str
    fact_en: str
    fact_zh: str
    monotone: int = 0
    belief: bool = False
    undated: bool = False
    zero_en: str = ""
    zero_zh: str = ""
    missing_en: str = ""
    missing_zh: str = ""
    dtype: str = "float64"

    @property
    def is_category(self) -> bool:
        """Whether the number is only a name: its order means nothing by itself."""
        return self.unit == "code"

    def label(self, language: Language) -> str:
        """Return the name of the feature in sellers' words."""
        return self.zh if language == "zh" else self.en

    def show(self, value: float, language: Language, *, category: str | None = None) -> str:
        """Return the value as a seller reads it; ``category`` names a coded value."""
        if self.unit == "code":
            return category if category is not None else f"#{value:.0f}"
        if self.unit == "weekday":
            return WEEKDAYS[language][int(value) % 7]
        if self.unit == "level":
            return LEVELS[language][min(max(int(value) + 1, 0), len(LEVELS["en"]) - 1)]
        if self.unit == "hour":
            return f"{int(value):02d}:00"
        if self.unit == "share":
            return f"{100 * value:.0f} %"
        if self.unit == "log_odds":
            return f"{math.exp(value):.2f}"
        if self.unit == "days_until":
            return _day_ahead(value, language)
        return _plain(self.unit, value)

    def fact(self, value: float, language: Language, *, category: str | None = None) -> str:
        """Return the fact as a sentence, empty when there is nothing to say about it."""
        chinese = language == "zh"
        if math.isnan(value):
            return self.missing_zh if chinese else self.missing_en
        zero = self.zero_zh if chinese else self.zero_en
        if value == 0 and zero:
            return zero
        template = self.fact_zh if chinese else self.fact_en
        return template.format(value=self.show(value, language, category=category))

    def reason(
        self, value: float, language: Language, *, rises: bool, category: str | None = None
    ) -> str:
        """Return the fact with its direction in the record, empty when there is no fact.

        A record better than average is never given as what goes with a lower probability, nor
        the reverse: beside the other facts it may weigh so, but alone it would mislead.
        """
        if self.unit == "log_odds" and (value > 0) != rises:
            return ""
        fact = self.fact(value, language, category=category)
        return LEANS[(language, rises)].format(fact=fact) if fact else ""


def _day_ahead(days: float, language: Language) -> str:
    """Return the distance of a day in words; within half a day it is today."""
    whole = f"{abs(days):,.0f}"
    if whole == "0":
        return {"en": "today", "zh": "今天"}[language]
    noun = "day" if whole == "1" else "days"
    if days > 0:
        return {"en": f"in {whole} {noun}", "zh": f"{whole} 天后"}[language]
    return {"en": f"{whole} {noun} ago", "zh": f"{whole} 天前"}[language]


def _plain(unit: Unit, value: float) -> str:
    """Return a number without noise: logs undone, no decimals from ten on."""
    if unit in ("log_amount", "log_count"):
        value = math.expm1(value)
    elif unit == "log_ratio":
        value = math.exp(value)
    if value == int(value) or abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if unit in ("days", "minutes", "count") else f"{value:.2f}"
