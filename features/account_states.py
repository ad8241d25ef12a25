"""What was known of an account at an instant: its attributes change, and a row must not foresee.

An account that nothing has changed is what its row says, and always was. Of one that was
changed the store keeps the former values (``record_events``): a change counts from when it had
happened and was recorded, and before the first one the account is what it was first known as.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.fact_tables import MISSING, Facts, Floats, Ints
from features.timeline import Timeline

TEXTS = ("industry", "region", "country", "tier")
NUMBERS = ("employees", "annual_revenue")
_STORED = {"annual_revenue": "annual_revenue_minor"}


@dataclass(frozen=True, slots=True)
class AccountStates:
    """The states of all accounts: whose (position of the account), since when known, and what.

    ``table`` has TEXTS, NUMBERS and ``custom`` (a JSON text); its rows are those of ``line``.
    """

    line: Timeline
    table: pd.DataFrame

    def row_at(self, account: Ints, at: Ints) -> Ints:
        """Return the row of each account's state as known at its instant, -1 for no account."""
        return self.line.seen(account, at).last()

    def numbers(self, name: str) -> Floats:
        """Return a number of every state."""
        return self.table[name].to_numpy(np.float64)

    def of_deals(self, account: Ints, known: Ints) -> tuple[Ints, Ints, Ints]:
        """Return deals against the states their account has had: deal, since when, state row.

        No state counts before the deal itself was known; of several from before the last does.
        """
        first = np.searchsorted(self.line.owner, account, side="left")
        count = np.searchsorted(self.line.owner, account, side="right") - first
        count = np.where(account >= 0, count, 0)
        deal = np.repeat(np.arange(len(account), dtype=np.int64), count)
        within = np.arange(len(deal)) - np.repeat(np.cumsum(count) - count, count)
        row = np.asarray(np.repeat(first, count) + within, np.int64)
        return deal, np.maximum(self.line.known[row], known[deal]), row


def build(facts: Facts) -> AccountStates:
    """Return the states of the accounts from their rows and what is kept of their changes."""
    accounts, changes = facts.accounts, facts.account_changes
    place = pd.Index(accounts["id"])
    names = [*TEXTS, *NUMBERS, "custom"]
    rows = accounts[names].itertuples(index=False, name=None)
    owner: list[int] = []
    known: list[int] = []
    states: list[dict[str, Any]] = []
    ordered = changes.assign(place=place.get_indexer(pd.Index(changes["account_id"])))
    ordered = ordered[ordered["place"] >= 0].sort_values(["place", "sequence"], kind="stable")
    changed = {int(str(at)): _folded(group) for at, group in ordered.groupby("place")}
    for position, row in enumerate(rows):
        now = dict(zip(names, row, strict=True))
        for since, state in changed.get(position, [(MISSING, now)]):
            owner.append(position)
            known.append(since)
            states.append(state)
    instants = np.array(known, np.int64)
    line = Timeline(np.array(owner, np.int64), instants, instants, owners=len(accounts))
    table = pd.DataFrame(states, columns=names, dtype=object)
    return AccountStates(line, table.iloc[line.order].reset_index(drop=True))


def _folded(changes: pd.DataFrame) -> list[tuple[int, dict[str, Any]]]:
    """Return the states of one account with the instant each became known, the first always.

    The first change is the whole first state; of the values known at an instant the one that
    happened last holds, then the one recorded last.
    """
    values = [_values(json.loads(each)) for each in changes["changes"]]
    occurred = changes["occurred_at"].to_numpy(np.int64)
    recorded = changes["recorded_at"].to_numpy(np.int64)
    since = np.maximum(occurred, recorded)
    first = {name: values[0].get(name) for name in (*TEXTS, *NUMBERS, "custom")}
    states = [(MISSING, first)]
    order = np.lexsort((np.arange(len(values)), recorded, occurred))
    later = order[order > 0]
    for instant in np.unique(since[1:]).tolist():
        state = dict(first)
        for row in later.tolist():
            if since[row] <= instant:
                state.update(values[row])
        states.append((instant, state))
    return states


def _values(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that a change sets, by our names and in our types."""
    found: dict[str, Any] = {name: stored[name] for name in TEXTS if name in stored}
    for name in NUMBERS:
        column = _STORED.get(name, name)
        if column in stored:
            value = stored[column]
            found[name] = np.nan if value is None else float(value)
    if "custom" in stored:
        found["custom"] = json.dumps(stored["custom"] or {})
    return found
