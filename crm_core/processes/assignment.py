"""Lead assignment: by ordered rules and free capacity, each draw logged, no lead stranded.

Every open lead without an owner who works here is either assigned or stands in the queue of
:func:`stranded` with the reason why it could not be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.leads.models import Lead
from crm_core.people.models import OrgUnit, User
from crm_core.people.queries import Visibility, company_day
from crm_core.processes import alerts, conditions, facts, outbox
from crm_core.processes.acting import Acting
from crm_core.processes.arithmetic import Candidate, Choice, choose
from crm_core.processes.models import AssignmentCapacity, AssignmentPolicy, LeadAssignment

OPEN = ("new", "working", "qualified")
MOST_RULES = 50
MOST_POOL = 500
SELLS = ("rep", "manager", "leader")
"""Whom a lead may be given to."""

_LOCK = "lead assignment"


class BadPolicy(Invalid):
    """A rule of the assignment is not as it must be."""


class NoSuchLead(NotFound):
    """No lead has this id."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """What was decided about a lead."""

    lead_id: str
    outcome: str
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Stranded:
    """An open lead that nobody works on: since when, and why it found no owner."""

    lead_id: str
    created_at: dt.datetime
    source: str | None
    status: str | None
    former_owner: str | None
    reason: str
    tried_at: dt.datetime | None


def set_policy(
    session: Session,
    *,
    rules: Sequence[Mapping[str, Any]],
    default_capacity: int,
    acting: Acting,
) -> int:
    """Set how leads find their owner from now on; return the version.

    A rule is ``{"condition": …, "pool": {"users": […]} | {"org_unit": id} | {"role": "rep"}}``;
    the first whose condition holds decides the pool. Raises BadPolicy and BadCondition.
    """
    acting.requires_operations()
    if not 0 < len(rules) <= MOST_RULES or not 0 < default_capacity <= 10_000:
        raise BadPolicy(f"A policy has 1 to {MOST_RULES} rules and a capacity of at least 1.")
    for number, rule in enumerate(rules, 1):
        if set(rule) != {"condition", "pool"} or not _is_pool(rule["pool"]):
            raise BadPolicy(f"Rule {number} needs a condition and a pool: users, org_unit or role.")
        _require_known(session, number, rule["pool"])
        conditions.parse(rule["condition"], fields=facts.FIELDS["lead"])
    _lock(session)
    version = (session.scalar(select(func.max(AssignmentPolicy.version))) or 0) + 1
    session.add(
        AssignmentPolicy(
            version=version, rules=[dict(rule) for rule in rules],
            default_capacity=default_capacity, created_at=acting.now, created_by=acting.user_id,
        )
    )  # fmt: skip
    session.flush()
    acting.log(
        session, "create", "assignment_policies", version,
        {"rules": (None, [dict(rule) for rule in rules]),
         "default_capacity": (None, default_capacity)},
    )  # fmt: skip
    return version


def _is_pool(pool: object) -> bool:
    if not isinstance(pool, Mapping) or len(pool) != 1:
        return False
    ((kind, value),) = pool.items()
    if kind == "users":
        return (
            isinstance(value, list)
            and 0 < len(value) <= MOST_POOL
            and all(isinstance(each, str) for each in value)
        )
    return kind in ("org_unit", "role") and isinstance(value, str)


def _require_known(session: Session, number: int, pool: Mapping[str, Any]) -> None:
    """Raise BadPolicy unless the people, the unit or the role of a pool exist."""
    ((kind, value),) = pool.items()
    if kind == "users":
        known = set(session.scalars(select(User.id).where(User.id.in_(value))))
        missing = [each for each in value if each not in known]
        if missing:
            raise BadPolicy(f"Rule {number}: there is no user {missing[0]!r}.")
    elif kind == "org_unit" and session.get(OrgUnit, value) is None:
        raise BadPolicy(f"Rule {number}: there is no org unit {value!r}.")
    elif kind == "role" and value not in SELLS:
        raise BadPolicy(f"Rule {number}: leads go to {', '.join(SELLS)}, not to {value!r}.")


def set_capacity(session: Session, user_id: str, most_open: int, *, acting: Acting) -> None:
    """Set how many open leads a person takes at most; 0 pauses them."""
    acting.requires_operations()
    if session.get(User, user_id) is None or not 0 <= most_open <= 10_000:
        raise BadPolicy("Name a user and a number of leads from 0 to 10,000.")
    values = {"most_open": most_open, "changed_at": acting.now, "changed_by": acting.user_id}
    statement = insert(AssignmentCapacity).values(user_id=user_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))
    acting.log(session, "update", "assignment_capacities", user_id,
               {"most_open": (None, most_open)})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """How many open leads a person has; ``most_open`` where it differs from the policy's."""

    user_id: str
    name: str
    role: str
    open: int
    most_open: int | None


def loads(session: Session, *, now: dt.datetime) -> tuple[Load, ...]:
    """Return who may be given leads, by name, with what they have and take."""
    rows = session.execute(
        select(User.id, User.name, User.role, _load(), AssignmentCapacity.most_open)
        .outerjoin(AssignmentCapacity, AssignmentCapacity.user_id == User.id)
        .where(*_takes_leads(company_day(session, now)))
        .order_by(User.name, User.id)
        .limit(MOST_POOL)
    )
    return tuple(Load(*row) for row in rows)


def newest_policy(session: Session) -> AssignmentPolicy | None:
    """Return the policy in force, None before there is one."""
    return session.scalar(
        select(AssignmentPolicy).order_by(AssignmentPolicy.version.desc()).limit(1)
    )


def assign(
    session: Session,
    lead_id: str,
    *,
    now: dt.datetime,
    actor_id: str | None = None,
    occasion: str = "sweep",
    cause: outbox.Cause | None = None,
) -> Assigned:
    """Give a lead to somebody with free capacity, or log why nobody got it. Raises NoSuchLead.

    One assignment at a time, so that nobody gets more than they can take.
    """
    _lock(session)
    lead = session.scalar(
        select(Lead)
        .where(Lead.id == lead_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if lead is None:
        raise NoSuchLead(f"There is no lead {lead_id}.")
    policy = newest_policy(session)
    rule, pool = _matching(policy, facts.of(session, "lead", lead_id) or {})
    candidates = _candidates(session, policy, pool, now=now) if policy and pool else []
    seed = f"{lead_id}:{policy.version if policy else 0}:{occasion}:{now.isoformat()}"
    choice = choose(candidates, seed=seed)
    outcome = "assigned" if choice.user_id else ("no_capacity" if candidates else "no_rule")
    former = lead.owner_id
    _log(session, lead, policy, rule, candidates, choice, outcome=outcome, seed=seed, now=now)
    if choice.user_id is None:
        _report(session, lead, outcome, now=now)
        return Assigned(lead_id, outcome, None)
    lead.owner_id = choice.user_id
    session.flush()
    _tell(session, lead, former, now=now, actor_id=actor_id, cause=cause)
    return Assigned(lead_id, outcome, choice.user_id)


def _lock(session: Session) -> None:
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(_LOCK))))


def _matching(
    policy: AssignmentPolicy | None, known: Mapping[str, Any]
) -> tuple[int | None, Mapping[str, Any] | None]:
    for number, rule in enumerate(policy.rules if policy else ()):
        condition = conditions.parse(rule["condition"], fields=facts.FIELDS["lead"])
        if conditions.holds(condition, known):
            return number, rule["pool"]
    return None, None


def _candidates(
    session: Session, policy: AssignmentPolicy, pool: Mapping[str, Any], *, now: dt.datetime
) -> list[Candidate]:
    ((kind, value),) = pool.items()
    chosen = {
        "users": User.id.in_(value if kind == "users" else []),
        "org_unit": User.org_unit_id == value,
        "role": User.role == value,
    }[kind]
    takes = func.coalesce(AssignmentCapacity.most_open, policy.default_capacity)
    rows = session.execute(
        select(User.id, _load(), takes)
        .outerjoin(AssignmentCapacity, AssignmentCapacity.user_id == User.id)
        .where(chosen, *_takes_leads(company_day(session, now)))
        .order_by(User.id)
        .limit(MOST_POOL)
    )
    return [Candidate(*row) for row in rows]


def _load() -> Any:  # noqa: ANN401 - a subquery
    """Return how many open leads a user has."""
    return (
        select(func.count())
        .where(Lead.owner_id == User.id, _is_open())
        .correlate(User)
        .scalar_subquery()
    )


def _takes_leads(today: dt.date) -> tuple[Any, ...]:
    """Return that a user sells and works here."""
    return (
        User.role.in_(SELLS),
        or_(User.left_on.is_(None), User.left_on > today),
        or_(User.hired_on.is_(None), User.hired_on <= today),
    )


def _is_open() -> Any:  # noqa: ANN401 - a condition
    return or_(Lead.status.is_(None), Lead.status.in_(OPEN))


def _log(
    session: Session,
    lead: Lead,
    policy: AssignmentPolicy | None,
    rule: int | None,
    candidates: Sequence[Candidate],
    choice: Choice,
    *,
    outcome: str,
    seed: str,
    now: dt.datetime,
) -> None:
    chances = dict(choice.propensities)
    session.add(
        LeadAssignment(
            lead_id=lead.id, policy_version=policy.version if policy else None, rule=rule,
            former_owner_id=lead.owner_id, user_id=choice.user_id, outcome=outcome,
            candidates=[
                {"user": each.user_id, "open": each.open, "capacity": each.capacity,
                 "chance": chances[each.user_id]}
                for each in candidates
            ],
            propensity=choice.propensity, seed=seed, decided_at=now,
        )
    )  # fmt: skip
    session.flush()


def _report(session: Session, lead: Lead, outcome: str, *, now: dt.datetime) -> None:
    """Tell sales operations that a lead is stranded."""
    for user_id in alerts.people_in(session, ["sales_ops"]) or alerts.people_in(session, ["admin"]):
        alerts.raise_alert(
            session, user_id=user_id, kind="lead_stranded", severity="warning",
            dedupe_key=f"lead:{lead.id}:stranded", words={"lead": lead.id, "reason": outcome},
            subject_kind="lead", subject_id=lead.id, now=now,
        )  # fmt: skip


def _tell(
    session: Session,
    lead: Lead,
    former: str | None,
    *,
    now: dt.datetime,
    actor_id: str | None,
    cause: outbox.Cause | None,
) -> None:
    assert lead.owner_id is not None
    alerts.resolve(session, f"lead:{lead.id}:stranded", now=now)
    alerts.raise_alert(
        session, user_id=lead.owner_id, kind="assigned", words={"title": lead.id}, now=now,
        dedupe_key=f"lead:{lead.id}:assigned", subject_kind="lead", subject_id=lead.id,
    )  # fmt: skip
    outbox.emit(
        session, "lead.changed", lead.id, changed={"owner_id": (former, lead.owner_id)},
        actor_id=actor_id, occurred_at=now, recorded_at=now, cause=cause,
    )  # fmt: skip


def _nobodys(now_day: dt.date) -> Any:  # noqa: ANN401 - a condition
    """Return that a lead is open and nobody who works here owns it."""
    left = select(User.id).where(User.left_on <= now_day)
    return and_(_is_open(), or_(Lead.owner_id.is_(None), Lead.owner_id.in_(left)))


def sweep(session: Session, *, now: dt.datetime, limit: int = 200) -> tuple[Assigned, ...]:
    """Try to assign the open leads that nobody works on, the oldest first; none without a policy.

    A lead that found nobody is tried again after an hour.
    """
    if newest_policy(session) is None:
        return ()
    tried = select(LeadAssignment.lead_id).where(
        LeadAssignment.decided_at > now - dt.timedelta(hours=1),
        LeadAssignment.outcome != "assigned",
    )
    waiting = session.scalars(
        select(Lead.id)
        .where(_nobodys(company_day(session, now)), Lead.id.not_in(tried), Lead.created_at <= now)
        .order_by(Lead.created_at, Lead.id)
        .limit(limit)
    ).all()
    return tuple(assign(session, each, now=now) for each in waiting)


def stranded(
    session: Session, *, visibility: Visibility, as_of: dt.datetime, limit: int = 200
) -> tuple[Stranded, ...]:
    """Return the open leads that nobody works on and that may be seen, the oldest first."""
    last = (
        select(LeadAssignment)
        .ext(distinct_on(LeadAssignment.lead_id))
        .order_by(LeadAssignment.lead_id, LeadAssignment.id.desc())
        .subquery()
    )
    rows = session.execute(
        select(Lead, User.name, last.c.outcome, last.c.decided_at)
        .outerjoin(User, User.id == Lead.owner_id)
        .outerjoin(last, last.c.lead_id == Lead.id)
        .where(
            _nobodys(company_day(session, as_of)),
            visibility.condition(Lead.owner_id),
            Lead.created_at <= as_of,
        )
        .order_by(Lead.created_at, Lead.id)
        .limit(limit)
    )
    return tuple(
        Stranded(
            lead.id, lead.created_at, lead.source, lead.status, owner,
            outcome if outcome in ("no_rule", "no_capacity") else
            ("owner_left" if owner else "not_tried"), tried_at,
        )
        for lead, owner, outcome, tried_at in rows
    )  # fmt: skip
