"""Data health for people: the newest run or a month, and the run itself with its gate.

What is shown is the same for everybody; the records that fail are named only to who may see
every record.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core.database import transaction
from crm_core.health import operations, queries, telling
from crm_core.health.catalogue import DIMENSIONS, Dimension
from crm_core.health.operations import Cause
from crm_core.health.queries import Checkup, MonthReport, Result
from crm_core.people.queries import NoCompany, calendar
from serving.explanations import Words

DIMENSION_NAMES: dict[Dimension, Words] = {
    "completeness": Words("Completeness", "完整性"),
    "validity": Words("Validity", "有效性"),
    "freshness": Words("Freshness", "及时性"),
    "uniqueness": Words("Uniqueness", "唯一性"),
    "anomaly": Words("Usual numbers", "异常检测"),
}
STATUS_NAMES = {
    "ok": Words("sound", "正常"),
    "failing": Words("fails", "不合格"),
    "nothing": Words("nothing to check", "无数据"),
}


def check(engine: Engine, *, now: dt.datetime, cause: Cause) -> Checkup:
    """Run every rule on what is known now, in a transaction of its own; return how it stands."""
    with transaction(engine) as session:
        operations.run(session, as_of=now, ran_at=now, cause=cause)
        found = queries.newest(session, as_of=now, examples=True)
        assert found is not None
        if cause == "nightly":
            telling.tell(session, found)
    return found


def stopping_training(engine: Engine, *, now: dt.datetime) -> tuple[str, ...]:
    """Run every rule; return, each in a sentence, what fails and stops a training."""
    found = check(engine, now=now, cause="training").stopping("training")
    return tuple(queries.sentence(each) for each in found)


def after_import(engine: Engine, *, now: dt.datetime) -> str:
    """Run every rule after an import; return in a sentence how it stands."""
    try:
        found = check(engine, now=now, cause="import")
    except NoCompany:
        return "Data health is checked once the company itself is imported."
    critical = sum(result.rule.severity == "critical" for result in found.failing)
    told = f", {critical} of them critical" if critical else ""
    return f"Data health: {len(found.failing)} of {len(found.results)} rules fail{told}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rule as a page shows it; ``share`` of its records pass, None with none to check."""

    rule: str
    name: Words
    remedy: Words
    dimension: Words
    status: str
    status_name: Words
    severity: str
    stops: tuple[str, ...]
    checked: int
    failing: int
    share: Decimal | None
    first_share: Decimal | None
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A month of data health; ``ran_at`` of its last run is None where none was."""

    month: str
    runs: int
    ran_at: dt.datetime | None
    cause: str | None
    scores: tuple[tuple[Words, Decimal | None], ...]
    lines: tuple[Line, ...]

    @property
    def failing(self) -> tuple[Line, ...]:
        """The rules that fail, critical ones first."""
        found = [line for line in self.lines if line.status == "failing"]
        return tuple(sorted(found, key=lambda line: line.severity != "critical"))


def report(session: Session, *, month: str | None, as_of: dt.datetime, examples: bool) -> Report:
    """Return a month's report, this month's without a name. Raises NotAPeriod.

    Before the first run of a month there are no lines, never invented ones.
    """
    own = calendar(session)
    period = own.parse(month if month is not None else f"{own.day_of(as_of):%Y-%m}")
    found = queries.month(session, period, as_of=as_of)
    return Report(
        month=period.name,
        runs=found.runs,
        ran_at=None if found.last is None else found.last.ran_at,
        cause=None if found.last is None else found.last.cause,
        scores=tuple((DIMENSION_NAMES[each], found.scores.get(each)) for each in DIMENSIONS),
        lines=_lines(found, found.last, examples=examples),
    )


def _lines(found: MonthReport, last: Checkup | None, *, examples: bool) -> tuple[Line, ...]:
    if last is None:
        return ()
    first = {row.rule.id: row.first for row in found.rules}
    return tuple(_line(result, first[result.rule.id], examples=examples) for result in last.results)


def _line(result: Result, first: Decimal | None, *, examples: bool) -> Line:
    rule = result.rule
    return Line(
        rule=rule.id,
        name=Words(rule.names[1], rule.names[0]),
        remedy=Words(rule.remedies[1], rule.remedies[0]),
        dimension=DIMENSION_NAMES[rule.dimension],
        status=result.status,
        status_name=STATUS_NAMES[result.status],
        severity=rule.severity,
        stops=rule.blocks,
        checked=result.checked,
        failing=result.failing,
        share=result.share,
        first_share=first,
        examples=result.examples if examples else (),
    )
