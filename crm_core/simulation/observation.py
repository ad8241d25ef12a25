"""The record of the deals: what happened, as the company's system shows it, on two clocks.

Stage changes are entered late, skipped or taken back; deals change hands; at closing the amount
is trued up and the expected date overwritten, as real systems do. Nothing that the record
learns at or after the end of the simulation is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_core.simulation.arrivals import ORDINARY
from crm_core.simulation.bookkeeping import Entries, Field
from crm_core.simulation.closing import NEVER, Closings
from crm_core.simulation.draws import Draws, Floats, Integers, Stream
from crm_core.simulation.geography import DIGITS
from crm_core.simulation.process import ADVANCED, DealWeeks, Flags, Setting
from crm_core.simulation.weeks import WEEK, day_of, within_week

WON_STAGE, LOST_STAGE = 5, 6
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Events:
    """Changes of fields on record, sorted by deal, field and time; ``number`` as in entries.

    Amounts are in minor units.
    """

    deal: Integers
    field: Integers
    occurred: Integers
    recorded: Integers
    number: Integers
    user: Integers

    def take(self, which: Integers | Flags) -> Events:
        """Return the chosen rows."""
        return Events(*(getattr(self, name)[which] for name in Events.__slots__))


def events(
    setting: Setting, entries: Entries, happened: DealWeeks, ends: Closings, draws: Draws
) -> Events:
    """Return every change of a deal's fields that is on record at the end."""
    parts = [
        _entered(setting, entries, ends),
        _stages(setting, happened, ends, draws),
        _owners(setting, ends),
        *_closing(setting, ends),
    ]
    joined = Events(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Events.__slots__)
    )
    ordered = _in_sequence(joined, ends)
    known = (ordered.recorded < setting.weeks.end) & (
        ends.created[ordered.deal] < setting.weeks.end
    )
    return ordered.take(known)


def minor_scale(setting: Setting) -> Integers:
    """Return how many minor units a unit of each deal's currency has."""
    digits = np.asarray(DIGITS)[setting.firms.currency[setting.deals.account]]
    return np.asarray(10**digits, dtype=np.int64)


def _holder(setting: Setting, deal: Integers, at: Integers) -> Integers:
    """Return who is in charge of each deal at an instant."""
    week = np.clip((at - int(setting.weeks.monday[0])) // WEEK, 0, setting.weeks.count - 1)
    found: Integers = setting.org.holder[setting.deals.seat[deal], week]
    return found


def _entered(setting: Setting, entries: Entries, ends: Closings) -> Events:
    """Return the entries of reps, which are recorded as they are made."""
    offset = setting.firms.utc_offset[setting.deals.account[entries.deal]]
    at = within_week(setting.weeks.monday[entries.week], entries.position, offset)
    scale = np.where(entries.field == Field.AMOUNT, minor_scale(setting)[entries.deal], 1)
    # a deal that is entered when it is already closed never stood in the first stage
    instant = (ends.created == ends.occurred)[entries.deal] & (entries.field == Field.STAGE)
    user = _holder(setting, entries.deal, at)
    made = Events(entries.deal, entries.field, at, at, entries.number * scale, user)
    return made.take(~instant)


def _stages(setting: Setting, happened: DealWeeks, ends: Closings, draws: Draws) -> Events:
    """Return stage changes: on time, late (back-dated or not), skipped, taken back."""
    world = setting.world
    rows = np.flatnonzero(happened.outcome == ADVANCED)
    rows = rows[np.lexsort((happened.week[rows], happened.deal[rows]))]
    deal, week = happened.deal[rows], happened.week[rows]
    stage = happened.stage[rows] + 1
    u = draws.uniform(Stream.HYGIENE, setting.deals.key[deal], week, 8)
    offset = setting.firms.utc_offset[setting.deals.account[deal]]
    at = within_week(setting.weeks.monday[week], u[0], offset)
    following = np.where(np.append(deal[1:] == deal[:-1], False), np.append(at[1:], 0), 0)
    following = np.where(following == 0, ends.occurred[deal], following)
    is_late = u[1] < world.late_stage / world.hygiene
    entered = np.where(is_late, at + ((1 + 2 * u[2]) * WEEK).astype(np.int64), at)
    stamped = is_late & (u[3] < 0.5)
    occurred = np.where(stamped, np.minimum(entered, following - _MINUTE), at)
    kept = u[4] >= world.skipped_stage
    made = Events(
        deal,
        np.full(len(deal), int(Field.STAGE)),
        occurred,
        np.maximum(entered, occurred),
        stage,
        _holder(setting, deal, occurred),
    )
    taken_back = kept & (u[5] < world.stepped_back) & (following - occurred > 3 * WEEK)
    return _joined(made.take(kept), _step_back(made.take(taken_back), u[6][taken_back]))


def _step_back(moves: Events, position: Floats) -> Events:
    """Return, for moves to a stage, a step back a week later and forward again after another."""
    first = moves.occurred + WEEK + (position * WEEK / 3).astype(np.int64)
    second = first + WEEK
    back = Events(moves.deal, moves.field, first, first, moves.number - 1, moves.user)
    again = Events(moves.deal, moves.field, second, second, moves.number, moves.user)
    return _joined(back, again)


def _joined(*parts: Events) -> Events:
    return Events(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Events.__slots__)
    )


def _owners(setting: Setting, ends: Closings) -> Events:
    """Return how open deals change hands when a seat does, early on that Monday."""
    deals, weeks, holder = setting.deals, setting.weeks, setting.org.holder
    parts = []
    for seat, week in np.argwhere(np.diff(holder, axis=1) != 0):
        mine = np.flatnonzero((deals.seat == seat) & (deals.week <= week))
        offset = setting.firms.utc_offset[deals.account[mine]]
        at = int(weeks.monday[week + 1]) + (7 - offset) * 3600
        mine, at = mine[ends.occurred[mine] > at], at[ends.occurred[mine] > at]
        heir = np.full(len(mine), holder[seat, week + 1])
        by = np.full(len(mine), setting.org.operations_member)
        parts.append(Events(mine, np.full(len(mine), int(Field.OWNER)), at, at, heir, by))
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Events(*[nothing] * len(Events.__slots__))
    return _joined(*parts)


def _closing(setting: Setting, ends: Closings) -> list[Events]:
    """Return what closing writes: the last stage, the true date and the true amount."""
    closed = np.flatnonzero(ends.occurred < NEVER)
    won = closed[ends.won[closed] & (setting.deals.kind[closed] == ORDINARY)]

    def at_close(deal: Integers, field: Field, number: Integers) -> Events:
        fields = np.full(len(deal), int(field))
        when = (ends.occurred[deal], ends.recorded[deal])
        return Events(deal, fields, *when, number, ends.user[deal])

    stage = np.where(ends.won[closed], WON_STAGE, LOST_STAGE)
    final = np.rint(ends.amount[won] * minor_scale(setting)[won]).astype(np.int64)
    dated = closed[ends.created[closed] != ends.occurred[closed]]
    return [
        at_close(closed, Field.STAGE, stage),
        at_close(dated, Field.CLOSE_DATE, day_of(ends.occurred[dated])),
        at_close(won, Field.AMOUNT, np.maximum(final, minor_scale(setting)[won])),
    ]


def _in_sequence(made: Events, ends: Closings) -> Events:
    """Return the events by deal, field and time, without repeats, with clocks that only go on.

    Within a field the system learns of changes in the order in which they happened, and of
    every change before it learns of the closing.
    """
    ordered = made.take(np.lexsort((made.occurred, made.field, made.deal)))
    ordered = _without_repeats(ordered)
    group = np.cumsum(np.append(True, _group_starts(ordered)))
    occurred = _increasing(ordered.occurred, group)
    recorded = np.minimum(
        ordered.recorded, np.maximum(ends.recorded[ordered.deal], ordered.occurred)
    )
    recorded = _never_back(np.maximum(recorded, occurred), group)
    return Events(ordered.deal, ordered.field, occurred, recorded, ordered.number, ordered.user)


def _group_starts(ordered: Events) -> Flags:
    """Return for each row but the first whether it begins another (deal, field)."""
    begins: Flags = (ordered.deal[1:] != ordered.deal[:-1]) | (
        ordered.field[1:] != ordered.field[:-1]
    )
    return begins


def _without_repeats(ordered: Events) -> Events:
    """Return the events without those that change nothing."""
    changes = np.append(True, _group_starts(ordered) | (ordered.number[1:] != ordered.number[:-1]))
    return ordered.take(changes)


def _increasing(times: Integers, group: Integers) -> Integers:
    """Return the times with equal neighbours of a group set a second apart."""
    place = np.arange(len(times))
    spaced = _never_back(times - place, group) + place
    apart: Integers = np.maximum(spaced, times)
    return apart


def _never_back(times: Integers, group: Integers) -> Integers:
    """Return the running maximum of times inside each group."""
    shift = group * (1 << 38)
    held: Integers = np.maximum.accumulate(times + shift) - shift
    return held
