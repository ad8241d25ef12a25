"""What was done with the customer and who took part: engagement and people. Pure.

Where the company had recorded no activity (or no contact) at all by then, nothing is known and
every value is NaN: no record is not "no contact".
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.deal import Columns, take
from features.fact_tables import DAY, MISSING, Bools, Floats, Ints, Pairs, days_between
from features.history import Endings, History, positions
from features.rates import Rates, reached
from features.timeline import Seen, Timeline

_MEETINGS = ("meeting", "visit", "demo")
_SENIOR = ("c_level", "vp", "director")
_MOST_KINDS = 60
"""Kinds of activity (kind and result) told apart; free text beyond the first ones is one kind."""


def _column(history: History, name: str) -> np.ndarray:
    """Return a column of the activities in the order of their timeline."""
    return history.once(
        ("activity", name),
        lambda: history.facts.activities[name].to_numpy()[history.activity_line.order],
    )


def _is_two_way(history: History) -> Bools:
    """Return which activities involved the customer: inbound, face to face, or a held call."""
    return history.once("two-way", lambda: _two_way(history))


def _two_way(history: History) -> Bools:
    kind = _column(history, "kind")
    minutes = _column(history, "duration_minutes").astype(np.float64)
    inbound = _column(history, "direction") == "in"
    two_way: Bools = inbound | np.isin(kind, _MEETINGS) | ((kind == "call") & (minutes > 0))
    return two_way


def engagement(history: History, pairs: Pairs, rates: Rates) -> Columns:
    """Return counts, intensities and silence of the deal's activities."""
    line = history.activity_line
    seen = line.seen(pairs.deal, pairs.at)
    age = (pairs.at[seen.pair] - line.occurred[seen.row]) / DAY
    two_way = _is_two_way(history)[seen.row]
    columns = {
        **_counts(history, seen, age),
        "intensity_3": seen.total(np.exp2(-age / 3)),
        "intensity_14": seen.total(np.exp2(-age / 14)),
        "intensity_45": seen.total(np.exp2(-age / 45)),
        "two_way_14": seen.total(np.where(two_way, np.exp2(-age / 14), 0.0)),
        "days_since_activity": _silence(line, seen, pairs),
        "days_since_two_way": _silence(line, seen, pairs, two_way),
        "colleagues_active": _colleagues(history, pairs),
        "last_activity_lift": _last_kind(history, seen, rates),
    }
    unknown = pairs.at < (line.known.min() if len(line) else np.iinfo(np.int64).max)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _counts(history: History, seen: Seen, age: Floats) -> Columns:
    """Return how many activities of which kind, direction and age, and their minutes."""
    kind = _column(history, "kind")[seen.row]
    direction = _column(history, "direction")[seen.row]
    minutes = np.nan_to_num(_column(history, "duration_minutes").astype(np.float64))[seen.row]
    month = age < 28
    meeting = np.isin(kind, _MEETINGS)
    inbound, outbound = direction == "in", direction == "out"
    from_customer = seen.count(inbound)
    said = from_customer + seen.count(outbound)
    return {
        "activities_7": seen.count(age < 7),
        "activities_28": seen.count(month),
        "activities_90": seen.count(age < 90),
        "activities_all": seen.count(),
        "inbound_28": seen.count(inbound & month),
        "outbound_28": seen.count(outbound & month),
        "calls_28": seen.count((kind == "call") & month),
        "calls_all": seen.count(kind == "call"),
        "emails_28": seen.count((kind == "email") & month),
        "meetings_28": seen.count(meeting & month),
        "meetings_all": seen.count(meeting),
        "proposals_all": seen.count(kind == "proposal"),
        "other_all": seen.count(np.isin(kind, ("note", "other"))),
        "minutes_28": seen.total(np.where(month, minutes, 0.0)),
        "minutes_all": seen.total(minutes),
        "reply_rate": np.divide(
            from_customer, said, out=np.full(seen.size, np.nan), where=said > 0
        ),
    }


def _silence(line: Timeline, seen: Seen, pairs: Pairs, mask: Bools | None = None) -> Floats:
    """Return the days since the last activity (of the mask), NaN where there was none."""
    last = seen.last(mask)
    when = np.where(last >= 0, line.occurred[last], MISSING) if len(line) else last * 0 + MISSING
    return days_between(pairs.at, when)


def _first_meetings(owner: Ints, whom: Ints, known: Ints) -> tuple[Ints, Ints, Ints]:
    """Return each (deal, person) once, with the instant their meeting was first known."""
    table = pd.DataFrame({"owner": owner, "whom": whom, "known": known})
    table = table[(table["owner"] >= 0) & (table["whom"] >= 0)]
    table = table.sort_values("known", kind="stable").drop_duplicates(["owner", "whom"])
    return (
        table["owner"].to_numpy(np.int64),
        table["whom"].to_numpy(np.int64),
        table["known"].to_numpy(np.int64),
    )


def _colleagues(history: History, pairs: Pairs) -> Floats:
    def build() -> Timeline:
        line = history.activity_line
        user = positions(history.user_index, pd.Series(_column(history, "user_id")))
        owner, _, known = _first_meetings(line.owner, user, line.known)
        return Timeline(owner, known, known, owners=len(history))

    return history.once("colleagues", build).seen(pairs.deal, pairs.at).count()


def _kind_codes(history: History) -> Ints:
    """Return a number for each activity's kind and result, by order of first appearance."""
    line = history.activity_line
    outcome = pd.Series(_column(history, "outcome")).fillna("").astype(str)
    label = pd.Series(_column(history, "kind")).astype(str).str.cat(outcome, sep=":")
    return first_seen_codes(label, line.known, most=_MOST_KINDS)


def first_seen_codes(label: pd.Series, known: Ints, *, most: int) -> Ints:
    """Return 0, 1, 2 … for labels in the order in which they became known (ties by name).

    From ``most`` on all share the last number; missing labels are -1. A label's number never
    changes when later facts arrive.
    """
    code, names = pd.factorize(label, sort=True)
    first = np.full(len(names), np.iinfo(np.int64).max)
    filled = code >= 0
    np.minimum.at(first, code[filled], known[filled])
    rank = np.empty(len(names) + 1, np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(names))
    rank[-1] = -1
    return np.minimum(rank[code], most - 1)


def _last_kind(history: History, seen: Seen, rates: Rates) -> Floats:
    """Return the lift of deals that had an activity of the same kind and result as the last."""
    code = history.once("activity kinds", lambda: _kind_codes(history))

    def build() -> tuple[Endings, Ints]:
        line = history.activity_line
        owner, kind, known = _first_meetings(line.owner, code, line.known)
        return reached(history.endings, owner, kind, known)

    asked = take(code, seen.last(), missing=-1).astype(np.int64)
    theta, _ = rates.theta("activity kind", build, asked, parent=rates.company)
    return rates.lift(theta)


def people(history: History, pairs: Pairs) -> Columns:
    """Return who of the customer takes part: named on the deal or met in an activity."""
    seen_line, is_senior = history.once("contacts", lambda: _contacts(history))
    seen = seen_line.seen(pairs.deal, pairs.at)
    count = seen.count()
    new = seen_line.occurred[seen.row] > pairs.at[seen.pair] - 28 * DAY
    share = np.divide(
        seen.count(is_senior[seen.row]), count, out=np.full(len(pairs), np.nan), where=count > 0
    )
    columns = {
        "contacts_engaged": count,
        "contacts_new_28": seen.count(new),
        "senior_share": share,
        "single_threaded": (count == 1).astype(np.float64),
        **_roles(history, pairs),
    }
    never = np.iinfo(np.int64).max
    unknown = pairs.at < (seen_line.known.min() if len(seen_line) else never)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _contacts(history: History) -> tuple[Timeline, Bools]:
    """Return when each contact was first met on each deal, and which are senior."""
    index = pd.Index(history.facts.contacts["id"])
    named = history.facts.opportunity_contacts
    line = history.activity_line
    owner = np.concatenate([positions(history.deal_index, named["opportunity_id"]), line.owner])
    contact = np.concatenate(
        [
            positions(index, named["contact_id"]),
            positions(index, pd.Series(_column(history, "contact_id"))),
        ]
    )
    known = np.concatenate([named["added_at"].to_numpy(np.int64), line.known])
    known = history.visible_from(owner, known)
    met, whom, since = _first_meetings(owner, contact, known)
    line = Timeline(met, since, since, owners=len(history))
    senior = np.append(history.facts.contacts["seniority"].isin(_SENIOR).to_numpy(), False)
    return line, senior[whom[line.order]]


def _roles(history: History, pairs: Pairs) -> Columns:
    line, role = history.once("roles", lambda: _role_line(history))
    seen = line.seen(pairs.deal, pairs.at)
    return {
        f"has_{name}": (seen.count(role[seen.row] == name) > 0).astype(np.float64)
        for name in ("champion", "economic_buyer")
    }


def _role_line(history: History) -> tuple[Timeline, np.ndarray]:
    named = history.facts.opportunity_contacts
    added = named["added_at"].to_numpy(np.int64)
    line = Timeline(
        positions(history.deal_index, named["opportunity_id"]), added, added, owners=len(history)
    )
    return line, named["role"].to_numpy(object)[line.order]
