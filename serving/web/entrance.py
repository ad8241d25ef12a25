"""The pages of logging in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from crm_core.people import operations
from serving import logins
from serving.dependencies import Configured, Now, SessionOfRequest, SignedIn, Store
from serving.security import PUBLIC, SESSION_COOKIE, SIGNED_IN, allow
from serving.statuses import status_of
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)


@router.get("/login")
@allow(PUBLIC)
def login_page(frame: Framed, next: str = "/") -> Response:  # noqa: A002 - the link's own word
    """Show the form."""
    return pages.render("login.html", frame, goes_to=logins.own_path(next), email="", error=None)


@router.post("/login")
@allow(PUBLIC)
def log_in(
    request: Request, frame: Framed, engine: Store, settings: Configured, now: Now,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    goes_to: Annotated[str, Form(alias="next", max_length=logins.LONGEST_PATH)] = "/",
) -> Response:  # fmt: skip
    """Log in and go on to where the person wanted to; show the form again when refused."""
    target = logins.own_path(goes_to)
    try:
        login = logins.open_login(
            engine, request, email=email, password=password, settings=settings, now=now
        )
    except (operations.WrongCredentials, operations.TooManyAttempts) as error:
        return pages.render(
            "login.html", frame, status=status_of(error), goes_to=target, email=email,
            error=error.message,
        )  # fmt: skip
    response = RedirectResponse(target, status_code=303)
    logins.set_cookie(response, login, settings=settings, now=now)
    return response


@router.post("/logout")
@allow(SIGNED_IN)
def log_out(_viewer: SignedIn, request: Request, session: SessionOfRequest) -> Response:
    """Log out and show the form."""
    operations.log_out(session, token=request.cookies[SESSION_COOKIE])
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(SESSION_COOKIE)
    return response
