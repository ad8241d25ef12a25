"""The demo company's processes: what its stages ask and a rule."""

from __future__ import annotations

import datetime as dt
from itertools import product

from sqlalchemy import Engine, select

from crm_core.database import transaction
from crm_core.processes import operations, rules
from crm_core.processes.acting import program
from crm_core.processes.models import StageCriterion
from serving import turns

CRITERIA = (
    ("Qualify", "exit", "field", "amount"),
    ("Evaluate", "exit", "activity", "demo"),
    ("Propose", "exit", "contact_role", "economic_buyer"),
    ("Negotiate", "exit", "task", "Send the contract for signature"),
)
LARGE = 50_000
RULE = rules.Draft(
    name="Large deals in negotiation",
    event_kind="opportunity.stage_changed",
    condition={
        "all": [
            {"field": "stage", "op": "became", "value": "Negotiate"},
            {"field": "amount", "op": ">=", "value": LARGE},
        ]
    },
    actions=[
        {"kind": "notify", "to": "manager", "text": "A large deal is in negotiation.",
         "severity": "info"},
        {"kind": "task", "title": "Agree on the closing plan with the buyer", "due_in_days": 3,
         "assignee": "owner"},
    ],
    comment="Comes with the demo.",
)  # fmt: skip


def make(engine: Engine, *, now: dt.datetime) -> None:
    """Write the demo's processes and let them act once; a second call changes nothing."""
    acting = program(now)
    with transaction(engine) as session:
        if session.scalar(select(StageCriterion.id).limit(1)) is not None:
            return
        for (pipeline, _), (stage, moment, kind, value) in product(
            operations.pipelines(session), CRITERIA
        ):
            operations.add_criterion(
                session, pipeline=pipeline, stage=stage, moment=moment,  # type: ignore[arg-type]
                kind=kind, value=value, acting=acting,
            )  # fmt: skip
        rules.write(session, RULE, acting=acting)
    turns.take_turn(engine, now=now)
    turns.watch(engine, now=now)
