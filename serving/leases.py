"""A job is its worker's only while the queue says so: what lost its job cannot commit any more.

A worker may be believed dead and yet wake up again: its machine slept, it was stopped, its
network came back. By then another worker has the job. The attempt's number tells the two apart,
and the one that is out of date is refused at the commit (:func:`crm_core.database.guarded`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm_core.database import guarded
from crm_core.errors import Conflict

SCHEMA = "procrastinate"
LOOK_SECONDS = 5.0
"""How often a command looks whether its job is still its own."""

_HELD = (
    f"select 1 from {SCHEMA}.procrastinate_jobs"  # noqa: S608 - a constant of ours
    " where id = :job and attempts = :attempt and status = 'doing'"
)


class LeaseLost(Conflict):
    """Another worker has the job by now; what this one did was not kept."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt at one job."""

    job: int
    attempt: int

    @classmethod
    def from_text(cls, given: str) -> Self:
        """Return the lease written as ``12:0``. Raises ValueError."""
        job, attempt = given.split(":")
        return cls(int(job), int(attempt))

    def __str__(self) -> str:
        return f"{self.job}:{self.attempt}"

    def check(self, session: Session) -> None:
        """Keep the job ours until the transaction ends. Raises LeaseLost."""
        asked = text(f"{_HELD} for share")
        if session.execute(asked, {"job": self.job, "attempt": self.attempt}).first() is None:
            raise LeaseLost(
                f"Job {self.job} was taken over by another worker; nothing of this attempt is kept."
            )

    def is_held(self, engine: Engine) -> bool:
        """Return whether the job is still ours."""
        with engine.connect() as connection:
            asked = {"job": self.job, "attempt": self.attempt}
            return connection.execute(text(_HELD), asked).first() is not None


_lease: ContextVar[Lease | None] = ContextVar("lease", default=None)


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """Work for a job: every commit of the block asks whether the job is still ours."""
    before = _lease.set(lease)
    try:
        with guarded(lease.check):
            yield
    finally:
        _lease.reset(before)


@contextmanager
def watched(engine: Engine, seconds: float = LOOK_SECONDS) -> Iterator[None]:
    """End this process when its job is taken over; without a job nothing is done."""
    lease = _lease.get()
    if lease is None:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(lease, engine, done, seconds), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(lease: Lease, engine: Engine, done: threading.Event, seconds: float) -> None:
    while not done.wait(seconds):
        try:
            mine = lease.is_held(engine)
        except DBAPIError:
            continue  # the command itself will say that the database is away
        if not mine:
            os.kill(os.getpid(), signal.SIGTERM)
            return
