"""The company's own signals: how often and how long ago each frequent kind of thing happened.

A signal is an activity's kind, direction and result, or the entry into a stage. Which ones a
frame has is chosen by support when it is built; a later row is asked for the same columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from features.deal import Columns
from features.fact_tables import DAY, Floats, Ints, Pairs
from features.history import ON_HOLD, History
from features.timeline import Seen, Timeline

ACTIVITY, STAGE = "done", "entered"
_MOST = {ACTIVITY: 20, STAGE: 16}
_LEAST_DEALS = 20
_LEAST_SHARE = 0.01


def slug(words: str) -> str:
    """Return a text as part of a column name: letters and digits of any script, underscores."""
    return re.sub(r"\W+", "_", words).strip("_").lower()


def signals(history: History, pairs: Pairs, *, wanted: Collection[str] | None) -> Columns:
    """Return count and days since the last one of each signal, NaN days where there was none.

    ``wanted`` names the columns a model asks for; None chooses the signals by support.
    """
    return {
        **_activity_signals(history, pairs, wanted),
        **_stage_signals(history, pairs, wanted),
    }


def activity_labels(history: History) -> tuple[Ints, list[str]]:
    """Return each activity's label number (order of the timeline) and the labels."""
    table = history.facts.activities
    parts = [table[name].fillna("").astype(str) for name in ("kind", "direction", "outcome")]
    joined = parts[0] + " " + parts[1] + " " + parts[2]
    code, names = pd.factorize(joined)
    labels = [slug(name) for name in names]
    short, unique = pd.factorize(pd.Series(labels, dtype=object))
    numbers = np.asarray(short, np.int64)[code] if len(code) else np.asarray(code, np.int64)
    return numbers[history.activity_line.order], list(unique)


def _activity_signals(history: History, pairs: Pairs, wanted: Collection[str] | None) -> Columns:
    line = history.activity_line
    code, labels = history.once("activity labels", lambda: activity_labels(history))
    chosen = _chosen(history, ACTIVITY, labels, code, line, wanted)
    columns = _counted(ACTIVITY, chosen, code, labels, line, pairs)
    unknown = pairs.at < (line.known.min() if len(line) else np.iinfo(np.int64).max)
    return {name: np.where(unknown, np.nan, values) for name, values in columns.items()}


def _stage_signals(history: History, pairs: Pairs, wanted: Collection[str] | None) -> Columns:
    line, _ = history.stage_line
    code, labels = history.once("stage labels", lambda: _stage_labels(history))
    chosen = _chosen(history, STAGE, labels, code, line, wanted)
    return _counted(STAGE, chosen, code, labels, line, pairs)


def _stage_labels(history: History) -> tuple[Ints, list[str]]:
    """Return the label number of each entry into an open stage (-1: others) and the labels."""
    _, stage = history.stage_line
    names = [slug(str(each).split("\x1f")[1]) for each in history.stages.index]
    short, unique = pd.factorize(pd.Series(names, dtype=object))
    is_open = history.kind_of(stage) <= ON_HOLD
    known = (stage >= 0) & is_open
    code = np.full(len(stage), -1, np.int64)
    if len(names):
        code = np.where(known, np.asarray(short, np.int64)[stage], -1)
    return code, [str(each) for each in unique]


def _chosen(
    history: History,
    prefix: str,
    labels: list[str],
    code: Ints,
    line: Timeline,
    wanted: Collection[str] | None,
) -> list[str]:
    """Return the labels to make columns of, by name: those asked for or well supported."""
    if wanted is None:
        return history.once(
            ("signals", prefix), lambda: _supported(labels, code, line, _MOST[prefix])
        )
    stems = {name.rpartition("_")[0] for name in wanted if name.startswith(prefix + "_")}
    return sorted(stem.removeprefix(prefix + "_") for stem in stems)


def _supported(labels: list[str], code: Ints, line: Timeline, most: int) -> list[str]:
    """Return the labels that most deals have, of those that enough deals have."""
    met = np.unique(line.owner[code >= 0] * (len(labels) + 1) + code[code >= 0])
    support = np.bincount(met % (len(labels) + 1), minlength=len(labels))
    least = max(_LEAST_DEALS, _LEAST_SHARE * len(np.unique(line.owner)))
    order = sorted(range(len(labels)), key=lambda i: (-support[i], labels[i]))
    return sorted(labels[i] for i in order[:most] if labels[i] and support[i] >= least)


def _counted(
    prefix: str, chosen: list[str], code: Ints, labels: list[str], line: Timeline, pairs: Pairs
) -> Columns:
    """Return ``…_count`` and ``…_days`` of each chosen label."""
    place = {label: number for number, label in enumerate(chosen)}
    number = np.array([place.get(label, -1) for label in labels] + [-1], np.int64)
    column = number[code]
    seen = line.seen(pairs.deal, pairs.at)
    counts, last = _matrix(seen, column, line, len(chosen))
    columns: Columns = {}
    for label, position in place.items():
        columns[f"{prefix}_{label}_count"] = counts[:, position]
        columns[f"{prefix}_{label}_days"] = (pairs.at - last[:, position]) / DAY
    return columns


def _matrix(seen: Seen, column: Ints, line: Timeline, width: int) -> tuple[Floats, Floats]:
    """Return counts and the latest instant by question and label."""
    mine = column[seen.row]
    use = mine >= 0
    cell = seen.pair[use] * width + mine[use]
    counts = np.bincount(cell, minlength=seen.size * width).astype(np.float64)
    last = np.full(seen.size * width, np.nan)
    last[cell] = line.occurred[seen.row[use]]
    return counts.reshape(seen.size, width), last.reshape(seen.size, width)
