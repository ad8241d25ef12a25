"""The pages of customers: the list, and which of them may be one and the same."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from crm_core.people import permissions
from crm_core.records import customers, queries, upkeep
from crm_core.records.access import Asker
from crm_core.records.tables import shape
from serving.addresses import ByPart, segment
from serving.deals import Blank, LongText, ShortText
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
Id = Annotated[str, Path(max_length=200)]
OtherId = Annotated[str, Field(min_length=1, max_length=200)]
PAGE = 50


class CustomerQuery(BaseModel):
    """What the list of customers can be asked for."""

    q: ShortText = None
    sort: Literal[
        "name", "-name", "industry", "-industry", "country", "-country", "tier", "-tier",
        "employees", "-employees", "created_at", "-created_at",
    ] = "name"  # fmt: skip
    cursor: Annotated[LongText | None, Blank] = None


@router.get("/accounts")
@allow(SIGNED_IN)
def list_page(
    query: Annotated[CustomerQuery, Query()], frame: Framed, viewer: SignedIn,
    session: SessionOfRequest, may: May,
) -> Response:  # fmt: skip
    """Show the customers that the viewer may see."""
    found = customers.listed(
        session, asker=Asker(viewer, may), text=query.q, sort=query.sort, cursor=query.cursor,
        limit=PAGE,
    )  # fmt: skip
    return pages.render("accounts.html", frame, query=query, view=found)


@router.get("/customers/{account_id}/duplicates")
@allow(SIGNED_IN)
def duplicates_page(
    account_id: Id, frame: Framed, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    other: Annotated[OtherId | None, Blank] = None,
) -> Response:  # fmt: skip
    """Show which customers may be this one, and what merging one of them would do."""
    asker = Asker(viewer, may)
    account = queries.one(session, shape("accounts"), account_id, asker=asker)
    found = upkeep.duplicates_of(session, shape("accounts"), account.key, asker=asker)
    may_merge = permissions.allowed(viewer, "approve", "accounts")
    preview = None
    if other is not None and may_merge:
        preview = upkeep.merge(
            session, table="accounts", survivor=account.key, loser=other, rules={}, asker=asker,
            recorded_at=now, dry_run=True,
        )  # fmt: skip
    return pages.render(
        "duplicates.html", frame, account=account, candidates=found, other=other,
        preview=preview, may_merge=may_merge,
    )  # fmt: skip


@router.post("/customers/{account_id}/merge")
@allow(only("sales_ops", "admin"))
def merge(
    account_id: Id, other: Annotated[OtherId, Form()], viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
) -> Response:  # fmt: skip
    """Merge another customer into this one."""
    upkeep.merge(
        session, table="accounts", survivor=account_id, loser=other, rules={},
        asker=Asker(viewer, may), recorded_at=now, dry_run=False,
    )  # fmt: skip
    return RedirectResponse(f"/customers/{segment(account_id)}", status_code=303)
