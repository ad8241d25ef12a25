"""From sums to a metric's value: pure numbers, and the reason where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from crm_core.kpis.metric import Form, Goal, Metric, Texts
from crm_core.kpis.quota_metrics import FEWEST_CLOSED
from crm_core.kpis.survival import Curve, by_age, half_life
from crm_core.money import Money, from_major, minor_digits, round_half_even


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """The sums over a metric's rows. Money is in minor units; ``valued`` rows have a value.

    ``median`` is of the values, of the weights where the aggregation is ``pace``, or the number of
    labels for ``distinct``. ``curve`` holds how many rows ended how at each age, for
    ``survival``. ``unrecorded`` says which facts were never recorded, so that a sum over them is
    not zero.
    """

    rows: int
    valued: int
    value: Decimal | None
    weight: Decimal | None
    median: Decimal | None
    unpriced: int
    unpriced_currency: str | None
    unrecorded: Texts | None = None
    curve: Curve = ()


EMPTY = Aggregate(
    rows=0, valued=0, value=None, weight=None, median=None, unpriced=0, unpriced_currency=None
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A metric's value, or why there is none.

    ``value`` is in natural units: major units of ``currency`` for money, 1 = 100 % for a ratio.
    ``numerator`` and ``denominator`` are the sums it was computed from (money in minor units);
    ``excluded`` rows have no value of their own and are in neither. ``note`` says what a reader
    must know of how this very number was computed.
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
    note: Texts | None = None

    @property
    def reason_if_none(self) -> str | None:
        """Why there is no number, in English."""
        return None if self.reasons is None else self.reasons[1]

    def reason(self, locale: str) -> str | None:
        """Return why there is no number, in the locale's language."""
        if self.reasons is None:
            return None
        return self.reasons[0 if locale.lower().startswith("zh") else 1]


def unpriced_reason(sums: Aggregate) -> Texts | None:
    """Return the sentence for amounts that no exchange rate converts, None without any."""
    if not sums.unpriced:
        return None
    code, count = sums.unpriced_currency, sums.unpriced
    return (
        f"有 {count} 笔 {code} 等币种的金额没有可用汇率;请导入汇率。",
        f"{count} amounts, such as in {code}, have no exchange rate; import fx_rates.",
    )


def _told(
    metric: Metric,
    value: Decimal | None,
    reasons: Texts,
    *,
    currency: str,
    rows: int,
    excluded: int,
    numerator: Decimal | None,
    denominator: Decimal | None,
    note: Texts | None = None,
) -> MetricValue:
    """Return a value as its metric tells it; ``reasons`` only where there is none."""
    return MetricValue(
        metric=metric.id,
        version=metric.version,
        value=value,
        unit=metric.unit,
        currency=currency if metric.unit == "money" else None,
        reasons=None if value is not None else reasons,
        rows=rows,
        excluded=excluded,
        numerator=numerator,
        denominator=denominator,
        note=note,
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
    return _told(
        metric,
        value,
        reasons or metric.none_when,
        currency=currency,
        rows=sums.rows,
        excluded=sums.rows - sums.valued,
        numerator=sums.value,
        denominator=sums.weight if is_quotient else None,
    )


def _number(metric: Metric, sums: Aggregate) -> Decimal | None:
    if metric.aggregation in _NUMBERS:
        return _NUMBERS[metric.aggregation](metric, sums)
    if sums.rows and not sums.valued:
        return None
    return Decimal(0) if sums.value is None else sums.value


def _quotient(metric: Metric, sums: Aggregate) -> Decimal | None:  # noqa: ARG001 - one signature
    return sums.value / sums.weight if sums.weight and sums.value is not None else None


def _median(metric: Metric, sums: Aggregate) -> Decimal | None:  # noqa: ARG001 - one signature
    return sums.median


def _curve(metric: Metric, sums: Aggregate) -> Decimal | None:
    days = metric.curve_days
    return by_age(sums.curve, days) if days else half_life(sums.curve)


def _pace(metric: Metric, sums: Aggregate) -> Decimal | None:  # noqa: ARG001 - one signature
    if not sums.valued or not sums.median or sums.value is None:
        return None
    return sums.rows * sums.value / sums.valued / sums.median


def _distinct(metric: Metric, sums: Aggregate) -> Decimal | None:  # noqa: ARG001 - one signature
    return sums.median or Decimal(0)


_NUMBERS: dict[str, Callable[[Metric, Aggregate], Decimal | None]] = {
    "ratio": _quotient,
    "average": _quotient,
    "median": _median,
    "survival": _curve,
    "pace": _pace,
    "distinct": _distinct,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where people, or an org unit, stand against a quota: what the metrics of it are made of.

    ``target`` is in the unit of ``actual`` (major units for money), None without a quota;
    ``elapsed`` is the share of it expected by now, None before the period; ``is_seasonal`` says
    whether the company's season weighs its working days. ``unpriced`` is the currency of a quota
    that no rate converts, so that ``target`` is None although there is one. ``conversion`` is
    what they won of what they closed in the last year.
    """

    goal: Goal
    currency: str
    actual: MetricValue
    pipeline: MetricValue
    conversion: MetricValue
    target: Decimal | None
    elapsed: Decimal | None
    is_seasonal: bool
    unpriced: str | None = None

    @property
    def attainment(self) -> Decimal | None:
        """Actual ÷ target, not capped; None without either."""
        if not self.target or self.target < 0 or self.actual.value is None:
            return None
        return self.actual.value / self.target

    @property
    def pacing(self) -> Decimal | None:
        """Attainment ÷ the share expected by now."""
        if self.attainment is None or not self.elapsed:
            return None
        return self.attainment / self.elapsed

    @property
    def gap(self) -> Decimal | None:
        """Target − actual; negative once it is passed."""
        if self.target is None or self.actual.value is None:
            return None
        return self.target - self.actual.value

    @property
    def coverage(self) -> Decimal | None:
        """Pipeline ÷ gap; None when nothing is missing."""
        if self.gap is None or self.gap <= 0 or self.pipeline.value is None:
            return None
        return self.pipeline.value / self.gap

    @property
    def pipeline_needed(self) -> Decimal | None:
        """Gap ÷ conversion − pipeline; None when nothing is missing or conversion unknown."""
        share = self.conversion.value
        if self.gap is None or self.gap <= 0 or self.pipeline.value is None or not share:
            return None
        if self.conversion.rows < FEWEST_CLOSED:
            return None
        return self.gap / share - self.pipeline.value


_FORMS: Mapping[Form, Callable[[Standing], Decimal | None]] = {
    "attainment": lambda standing: standing.attainment,
    "pacing": lambda standing: standing.pacing,
    "gap": lambda standing: standing.gap,
    "coverage": lambda standing: standing.coverage,
    "pipeline_needed": lambda standing: standing.pipeline_needed,
}
_EVEN: Texts = ("按工作日均匀计算。", "Expected evenly over working days.")
_SEASONAL: Texts = (
    "工作日按公司的月度季节性加权。",
    "Expected over working days weighted by the company's season.",
)


def from_standing(metric: Metric, standing: Standing) -> MetricValue:
    """Return a metric against a quota. None with the reason of the first part that is missing.

    Money is rounded once, to the minor unit.
    """
    assert metric.form is not None
    is_of_pipeline = metric.form in ("coverage", "pipeline_needed")
    counted = standing.pipeline if is_of_pipeline else standing.actual
    value = _FORMS[metric.form](standing)
    if value is not None and metric.unit == "money":
        digits = minor_digits(standing.currency)
        value = Money(round_half_even(value.scaleb(digits)), standing.currency).major
    return _told(
        metric,
        value,
        _missing(metric, standing, is_of_pipeline),
        currency=standing.currency,
        rows=counted.rows,
        excluded=counted.excluded,
        numerator=counted.numerator,
        denominator=_target_sum(standing),
        note=_note(metric, standing, value),
    )


def from_quotient(
    metric: Metric, numerator: MetricValue, denominator: MetricValue, *, currency: str
) -> MetricValue:
    """Return one metric ÷ another: None with the reason of the part that is missing, or by zero.

    Money in the sums is in minor units; the rows are the numerator's.
    """
    reasons = next(
        (_of_part(part) for part in (numerator, denominator) if part.reasons is not None), None
    )
    value = None
    if reasons is None and numerator.value is not None and denominator.value:
        value = numerator.value / denominator.value
        if metric.unit == "money":
            value = from_major(value, currency).major
    return _told(
        metric,
        value,
        reasons or metric.none_when,
        currency=currency,
        rows=numerator.rows,
        excluded=numerator.excluded,
        numerator=_in_sums(numerator),
        denominator=_in_sums(denominator),
    )


def _of_part(part: MetricValue) -> Texts | None:
    if part.reasons is None:
        return None
    return f"{part.metric}:{part.reasons[0]}", f"{part.metric}: {part.reasons[1]}"


def _in_sums(part: MetricValue) -> Decimal | None:
    if part.value is None or part.currency is None:
        return part.value
    return part.value.scaleb(minor_digits(part.currency))


def without_standing(metric: Metric, *, currency: str) -> MetricValue:
    """Return a metric against a quota of a subject that has neither a quota nor a row."""
    return _told(
        metric, None, metric.none_when, currency=currency, rows=0, excluded=0, numerator=None,
        denominator=None,
    )  # fmt: skip


_UNPRICED_QUOTA = (
    "有以 {} 计的配额在其首日没有可用汇率;请导入汇率。",
    "A quota in {} has no exchange rate on its first day; import fx_rates.",
)


def _missing(metric: Metric, standing: Standing, is_of_pipeline: bool) -> Texts:
    if standing.unpriced is not None:
        return _UNPRICED_QUOTA[0].format(standing.unpriced), _UNPRICED_QUOTA[1].format(
            standing.unpriced
        )
    if standing.target is None:
        return metric.none_when
    if standing.actual.reasons is not None:
        return standing.actual.reasons
    if is_of_pipeline and standing.pipeline.reasons is not None:
        return standing.pipeline.reasons
    return metric.none_when


def _target_sum(standing: Standing) -> Decimal | None:
    """Return the target in the unit of the sums: minor units for money."""
    if standing.target is None or standing.actual.unit != "money":
        return standing.target
    return standing.target.scaleb(minor_digits(standing.currency))


def _note(metric: Metric, standing: Standing, value: Decimal | None) -> Texts | None:
    if metric.form != "pacing" or value is None:
        return None
    return _SEASONAL if standing.is_seasonal else _EVEN
