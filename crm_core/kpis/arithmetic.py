"""From sums to a metric's value: pure numbers, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from crm_core.kpis.catalogue import Metric
from crm_core.money import Money, round_half_even
from crm_core.quotas.arithmetic import attainment, pacing

Texts = tuple[str, str]
"""The same sentence in zh-CN and English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """The sums over a metric's rows. Money is in minor units; ``valued`` rows have a value.

    ``unrecorded`` says which facts were never recorded, so that a sum over them is not zero.
    """

    rows: int
    valued: int
    value: Decimal | None
    weight: Decimal | None
    median: Decimal | None
    unpriced: int
    unpriced_currency: str | None
    unrecorded: Texts | None = None


EMPTY = Aggregate(
    rows=0, valued=0, value=None, weight=None, median=None, unpriced=0, unpriced_currency=None
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A metric's value, or why there is none.

    ``value`` is in natural units: major units of ``currency`` for money, 1 = 100 % for a ratio.
    ``numerator`` and ``denominator`` are the sums it was computed from (money in minor units);
    ``excluded`` rows have no value of their own and are in neither.
    """

    metric: str
    version: int
    value: Decimal | None
    unit: str
    currency: str | None
    reasons: Texts | None
    rows: int
    excluded: int
    numerator: Decimal | None
    denominator: Decimal | None

    @property
    def reason_if_none(self) -> str | None:
        """Why there is no number, in English."""
        return None if self.reasons is None else self.reasons[1]

    def reason(self, locale: str) -> str | None:
        """Return why there is no number, in the locale's language."""
        if self.reasons is None:
            return None
        return self.reasons[0 if locale.lower().startswith("zh") else 1]


def _make(
    metric: Metric,
    sums: Aggregate,
    *,
    currency: str,
    value: Decimal | None,
    reasons: Texts | None,
    denominator: Decimal | None = None,
) -> MetricValue:
    return MetricValue(
        metric=metric.id,
        version=metric.version,
        value=value,
        unit=metric.unit,
        currency=currency if metric.unit == "money" else None,
        reasons=None if value is not None else reasons or metric.none_when,
        rows=sums.rows,
        excluded=sums.rows - sums.valued,
        numerator=sums.value,
        denominator=denominator,
    )


def unpriced_reason(sums: Aggregate) -> Texts | None:
    """Return the sentence for amounts that no exchange rate converts, None without any."""
    if not sums.unpriced:
        return None
    code, count = sums.unpriced_currency, sums.unpriced
    return (
        f"有 {count} 笔 {code} 等币种的金额没有可用汇率;请导入汇率。",
        f"{count} amounts, such as in {code}, have no exchange rate; import fx_rates.",
    )


def from_aggregate(metric: Metric, sums: Aggregate, *, currency: str) -> MetricValue:
    """Return a metric's value from the sums over its rows.

    A sum over no rows is zero, as long as the source holds facts at all; over rows of which none
    has a value it is None. A ratio without a denominator is None.
    """
    reasons = unpriced_reason(sums) or sums.unrecorded
    value = None if reasons else _number(metric, sums)
    if value is not None and metric.unit == "money":
        value = Money(round_half_even(value), currency).major
    is_quotient = metric.aggregation in ("ratio", "average")
    return _make(
        metric,
        sums,
        currency=currency,
        value=value,
        reasons=reasons,
        denominator=sums.weight if is_quotient else None,
    )


def _number(metric: Metric, sums: Aggregate) -> Decimal | None:
    if metric.aggregation == "median":
        return sums.median
    if metric.aggregation in ("ratio", "average"):
        return sums.value / sums.weight if sums.weight and sums.value is not None else None
    if sums.rows and not sums.valued:
        return None
    return Decimal(0) if sums.value is None else sums.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the metrics against a quota are made of, all of the same people.

    ``target`` is None without a quota; ``elapsed`` is the share of the period's working days
    that have passed, None before it.
    """

    bookings: MetricValue
    pipeline: MetricValue
    target: Money | None
    elapsed: Decimal | None


def from_standing(metric: Metric, standing: Standing, *, currency: str) -> MetricValue:
    """Return attainment, pacing, gap or coverage from bookings, pipeline and target.

    None with the reason of the first part that is missing.
    """
    is_coverage = metric.id == "coverage"
    counted = standing.pipeline if is_coverage else standing.bookings
    value: Decimal | None = None
    reasons: Texts | None = None
    target = standing.target
    if target is not None:
        reasons = standing.bookings.reasons
        if reasons is None:
            value = _FORMULAS[metric.id](standing, target)
        if is_coverage and standing.pipeline.reasons is not None:
            reasons = standing.pipeline.reasons
    return MetricValue(
        metric=metric.id,
        version=metric.version,
        value=value,
        unit=metric.unit,
        currency=currency if metric.unit == "money" else None,
        reasons=None if value is not None else reasons or metric.none_when,
        rows=counted.rows,
        excluded=counted.excluded,
        numerator=counted.numerator,
        denominator=None if target is None else Decimal(target.minor),
    )


def _booked(standing: Standing, currency: str) -> Money:
    return Money(int(standing.bookings.numerator or 0), currency)


def _attainment(standing: Standing, target: Money) -> Decimal | None:
    return attainment(booked=_booked(standing, target.currency), target=target)


def _pacing(standing: Standing, target: Money) -> Decimal | None:
    return pacing(attained=_attainment(standing, target), elapsed=standing.elapsed)


def _gap(standing: Standing, target: Money) -> Decimal | None:
    return (target - _booked(standing, target.currency)).major


def _coverage(standing: Standing, target: Money) -> Decimal | None:
    gap = target - _booked(standing, target.currency)
    if gap.minor <= 0 or standing.pipeline.value is None:
        return None
    return (standing.pipeline.numerator or Decimal(0)) / Decimal(gap.minor)


_FORMULAS: dict[str, Callable[[Standing, Money], Decimal | None]] = {
    "attainment": _attainment,
    "pacing": _pacing,
    "gap": _gap,
    "coverage": _coverage,
}
