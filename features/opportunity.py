"""The one function that makes a deal's feature row, for training and for a live score. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from crm_core.errors import NotFound
from features import categories, deal, engagement, signals, surroundings
from features.definitions import FEATURES, GROUP_COLUMNS, KEYS
from features.fact_tables import Facts, Floats, Ints, Pairs, to_microseconds
from features.history import History
from features.rates import Rates

CHUNK = 40_000
"""Pairs worked on at once: bounds the memory, changes no value."""
CATEGORY_NAMES = "category_names"
"""The attribute of a frame that says what the codes of its categories stand for."""
OWN_FIELDS = "own_fields"
"""The attribute of a frame that says what the company's own fields hold and are called."""


class UnknownDeal(NotFound):
    """A deal was asked about that did not exist, or was not known, at that time."""


def rows(
    facts: Facts | History, pairs: pd.DataFrame, *, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row of features per (deal, time) pair, in the order of the pairs.

    ``pairs`` has ``entity_id`` (opportunity id) and ``as_of`` (timezone-aware). Each row uses
    only facts that had happened and were recorded by its ``as_of``; a rate leaves out the deal
    itself. ``columns`` asks for the features of an existing model, in its order (what the
    company does not have any more is NaN); None makes all there are, the company's own
    signals chosen by support. The frame's ``attrs[CATEGORY_NAMES]`` names the codes,
    ``attrs[OWN_FIELDS]`` describes the company's own fields.

    A ``History`` may be passed instead of its facts to ask the same facts again quickly.
    Raises UnknownDeal.
    """
    history = facts if isinstance(facts, History) else History(facts)
    asked = _positions(history, pairs)
    wanted = None if columns is None else set(columns)
    parts: list[pd.DataFrame] = []
    names: dict[str, list[str]] = {}
    for start in range(0, max(1, len(asked)), CHUNK):
        part = Pairs(asked.deal[start : start + CHUNK], asked.at[start : start + CHUNK])
        values, names = _features(history, part, wanted)
        parts.append(pd.DataFrame(values))
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    if columns is not None:
        frame = frame.reindex(columns=list(columns))
    result = pd.concat([_keys(history, pairs, asked), frame], axis=1)
    result.attrs[CATEGORY_NAMES] = names
    result.attrs[OWN_FIELDS] = categories.described(history)
    return result


def _features(
    history: History, pairs: Pairs, wanted: Collection[str] | None
) -> tuple[dict[str, Floats], dict[str, list[str]]]:
    """Return every feature column of the pairs and the names behind the category codes."""
    rates = Rates(history, pairs)
    fixed = {
        **deal.momentum(history, pairs, rates),
        **engagement.engagement(history, pairs, rates),
        **engagement.people(history, pairs),
        **deal.dates(history, pairs),
        **deal.money(history, pairs),
        **surroundings.account(history, pairs, rates),
        **surroundings.rep(history, pairs, rates),
        **deal.process(history, pairs),
        **surroundings.calendar(history, pairs, rates),
        **deal.belief(history, pairs),
    }
    own, names = categories.columns(history, pairs, rates, wanted=wanted)
    ordered = {feature.name: fixed[feature.name] for feature in FEATURES}
    return {**ordered, **signals.signals(history, pairs, wanted=wanted), **own}, names


def _positions(history: History, pairs: pd.DataFrame) -> Pairs:
    """Return the pairs by position. Raises UnknownDeal for a deal not known at its time."""
    position: Ints = np.asarray(history.deal_index.get_indexer(pairs["entity_id"]), np.int64)
    at = to_microseconds(pairs["as_of"])
    safe = np.where(position >= 0, position, 0)
    unknown = (position < 0) | (history.known[safe] > at) if len(history) else position < 0
    if unknown.any():
        row = pairs.iloc[int(np.flatnonzero(unknown)[0])]
        raise UnknownDeal(
            f"Opportunity {row['entity_id']!r} was not known at {row['as_of']}; "
            "ask for a later time or import it."
        )
    return Pairs(position, at)


def _keys(history: History, pairs: pd.DataFrame, asked: Pairs) -> pd.DataFrame:
    """Return the key columns and whom the row belongs to, as known then."""
    owner = history.owner_at(asked)
    users = np.append(history.user_index.to_numpy(object), np.array([None], object))
    account = history.deals["account_id"].to_numpy(object)[asked.deal]
    return pd.DataFrame(
        {
            KEYS[0]: pairs["entity_id"].to_numpy(object),
            KEYS[1]: pd.to_datetime(pairs["as_of"], utc=True)
            .astype("datetime64[us, UTC]")
            .reset_index(drop=True),
            GROUP_COLUMNS[0]: account,
            GROUP_COLUMNS[1]: users[owner],
        }
    )
