"""The catalogue of metrics, and the form in which a company defines its own."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, field_validator

from crm_core.kpis import operations
from crm_core.kpis.checking import DraftInvalid
from crm_core.kpis.drafts import PREFIX, WAYS, Draft
from crm_core.kpis.metric import Direction, Unit
from crm_core.kpis.previewing import Preview
from serving import metric_documents, metric_words, metrics, performance
from serving.addresses import ByPart
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import DEFINES, SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
MetricId = Annotated[str, Path(max_length=40)]
Short = Annotated[str, Field(max_length=100)]
Text = Annotated[str, Field(max_length=1000)]


class Filled(BaseModel):
    """The form as it was sent; what was left blank is absent."""

    id: Annotated[str, Field(max_length=40)] = ""
    name_zh: Short = ""
    name_en: Short = ""
    unit: Short = "money"
    direction: Short = "higher"
    way: Short = "sum"
    fact: Short | None = None
    value: Text | None = None
    filter: Text | None = None
    numerator: Short | None = None
    denominator: Short | None = None
    valid_from: dt.date | None = None
    reason: Text = ""
    do: Short = "preview"

    @field_validator("fact", "value", "filter", "numerator", "denominator", "valid_from",
                     mode="before")  # fmt: skip
    @classmethod
    def blank_is_absent(cls, given: Any) -> Any:  # noqa: ANN401 - as sent
        """Return what was filled in, None for a blank."""
        return (given.strip() or None) if isinstance(given, str) else given

    def draft(self) -> Draft:
        """Return the draft that the form describes; what does not go with its way is left out."""
        is_ratio, is_count = self.way == "ratio", self.way == "count"
        return Draft(
            id=self.id.strip(), name_zh=self.name_zh, name_en=self.name_en,
            unit=self.unit, direction=self.direction, way=self.way,  # type: ignore[arg-type]
            fact=None if is_ratio else self.fact,
            value=None if is_ratio or is_count else self.value,
            filter=None if is_ratio else self.filter,
            numerator=self.numerator if is_ratio else None,
            denominator=self.denominator if is_ratio else None,
        )  # fmt: skip


@router.get("/metrics")
@allow(SIGNED_IN)
def catalogue_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, now: Now,
    q: Annotated[str, Query(max_length=100)] = "",
) -> Response:  # fmt: skip
    """Show every metric that the viewer may see: what it means and when it has no value."""
    cards = metrics.cards(session, viewer=viewer, as_of=now)
    found = [card for card in cards if metric_documents.mentions(card.metric, q)]
    return pages.render(
        "metrics.html", frame, cards=found, count=len(cards), q=q, words=metric_words,
        period=performance.period_named(session, None, as_of=now),
        unsound=performance.rules_failing(session, [card.metric.id for card in found], as_of=now),
        checked=performance.checked_at(session, as_of=now),
        may_define=viewer.role in DEFINES.roles,
    )  # fmt: skip


@router.get("/metrics/new")
@allow(DEFINES)
def new_page(frame: Framed, viewer: SignedIn, session: SessionOfRequest, now: Now) -> Response:
    """Show the empty form."""
    return _form(frame, session, viewer, Filled(id=PREFIX, valid_from=frame.today), now=now)


@router.get("/metrics/{metric}/edit")
@allow(DEFINES)
def edit_page(
    metric: MetricId, frame: Framed, viewer: SignedIn, session: SessionOfRequest, now: Now
) -> Response:
    """Show the form with what a user-defined metric says now."""
    card = metrics.card(session, metric, viewer=viewer, as_of=now)
    if card.draft is None:
        return RedirectResponse("/metrics", status_code=303)
    filled = Filled(**card.draft.as_json(), valid_from=frame.today)
    return _form(frame, session, viewer, filled, now=now, card=card)


@router.post("/metrics")
@allow(DEFINES)
def define(
    filled: Annotated[Filled, Form()], frame: Framed, viewer: SignedIn, session: SessionOfRequest,
    may: May, now: Now,
) -> Response:  # fmt: skip
    """Show what a draft would give, or keep it as the metric's next version."""
    try:
        if filled.do != "save":
            preview = metrics.preview(
                session, filled.draft(), viewer=viewer, visibility=may, as_of=now,
                period=performance.period_named(session, None, as_of=now),
            )  # fmt: skip
            return _form(frame, session, viewer, filled, now=now, preview=preview)
        operations.define(
            session, filled.draft(), valid_from=filled.valid_from or frame.today,
            reason=filled.reason, owner_id=viewer.id, viewer=viewer, now=now,
        )  # fmt: skip
    except DraftInvalid as problem:
        return _form(frame, session, viewer, filled, now=now, problem=problem)
    return RedirectResponse(f"/kpis/{filled.id.strip()}", status_code=303)


@router.post("/metrics/{metric}/retire")
@allow(DEFINES)
def retire(
    metric: MetricId, viewer: SignedIn, session: SessionOfRequest, now: Now,
    reason: Annotated[str, Form(max_length=1000)],
) -> Response:  # fmt: skip
    """Let a user-defined metric be asked for no longer."""
    operations.retire(session, metric, reason=reason, viewer=viewer, now=now)
    return RedirectResponse("/metrics", status_code=303)


def _form(
    frame: pages.Frame,
    session: Any,  # noqa: ANN401 - the request's session, passed on
    viewer: Any,  # noqa: ANN401 - who is signed in, passed on
    filled: Filled,
    *,
    now: dt.datetime,
    preview: Preview | None = None,
    problem: DraftInvalid | None = None,
    card: metrics.Card | None = None,
) -> Response:
    vocabulary = metrics.vocabulary(session, viewer=viewer)
    every = metrics.cards(session, viewer=viewer, as_of=now)
    return pages.render(
        "metric_form.html", frame, filled=filled, preview=preview, problem=problem, card=card,
        facts=vocabulary.facts, metrics=[each.metric for each in every], ways=WAYS,
        units=get_args(Unit), directions=get_args(Direction), words=metric_words,
        shown=None if preview is None else metric_documents.tile_of(preview, session, now),
        status=422 if problem else 200,
    )  # fmt: skip
