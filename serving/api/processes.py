"""Stages, rules, webhooks and lead assignment for programs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, Field

from crm_core.processes import assignment, carrying_out, operations, rules, webhooks
from crm_core.processes.assignment import Assigned, Stranded
from crm_core.processes.operations import Asked, StageChange, Way
from crm_core.processes.rules import Draft, RuleView, RunView
from crm_core.processes.webhooks import Delivery, Endpoint
from serving import errors
from serving import webhooks as sending
from serving.acting import Acts
from serving.addresses import ByPart
from serving.dependencies import Configured, SessionOfRequest
from serving.security import SIGNED_IN, allow, only

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1", tags=["processes"], responses=PROBLEMS, route_class=ByPart)
OPERATIONS = only("sales_ops", "admin")
TextId = Annotated[str, Path(max_length=200)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=200)]


class WantedStage(BaseModel):
    """The stage to enter. ``reason`` overrides what is missing, or asks for an approval of it."""

    stage: str = Field(max_length=200)
    reason: str | None = Field(None, max_length=1000)
    lost_reason: str | None = Field(None, max_length=1000)


class NewCriterion(BaseModel):
    """What a stage asks of a deal; ``value`` by kind."""

    pipeline: str = Field("default", max_length=200)
    stage: str = Field(max_length=200)
    moment: Literal["exit", "entry"] = "exit"
    kind: Literal["field", "contact_role", "activity", "min_days", "condition", "task"]
    value: Any


class RuleText(BaseModel):
    """A rule: when ``event_kind`` happens and ``condition`` holds, do ``actions``."""

    name: str = Field(max_length=300)
    event_kind: str = Field(max_length=48)
    condition: dict[str, Any] = Field(default_factory=dict)
    actions: list[dict[str, Any]] = Field(max_length=10)
    is_active: bool = True
    valid_from: AwareDatetime | None = None
    comment: str | None = Field(None, max_length=1000)

    def draft(self) -> Draft:
        """Return the rule as the operations take it."""
        return Draft(**self.model_dump())


class Rehearsal(BaseModel):
    """What a rule would have done: over how many events, and the newest effects."""

    events: int
    effects: list[carrying_out.Preview]


class NewEndpoint(BaseModel):
    """Where webhooks go."""

    name: str = Field(max_length=200)
    url: str = Field(max_length=2000)


class Secret(BaseModel):
    """The key that signs messages to an endpoint; shown only now."""

    id: int
    secret: str


class Policy(BaseModel):
    """How leads find their owner: the first rule whose condition holds decides the pool."""

    rules: list[dict[str, Any]] = Field(max_length=50)
    default_capacity: int = Field(ge=1, le=10_000)


class Created(BaseModel):
    """The number of what was made."""

    id: int


@router.get("/opportunities/{opportunity_id}/stages")
@allow(SIGNED_IN)
def read_ways(opportunity_id: TextId, session: SessionOfRequest, acting: Acts) -> list[Way]:
    """Return the stages that a deal could enter and what it misses for each."""
    return list(operations.ways(session, opportunity_id, acting=acting))


@router.post("/opportunities/{opportunity_id}/stage")
@allow(SIGNED_IN)
def change_stage(
    opportunity_id: TextId, given: WantedStage, session: SessionOfRequest, acting: Acts
) -> StageChange:
    """Move a deal to a stage; 409 says what is missing. Criteria are checked here, always."""
    return operations.change_stage(
        session, opportunity_id, given.stage, acting=acting, reason=given.reason,
        lost_reason=given.lost_reason,
    )  # fmt: skip


@router.get("/stage-criteria")
@allow(SIGNED_IN)
def list_criteria(
    session: SessionOfRequest, pipeline: Annotated[str, Query(max_length=200)] = "default"
) -> list[Asked]:
    """Return what the stages of a pipeline ask of a deal."""
    return list(operations.criteria(session, pipeline))


@router.post("/stage-criteria", status_code=201)
@allow(OPERATIONS)
def add_criterion(given: NewCriterion, session: SessionOfRequest, acting: Acts) -> Created:
    """Let a stage ask for something more."""
    return Created(id=operations.add_criterion(session, acting=acting, **given.model_dump()))


@router.delete("/stage-criteria/{criterion_id}", status_code=204)
@allow(OPERATIONS)
def retire_criterion(criterion_id: Number, session: SessionOfRequest, acting: Acts) -> None:
    """Let a stage no longer ask for it."""
    operations.retire_criterion(session, criterion_id, acting=acting)


@router.get("/rules")
@allow(OPERATIONS)
def list_rules(session: SessionOfRequest) -> list[RuleView]:
    """Return the newest version of each rule."""
    return list(rules.listed(session))


@router.post("/rules", status_code=201)
@allow(OPERATIONS)
def write_rule(given: RuleText, session: SessionOfRequest, acting: Acts) -> RuleView:
    """Write a new rule."""
    return rules.write(session, given.draft(), acting=acting)


@router.post("/rules/rehearsal")
@allow(OPERATIONS)
def rehearse_rule(
    given: RuleText, session: SessionOfRequest, acting: Acts,
    days: Annotated[int, Query(ge=1, le=365)] = 30,
) -> Rehearsal:  # fmt: skip
    """Return what a rule would have done about past events; nothing is done."""
    since = acting.now - dt.timedelta(days=days)
    events, found = carrying_out.rehearse(session, given.draft(), since=since, until=acting.now)
    return Rehearsal(events=events, effects=list(found))


@router.get("/rules/runs")
@allow(OPERATIONS)
def list_runs(session: SessionOfRequest, limit: Limit = 100) -> list[RunView]:
    """Return what rules did, the latest first."""
    return list(rules.runs(session, limit=limit))


@router.get("/rules/{rule_id}/versions")
@allow(OPERATIONS)
def list_versions(rule_id: Number, session: SessionOfRequest) -> list[RuleView]:
    """Return all versions of a rule, newest first: who changed what and when."""
    return list(rules.versions(session, rule_id))


@router.post("/rules/{rule_id}/versions", status_code=201)
@allow(OPERATIONS)
def write_version(
    rule_id: Number, given: RuleText, session: SessionOfRequest, acting: Acts
) -> RuleView:
    """Write the next version of a rule; earlier ones stay as they were."""
    return rules.write(session, given.draft(), rule_id=rule_id, acting=acting)


@router.get("/webhooks")
@allow(OPERATIONS)
def list_endpoints(session: SessionOfRequest) -> list[Endpoint]:
    """Return where webhooks go, without the secrets."""
    return list(webhooks.endpoints(session))


@router.post("/webhooks", status_code=201)
@allow(OPERATIONS)
def add_endpoint(
    given: NewEndpoint, session: SessionOfRequest, acting: Acts, settings: Configured
) -> Secret:
    """Add an endpoint; its secret is shown this once."""
    sending.check_url(given.url, allowed=sending.allowed_hosts(settings.webhook_hosts))
    number, secret = webhooks.add_endpoint(session, name=given.name, url=given.url, acting=acting)
    return Secret(id=number, secret=secret)


@router.post("/webhooks/{endpoint_id}/secret", status_code=201)
@allow(OPERATIONS)
def rotate_secret(endpoint_id: Number, session: SessionOfRequest, acting: Acts) -> Secret:
    """Give an endpoint a new secret; the former signs too for a day."""
    secret = webhooks.rotate_secret(session, endpoint_id, acting=acting)
    return Secret(id=endpoint_id, secret=secret)


@router.put("/webhooks/{endpoint_id}/active", status_code=204)
@allow(OPERATIONS)
def switch_endpoint(
    endpoint_id: Number, is_active: bool, session: SessionOfRequest, acting: Acts
) -> None:
    """Switch an endpoint on or off."""
    webhooks.set_active(session, endpoint_id, is_active, acting=acting)


@router.get("/webhooks/deliveries")
@allow(OPERATIONS)
def list_deliveries(session: SessionOfRequest, limit: Limit = 100) -> list[Delivery]:
    """Return the latest messages and what became of them."""
    return list(webhooks.deliveries(session, limit=limit))


@router.post("/webhooks/deliveries/{delivery_id}/retry", status_code=204)
@allow(OPERATIONS)
def retry_delivery(delivery_id: Number, session: SessionOfRequest, acting: Acts) -> None:
    """Send a given-up message once more."""
    webhooks.retry(session, [delivery_id], acting=acting)


@router.put("/assignment-policy", status_code=201)
@allow(OPERATIONS)
def set_policy(given: Policy, session: SessionOfRequest, acting: Acts) -> Created:
    """Set how leads find their owner from now on; return the version."""
    version = assignment.set_policy(
        session, rules=given.rules, default_capacity=given.default_capacity, acting=acting
    )
    return Created(id=version)


@router.put("/assignment-capacities/{user_id}", status_code=204)
@allow(OPERATIONS)
def set_capacity(
    user_id: TextId, most_open: Annotated[int, Query(ge=0, le=10_000)],
    session: SessionOfRequest, acting: Acts,
) -> None:  # fmt: skip
    """Set how many open leads a person takes at most; 0 pauses them."""
    assignment.set_capacity(session, user_id, most_open, acting=acting)


@router.get("/leads/stranded")
@allow(OPERATIONS)
def list_stranded(session: SessionOfRequest, acting: Acts) -> list[Stranded]:
    """Return the open leads that nobody works on, and why."""
    found = assignment.stranded(session, visibility=acting.visibility, as_of=acting.now)
    return list(found)


@router.post("/leads/{lead_id}/assignment")
@allow(OPERATIONS)
def assign_lead(lead_id: TextId, session: SessionOfRequest, acting: Acts) -> Assigned:
    """Try to assign a lead now."""
    return assignment.assign(
        session, lead_id, now=acting.now, actor_id=acting.user_id, occasion="by hand"
    )
