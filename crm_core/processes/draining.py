"""Emptying the outbox: one transaction per event, so that a killed worker loses nothing."""

from __future__ import annotations

import datetime as dt
import logging

from sqlalchemy import Engine

from crm_core.database import transaction
from crm_core.processes import outbox
from crm_core.processes.carrying_out import handle_next

LOG = logging.getLogger(__name__)


def drain(engine: Engine, *, now: dt.datetime, most: int = 1000) -> int:
    """Handle waiting events, at most so many; return how many.

    An event that fails is put off, with its error, and the others go on: one that can never be
    handled must not hold up everybody's.
    """
    handled = 0
    while handled < most:
        claimed: list[int] = []
        try:
            with transaction(engine) as session:
                found = handle_next(session, now=now, claimed=claimed)
        except Exception as error:
            if not claimed:
                raise
            LOG.exception("event %s could not be handled", claimed[0])
            with transaction(engine) as session:
                outbox.put_off(session, claimed[0], now=now, error=repr(error))
            found = claimed[0]
        if found is None:
            break
        handled += 1
    return handled
