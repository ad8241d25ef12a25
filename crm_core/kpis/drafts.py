"""User-defined metrics as data, and as the same :class:`Metric` that shipped ones are."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from crm_core.kpis.facts import BY_ID
from crm_core.kpis.metric import Aggregation, Direction, Metric, Texts, Unit

PREFIX = "x_"
Way = Literal["sum", "count", "count_distinct", "mean", "median", "share", "ratio"]
"""How a user-defined metric adds up.

``mean`` is Σ value ÷ Σ credited share, ``share`` the part of the rows for which the value holds,
``ratio`` one metric ÷ another.
"""
WAYS: tuple[Way, ...] = get_args(Way)
_AGGREGATIONS: dict[Way, Aggregation] = {
    "sum": "sum", "count": "count", "count_distinct": "distinct", "mean": "average",
    "median": "median", "share": "ratio", "ratio": "quotient",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a metric means. ``value`` and ``filter`` are formulas over the fields of ``fact``.

    A ``ratio`` has a ``numerator`` and a ``denominator``, ids of metrics, instead of a fact.
    """

    id: str
    name_zh: str
    name_en: str
    unit: Unit
    direction: Direction
    way: Way
    fact: str | None = None
    value: str | None = None
    filter: str | None = None
    numerator: str | None = None
    denominator: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the draft as it is stored."""
        return asdict(self)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Draft:
        """Return what was stored."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in names})

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics it is made of."""
        return tuple(part for part in (self.numerator, self.denominator) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A version of a user-defined metric: since when, by whom and why."""

    draft: Draft
    version: int
    valid_from: dt.date
    recorded_at: dt.datetime
    reason: str
    is_retired: bool = False
    owner_id: str | None = None
    user_id: str | None = None

    @property
    def id(self) -> str:
        """The metric's id."""
        return self.draft.id

    def metric(self) -> Metric:
        """Return the definition in the form of the catalogue."""
        draft = self.draft
        fact = None if draft.fact is None else BY_ID[draft.fact]
        return Metric(
            id=draft.id,
            version=self.version,
            names=(draft.name_zh, draft.name_en),
            formulas=sentences(draft),
            unit=draft.unit,
            direction=draft.direction,
            aggregation=_AGGREGATIONS[draft.way],
            source=draft.id,
            event_date="as its parts" if fact is None else fact.event_date,
            credit="as its parts" if fact is None else fact.credit,
            currency_rule="as its parts" if fact is None else fact.currency_rule,
            none_when=_silence(draft),
            since=(f"{self.valid_from} v{self.version}: {self.reason}",),
            parts=draft.parts,
        )


def sentences(draft: Draft) -> Texts:
    """Return how the metric is computed, in words."""
    if draft.way == "ratio":
        said = f"{draft.numerator} ÷ {draft.denominator}"
        return f"{said}。", f"{said}."
    zh, en = BY_ID[draft.fact or ""].names
    if draft.filter:
        zh, en = f"满足 {draft.filter} 的{zh}", f"{en} for which {draft.filter}"
    value = draft.value or ""
    return {
        "sum": (f"{zh}的 {value} 之和。", f"Sum of {value} over {en}."),
        "count": (f"{zh}的数量(按业绩分成计数)。", f"Number of {en}; a half share counts as half."),
        "count_distinct": (f"{zh}中不同 {value} 的个数。", f"Number of different {value} of {en}."),
        "mean": (
            f"{zh}的 {value} 之和 ÷ 业绩分成之和。",
            f"Sum of {value} ÷ sum of credited shares, over {en}.",
        ),
        "median": (f"{zh}的 {value} 的中位数。", f"Median of {value} over {en}."),
        "share": (f"{zh}中 {value} 成立的占比。", f"Share of {en} of which {value} holds."),
    }[draft.way]


def _silence(draft: Draft) -> Texts:
    if draft.way == "ratio":
        return (
            "分母为零,或分子、分母没有数值。",
            "The denominator is zero, or a part has no value.",
        )
    zh, en = BY_ID[draft.fact or ""].names
    return f"期内没有带数值的{zh}。", f"There are no {en} with a value in the period."
