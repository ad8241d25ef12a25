"""Pure decisions: who gets a lead, where an approval stands, when to try again."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from crm_core.errors import Conflict, Invalid, NotAllowed

MOST_ATTEMPTS = 8
FIRST_WAIT = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person who could take a lead: how many open ones they have and take at most."""

    user_id: str
    open: int
    capacity: int

    @property
    def is_free(self) -> bool:
        """Whether one more lead fits."""
        return self.open < self.capacity

    @property
    def load(self) -> Fraction:
        """The share of the capacity that would be used with one more lead."""
        return Fraction(self.open + 1, self.capacity)


@dataclass(frozen=True, slots=True)
class Choice:
    """Who gets the lead, None when nobody is free, and the chance each had."""

    user_id: str | None
    propensities: tuple[tuple[str, float], ...]

    @property
    def propensity(self) -> float | None:
        """The chance that the chosen person had."""
        return dict(self.propensities).get(self.user_id or "")


def choose(candidates: Sequence[Candidate], *, seed: str) -> Choice:
    """Return the free candidate with the lowest load; equals are drawn with equal chances.

    The draw depends on the seed and on who is tied, not on the order of the candidates, so that
    anybody can repeat it from the log.
    """
    free = sorted((each for each in candidates if each.is_free), key=lambda each: each.user_id)
    if not free:
        return Choice(None, tuple((each.user_id, 0.0) for each in candidates))
    lowest = min(each.load for each in free)
    tied = [each.user_id for each in free if each.load == lowest]
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big")
    chance = 1.0 / len(tied)
    chances = tuple((each.user_id, chance if each.user_id in tied else 0.0) for each in candidates)
    return Choice(tied[number % len(tied)], chances)


def next_wait(attempts: int) -> dt.timedelta | None:
    """Return how long to wait after so many failed attempts; None when it is time to give up."""
    return None if attempts >= MOST_ATTEMPTS else FIRST_WAIT * 4 ** (attempts - 1)


Decision = Literal["approve", "reject", "delegate", "withdraw"]


class ApprovalEnded(Conflict):
    """The request was already decided or withdrawn."""


class NotYourApproval(NotAllowed):
    """The person may not decide this step."""


class SelfApproval(NotAllowed):
    """Who asks may not approve, nor be made an approver."""


class BadDelegate(Invalid):
    """The step cannot be handed to this person."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands: ``step`` of ``steps``, counted from 0, and who may decide it.

    After an approval that is not the last, ``approvers`` is empty until the caller names those
    of the next step.
    """

    requester: str
    allows_self: bool
    steps: int
    approvers: frozenset[str]
    step: int = 0
    state: str = "pending"


def decide(
    standing: Standing, actor: str, decision: Decision, *, to: str | None = None
) -> Standing:
    """Return where the request stands after a person's decision.

    Raises ApprovalEnded, NotYourApproval, SelfApproval and BadDelegate.
    """
    if standing.state != "pending":
        raise ApprovalEnded("This request was already decided; ask anew if it is still needed.")
    if decision == "withdraw":
        if actor != standing.requester:
            raise NotYourApproval("Only who asked may withdraw the request.")
        return replace(standing, state="withdrawn", approvers=frozenset())
    if actor == standing.requester and not standing.allows_self:
        raise SelfApproval("Nobody decides their own request; another approver must.")
    if actor not in standing.approvers:
        raise NotYourApproval("This step is for another approver.")
    if decision == "delegate":
        return _delegate(standing, actor, to)
    if decision == "reject":
        return replace(standing, state="rejected", approvers=frozenset())
    if standing.step + 1 < standing.steps:
        return replace(standing, step=standing.step + 1, approvers=frozenset())
    return replace(standing, state="approved", approvers=frozenset())


def _delegate(standing: Standing, actor: str, to: str | None) -> Standing:
    if to is None or to == actor:
        raise BadDelegate("Name another person to hand this step to.")
    if to == standing.requester and not standing.allows_self:
        raise SelfApproval("The step cannot be handed to who asked.")
    return replace(standing, approvers=standing.approvers - {actor} | {to})


def widen(standing: Standing, more: frozenset[str]) -> Standing:
    """Return the standing with more approvers for the present step, never who asked."""
    if not standing.allows_self:
        more -= {standing.requester}
    return replace(standing, approvers=standing.approvers | more)
