"""Calls, e-mails, meetings: the traces that actions leave on record, with gaps and delays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_core.simulation import world as w
from crm_core.simulation.arrivals import DUPLICATE
from crm_core.simulation.closing import NEVER, Closings
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, choose, pick, sigmoid
from crm_core.simulation.process import ADVANCED, DealWeeks, Flags, Setting
from crm_core.simulation.weeks import DAY, WEEK, within_week

KINDS = ("call", "email", "meeting", "visit", "demo", "proposal", "note")
CALL, EMAIL, MEETING, VISIT, DEMO, PROPOSAL, NOTE = range(7)
DIRECTIONS = ("", "out", "in")
NOWHERE, OUT, IN = range(3)
OUTCOMES = ("", "connected", "no answer", "held", "no show")
SILENT_OUTCOME, CONNECTED, NO_ANSWER, HELD, NO_SHOW = range(5)
_SLOTS = 24


@dataclass(frozen=True, slots=True)
class Activities:
    """Columns by activity on record. ``deal`` is -1 for those about an account alone."""

    occurred: Integers
    recorded: Integers
    kind: Integers
    user: Integers
    account: Integers
    deal: Integers
    contact: Integers
    direction: Integers
    minutes: Integers
    outcome: Integers


@dataclass(frozen=True, slots=True)
class _Traces:
    """Traces of one sort before logging; ``contact`` is the place among the deal's contacts."""

    deal: Integers
    week: Integers
    position: Floats
    kind: Integers
    direction: int
    contact: Integers
    minutes: Integers
    outcome: Integers


def contact_starts(setting: Setting) -> Integers:
    """Return the number of each account's first contact."""
    counts = setting.firms.contacts
    starts: Integers = np.cumsum(counts) - counts
    return starts


def contact_of(setting: Setting, deal: Integers, place: Integers) -> Integers:
    """Return the contact that stands at a place among those of a deal."""
    account = setting.deals.account[deal]
    first = setting.deals.key[deal] // 16
    here: Integers = (first + place) % setting.firms.contacts[account]
    return contact_starts(setting)[account] + here


def activities(
    setting: Setting, happened: DealWeeks, ends: Closings, care: tuple[Integers, Integers],
    draws: Draws,
) -> Activities:  # fmt: skip
    """Return all activities on record; ``care`` are (account, week) of retention contacts."""
    u = draws.uniform(Stream.ACTIVITY, setting.deals.key[happened.deal], happened.week, _SLOTS)
    traces = [
        *_touches(happened, u),
        *_answers(happened, u),
        *_encounters(happened, u),
        *_papers(happened, u),
        _first_contacts(setting),
        _vain_mails(setting, ends, draws),
    ]
    parts = [_logged(setting, trace, ends, i, draws) for i, trace in enumerate(traces)]
    parts.append(_care(setting, *care, draws))
    joined = [np.concatenate([getattr(p, name) for p in parts]) for name in Activities.__slots__]
    everything = Activities(*joined)
    known = np.flatnonzero(everything.recorded < setting.weeks.end)
    order = known[np.lexsort((everything.deal[known], everything.occurred[known]))]
    return Activities(*(column[order] for column in joined))


def _trace(
    happened: DealWeeks,
    which: Flags,
    position: Floats,
    kind: Integers | int,
    direction: int,
    place: Floats | Integers,
    *,
    minutes: Integers | int = 0,
    outcome: Integers | int = 0,
) -> _Traces:
    rows = np.flatnonzero(which)

    def column(value: Integers | int) -> Integers:
        whole: Integers = np.broadcast_to(np.asarray(value), which.shape)[rows].astype(np.int64)
        return whole

    # a draw picks one of the deal's contacts; a whole number is the place itself
    where = place[rows]
    if where.dtype.kind == "f":
        where = pick(where.astype(np.float64), happened.contacts[rows])
    return _Traces(
        happened.deal[rows],
        happened.week[rows],
        position[rows],
        column(kind),
        direction,
        where.astype(np.int64),
        column(minutes),
        column(outcome),
    )


def _touches(happened: DealWeeks, u: Floats) -> list[_Traces]:
    """Return the calls and e-mails of follow-ups, and the e-mails around meetings."""
    kind = np.where(u[0] < 0.6, EMAIL, CALL)
    outcome = np.where(kind == CALL, np.where(u[1] < 0.6, CONNECTED, NO_ANSWER), SILENT_OUTCOME)
    minutes = np.where(outcome == CONNECTED, 3 + np.floor(u[2] * 20).astype(np.int64), 0)
    follows = happened.action == w.FOLLOW_UP
    traces = [
        _trace(
            happened, follows & (happened.touches > n), (u[3] * 0.7 + 0.15 * n) % 1.0,
            kind if n % 2 == 0 else EMAIL, OUT, u[4],
            minutes=minutes if n % 2 == 0 else 0, outcome=outcome if n % 2 == 0 else 0,
        )
        for n in range(3)
    ]  # fmt: skip
    meets = np.isin(happened.action, (w.MEETING, w.STAKEHOLDER, w.DEMO)) & (u[5] < 0.6)
    return [*traces, _trace(happened, meets, u[6] * 0.4, EMAIL, OUT, u[4])]


def _answers(happened: DealWeeks, u: Floats) -> list[_Traces]:
    """Return what customers send: answers, and e-mails of their own accord."""
    acted = happened.action != w.NONE
    answers = acted & (u[7] < sigmoid(-0.3 + 0.6 * happened.quality))
    unasked = ~acted & (u[7] < sigmoid(-3.2 + 0.6 * happened.quality))
    return [
        _trace(happened, answers, 0.4 + 0.6 * u[8], EMAIL, IN, u[9]),
        _trace(happened, unasked, u[8], EMAIL, IN, u[9]),
    ]


def _encounters(happened: DealWeeks, u: Floats) -> list[_Traces]:
    """Return meetings, visits, demos and first talks with new stakeholders."""
    outcome = np.where(u[10] < 0.93, HELD, NO_SHOW)
    minutes = np.asarray((30, 45, 60, 90))[choose(u[11], (0.35, 0.2, 0.35, 0.1))]
    position = 0.2 + 0.75 * u[12]
    return [
        _trace(
            happened, happened.action == w.MEETING, position,
            np.where(u[13] < 0.15, VISIT, MEETING), NOWHERE, u[14],
            minutes=minutes, outcome=outcome,
        ),
        _trace(
            happened, happened.action == w.STAKEHOLDER, position,
            np.where(u[13] < 0.5, MEETING, CALL), OUT, happened.contacts,
            minutes=np.minimum(minutes, 45), outcome=np.where(u[13] < 0.5, HELD, CONNECTED),
        ),
        _trace(
            happened, happened.action == w.DEMO, position, DEMO, NOWHERE, u[14],
            minutes=minutes + 15, outcome=HELD,
        ),
    ]  # fmt: skip


def _papers(happened: DealWeeks, u: Floats) -> list[_Traces]:
    """Return proposals (a new offer, or the first one on reaching that stage) and notes."""
    first = (happened.outcome == ADVANCED) & (happened.stage == 2) & (u[15] < 0.8)
    cheaper = happened.action == w.DISCOUNT
    return [
        _trace(happened, first | cheaper, 0.5 + 0.45 * u[16], PROPOSAL, OUT, u[17]),
        _trace(happened, u[18] < 0.04, u[19], NOTE, NOWHERE, u[17]),
    ]


def _first_contacts(setting: Setting) -> _Traces:
    """Return the contact from which each deal arose, a moment before it was entered."""
    deals = setting.deals
    rows = np.flatnonzero(deals.kind != DUPLICATE)
    inbound = deals.source[rows] == 0
    nothing = np.zeros(len(rows), dtype=np.int64)
    kind = np.where(inbound & (deals.key[rows] % 2 == 0), EMAIL, CALL)
    talked = kind == CALL
    return _Traces(
        rows, deals.week[rows], np.minimum(deals.position[rows] + 0.01, 0.999), kind, OUT,
        nothing, np.where(talked, 12, 0), np.where(talked, CONNECTED, SILENT_OUTCOME),
    )  # fmt: skip


def _vain_mails(setting: Setting, ends: Closings, draws: Draws) -> _Traces:
    """Return e-mails to customers who have gone already, in deals that are open on record."""
    gone = np.flatnonzero((ends.true_at < NEVER) & (ends.recorded > ends.true_at + WEEK))
    deal, after = np.repeat(gone, 4), np.tile(np.arange(1, 5), len(gone))
    last = setting.weeks.count - 1
    week = (ends.true_at[deal] - int(setting.weeks.monday[0])) // WEEK + after
    u = draws.uniform(Stream.ACTIVITY, setting.deals.key[deal], 4096 + after, 2)
    kept = (u[0] < 0.25) & (week <= last)
    inside = setting.weeks.monday[np.minimum(week, last)] + WEEK < ends.recorded[deal]
    rows = np.flatnonzero(kept & inside)
    nothing = np.zeros(len(rows), dtype=np.int64)
    kind = np.full(len(rows), EMAIL)
    return _Traces(deal[rows], week[rows], u[1][rows], kind, OUT, nothing, nothing, nothing)


def _logged(
    setting: Setting, trace: _Traces, ends: Closings, sort: int, draws: Draws
) -> Activities:
    """Return those traces that were logged, and when; no trace lies after the true end."""
    deals, org = setting.deals, setting.org
    u = draws.uniform(Stream.LOGGING, deals.key[trace.deal], trace.week + 4096 * (sort + 1), 4)
    account = deals.account[trace.deal]
    at = within_week(
        setting.weeks.monday[trace.week], trace.position, setting.firms.utc_offset[account]
    )
    ended = ends.true_at[trace.deal]
    # the trace of an action in the week of the end precedes it; a vain e-mail lies weeks after
    overtaken = (at > ended) & (ended > setting.weeks.monday[trace.week])
    at = np.where(overtaken, ended - 1800 - 60 * sort, at)
    at = np.maximum(at, ends.created[trace.deal])
    user = org.holder[deals.seat[trace.deal], trace.week]
    by_hand = trace.kind != EMAIL
    chance = np.where(
        by_hand,
        sigmoid(0.9 + 0.7 * org.diligence[user]),
        sigmoid(1.8 + 0.4 * org.diligence[user]),
    )
    kept = u[0] < chance * setting.world.hygiene
    recorded = at + _delay(setting, by_hand, u)
    traced = Activities(
        at, recorded, trace.kind, user, account, trace.deal,
        contact_of(setting, trace.deal, trace.contact),
        np.full(len(at), trace.direction), trace.minutes, trace.outcome,
    )  # fmt: skip
    return Activities(*(getattr(traced, name)[kept] for name in Activities.__slots__))


def _delay(setting: Setting, by_hand: Flags, u: Floats) -> Integers:
    """Return how long logging took: minutes for e-mail, days by hand, sometimes two weeks."""
    days = np.minimum(np.floor(np.log(u[1]) / np.log(0.5)), 10)
    days = days + 14 * (u[2] < setting.world.late_activity)
    hand = days * DAY + u[3] * 2 * 3600
    delay: Integers = np.where(by_hand, hand, 60 + u[3] * 600).astype(np.int64)
    return delay


def _care(setting: Setting, account: Integers, week: Integers, draws: Draws) -> Activities:
    """Return calls to customers that are about no deal."""
    u = draws.uniform(Stream.LOGGING, account, week + 4095, 4)
    last = setting.weeks.count - 1
    kept = np.flatnonzero((week >= 0) & (week <= last) & (u[3] < 0.85))
    account, week, u = account[kept], week[kept], u[:, kept]
    at = within_week(setting.weeks.monday[week], u[0], setting.firms.utc_offset[account])
    number = len(account)
    return Activities(
        at, at + 3600, np.full(number, CALL),
        setting.org.holder[setting.firms.seat[account], week], account, np.full(number, -1),
        contact_starts(setting)[account], np.full(number, OUT),
        5 + np.floor(u[1] * 20).astype(np.int64), np.full(number, CONNECTED),
    )  # fmt: skip
