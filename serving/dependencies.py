"""What endpoints get: the session, the time, who asks, what they may see, the language.

The request's one read of the clock and its one transaction are here.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Query, Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core import clock
from crm_core.audit.operations import Origin, set_origin
from crm_core.database import set_now, set_scope, transaction
from crm_core.people import queries as people
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import FiscalCalendar
from crm_core.settings import Settings
from serving import languages, security
from serving.champions import Champion, Champions, Lineage
from serving.languages import Language
from serving.moments import read_moment


def get_engine(request: Request) -> Engine:
    """Return the engine the app was made with."""
    engine: Engine = request.app.state.engine
    return engine


def get_settings(request: Request) -> Settings:
    """Return the settings the app was made with."""
    settings: Settings = request.app.state.settings
    return settings


def open_session(engine: Annotated[Engine, Depends(get_engine)]) -> Iterator[Session]:
    """Yield the request's session; commits before the answer is sent, or rolls back."""
    with transaction(engine) as session:
        yield session


def read_clock(request: Request) -> dt.datetime:
    """Return the time of the request, read once (tests fix it on the app)."""
    fixed: dt.datetime | None = request.app.state.fixed_time
    return clock.now() if fixed is None else fixed


SessionOfRequest = Annotated[Session, Depends(open_session, scope="function")]
Now = Annotated[dt.datetime, Depends(read_clock)]


def find_viewer(request: Request, session: SessionOfRequest, now: Now) -> Viewer | None:
    """Return who holds the login in the cookie, None without a valid one.

    A public route never asks, so that it answers without the database too.
    """
    if security.policy_of(request.scope["endpoint"]).public:
        return None
    token = request.cookies.get(security.SESSION_COOKIE)
    return people.signed_in(session, token=token, as_of=now) if token else None


def require_viewer(viewer: Annotated[Viewer | None, Depends(find_viewer)]) -> Viewer:
    """Return who is signed in. Raises NotSignedIn."""
    if viewer is None:
        raise security.NotSignedIn("Log in first.")
    return viewer


def origin(request: Request, *, actor: str | None, now: dt.datetime) -> Origin:
    """Return who acts by this request, when and from where."""
    return Origin(
        actor=actor,
        at=now,
        channel="api" if request.url.path.startswith("/api/") else "page",
        address=request.client.host if request.client else None,
        request_id=secrets.token_hex(8),
    )


def find_scope(
    request: Request,
    session: SessionOfRequest,
    viewer: Annotated[Viewer | None, Depends(find_viewer)],
    now: Now,
) -> Visibility | None:
    """Return whose records the viewer may see now, whatever past time they ask about.

    The database is told for this transaction too: row-level security is the second net under
    every question. Without a viewer nothing is visible. The audit log learns who acts.
    """
    if viewer is None:
        return None
    set_origin(session, origin(request, actor=viewer.id, now=now))
    may = people.visible_to(session, viewer, as_of=now)
    set_scope(
        session, user_id=viewer.id, everyone=may.everyone, user_ids=may.user_ids,
        unit_ids=may.unit_ids,
    )  # fmt: skip
    if request.method not in security.SAFE_METHODS:
        set_now(session, now)
    return may


def find_visibility(
    _viewer: Annotated[Viewer, Depends(require_viewer)],
    may: Annotated[Visibility | None, Depends(find_scope)],
) -> Visibility:
    """Return whose records who is signed in may see. Raises NotSignedIn."""
    return Visibility(everyone=False) if may is None else may


async def enforce(
    request: Request,
    viewer: Annotated[Viewer | None, Depends(find_viewer)],
    _scope: Annotated[Visibility | None, Depends(find_scope)],
) -> None:
    """Check the route's policy, and that an unsafe request is the viewer's own.

    Runs before every endpoint of the app, after the database was told the viewer's scope.
    """
    security.policy_of(request.scope["endpoint"]).check(viewer)
    if request.method in security.SAFE_METHODS:
        return
    security.require_own_origin(request)
    if viewer is not None:
        try:
            security.require_token(viewer, await _given_token(request))
        except security.ForgedRequest:
            await request.close()  # files that came with a form nobody will read
            raise


async def _given_token(request: Request) -> str | None:
    header = request.headers.get("x-csrf-token")
    content = request.headers.get("content-type", "")
    is_form = content.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
    if header is not None or not is_form:
        return header
    field = (await request.form()).get("csrf_token")
    return field if isinstance(field, str) else None


def choose_language(
    request: Request, viewer: Annotated[Viewer | None, Depends(find_viewer)]
) -> Language:
    """Return the language to answer in: asked for, chosen before, the person's, the browser's."""
    return languages.choose(
        asked=request.query_params.get("lang"),
        chosen=request.cookies.get(languages.COOKIE),
        personal=viewer.locale if viewer else None,
        accepted=request.headers.get("accept-language"),
    )


def find_champion(request: Request, now: Now) -> Champion | None:
    """Return the promoted win-rate model, None when there is none yet."""
    champions: Champions = request.app.state.champions
    return champions.current(at=now)


def find_lineage(request: Request, now: Now) -> Lineage:
    """Return the promoted win-rate model with those it replaced, for questions of the past."""
    champions: Champions = request.app.state.champions
    return champions.lineage(at=now)


def find_moment(
    session: SessionOfRequest,
    now: Now,
    as_of: Annotated[
        str | None,
        Query(
            max_length=40,
            description="Replay: only what had happened and was known then. An ISO 8601 time; a "
            "date is 00:00 of it at the company, as is a time without an offset read there. "
            "Default: now.",
        ),
    ] = None,
) -> dt.datetime:
    """Return the time that a question is about. Raises NotATime."""
    if as_of is None:
        return now
    row = people.company_or_none(session)
    calendar = FiscalCalendar(ZoneInfo(row.time_zone if row else "UTC"))
    return read_moment(as_of, calendar=calendar, now=now)


SignedIn = Annotated[Viewer, Depends(require_viewer)]
MaybeSignedIn = Annotated[Viewer | None, Depends(find_viewer)]
May = Annotated[Visibility, Depends(find_visibility)]
Reads = Annotated[Language, Depends(choose_language)]
Promoted = Annotated[Champion | None, Depends(find_champion)]
Models = Annotated[Lineage, Depends(find_lineage)]
Moment = Annotated[dt.datetime, Depends(find_moment)]
Configured = Annotated[Settings, Depends(get_settings)]
Store = Annotated[Engine, Depends(get_engine)]
