"""The table of ``winward forecast``: one row for the company, each org unit and each person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from crm_core.forecasts import baselines, queries
from crm_core.forecasts.baselines import Forecast
from crm_core.forecasts.catalogue import Layer
from crm_core.forecasts.hierarchy import Tree
from crm_core.money import Money
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.queries import SubjectKind, targets
from serving.explanations import Words

COLUMNS = (
    "subject_kind",
    "subject_id",
    "period_start",
    "period_end",
    "currency",
    "closed",
    "mean",
    "p10",
    "p50",
    "p90",
    "quota",
    "p_attain",
    "abstained",
)
_PREFERRED: tuple[Layer, ...] = ("stage_week", "weighted", "naive")
_NO_MODEL = Words(
    "No revenue model is trained yet, so there are no quantiles and no chance to attain; the mean "
    "is the baseline {layer}.",
    "尚无收入模型，因此没有分位数和达成概率；均值来自基线 {layer}。",
)
_NOTHING = Words(
    "No revenue model is trained yet, and the past is too short for any baseline: at least a "
    "year, four periods or 30 closed deals are needed.",
    "尚无收入模型，历史也不足以给出任何基线：至少需要一年、四个周期或 30 个已结商机。",
)


def forecast_table(
    session: Session, *, period: Period, as_of: dt.datetime, locale: str
) -> pd.DataFrame:
    """Return what a period will close by the best baseline that has enough past.

    A person's row holds everybody below them on the day; a unit's, everybody placed in it or
    below. What is empty is said in ``abstained``.
    """
    now = queries.moment(session, as_of=as_of)
    whole = queries.tree(session, day=queries.place_day(now, period))
    units = queries.members_of_units(session, whole)
    closed = Forecast("naive", baselines.closed(session, now, period))
    made = baselines.forecasts(session, now, period)
    best = next((made[layer] for layer in _PREFERRED if made[layer].by_owner is not None), None)
    why = (
        _NOTHING.text(locale)
        if best is None
        else _NO_MODEL.text(locale).replace("{layer}", best.layer)
    )
    people: dict[tuple[str, str], frozenset[str] | None] = {("company", "company"): None}
    people |= {("org_unit", unit): members for unit, members in sorted(units.items())}
    people |= {("user", person): whole.below(person) for person in whole.members}
    quotas = _quotas(session, period=period, currency=now.currency, as_of=as_of)
    rows = [
        {
            "subject_kind": kind,
            "subject_id": subject,
            "period_start": period.start,
            "period_end": period.end,
            "currency": now.currency,
            "closed": _major(closed.of(whom), now.currency),
            "mean": None if best is None else _major(best.of(whom), now.currency),
            "p10": None, "p50": None, "p90": None,
            "quota": quotas.get((kind, subject)),
            "p_attain": None,
            "abstained": why,
        }
        for (kind, subject), whom in people.items()
        if kind != "user" or _sells(whole, subject)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _sells(whole: Tree, person: str) -> bool:
    return whole.is_placed(person) or whole.members[person].role in ("rep", "manager", "leader")


def _major(minor: int | None, currency: str) -> Decimal | None:
    return None if minor is None else Money(minor, currency).major


def _quotas(
    session: Session, *, period: Period, currency: str, as_of: dt.datetime
) -> Mapping[tuple[str, str], Any]:
    kinds: tuple[SubjectKind, ...] = ("user", "org_unit")
    return {
        (kind, subject): held.target.amount.major
        for kind in kinds
        for subject, held in targets(
            session, subject_kind=kind, metric="bookings", scope=Visibility(everyone=True),
            period=period, currency=currency, as_of=as_of,
        ).items()
    }  # fmt: skip
