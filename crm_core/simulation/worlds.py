"""The worlds to check a claim in: the base, and those where a claim must fail or bend.

Each is the base world of a size with some parameters changed. ``confounded`` turns the one knob
that everybody asks for: how much of what reps do follows what nobody records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crm_core.errors import Invalid
from crm_core.simulation.world import ACTIONS, STAKEHOLDER, World

_MOST = 1 / 0.6


class UnknownWorld(Invalid):
    """A name of a world that the simulator does not have, or a parameter out of its range."""


def _without(action: int) -> tuple[float, ...]:
    return tuple(0.0 if code == action else 1.0 for code in range(len(ACTIONS)))


WORLDS: dict[str, Callable[[World], World]] = {
    "base": lambda base: base,
    "no_effect": lambda base: replace(
        base, effect=0.0, silence_loss=0.0, silence_drift=0.0, discount_price=1.0
    ),
    "strong_confounding": lambda base: replace(base, kappa=1.0, rho=0.7),
    "unconfounded": lambda base: replace(base, kappa=0.0, rho=0.0),
    "drift": lambda base: replace(base, drift_week=int(40 * base.years)),
    "poor_hygiene": lambda base: replace(base, hygiene=0.5),
    "cold_start": lambda base: replace(base, years=1.0),
    "heavy_tail": lambda base: replace(base, amount_log_sd=1.5),
    "idle_stakeholder": lambda base: replace(base, action_effect=_without(STAKEHOLDER)),
    "full_effect": lambda base: replace(base, effect=1.0),
}
"""``no_effect`` is the A/A world: nothing that is done or left undone matters, neither silence
nor price, so every policy has the same wins and any lift claimed is false. In ``idle_stakeholder``
a new stakeholder does nothing and still goes with better deals. ``cold_start`` is meant for
``small``: about 500 deals. The world of harmful advice is the base world under the policy that
gives discounts everywhere."""


def world_named(name: str, base: World) -> World:
    """Return a base world changed as ``name`` says. Raises UnknownWorld."""
    if name not in WORLDS:
        raise UnknownWorld(f"{name!r} is not a simulated world; choose one of {', '.join(WORLDS)}.")
    return WORLDS[name](base)


def confounded(world: World, strength: float) -> World:
    """Return the world with confounding of a strength: 0 none, 1 that of the base world.

    At 0 what a rep does depends only on what is on record (stage, silence) and on diligence,
    which then has nothing to do with skill. Raises UnknownWorld.
    """
    if not 0 <= strength <= _MOST:
        raise UnknownWorld(f"The confounding {strength} is not between 0 and {_MOST:.2f}.")
    return replace(world, kappa=min(1.0, 0.6 * strength), rho=0.5 * strength)
