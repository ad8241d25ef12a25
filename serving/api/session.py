"""Log in and out for programs; pages have their own forms in ``serving/web/entrance.py``."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from crm_core.people import operations
from serving import errors, logins
from serving.dependencies import Configured, Now, SessionOfRequest, SignedIn, Store
from serving.security import PUBLIC, SESSION_COOKIE, SIGNED_IN, allow

router = APIRouter(prefix="/api/v1/session", tags=["session"], responses=errors.PROBLEMS)


class Credentials(BaseModel):
    """Who logs in."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=1024)


class Opened(BaseModel):
    """The login's cookie is in the answer's headers; unsafe requests also need the token."""

    user_id: str
    csrf_token: str = Field(description="Send it as X-CSRF-Token with every unsafe request.")
    expires_at: dt.datetime


@router.post("", status_code=201)
@allow(PUBLIC)
def open_login(
    given: Credentials, request: Request, response: Response, engine: Store,
    settings: Configured, now: Now,
) -> Opened:  # fmt: skip
    """Log in with e-mail and password; the answer sets the session cookie."""
    login = logins.open_login(
        engine, request, email=given.email, password=given.password, settings=settings, now=now
    )
    logins.set_cookie(response, login, settings=settings, now=now)
    return Opened(user_id=login.user_id, csrf_token=login.csrf_token, expires_at=login.expires_at)


@router.delete("", status_code=204)
@allow(SIGNED_IN)
def close_login(
    _viewer: SignedIn, request: Request, response: Response, session: SessionOfRequest
) -> None:
    """Log out: the login ends at once, here and in its cookie."""
    operations.log_out(session, token=request.cookies[SESSION_COOKIE])
    response.delete_cookie(SESSION_COOKIE)
