"""The errors that a user is meant to read.

Each error lives beside the function that raises it and subclasses :class:`CrmError`; the four
kinds below are all that an interface needs to know to choose a status or an exit code.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Kind = Literal["not_found", "conflict", "not_allowed", "invalid"]


class CrmError(Exception):
    """An anticipated problem, told in one sentence that names the remedy.

    Shown to the user without a traceback. Anything that is not a ``CrmError`` is a bug.
    """

    kind: ClassVar[Kind] = "invalid"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(CrmError):
    """The thing asked for does not exist, or the asker may not know that it does."""

    kind = "not_found"


class Conflict(CrmError):
    """The request is well formed but contradicts what is stored."""

    kind = "conflict"


class NotAllowed(CrmError):
    """The asker may know of the thing but may not do this to it."""

    kind = "not_allowed"


class Invalid(CrmError):
    """The input itself is wrong."""

    kind = "invalid"
