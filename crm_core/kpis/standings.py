"""Where people and org units stand against their quotas, for anything a quota may be for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.kpis.aggregates import Grouping, Sums, aggregates, unrecorded_facts, values_of
from crm_core.kpis.arithmetic import Aggregate, MetricValue, Standing
from crm_core.kpis.catalogue import metric
from crm_core.kpis.metric import Form, Goal, Metric, Texts, UnknownMetric
from crm_core.kpis.question import Question
from crm_core.kpis.quota_metrics import CONVERSION_OF, FORMS, GOALS, PIPELINE_OF
from crm_core.people.queries import Visibility
from crm_core.quotas.arithmetic import expected_share
from crm_core.quotas.queries import Targets, all_targets, season

_OF_PIPELINE: frozenset[Form] = frozenset({"coverage", "pipeline_needed"})


def goal_named(name: str) -> Goal:
    """Return what a quota is for. Raises UnknownMetric."""
    for goal in GOALS:
        if goal == name:
            return goal
    raise UnknownMetric(f"No quota can be for {name!r}; it is for one of {', '.join(GOALS)}.")


def targets_of(session: Session, asked: Question, goal: Goal, *, grouping: Grouping) -> Targets:
    """Return each subject's target for a goal in the period, and those that no rate converts."""
    return all_targets(
        session,
        subject_kind=grouping,
        metric=goal,
        scope=asked.scope,
        period=asked.period,
        currency=asked.currency,
        as_of=asked.as_of,
    )


def holders(own: Targets) -> Visibility:
    """Return the people whose quota counts: not who manages another quota holder.

    A manager's quota usually is the sum of the team's; counting both would halve attainment.
    """
    return Visibility(
        everyone=False, user_ids=frozenset(own.managers.keys() - set(own.managers.values()))
    )


def standings_of(
    session: Session,
    asked: Question,
    goal: Goal,
    *,
    grouping: Grouping | None,
    forms: Collection[Form] = FORMS,
) -> dict[str | None, Standing]:
    """Return the standing of each subject with a row or a target; of the whole scope under None.

    The whole is that of the people whose quota counts (:func:`holders`): their actual against the
    sum of their targets. Among units None is what belongs to no unit. A fixed number of
    statements, whatever the people and deals. Pipeline and conversion are only asked for where
    one of ``forms`` needs them.
    """
    own = targets_of(session, asked, goal, grouping=grouping or "user")
    amounts: dict[str | None, Decimal] = {
        key: own.by_subject[key].target.amount.major for key in sorted(own.by_subject)
    }
    unpriced: dict[str | None, str] = dict(own.unpriced.items())
    if grouping is None:
        counting = holders(own)
        asked = asked.of(counting)
        untold = sorted(counting.user_ids & own.unpriced.keys())
        unpriced = {None: own.unpriced[untold[0]]} if untold else {}
        whole = sum((amounts.get(key, Decimal(0)) for key in counting.user_ids), Decimal(0))
        amounts = {None: whole} if counting.user_ids and not untold else {}
    now = [metric(goal)]
    if not _OF_PIPELINE.isdisjoint(forms):
        now.append(metric(PIPELINE_OF[goal]))
    year = [metric(CONVERSION_OF[goal])] if "pipeline_needed" in forms else []
    sums = _sums(session, asked, now, grouping)
    before = _sums(session, asked.year, year, grouping)
    unrecorded = unrecorded_facts(session, asked, [*now, *year])
    make = _Maker(goal, asked, season(session, as_of=asked.as_of), unrecorded)
    subjects: set[str | None] = (
        {None} if grouping is None else sums.keys() | amounts.keys() | unpriced.keys()
    )
    subjects -= {None} if grouping == "user" else set()
    return {
        subject: make.standing(
            now=sums.get(subject, {}),
            before=before.get(subject, {}),
            target=amounts.get(subject),
            unpriced=unpriced.get(subject),
        )  # fmt: skip
        for subject in sorted(subjects, key=lambda key: (key is None, key or ""))
    }


def _sums(
    session: Session, asked: Question, wanted: Sequence[Metric], grouping: Grouping | None
) -> Sums:
    """Return the sums by subject; what goals share is added up once per question."""
    missing = [item for item in wanted if (grouping, item.id) not in asked.sums]
    if missing and (asked.scope.everyone or asked.scope.user_ids):
        found = aggregates(session, asked, missing, grouping=grouping)
        for item in missing:
            asked.sums[grouping, item.id] = {
                subject: each[item.id] for subject, each in found.items() if item.id in each
            }
    result: Sums = {}
    for item in wanted:
        for subject, each in asked.sums.get((grouping, item.id), {}).items():
            result.setdefault(subject, {})[item.id] = each
    return result


class _Maker:
    """Makes the standings of one goal, all against the same share of the period."""

    def __init__(
        self,
        goal: Goal,
        asked: Question,
        seasonal: Sequence[Decimal],
        unrecorded: Mapping[str, Texts],
    ) -> None:
        day = asked.calendar.day_of(asked.as_of)
        self.goal, self.asked, self.unrecorded = goal, asked, unrecorded
        self.elapsed = expected_share(asked.period, day=day, season=seasonal)
        self.is_seasonal = bool(seasonal)

    def standing(
        self,
        *,
        now: Mapping[str, Aggregate],
        before: Mapping[str, Aggregate],
        target: Decimal | None,
        unpriced: str | None,
    ) -> Standing:
        """Return a subject's standing from its sums of the period and of the year before."""
        return Standing(
            goal=self.goal,
            currency=self.asked.currency,
            actual=self._value(self.goal, now),
            pipeline=self._value(PIPELINE_OF[self.goal], now),
            conversion=self._value(CONVERSION_OF[self.goal], before),
            target=target,
            unpriced=unpriced,
            elapsed=self.elapsed,
            is_seasonal=self.is_seasonal,
        )

    def _value(self, name: str, sums: Mapping[str, Aggregate]) -> MetricValue:
        return values_of([metric(name)], sums, self.asked, self.unrecorded)[name]
