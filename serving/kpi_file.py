"""The table of ``winward kpis``: every metric of the company, each org unit and each person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from crm_core.kpis import queries
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.publishing import sound_metrics
from crm_core.people.queries import Visibility
from crm_core.periods import Period

COLUMNS = (
    "metric",
    "version",
    "subject_kind",
    "subject_id",
    "value",
    "unit",
    "currency",
    "reason_if_none",
)
_DECIMALS = Decimal(1).scaleb(-12)


def kpi_table(session: Session, *, period: Period, as_of: dt.datetime, locale: str) -> pd.DataFrame:
    """Return one row per metric, the user-defined ones too, and subject.

    A subject without a row or a quota is absent, as is a metric that can no longer be computed.

    Ratios and days are told to twelve decimals, money exactly.
    """
    everyone = Visibility(everyone=True)
    chosen, _ = sound_metrics(session, as_of=as_of)
    every = [item.id for item in chosen.metrics]
    whole = queries.values(session, every, scope=everyone, period=period, as_of=as_of)
    rows = list(_rows("company", {"company": whole}, locale))
    for grouping in ("org_unit", "user"):
        found = queries.by_subject(
            session, every, grouping=grouping, scope=everyone, period=period, as_of=as_of
        )
        rows += _rows(grouping, found, locale)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    kind: str, found: Mapping[str, Mapping[str, MetricValue]], locale: str
) -> Iterator[dict[str, Any]]:
    for subject, values in found.items():
        for each in values.values():
            yield {
                "metric": each.metric,
                "version": each.version,
                "subject_kind": kind,
                "subject_id": subject,
                "value": _plain(each),
                "unit": each.unit,
                "currency": each.currency,
                "reason_if_none": each.reason(locale),
            }


def _plain(each: MetricValue) -> Decimal | None:
    if each.value is None or each.unit == "money":
        return each.value
    return each.value.quantize(_DECIMALS).normalize() + 0
