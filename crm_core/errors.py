"""The errors that a user is meant to read.

Each error lives beside the function that raises it and subclasses :class:`CrmError`; the four
kinds below are all that an interface needs to know to choose a status or an exit code.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

Kind = Literal["not_found", "conflict", "not_allowed", "invalid"]


_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text whose control characters are spelled out.

    A file's names and values are quoted in messages; a terminal must not act on them.
    """
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


class CrmError(Exception):
    """An anticipated problem, told in one sentence that names the remedy.

    Shown to the user without a traceback. Anything that is not a ``CrmError`` is a bug.
    """

    kind: ClassVar[Kind] = "invalid"

    def __init__(self, message: str) -> None:
        self.message = printable(message)
        super().__init__(self.message)


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
