"""What is said of a batch's state, and what cannot be done in it."""

from __future__ import annotations

from crm_core.errors import Conflict, NotFound

RUNNING = 7_230_002
"""First key of the advisory lock that a running batch holds; the second is its number."""

KILLED = "The program was killed or its machine stopped; nothing was written. Import again."


class NoBatch(NotFound):
    """There is no import of that number."""


class WrongState(Conflict):
    """The import is not in a state in which this can be done to it."""
