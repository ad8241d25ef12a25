"""Policies to run the same world under: built from parts here, or read from a file.

``ordered`` puts a recommendation in the place of the rep's choice; ``advised`` only shows it,
and reps follow as far as they trust it. A recommendation is any function of the ``View``; so a
notebook hands in the ranking that it wants to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crm_core.simulation import world as w
from crm_core.simulation.decisions import Decision, Policy, View, habit, shares
from crm_core.simulation.draws import Floats, Integers

ENCOURAGEMENT, CAP = 1.5, 3
Recommendation = Callable[[View], tuple[Integers, Floats]]
"""For each deal an action, or -1 for none, and a number: which deals matter most."""


def uniform(among: Sequence[int] = tuple(range(len(w.ACTIONS)))) -> Policy:
    """Return the policy that draws each action of some with the same chance."""
    share = np.zeros(len(w.ACTIONS))
    share[list(among)] = 1 / len(among)
    return lambda view: Decision(np.tile(share, (len(view.deal), 1)))


def ordered(
    recommend: Recommendation, *, otherwise: Policy = habit, cap: int | None = None
) -> Policy:
    """Return the policy that does what is recommended, and else leaves it to another."""

    def decide(view: View) -> Decision:
        chosen = _capped(view, *recommend(view), cap)
        certain = np.eye(len(w.ACTIONS))[np.maximum(chosen, 0)]
        return Decision(np.where((chosen >= 0)[:, None], certain, otherwise(view).chances))

    return decide


def advised(
    recommend: Recommendation, *, strength: float = ENCOURAGEMENT, cap: int | None = CAP
) -> Policy:
    """Return the policy that shows recommendations to reps, at most ``cap`` a week to each.

    A recommended action's log-odds grow by ``strength`` times the rep's trust.
    """

    def decide(view: View) -> Decision:
        chosen = _capped(view, *recommend(view), cap)
        utility = view.inclination.copy()
        rows = np.flatnonzero(chosen >= 0)
        utility[rows, chosen[rows]] += strength * view.trust[rows]
        return Decision(shares(utility), chosen)

    return decide


def mixture(parts: Sequence[tuple[float, Policy]]) -> Policy:
    """Return the policy that on each deal follows one of several, with known chances."""
    total = sum(share for share, _ in parts)

    def decide(view: View) -> Decision:
        chances = np.zeros((len(view.deal), len(w.ACTIONS)))
        for share, policy in parts:
            chances += share / total * policy(view).chances
        return Decision(chances)

    return decide


def replayed(deal: Integers, week: Integers, action: Integers) -> Policy:
    """Return the policy that does what was done: the logged action of each deal and week."""
    keys = week * (1 << 32) + deal
    order = np.argsort(keys)
    keys, logged = keys[order], action[order]

    def recommend(view: View) -> tuple[Integers, Floats]:
        here = view.week * (1 << 32) + view.deal
        place = np.minimum(np.searchsorted(keys, here), len(keys) - 1)
        return np.where(keys[place] == here, logged[place], -1), np.zeros(len(here))

    return ordered(recommend)


def playbook(view: View) -> tuple[Integers, Floats]:
    """Recommend what any sales handbook does; larger deals first."""
    larger = (view.segment >= 1) & (view.contacts < 3)
    action = np.select(
        [
            view.silent >= 2,
            view.stage == 2,
            larger,
            np.isin(view.stage, (1, 2)) & (view.since_meeting > 2),
        ],
        [w.FOLLOW_UP, w.DEMO, w.STAKEHOLDER, w.MEETING],
        -1,
    )
    return action, view.amount


def oracle(view: View) -> tuple[Integers, Floats]:
    """Recommend the action of the greatest true effect; deals where it is worth most first."""
    gain = view.worth()
    best = gain.argmax(axis=1)
    most = gain.max(axis=1)
    return np.where(most > 0, best, -1), most * view.amount


def _capped(view: View, action: Integers, score: Floats, cap: int | None) -> Integers:
    """Return the recommendations that reach a rep: those of the highest score."""
    if cap is None:
        return action
    ranked = np.lexsort((view.deal, -score, action < 0, view.rep))
    rep = view.rep[ranked]
    first = np.searchsorted(rep, rep, side="left")
    place = np.empty(len(rep), dtype=np.int64)
    place[ranked] = np.arange(len(rep)) - first
    return np.where(place < cap, action, -1)
