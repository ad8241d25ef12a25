"""Every write about goals: making and changing them, their states, commits, passing them down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict, Invalid
from crm_core.exchange import QUOTA_METRICS
from crm_core.goals.access import NoSuchGoal, Reach, SubjectKind
from crm_core.goals.arithmetic import Act, Line, SelfApproval, Split, State, moved
from crm_core.goals.models import (
    Goal,
    GoalCommit,
    GoalDecomposition,
    GoalStep,
    GoalVersion,
)
from crm_core.money import Money
from crm_core.people.models import OrgUnit, User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.operations import publish
from crm_core.quotas.presence import planned_days
from crm_core.quotas.queries import people

Method = Literal["manual", "top_down", "waterfall", "bottom_up", "reconciled"]
PERIOD_KINDS = {1: "month", 3: "quarter", 12: "year"}
_OPEN = ("draft", "discussion")
PASSED_AGAIN = "passed down again"
_NEEDS_NOTE = frozenset({"comment", "send_back", "withdraw"})


class NotAGoal(Invalid):
    """The subject, metric, period or amount of a goal is not as it must be."""


class ChangePending(Conflict):
    """A version of this goal waits to be approved or withdrawn already."""


class GoalChanged(Conflict):
    """The goal is not as it was read; read it again."""


class FlagsNeedAReason(Conflict):
    """Something speaks against the amount; locking it needs a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody is to reach. ``whole`` says that the amount is for every day of the period.

    Otherwise it is what they are held to if they are there as known now (a newcomer's amount is
    not cut again for the days before they came).
    """

    subject_kind: SubjectKind
    subject_id: str
    metric: str
    period: Period
    amount: Money
    reason: str | None = None
    effective_on: dt.date | None = None
    whole: bool = False
    method: Method = "manual"
    base: Money | None = None


def propose(session: Session, wanted: Wanted, *, reach: Reach, now: dt.datetime) -> Goal:
    """Make a goal, or the next version of one, as a draft; return the goal.

    The first version counts from the period's start. A later one needs a reason and counts from
    ``effective_on`` (the start by default); what is approved stays in force until it is
    approved itself. Raises NotAGoal, NoSuchGoal, MayNot and ChangePending.
    """
    reach.require("edit", wanted.subject_kind, wanted.subject_id)
    kind = _period_kind(wanted.period)
    _check(session, wanted)
    goal = _found(session, wanted) or _made(session, wanted, kind, reach, now=now)
    newest = _current(session, goal.id)
    if newest is not None and newest.state in _OPEN:
        raise ChangePending("A version of this goal waits already; decide or withdraw it first.")
    if newest is not None and newest.state == "locked" and not reach.visibility.everyone:
        raise ChangePending("This goal is locked; only sales operations or finance reopen it.")
    _add_version(session, goal, newest, wanted, reach, now=now)
    return goal


def _period_kind(period: Period) -> str:
    months = (period.end.year - period.start.year) * 12 + period.end.month - period.start.month
    if period.start.day != 1 or period.end.day != 1 or months not in PERIOD_KINDS:
        raise NotAGoal("A goal is for a month, a quarter or a year; write 2026-11, 2026-Q4, 2026.")
    return PERIOD_KINDS[months]


def _check(session: Session, wanted: Wanted) -> None:
    if wanted.metric not in QUOTA_METRICS:
        raise NotAGoal(f"A goal is for one of {', '.join(QUOTA_METRICS)}.")
    table: Any = User if wanted.subject_kind == "user" else OrgUnit
    if session.get(table, wanted.subject_id) is None:
        raise NoSuchGoal("There is no such person or unit.")
    if wanted.amount.minor < 0:
        raise NotAGoal("A goal is not negative.")
    start = wanted.effective_on or wanted.period.start
    if not wanted.period.contains(start):
        raise NotAGoal("A change counts from a day inside the goal's period.")


def _found(session: Session, wanted: Wanted) -> Goal | None:
    return session.scalar(
        select(Goal)
        .where(
            Goal.subject_kind == wanted.subject_kind, Goal.subject_id == wanted.subject_id,
            Goal.metric == wanted.metric, Goal.period_start == wanted.period.start,
            Goal.period_end == wanted.period.end,
        )
        .with_for_update()
    )  # fmt: skip


def _made(session: Session, wanted: Wanted, kind: str, reach: Reach, *, now: dt.datetime) -> Goal:
    goal = Goal(
        subject_kind=wanted.subject_kind, subject_id=wanted.subject_id, metric=wanted.metric,
        period_kind=kind, period_name=wanted.period.name, period_start=wanted.period.start,
        period_end=wanted.period.end, created_at=now, created_by=reach.viewer.id,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(goal)
    except IntegrityError as error:
        raise ChangePending("Somebody made this goal just now; read it again.") from error
    return goal


def _current(session: Session, goal_id: int) -> GoalVersion | None:
    """Return the newest version that was not withdrawn; where all were, the newest."""
    return session.scalar(
        select(GoalVersion)
        .where(GoalVersion.goal_id == goal_id)
        .order_by(GoalVersion.state == "withdrawn", GoalVersion.version.desc())
        .limit(1)
    )


def _add_version(
    session: Session,
    goal: Goal,
    newest: GoalVersion | None,
    wanted: Wanted,
    reach: Reach,
    *,
    now: dt.datetime,
) -> None:
    start = wanted.effective_on or goal.period_start
    if newest is None and start != goal.period_start:
        raise NotAGoal("A goal's first version counts from the start of its period.")
    if newest is not None and not (wanted.reason or "").strip():
        raise NotAGoal("A change of a goal needs a reason.")
    days = None if wanted.whole else _planned(session, goal, as_of=now)
    highest = select(func.max(GoalVersion.version)).where(GoalVersion.goal_id == goal.id)
    number = (session.scalar(highest) or 0) + 1
    session.add(
        GoalVersion(
            goal_id=goal.id, version=number, state="draft", amount_minor=wanted.amount.minor,
            currency=wanted.amount.currency, effective_on=start, planned_days=days,
            method=wanted.method, base_minor=wanted.base.minor if wanted.base else None,
            reason=wanted.reason, created_at=now, created_by=reach.viewer.id,
        )
    )  # fmt: skip
    session.flush()
    _step(session, goal.id, number, "propose", "draft", reach, note=wanted.reason, now=now)
    before = Money(newest.amount_minor, newest.currency).major if newest else None
    audit.record_here(
        session, action="propose", table="goals", record_id=str(goal.id),
        changes={"amount": (before, wanted.amount.major), "version": (None, number)},
    )  # fmt: skip


def _planned(session: Session, goal: Goal, *, as_of: dt.datetime) -> Decimal | None:
    """Return the days a person's amount is planned for, None where it is every day."""
    if goal.subject_kind != "user":
        return None
    alone = Visibility(everyone=False, user_ids=frozenset({goal.subject_id}))
    found = people(session, alone, as_of=as_of).get(goal.subject_id)
    period = goal.period
    days = planned_days(found.presence, period) if found else Decimal(period.days)
    if not days:
        raise NotAGoal("This person is not there on any day of the period; nothing can be asked.")
    return None if days == period.days else days.quantize(Decimal("0.01"))


def _step(
    session: Session,
    goal_id: int,
    version: int,
    done: str,
    state: str,
    reach: Reach,
    *,
    note: str | None,
    now: dt.datetime,
    flags: Sequence[Mapping[str, Any]] = (),
) -> None:
    session.add(
        GoalStep(
            goal_id=goal_id, version=version, act=done, state=state, user_id=reach.viewer.id,
            occurred_at=now, note=note, flags=[dict(flag) for flag in flags],
        )
    )  # fmt: skip
    session.flush()


def act(
    session: Session,
    goal_id: int,
    do: Act,
    *,
    version: int,
    reach: Reach,
    now: dt.datetime,
    note: str | None = None,
    flags: Sequence[Mapping[str, Any]] = (),
) -> GoalVersion:
    """Move a version on and write down who did it, when and why; return it.

    ``version`` is the one that was read. Approving publishes the amount as a quota; nobody
    approves what they wrote, proposed or carry. Locking an amount against which ``flags`` speak
    needs a note. Raises NoSuchGoal, MayNot, GoalChanged, NoSuchMove, SelfApproval, NotAGoal and
    FlagsNeedAReason.
    """
    goal, newest = _opened(session, goal_id, reach)
    if newest.version != version:
        raise GoalChanged("The goal is not the version you read; read it again.")
    _require(do, goal, newest, reach)
    after = moved(_state(newest), do)
    if do in _NEEDS_NOTE and not (note or "").strip():
        raise NotAGoal("Say why; the note stands in the goal's history.")
    if do == "lock" and flags and not (note or "").strip():
        said = ", ".join(str(flag.get("flag")) for flag in flags)
        raise FlagsNeedAReason(f"This goal is flagged ({said}); give a reason to lock it.")
    if do == "approve":
        _refuse_own(session, newest, reach)
        _publish(session, goal, newest, now=now)
    newest.state = after
    session.flush()
    _step(session, goal.id, newest.version, do, after, reach, note=note, now=now, flags=flags)
    audit.record_here(
        session, action=do, table="goals", record_id=str(goal.id),
        changes={"state": (None, after), "note": (None, note), "version": (None, version)},
    )  # fmt: skip
    return newest


def _opened(session: Session, goal_id: int, reach: Reach) -> tuple[Goal, GoalVersion]:
    """Return a goal and its newest version, held against others until the transaction ends."""
    goal = session.scalar(select(Goal).where(Goal.id == goal_id).with_for_update())
    if goal is None or not reach.sees(goal.subject_kind, goal.subject_id):
        raise NoSuchGoal("There is no such goal among those you may see.")
    newest = _current(session, goal_id)
    if newest is None or (
        newest.state == "draft" and not reach.reads_drafts(goal.subject_kind, goal.subject_id)
    ):
        raise NoSuchGoal("There is no such goal among those you may see.")
    return goal, newest


def _state(version: GoalVersion) -> State:
    return version.state  # type: ignore[return-value]  # held by the table's check


def _require(do: Act, goal: Goal, version: GoalVersion, reach: Reach) -> None:
    """Check that the person may do this: a discussion is open to whoever sees the goal."""
    if do == "comment":
        return
    action: Literal["edit", "approve"] = "approve" if do in ("approve", "lock") else "edit"
    reach.require(action, goal.subject_kind, goal.subject_id)
    if version.state == "locked" and not reach.visibility.everyone:
        raise ChangePending("This goal is locked; only sales operations or finance reopen it.")


def _refuse_own(session: Session, version: GoalVersion, reach: Reach) -> None:
    submitted = (
        select(GoalStep.user_id)
        .where(
            GoalStep.goal_id == version.goal_id, GoalStep.version == version.version,
            GoalStep.act.in_(("propose", "submit")),
        )
    )  # fmt: skip
    authors = {version.created_by, *session.scalars(submitted)}
    if reach.viewer.id in authors:
        raise SelfApproval("You wrote or proposed this goal; somebody else approves it.")


def _publish(session: Session, goal: Goal, version: GoalVersion, *, now: dt.datetime) -> None:
    publish(
        session, subject_kind=goal.subject_kind, subject_id=goal.subject_id, metric=goal.metric,
        period=goal.period,
        amount=Money(version.amount_minor, version.currency), effective_on=version.effective_on,
        planned_days=version.planned_days, now=now,
    )  # fmt: skip


def commit_to(
    session: Session,
    goal_id: int,
    amount: Money,
    *,
    reach: Reach,
    now: dt.datetime,
    note: str | None = None,
) -> None:
    """Say what whoever carries the goal will reach: the bottom-up number. Append-only.

    By who carries it, or who may edit it and says it for them. Raises NoSuchGoal and NotAGoal.
    """
    goal, _ = _opened(session, goal_id, reach)
    kind, subject = goal.subject_kind, goal.subject_id
    if not reach.carries(kind, subject):
        reach.require("edit", kind, subject)
    if amount.minor < 0:
        raise NotAGoal("A commit is not negative.")
    session.add(
        GoalCommit(
            goal_id=goal.id, amount_minor=amount.minor, currency=amount.currency, note=note,
            user_id=reach.viewer.id, occurred_at=now,
        )
    )  # fmt: skip
    session.flush()
    audit.record_here(
        session, action="commit", table="goals", record_id=str(goal.id),
        changes={"commit": (None, amount.major)},
    )  # fmt: skip


def pass_down(
    session: Session,
    goal_id: int,
    found: Split,
    *,
    version: int,
    method: Literal["top_down", "waterfall", "reconciled"],
    mix: Mapping[str, Decimal],
    reason: str | None,
    reach: Reach,
    now: dt.datetime,
    periods: Mapping[str, Period] | None = None,
) -> list[Goal]:
    """Write a split down and make a draft for each child; return the children's goals.

    ``periods`` are the shorter ones by name where the goal is passed to those. A child's former
    draft is withdrawn for it; what is discussed already stands against it.
    Every child gets its draft or none does. Raises what ``propose`` raises, and GoalChanged.
    """
    goal, newest = _opened(session, goal_id, reach)
    if newest.version != version:
        raise GoalChanged("The goal is not the version you read; read it again.")
    session.add(
        GoalDecomposition(
            goal_id=goal.id, version=newest.version, method=method, factor=found.factor,
            mix={name: str(weight) for name, weight in mix.items()},
            lines=[_line_of(line) for line in found.lines], passed_minor=found.passed.minor,
            residual_minor=found.residual.minor, currency=found.passed.currency,
            created_at=now, created_by=reach.viewer.id,
        )
    )  # fmt: skip
    made = []
    for line in found.lines:
        wanted = _part_of(goal, line, periods or {}, method=method)
        again = _give_up_draft(session, wanted, reach, now=now)
        made.append(
            propose(session, replace(wanted, reason=reason or again), reach=reach, now=now)
        )  # fmt: skip
    return made


def _part_of(goal: Goal, line: Line, periods: Mapping[str, Period], *, method: Method) -> Wanted:
    """Return what a child is to reach: somebody in the same period, or the same in a shorter."""
    child = line.child
    kind = goal.subject_kind if child.kind == "period" else child.kind
    return Wanted(
        subject_kind="user" if kind == "user" else "org_unit", metric=goal.metric,
        subject_id=goal.subject_id if child.kind == "period" else child.id,
        period=periods[child.id] if child.kind == "period" else goal.period,
        amount=line.amount, base=line.given, method=method,
    )  # fmt: skip


def _give_up_draft(
    session: Session, wanted: Wanted, reach: Reach, *, now: dt.datetime
) -> str | None:
    """Withdraw a child's draft; return the reason of its next version, None for its first."""
    goal = _found(session, wanted)
    before = _current(session, goal.id) if goal else None
    if goal is None or before is None:
        return None
    if before.state == "draft":
        act(session, goal.id, "withdraw", version=before.version, reach=reach, now=now,
            note=PASSED_AGAIN)  # fmt: skip
    return PASSED_AGAIN


def _line_of(line: Line) -> dict[str, Any]:
    """Return a line as JSON holds it."""
    return {
        "kind": line.child.kind, "id": line.child.id, "weight": str(line.weight),
        "shares": {name: str(share) for name, share in line.shares.items()},
        "capacity": str(line.child.capacity), "ramp": str(line.child.ramp),
        "given_minor": line.given.minor, "amount_minor": line.amount.minor, "held": line.held,
    }  # fmt: skip
