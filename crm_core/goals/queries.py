"""Every read of goals: as their page lists them, and one with its whole history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, true, tuple_
from sqlalchemy.orm import Session

from crm_core.goals.access import NoSuchGoal, Reach
from crm_core.goals.arithmetic import MOVES
from crm_core.goals.models import Goal, GoalCommit, GoalDecomposition, GoalStep, GoalVersion
from crm_core.goals.tree import Key
from crm_core.money import Money
from crm_core.people.models import OrgUnit
from crm_core.people.queries import names
from crm_core.periods import Period

_APPROVES = frozenset({"approve", "lock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One amount of a goal and how it came about."""

    version: int
    state: str
    amount: Money
    effective_on: dt.date
    planned_days: Decimal | None
    method: str
    base: Money | None
    reason: str | None
    created_at: dt.datetime
    created_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """Who did what to which version, when and why."""

    version: int
    act: str
    state: str
    by: str | None
    occurred_at: dt.datetime
    note: str | None
    flags: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitView:
    """What whoever carries the goal said they will reach."""

    amount: Money
    note: str | None
    by: str | None
    occurred_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedDown:
    """How a goal was passed down, with one line per child."""

    version: int
    method: str
    factor: Decimal
    mix: Mapping[str, str]
    lines: tuple[Mapping[str, Any], ...]
    passed: Money
    residual: Money
    created_at: dt.datetime
    created_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalView:
    """A goal as a person sees it. ``shown`` is the newest version they may read.

    ``in_force`` is the one that was approved last, which everything is measured against.
    ``may`` are the acts open to them now.
    """

    id: int
    key: Key
    metric: str
    period: Period
    period_kind: str
    shown: VersionView
    in_force: VersionView | None
    commit: CommitView | None
    may: tuple[str, ...]
    may_commit: bool
    may_change: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalDetail:
    """A goal with everything that was ever said about it, latest first."""

    goal: GoalView
    versions: tuple[VersionView, ...]
    steps: tuple[StepView, ...]
    commits: tuple[CommitView, ...]
    passed_down: tuple[PassedDown, ...]


def goals_of(
    session: Session, reach: Reach, keys: Collection[Key], *, metric: str, period: Period
) -> dict[Key, GoalView]:
    """Return the goals of some subjects in a period that the person may read, by subject."""
    wanted = [key for key in keys if reach.sees(*key)]
    rows = session.scalars(
        select(Goal).where(
            Goal.metric == metric, Goal.period_start == period.start,
            Goal.period_end == period.end,
            tuple_(Goal.subject_kind, Goal.subject_id).in_(wanted),
        )
    ).all()  # fmt: skip
    return {view.key: view for view in _views(session, reach, rows)}


def detail(session: Session, goal_id: int, *, reach: Reach) -> GoalDetail:
    """Return one goal with its history. Raises NoSuchGoal."""
    row = session.get(Goal, goal_id)
    views = _views(session, reach, [row]) if row is not None else []
    if row is None or not reach.sees(row.subject_kind, row.subject_id) or not views:
        raise NoSuchGoal("There is no such goal among those you may see.")
    all_versions = _versions(session, [row])
    readable = {version.version for version in _readable(reach, row, all_versions[row.id])}
    told = _told(session, row.id)
    return GoalDetail(
        goal=views[0],
        versions=tuple(
            _version(each, told.names) for each in all_versions[row.id] if each.version in readable
        ),
        steps=tuple(_step(each, told.names) for each in told.steps if each.version in readable),
        commits=tuple(_commit(each, told.names) for each in told.commits),
        passed_down=tuple(_passed(each, told.names) for each in told.passed),
    )


def periods_with_goals(session: Session, reach: Reach, *, metric: str) -> list[Period]:
    """Return every period for which a goal of a metric may be seen, latest first.

    As they were when the goals were made, whatever the company's calendar says today.
    """
    rows = session.execute(
        select(Goal.period_start, Goal.period_end, Goal.period_name)
        .where(Goal.metric == metric, _seen(reach))
        .distinct()
        .order_by(Goal.period_start.desc(), Goal.period_end)
    )
    return [Period(row.period_start, row.period_end, row.period_name) for row in rows]


def names_of(session: Session, keys: Collection[Key]) -> dict[str, str]:
    """Return the names of users and org units by id."""
    found = names(session, [key for kind, key in keys if kind == "user"])
    units = select(OrgUnit.id, OrgUnit.name).where(
        OrgUnit.id.in_([key for kind, key in keys if kind == "org_unit"])
    )
    return found | {row.id: row.name for row in session.execute(units)}


def _seen(reach: Reach) -> ColumnElement[bool]:
    may = reach.visibility
    units = true() if may.everyone else Goal.subject_id.in_(sorted(may.unit_ids))
    return or_(
        and_(Goal.subject_kind == "user", may.condition(Goal.subject_id)),
        and_(Goal.subject_kind == "org_unit", units),
    )


def _views(session: Session, reach: Reach, rows: Sequence[Goal]) -> list[GoalView]:
    versions = _versions(session, rows)
    commits = _commits(session, rows)
    proposers = _proposers(session, rows)
    by = {v.created_by for each in versions.values() for v in each if v.created_by}
    named = names(session, by | {c.user_id for c in commits.values() if c.user_id})
    found = []
    for row in rows:
        readable = _readable(reach, row, versions[row.id])
        if not readable:
            continue
        shown = next((v for v in readable if v.state != "withdrawn"), readable[0])
        decided = [v for v in readable if v.state in ("approved", "locked")]
        found.append(
            _view(reach, row, shown, decided[0] if decided else None, commits.get(row.id), named,
                  authors=proposers.get((row.id, shown.version), set()) | {shown.created_by})
        )  # fmt: skip
    return found


def _readable(reach: Reach, row: Goal, versions: Sequence[GoalVersion]) -> list[GoalVersion]:
    """Return the versions a person may read, newest first: no drafts of a goal they carry."""
    if reach.reads_drafts(row.subject_kind, row.subject_id):
        return list(versions)
    return [version for version in versions if version.state not in ("draft", "withdrawn")]


def _view(
    reach: Reach,
    row: Goal,
    shown: GoalVersion,
    in_force: GoalVersion | None,
    commit: GoalCommit | None,
    named: Mapping[str, str],
    *,
    authors: Collection[str | None],
) -> GoalView:
    key: Key = (row.subject_kind, row.subject_id)  # type: ignore[assignment]  # held by the check
    edits, approves = reach.may("edit", *key), reach.may("approve", *key)
    may = [
        act
        for state, act in MOVES
        if state == shown.state
        and (act == "comment" or (approves if act in _APPROVES else edits))
        and not (act == "approve" and reach.viewer.id in authors)
    ]
    is_open = shown.state in ("draft", "discussion")
    return GoalView(
        id=row.id, key=key, metric=row.metric,
        period=row.period,
        period_kind=row.period_kind, shown=_version(shown, named),
        in_force=_version(in_force, named) if in_force else None,
        commit=_commit(commit, named) if commit else None, may=tuple(may),
        may_commit=is_open and (reach.carries(*key) or edits),
        may_change=edits and not is_open
        and (shown.state != "locked" or reach.visibility.everyone),
    )  # fmt: skip


def _versions(session: Session, rows: Sequence[Goal]) -> dict[int, list[GoalVersion]]:
    found: dict[int, list[GoalVersion]] = {row.id: [] for row in rows}
    for version in session.scalars(
        select(GoalVersion)
        .where(GoalVersion.goal_id.in_(list(found)))
        .order_by(GoalVersion.goal_id, GoalVersion.version.desc())
    ):
        found[version.goal_id].append(version)
    return found


def _commits(session: Session, rows: Sequence[Goal]) -> dict[int, GoalCommit]:
    """Return the latest commit of each goal."""
    statement = (
        select(GoalCommit)
        .where(GoalCommit.goal_id.in_([row.id for row in rows]))
        .order_by(GoalCommit.id)
    )
    return {commit.goal_id: commit for commit in session.scalars(statement)}


def _proposers(session: Session, rows: Sequence[Goal]) -> dict[tuple[int, int], set[str | None]]:
    found: dict[tuple[int, int], set[str | None]] = {}
    statement = select(GoalStep.goal_id, GoalStep.version, GoalStep.user_id).where(
        GoalStep.goal_id.in_([row.id for row in rows]), GoalStep.act.in_(("propose", "submit"))
    )
    for goal_id, version, user_id in session.execute(statement):
        found.setdefault((goal_id, version), set()).add(user_id)
    return found


@dataclass(frozen=True, slots=True)
class _Told:
    steps: Sequence[GoalStep]
    commits: Sequence[GoalCommit]
    passed: Sequence[GoalDecomposition]
    names: Mapping[str, str]


def _told(session: Session, goal_id: int) -> _Told:
    """Return everything said about a goal, latest first, with the names of who said it."""
    steps = session.scalars(
        select(GoalStep).where(GoalStep.goal_id == goal_id).order_by(GoalStep.id.desc())
    ).all()
    commits = session.scalars(
        select(GoalCommit).where(GoalCommit.goal_id == goal_id).order_by(GoalCommit.id.desc())
    ).all()
    passed = session.scalars(
        select(GoalDecomposition)
        .where(GoalDecomposition.goal_id == goal_id)
        .order_by(GoalDecomposition.id.desc())
    ).all()
    people = {each.user_id for each in steps} | {each.user_id for each in commits}
    people |= {each.created_by for each in passed}
    return _Told(steps, commits, passed, names(session, {each for each in people if each}))


def _version(row: GoalVersion, named: Mapping[str, str]) -> VersionView:
    return VersionView(
        version=row.version, state=row.state, amount=Money(row.amount_minor, row.currency),
        effective_on=row.effective_on, planned_days=row.planned_days, method=row.method,
        base=None if row.base_minor is None else Money(row.base_minor, row.currency),
        reason=row.reason, created_at=row.created_at, created_by=_name(row.created_by, named),
    )  # fmt: skip


def _step(row: GoalStep, named: Mapping[str, str]) -> StepView:
    return StepView(
        version=row.version, act=row.act, state=row.state, by=_name(row.user_id, named),
        occurred_at=row.occurred_at, note=row.note, flags=tuple(row.flags),
    )  # fmt: skip


def _commit(row: GoalCommit, named: Mapping[str, str]) -> CommitView:
    return CommitView(
        amount=Money(row.amount_minor, row.currency), note=row.note,
        by=_name(row.user_id, named), occurred_at=row.occurred_at,
    )  # fmt: skip


def _passed(row: GoalDecomposition, named: Mapping[str, str]) -> PassedDown:
    return PassedDown(
        version=row.version, method=row.method, factor=row.factor, mix=row.mix,
        lines=tuple(row.lines), passed=Money(row.passed_minor, row.currency),
        residual=Money(row.residual_minor, row.currency), created_at=row.created_at,
        created_by=_name(row.created_by, named),
    )  # fmt: skip


def _name(user_id: str | None, named: Mapping[str, str]) -> str | None:
    return named.get(user_id or "", user_id)
