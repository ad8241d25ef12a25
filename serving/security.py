"""Deny by default: every route states who may call it, every response carries strict headers."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_core.errors import NotAllowed
from crm_core.people.models import ROLES
from crm_core.people.queries import Viewer

SESSION_COOKIE = "winward_session"
LARGEST_REQUEST = 1_000_000
LARGEST_UPLOAD = 2 << 30
UPLOADS = ("/imports", "/api/v1/imports")
"""Paths that take files; their bodies are read only after the policy check, onto the disk."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class UndeclaredRoute(RuntimeError):
    """A route does not say who may call it; the program must not start."""


class NotSignedIn(NotAllowed):
    """Nobody is signed in, or the login is over."""


class WrongRole(NotAllowed):
    """The person's role may not do this."""


class ForgedRequest(NotAllowed):
    """The request did not come from our own pages or lacks the login's token."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call a route: anybody (``public``), or who is signed in with one of ``roles``."""

    public: bool
    roles: frozenset[str] = frozenset()

    def check(self, viewer: Viewer | None) -> None:
        """Raise NotSignedIn or WrongRole unless the viewer may call."""
        if self.public:
            return
        if viewer is None:
            raise NotSignedIn("Log in first.")
        if viewer.role not in self.roles:
            raise WrongRole("Your role may not do this; ask an administrator.")


PUBLIC = Policy(public=True)
SIGNED_IN = Policy(public=False, roles=frozenset(ROLES))


def only(*roles: str) -> Policy:
    """Return the policy that one of these roles is needed. Raises ValueError for unknown ones."""
    if not roles or not set(roles) <= set(ROLES):
        raise ValueError(f"roles are some of {ROLES}, not {roles}")
    return Policy(public=False, roles=frozenset(roles))


READS_THE_LOG = only("rep", "manager", "leader", "sales_ops", "admin")
LEADS = only("manager", "leader", "sales_ops", "finance", "data_scientist", "admin")
"""Who looks at more than their own numbers."""

DEFINES = only("sales_ops", "admin")
RUNS_JOBS = only("sales_ops", "data_scientist", "admin")
SETS_GOALS = only("manager", "leader", "sales_ops", "finance", "admin")
RUNS_CONTESTS = only("leader", "sales_ops", "admin")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def allow(policy: Policy) -> Callable[[Endpoint], Endpoint]:
    """Declare who may call an endpoint; written right above its function."""

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.policy = policy  # type: ignore[attr-defined]
        return endpoint

    return declare


def policy_of(endpoint: object) -> Policy:
    """Return an endpoint's declared policy. Raises UndeclaredRoute."""
    policy = getattr(endpoint, "policy", None)
    if not isinstance(policy, Policy):
        name = getattr(endpoint, "__qualname__", repr(endpoint))
        raise UndeclaredRoute(f"{name} declares no policy; add @allow(...) above it.")
    return policy


def require_policies(routes: Sequence[BaseRoute]) -> None:
    """Raise UndeclaredRoute unless every route goes through the policy check.

    Only FastAPI's own routes run the check; the one other kind allowed is our static files.
    """
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            policy_of(route.endpoint)
        elif not (isinstance(route, Mount) and isinstance(route.app, StaticFiles)):
            raise UndeclaredRoute(f"{route!r} would bypass the policy check.")


def require_own_origin(connection: HTTPConnection) -> None:
    """Raise ForgedRequest when a browser says that another site sent an unsafe request."""
    headers = connection.headers
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise ForgedRequest("This request came from another site and was refused.")
    if origin is not None and _host_of(origin) != headers.get("host"):
        raise ForgedRequest("This request came from another site and was refused.")


def _host_of(origin: str) -> str | None:
    """Return the host and port of an Origin header, None for what is no address at all."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # "http://[" and the like
        return None


def require_token(viewer: Viewer, given: str | None) -> None:
    """Raise ForgedRequest unless the request carries the login's CSRF token."""
    if given is None or not hmac.compare_digest(given.encode(), viewer.csrf_token.encode()):
        raise ForgedRequest(
            "The request lacks this login's token (header X-CSRF-Token or field csrf_token); "
            "reload the page and try again."
        )


class SecurityHeaders:
    """Adds the strict headers to every response; pages and answers are never cached."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the headers of its response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        versioned = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if versioned and message["status"] == 200:
                    headers["cache-control"] = "public, max-age=31536000, immutable"
                else:
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RequestSize:
    """Refuses a body above the limit while it arrives, in our own error shape.

    FastAPI's ``max_body_size`` would answer outside our headers and as plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting what it brings."""
        taken = 0
        largest = LARGEST_UPLOAD if scope.get("path") in UPLOADS else LARGEST_REQUEST

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > largest:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_counted, send)


def wants_page(headers: Headers, path: str) -> bool:
    """Return whether an error is shown as a page: a browser asked, outside the API."""
    return not path.startswith("/api/") and "text/html" in headers.get("accept", "")
