"""What is known of who gets a part of a goal: what they sold, have open, and will be there for.

A file of its own beside ``queries.py``: it asks the metrics, so that weights and difficulty rest
on the same numbers as every page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.goals.arithmetic import Child, Difficulty, difficulty
from crm_core.goals.tree import Key, Kind, Strength, Subject, Tree
from crm_core.kpis import queries as kpis
from crm_core.kpis.quota_metrics import PIPELINE_OF
from crm_core.kpis.standings import goal_named
from crm_core.people.queries import Visibility
from crm_core.periods import FiscalCalendar, Period
from crm_core.quotas.presence import months_after
from crm_core.quotas.queries import season

PAST_PERIODS = 4
BASIS = "history"
"""What a potential is taken from until a model gives it (issue 5)."""
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Measured:
    """One subject's past by period (actual, share there at full strength) and what is open."""

    subject: Subject
    past: tuple[tuple[Decimal, Decimal], ...]
    open: Decimal | None
    strength: Strength
    presence: Decimal
    """People at full strength in the period: 0.5 is one person for half of it."""

    def child(self) -> Child:
        """Return the subject as a decomposition weighs it.

        Its history is what it sold per past period and person at full strength, times its heads.
        """
        there = sum((share for _, share in self.past), _NOTHING)
        sold = sum((actual for actual, _ in self.past), _NOTHING)
        heads = self.strength.heads
        is_there = bool(self.strength.days)
        return Child(
            kind=self.subject.kind, id=self.subject.id, heads=heads, potential=self.open,
            history=sold / there * heads if there else None,
            capacity=self.presence_of_days(), ramp=(
                self.strength.full_days / self.strength.days if is_there else _NOTHING
            ),
        )  # fmt: skip

    def presence_of_days(self) -> Decimal:
        """Return the share of the period's days the subject's people are there."""
        whole = self.strength.heads * self._days
        return self.strength.days / whole if whole else _NOTHING

    def difficulty(self, amount: Decimal, *, planned: Decimal | None = None) -> Difficulty:
        """Return how hard an amount is, held against the past.

        ``planned`` is the days the amount is for: it falls with the days they will be there, as
        their target does. Without it the amount is for the days known now.
        """
        asked = amount if planned is None else amount * self.strength.full_days / planned
        return difficulty(asked, past=self.past, presence=self.presence)

    @property
    def _days(self) -> Decimal:
        return self.strength.full_days / self.presence if self.presence else Decimal(1)


def past_periods(period: Period, count: int = PAST_PERIODS) -> list[Period]:
    """Return the periods of the same length before a month, quarter or year, latest first."""
    months = _months(period)
    starts = [months_after(period.start, -months * back) for back in range(count + 1)]
    return [
        Period(start, end, f"{start:%Y-%m}") for end, start in zip(starts, starts[1:], strict=False)
    ]


def measure(
    session: Session,
    tree: Tree,
    subjects: Sequence[Subject],
    *,
    metric: str,
    scope: Visibility,
    as_of: dt.datetime,
) -> dict[Key, Measured]:
    """Return what is known of each subject.

    A period says nothing of who was not there, and of nobody where no fact of it is known.
    """
    kinds = sorted({subject.kind for subject in subjects})
    before = past_periods(tree.period)
    sold = {kind: _actuals(session, metric, kind, before, scope, as_of) for kind in kinds}
    pipeline = PIPELINE_OF[goal_named(metric)]
    still = {kind: _actuals(session, pipeline, kind, [tree.period], scope, as_of) for kind in kinds}
    found = {}
    for subject in subjects:
        past = tuple(
            (
                actual.get(subject.id) or _NOTHING,
                _share(tree.strength(subject, period), period)
                if any(actual.values())
                else _NOTHING,
            )
            for period, actual in zip(before, sold[subject.kind], strict=True)
        )
        strength = tree.strength(subject, tree.period)
        found[subject.key] = Measured(
            subject, past, still[subject.kind][0].get(subject.id), strength,
            _share(strength, tree.period),
        )  # fmt: skip
    return found


def shorter(period: Period, own: FiscalCalendar) -> list[Period]:
    """Return the quarters of a year, the months of a quarter; nothing of a month."""
    months = _months(period)
    step = {12: 3, 3: 1}.get(months)
    if step is None:
        return []
    starts = [months_after(period.start, step * n) for n in range(months // step + 1)]
    return [_named(start, end, own) for start, end in zip(starts, starts[1:], strict=False)]


def _named(start: dt.date, end: dt.date, own: FiscalCalendar) -> Period:
    quarter = own.quarter_of(start)
    is_quarter = (quarter.start, quarter.end) == (start, end)
    return quarter if is_quarter else Period(start, end, f"{start:%Y-%m}")


def measure_time(
    session: Session,
    tree: Tree,
    subject: Subject,
    parts: Sequence[Period],
    *,
    metric: str,
    scope: Visibility,
    as_of: dt.datetime,
) -> list[Child]:
    """Return the parts of a period as a decomposition weighs them.

    History is what the subject sold on the same days a year before; season what the policy says
    of their months.
    """
    before = [
        Period(months_after(part.start, -12), months_after(part.end, -12), part.name)
        for part in parts
    ]
    sold = _actuals(session, metric, subject.kind, before, scope, as_of)
    weights = season(session, as_of=as_of)
    children = []
    for part, actual in zip(parts, sold, strict=True):
        there = tree.strength(subject, part)
        whole = there.heads * part.days
        months = {(part.start.month - 1 + n) % 12 for n in range(_months(part))}
        children.append(
            Child(
                kind="period", id=part.name, history=actual.get(subject.id),
                season=sum((weights[m] for m in months), _NOTHING) if weights else None,
                capacity=there.days / whole if whole else _NOTHING,
                ramp=there.full_days / there.days if there.days else _NOTHING,
            )
        )  # fmt: skip
    return children


def _months(period: Period) -> int:
    return (period.end.year - period.start.year) * 12 + period.end.month - period.start.month


def _share(strength: Strength, period: Period) -> Decimal:
    return strength.full_days / period.days


def _actuals(
    session: Session,
    metric: str,
    kind: Kind,
    periods: Sequence[Period],
    scope: Visibility,
    as_of: dt.datetime,
) -> list[dict[str, Decimal | None]]:
    return [
        {
            subject: values[metric].value
            for subject, values in kpis.by_subject(
                session, [metric], grouping=kind, scope=scope, period=period, as_of=as_of
            ).items()
        }
        for period in periods
    ]
