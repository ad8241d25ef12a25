"""Who decides what is done on a deal: the reps' own habit, and how a policy is told of a week.

A policy is a function from what is seen of the open deals to the chance of each action. The
draw that picks among the actions belongs to (deal, week), so two policies that agree on a deal
do the same thing to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crm_core.simulation import effects
from crm_core.simulation import world as w
from crm_core.simulation.draws import Floats, Integers
from crm_core.simulation.world import World

_IGNORED, _TIRED, _RECOVERED = 0.85, 0.9, 0.05
_TOO_MANY = 15
"""Pieces of advice in a week: three a day."""


@dataclass(frozen=True, slots=True)
class View:
    """The open deals at the start of a week, one row each. ``stage`` counts from 0.

    ``silent`` and ``since_meeting`` are in weeks, ``amount`` in euros. ``trust`` is how much
    advice weighs with the rep, ``inclination`` the log-odds of the rep's own choice. A policy
    that is to be fair looks neither at these nor at ``quality``, which nobody knows.
    """

    world: World
    week: int
    monday: int
    deal: Integers
    rep: Integers
    account: Integers
    segment: Integers
    source: Integers
    stage: Integers
    age: Integers
    silent: Integers
    contacts: Integers
    since_meeting: Integers
    discounted: Integers
    amount: Floats
    trust: Floats
    inclination: Floats
    quality: Floats

    def worth(self) -> Floats:
        """Return about how much each action truly adds to the chance to win."""
        return effects.worth(
            self.world, stage=self.stage, segment=self.segment, silent=self.silent,
            contacts=self.contacts, since_meeting=self.since_meeting,
            discounted=self.discounted,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """The chance of each action, shape (rows, actions), and what was advised (-1: nothing)."""

    chances: Floats
    advised: Integers | None = None


Policy = Callable[[View], Decision]


def inclination(
    world: World, stage: Integers, silent: Integers, perceived: Floats, diligence: Floats
) -> Floats:
    """Return the log-odds of a rep's own choice: confounded, for it follows what is sensed."""
    guess = 0.8 * (stage - 1.5) / 1.5
    sense = world.kappa * perceived + (1 - world.kappa) * guess
    utility = np.empty((len(stage), len(w.ACTIONS)))
    utility[:, w.NONE] = 2.0 - 0.8 * diligence - 0.6 * sense
    utility[:, w.FOLLOW_UP] = 0.3 + 0.25 * np.minimum(silent, 4)
    utility[:, w.MEETING] = 0.2 + 0.3 * np.isin(stage, (1, 2))
    utility[:, w.STAKEHOLDER] = -0.9 + 0.25 * (stage == 1)
    utility[:, w.DEMO] = -1.6 + 1.8 * (stage == 2)
    utility[:, w.DISCOUNT] = -3.2 + 1.5 * (stage >= 3)
    return utility


def shares(utility: Floats) -> Floats:
    """Return the chances that belong to log-odds, row by row."""
    weight = np.exp(utility)
    result: Floats = weight / weight.sum(axis=1, keepdims=True)
    return result


def habit(view: View) -> Decision:
    """Let every rep do as they would."""
    return Decision(shares(view.inclination))


def heeded(
    view: View, decision: Decision, action: Integers, trust: Floats, usual: Floats
) -> Integers:
    """Return what was advised, and let trust (by member, changed in place) follow it.

    Trust falls with each useless advice that was ignored, and when there is more than can be
    read; otherwise it comes back towards the usual.
    """
    if decision.advised is None:
        return np.full(len(view.deal), -1)
    shown = decision.advised >= 0
    rows = np.flatnonzero(shown)
    useless = view.worth()[rows, decision.advised[rows]] <= 0
    ignored = action[rows] != decision.advised[rows]
    members = len(trust)
    bad = np.bincount(view.rep[rows], weights=useless & ignored, minlength=members)
    seen = np.bincount(view.rep[rows], minlength=members)
    trust += _RECOVERED * (usual - trust) * (seen > 0)
    trust *= _IGNORED**bad * np.where(seen > _TOO_MANY, _TIRED, 1.0)
    return decision.advised
