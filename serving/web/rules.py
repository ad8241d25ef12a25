"""The pages of rules: written in a form, rehearsed on past events, and only then saved."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.people import queries as people
from crm_core.processes import carrying_out, conditions, facts, rules, webhooks
from crm_core.processes.acting import Acting
from crm_core.processes.carrying_out import Preview
from serving.acting import Acts
from serving.addresses import ByPart
from serving.dependencies import SessionOfRequest
from serving.security import allow, only
from serving.web import pages, rule_form
from serving.web.pages import Frame, Framed
from serving.web.rule_form import RuleForm

router = APIRouter(include_in_schema=False, route_class=ByPart)
OPERATIONS = only("sales_ops", "admin")
DAYS = 30
"""So many days of past events a rehearsal looks at."""
SHOWN = 50
EventKind = Annotated[str, Query(max_length=48)]
RuleId = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


@router.get("/processes/rules")
@allow(OPERATIONS)
def rules_page(frame: Framed, session: SessionOfRequest, acting: Acts) -> Response:
    """Show every rule and what the rules did."""
    return pages.render(
        "rules.html", frame, rules=rules.listed(session), runs=rules.runs(session, limit=30),
        events=tuple(facts.EVENT_KINDS), names=_names(session, acting.now),
    )  # fmt: skip


@router.get("/processes/rules/form")
@allow(OPERATIONS)
def form_page(
    frame: Framed, session: SessionOfRequest, acting: Acts, rule_id: RuleId = None,
    event_kind: EventKind = "opportunity.changed",
) -> Response:  # fmt: skip
    """Show the form of a new rule on an event, or of the next version of one."""
    if rule_id is not None:
        form = rule_form.form_of(rules.versions(session, rule_id)[0])
    else:
        facts.fields_of(event_kind)
        form = RuleForm(event_kind=event_kind, is_active=True)
    return _shown(frame, session, acting, form)


@router.post("/processes/rules/rehearsal")
@allow(OPERATIONS)
def rehearse(
    form: Annotated[RuleForm, Form()], frame: Framed, session: SessionOfRequest, acting: Acts
) -> Response:
    """Show what the rule would have done, or what is wrong with it; nothing is written."""
    try:
        draft = form.draft()
        since = acting.now - dt.timedelta(days=DAYS)
        events, found = carrying_out.rehearse(session, draft, since=since, until=acting.now)
    except Invalid as error:
        return _shown(frame, session, acting, form, wrong=str(error), status=422)
    return _shown(frame, session, acting, form, rehearsed=(events, found))


@router.post("/processes/rules")
@allow(OPERATIONS)
def save(
    session: SessionOfRequest, acting: Acts, rehearsed: Annotated[str, Form(max_length=60_000)]
) -> Response:
    """Save a rule as it was rehearsed; it counts from now on."""
    try:
        form = RuleForm.model_validate_json(rehearsed)
    except ValidationError as error:
        raise rule_form.BadForm("The form arrived broken; rehearse the rule again.") from error
    rules.write(session, form.draft(), rule_id=form.rule_id, acting=acting)
    return RedirectResponse("/processes/rules", status_code=303)


def _shown(
    frame: Frame, session: Session, acting: Acting, form: RuleForm, *, wrong: str | None = None,
    rehearsed: tuple[int, tuple[Preview, ...]] | None = None, status: int = 200,
) -> Response:  # fmt: skip
    fields = facts.FIELDS.get(facts.EVENT_KINDS.get(form.event_kind, ""), frozenset())
    events, found = rehearsed or (0, ())
    return pages.render(
        "rule.html", frame, status=status, form=form, wrong=wrong, is_rehearsed=bool(rehearsed),
        events=events, found=found[:SHOWN], matched=len(found), days=DAYS,
        tests=rule_form.tests_of(form),
        actions=[asdict(line) for line in rule_form.actions_of(form)],
        fields=sorted(fields), operators=conditions.OPERATORS, kinds=rules.ACTIONS,
        settable=sorted(rules.SETTABLE.get(facts.EVENT_KINDS.get(form.event_kind, ""), ())),
        endpoints=webhooks.endpoints(session), names=_names(session, acting.now),
        sent=form.model_dump_json(),
    )  # fmt: skip


def _names(session: Session, now: dt.datetime) -> dict[str, str]:
    return {person.id: person.name for person in people.staff(session, as_of=now)}
