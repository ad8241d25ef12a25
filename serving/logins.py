"""The web's side of a login: the caller's address and the cookie."""

from __future__ import annotations

import datetime as dt

from fastapi import Request, Response
from sqlalchemy import Engine

from crm_core.people import operations
from crm_core.people.operations import Login
from crm_core.settings import Settings
from serving.security import SESSION_COOKIE

LONGEST_PATH = 20_000  # an id may have some thousand characters, three bytes each, encoded
DEVICE_COOKIE = "winward_known"
DEVICE_SECONDS = 180 * 24 * 3600


def open_login(
    engine: Engine,
    request: Request,
    *,
    email: str,
    password: str,
    settings: Settings,
    now: dt.datetime,
) -> Login:
    """Open a login for who sends the request. Raises WrongCredentials and TooManyAttempts."""
    return operations.log_in(
        engine,
        email=email,
        password=password,
        address=request.client.host if request.client else "unknown",
        recorded_at=now,
        hours=settings.session_hours,
        device=request.cookies.get(DEVICE_COOKIE),
        channel="api" if request.url.path.startswith("/api/") else "page",
    )


def set_cookie(response: Response, login: Login, *, settings: Settings, now: dt.datetime) -> None:
    """Give the browser the login's secret, out of reach of scripts and other sites.

    It is also told what it is known by, so that others who guess cannot keep its owner out.
    """
    lasting = int((login.expires_at - now).total_seconds())
    for name, value, seconds in (
        (SESSION_COOKIE, login.token, lasting),
        (DEVICE_COOKIE, login.device, DEVICE_SECONDS),
    ):
        response.set_cookie(
            name, value, max_age=seconds, httponly=True, samesite="lax",
            secure=settings.secure_cookies,
        )  # fmt: skip


def own_path(wanted: str | None) -> str:
    """Return where to go after logging in: a path of ours, else the start page.

    Anything that a browser could read as another site is refused.
    """
    path = wanted or "/"
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_ours and path.isprintable() and "\\" not in path else "/"
