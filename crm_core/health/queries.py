"""What data health says: the newest run, what a number rests on, what is stopped, a month."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.errors import Conflict
from crm_core.health.catalogue import BY_ID, CATALOGUE, DIMENSIONS, Purpose, Rule, resting_on
from crm_core.health.models import HealthExample, HealthResult, HealthRun
from crm_core.kpis.definitions import resolve
from crm_core.people.queries import calendar
from crm_core.periods import Period


class UnfitData(Conflict):
    """The data fail a critical rule that stops what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a rule came out. ``share`` of the checked records pass, None with none to check."""

    rule: Rule
    status: str
    checked: int
    failing: int
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def share(self) -> Decimal | None:
        """The share of records that pass."""
        if not self.checked:
            return None
        return max(Decimal(0), 1 - Decimal(self.failing) / self.checked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """One run with its results, in the catalogue's order."""

    run_id: int
    as_of: dt.datetime
    ran_at: dt.datetime
    cause: str
    results: tuple[Result, ...]

    @property
    def failing(self) -> tuple[Result, ...]:
        """The rules that fail."""
        return tuple(result for result in self.results if result.status == "failing")

    def stopping(self, purpose: Purpose) -> tuple[Result, ...]:
        """Return the critical rules that fail and stop a purpose."""
        return tuple(
            result
            for result in self.failing
            if result.rule.severity == "critical" and purpose in result.rule.blocks
        )

    def score(self, dimension: str) -> Decimal | None:
        """Return the mean share of passing records over a dimension's rules, None without any."""
        shares = [
            result.share
            for result in self.results
            if result.rule.dimension == dimension and result.share is not None
        ]
        return sum(shares, Decimal(0)) / len(shares) if shares else None


def newest(session: Session, *, as_of: dt.datetime, examples: bool = False) -> Checkup | None:
    """Return the newest run of a time, None before the first."""
    run = session.scalar(
        select(HealthRun)
        .where(HealthRun.ran_at <= as_of)
        .order_by(HealthRun.ran_at.desc(), HealthRun.id.desc())
        .limit(1)
    )
    if run is None:
        return None
    told = _examples(session, run) if examples else {}
    return _checkup(run, _results(session, [run]).get(run.id, {}), told)


def _results(session: Session, runs: Sequence[HealthRun]) -> dict[int, dict[str, HealthResult]]:
    """Return the results of runs by run and rule, by one statement."""
    found: dict[int, dict[str, HealthResult]] = {}
    wanted = HealthResult.run_id.in_([run.id for run in runs])
    for row in session.scalars(select(HealthResult).where(wanted)):
        found.setdefault(row.run_id, {})[row.rule] = row
    return found


def _examples(session: Session, run: HealthRun) -> dict[str, list[tuple[str, str]]]:
    told: dict[str, list[tuple[str, str]]] = {}
    for row in session.scalars(
        select(HealthExample)
        .where(HealthExample.run_id == run.id)
        .order_by(HealthExample.rule, HealthExample.id)
    ):
        told.setdefault(row.rule, []).append((row.key, row.detail))
    return told


def _checkup(
    run: HealthRun,
    by_rule: Mapping[str, HealthResult],
    told: Mapping[str, Sequence[tuple[str, str]]],
) -> Checkup:
    return Checkup(
        run_id=run.id,
        as_of=run.as_of,
        ran_at=run.ran_at,
        cause=run.cause,
        results=tuple(
            Result(
                rule=rule,
                status=by_rule[rule.id].status,
                checked=by_rule[rule.id].checked,
                failing=by_rule[rule.id].failing,
                examples=tuple(told.get(rule.id, ())),
            )
            for rule in CATALOGUE
            if rule.id in by_rule
        ),
    )


def failing_under(
    session: Session, metric_ids: Iterable[str], *, as_of: dt.datetime
) -> dict[str, tuple[Rule, ...]]:
    """Return, by metric, the failing rules on whose data its number rests."""
    wanted = list(metric_ids)
    found = newest(session, as_of=as_of)
    if found is None:
        return dict.fromkeys(wanted, ())
    failing = {result.rule.id for result in found.failing}
    chosen = resolve(session, wanted, as_of=as_of)
    return {
        metric_id: tuple(
            rule for rule in resting_on(chosen.sources_of(metric_id)) if rule.id in failing
        )
        for metric_id in wanted
    }


def blocking(session: Session, purpose: Purpose, *, as_of: dt.datetime) -> tuple[Result, ...]:
    """Return the critical rules of the newest run that fail and stop a purpose."""
    found = newest(session, as_of=as_of, examples=True)
    return () if found is None else found.stopping(purpose)


def require_fit(session: Session, purpose: Purpose, *, as_of: dt.datetime) -> None:
    """Raise UnfitData, naming rules and records, when the data stop a purpose."""
    stopped = blocking(session, purpose, as_of=as_of)
    if stopped:
        told = "; ".join(sentence(result) for result in stopped)
        what = {"training": "Training", "pay": "A pay run"}[purpose]
        raise UnfitData(f"{what} is stopped by data health: {told}.")


def sentence(result: Result) -> str:
    """Return what fails, how often, an example, and what to do about it, in English."""
    example = (
        f" (such as {result.examples[0][0]}: {result.examples[0][1]})" if result.examples else ""
    )
    return (
        f"{result.rule.id}: {result.failing} of {result.checked} fail “{result.rule.names[1]}”"
        f"{example}. {result.rule.remedies[1].rstrip('.')}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleMonth:
    """A rule over a month: first and last share of passing records, days and failing days."""

    rule: Rule
    first: Decimal | None
    last: Decimal | None
    runs: int
    failed_runs: int
    failing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthReport:
    """The month's report; ``scores`` by dimension are those of its last run."""

    period: Period
    runs: int
    last: Checkup | None
    rules: tuple[RuleMonth, ...]
    scores: dict[str, Decimal | None]


def month(session: Session, period: Period, *, as_of: dt.datetime) -> MonthReport:
    """Return how the rules stood over a period's runs, as of a time."""
    start, end = calendar(session).bounds(period)
    runs = session.scalars(
        select(HealthRun)
        .where(HealthRun.ran_at >= start, HealthRun.ran_at < end, HealthRun.ran_at <= as_of)
        .order_by(HealthRun.ran_at, HealthRun.id)
    ).all()
    if not runs:
        return MonthReport(period=period, runs=0, last=None, rules=(), scores={})
    results = _results(session, runs)
    *earlier, newest_run = runs
    last = _checkup(newest_run, results.get(newest_run.id, {}), _examples(session, newest_run))
    checkups = [*(_checkup(run, results.get(run.id, {}), {}) for run in earlier), last]
    return MonthReport(
        period=period,
        runs=len(runs),
        last=last,
        rules=tuple(_over(checkups, rule_id) for rule_id in _present(checkups)),
        scores={dimension: last.score(dimension) for dimension in DIMENSIONS},
    )


def _present(checkups: list[Checkup]) -> list[str]:
    seen = {result.rule.id for checkup in checkups for result in checkup.results}
    return [rule.id for rule in CATALOGUE if rule.id in seen]


def _over(checkups: list[Checkup], rule_id: str) -> RuleMonth:
    found = [
        result for checkup in checkups for result in checkup.results if result.rule.id == rule_id
    ]
    return RuleMonth(
        rule=BY_ID[rule_id],
        first=found[0].share,
        last=found[-1].share,
        runs=len(found),
        failed_runs=sum(result.status == "failing" for result in found),
        failing=found[-1].failing,
    )
