"""Addresses that hold ids from other systems: any text, also with ``/``, ``%``, ``#`` or ``..``.

The server decodes a path before it is matched, so that an id's own slash would be taken for a
separator. Here the path is split as it was sent and each part is decoded afterwards.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.types import Scope

_DOTS = re.compile(r"~*\.{1,2}")


def segment(name: str) -> str:
    """Return an id as one part of a path, such that it arrives as the same id.

    Browsers resolve the parts ``.`` and ``..`` even when their dots are encoded: such an id is
    written with a ``~`` before it (and one that is only dots after tildes with one more).
    """
    return quote(f"~{name}" if _DOTS.fullmatch(name) else name, safe="")


def named(part: str) -> str:
    """Return the id that :func:`segment` wrote, or that a program percent-encoded itself."""
    name = unquote(part)
    return name[1:] if name.startswith("~") and _DOTS.fullmatch(name) else name


def sent_path(scope: Scope) -> str:
    """Return the path as it was sent, percent-encoded: fit for a link to the same place."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # optional for servers
        return quote(scope["path"], safe="/~")
    parts = raw.decode("ascii", "replace").split("/")
    return "/".join(quote(unquote(part), safe="~") for part in parts)


def path_of(connection: HTTPConnection) -> str:
    """Return the path of a request as :func:`sent_path`."""
    return sent_path(connection.scope)


class ByPart(APIRoute):
    """A route whose path is split before it is decoded: ``a%2Fb/score`` has two parts."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route is meant, and its parameters decoded."""
        if scope["type"] != "http":
            return Match.NONE, {}
        match, child = super().matches({**scope, "path": sent_path(scope)})
        if match != Match.NONE:
            given: dict[str, Any] = child["path_params"]
            child["path_params"] = {
                name: named(value) if isinstance(value, str) else value
                for name, value in given.items()
            }
        return match, child
