"""What the win-rate model predicts: how each deal ended, as known at a time."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from features.fact_tables import Facts, Pairs, microseconds, to_instants
from features.facts import load
from features.history import ON_HOLD, WON, History


def outcomes(engine: Engine, *, known_at: dt.datetime) -> pd.DataFrame:
    """Return how deals had ended as far as was known at ``known_at``; open ones are absent.

    One row per ended deal: ``entity_id``, ``outcome`` ('won' or 'lost'), ``closed_at`` (when it
    ended), ``known_at`` (when that was recorded; a label may be used from then on) and
    ``created_at``. Deals that were closed when they first became known are included: they have
    no snapshots and so never meet a frame.
    """
    facts = load(engine, as_of=known_at, tables=("stages", "opportunities", "events"))
    return from_facts(facts, known_at=known_at)


def from_facts(facts: Facts | History, *, known_at: dt.datetime) -> pd.DataFrame:
    """Return the outcomes of :func:`outcomes` from facts that are already loaded."""
    history = facts if isinstance(facts, History) else History(facts)
    moment = np.full(len(history), microseconds(known_at), np.int64)
    everyone = np.arange(len(history), dtype=np.int64)
    pairs = Pairs(everyone, moment)
    line, _ = history.stage_line
    last = line.seen(pairs.deal, pairs.at).last()
    stage, entered = history.stage_at(pairs)
    kind = history.kind_of(stage)
    ended = np.flatnonzero((kind > ON_HOLD) & (last >= 0) & (history.known <= moment))
    learnt = np.maximum(line.known[last[ended]], history.known[ended])
    return pd.DataFrame(
        {
            "entity_id": history.deals["id"].to_numpy(object)[ended],
            "outcome": np.where(kind[ended] == WON, "won", "lost").astype(object),
            "closed_at": to_instants(entered[ended]),
            "known_at": to_instants(learnt),
            "created_at": to_instants(history.created[ended]),
        }
    )
