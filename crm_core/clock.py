"""The only read of the system clock.

Entry points (a request, a command, a job) read it once and pass ``as_of`` or ``recorded_at``
down. Nothing else may import this module: the import contract says who may.
"""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """Return the present instant, timezone-aware, in UTC."""
    return dt.datetime.now(dt.UTC)
