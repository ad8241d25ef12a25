"""What each action truly does to a deal: the numbers against which every estimate is checked.

All are on the log-odds scale and at full effect; the process multiplies them by
``World.effect``. ``World.action_effect`` switches single actions off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation import world as w
from crm_core.simulation.draws import Floats, Integers
from crm_core.simulation.world import World

# what a change is worth in chance to win, roughly: of quality, and of the week's two chances
_QUALITY_WORTH, _ADVANCE_WORTH, _LOSS_WORTH = 0.20, 0.12, 0.35
_WON = 0.35


def quality_effect(
    world: World,
    action: Integers,
    *,
    stage: Integers,
    segment: Integers,
    contacts: Integers,
    since_meeting: Integers,
    touches: Integers,
) -> Floats:
    """Return the lasting change of hidden quality by an action."""
    recently = np.where(since_meeting <= 2, 0.3, 1.0)
    meeting = np.where(np.isin(stage, (1, 2)), 0.12, 0.05) * recently
    stakeholder = np.where((contacts < 3) & (segment >= 1), 0.30, 0.04)
    demo = np.select([stage == 2, stage < 2], [0.30, -0.10], 0.0)
    lasting = np.select(
        [
            action == w.MEETING,
            action == w.STAKEHOLDER,
            action == w.DEMO,
            (action == w.DISCOUNT) & (stage < 3),
            touches > 2,
        ],
        [meeting, stakeholder, demo, np.full(len(stage), -0.15), np.full(len(stage), -0.05)],
        0.0,
    )
    result: Floats = lasting * np.asarray(world.action_effect)[action]
    return result


def passing_effect(
    world: World,
    action: Integers,
    *,
    stage: Integers,
    silent: Integers,
    since_meeting: Integers,
    discounted: Integers,
) -> tuple[Floats, Floats]:
    """Return what an action adds to this week's log-odds of a loss, and of an advance."""
    factor = world.action_effect
    saved = factor[w.FOLLOW_UP] * np.where(silent >= 2, 0.8, 0.1)
    recently = np.where(since_meeting <= 2, 0.3, 1.0)
    cheaper: NDArray[np.bool_] = (stage >= 3) & ((action == w.DISCOUNT) | (discounted > 0))
    advance = 0.55 * factor[w.DISCOUNT] * cheaper + 0.45 * factor[w.MEETING] * recently * (
        action == w.MEETING
    )
    return np.where(action == w.FOLLOW_UP, -saved, 0.0), advance


def worth(
    world: World,
    *,
    stage: Integers,
    segment: Integers,
    silent: Integers,
    contacts: Integers,
    since_meeting: Integers,
    discounted: Integers,
) -> Floats:
    """Return about how much each action adds to the chance to win, shape (rows, actions).

    Myopic: the week's two chances and the lasting change at typical worth. It is the oracle's
    yardstick and exact in sign and order of size, not a roll-out.
    """
    result = np.zeros((len(stage), len(w.ACTIONS)))
    # any touch keeps a deal from falling silent, which is what then costs it
    falling = _LOSS_WORTH * 0.04 * world.silence_loss + _QUALITY_WORTH * world.silence_drift
    kept = falling * (silent >= 2)
    for code in range(1, len(w.ACTIONS)):
        action = np.full(len(stage), code)
        lasting = quality_effect(
            world, action, stage=stage, segment=segment, contacts=contacts,
            since_meeting=since_meeting, touches=np.ones(len(stage), dtype=np.int64),
        )  # fmt: skip
        loss, advance = passing_effect(
            world, action, stage=stage, silent=silent, since_meeting=since_meeting,
            discounted=discounted,
        )  # fmt: skip
        # a log-odds of a weekly chance of about 4 % and 17 %
        gained = _ADVANCE_WORTH * 0.14 * advance - _LOSS_WORTH * 0.04 * loss
        gained = gained + _QUALITY_WORTH * lasting
        result[:, code] = world.effect * gained + kept
    result[:, w.DISCOUNT] -= _WON * (1 - world.discount_price)
    return result
