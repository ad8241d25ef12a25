"""Features as known at a time: built in bulk for training, or asked for single deals.

``build`` and ``rows`` make their rows with the same function, so that a live score sees what
training saw.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from crm_core.settings import Settings
from features import facts as fact_store
from features import landmarks, opportunity, recent
from features.builds import Build, newest_columns, write
from features.definitions import KEYS, WEIGHT, feature_columns
from features.fact_tables import Pairs, microseconds, to_instants
from features.history import History

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What was built: counts, the features, where they lie and the seconds of each step."""

    as_of: dt.datetime
    deals: int
    landmarks: int
    open_deals: int
    schedule: str
    columns: tuple[str, ...]
    fingerprint: str
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {**asdict(self), "as_of": self.as_of.isoformat(), "folder": str(self.folder)}


class _Steps:
    """Tells the progress of a build and keeps the time of each step."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._mark = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def done(self, step: str, count: int) -> None:
        """Note that a step has ended and how many things it handled."""
        moment = time.perf_counter()
        self.seconds[step] = moment - self._mark
        self._mark = moment
        if self._progress is not None:
            self._progress(step, count, count)


def build(
    engine: Engine,
    *,
    as_of: dt.datetime,
    recorded_at: dt.datetime,
    settings: Settings,
    progress: Progress | None = None,
    feast_url: str | None = None,
) -> BuildReport:
    """Build the features of every landmark up to ``as_of`` and of the deals open then.

    Facts known at ``as_of`` → landmarks → rows → checks → Parquet → Feast's registry and online
    store (``feast_url``; the database beside the facts' with ``_feast`` in its name if None).
    ``progress`` is told each step and its count. Building the same ``as_of`` again replaces it.
    """
    steps = _Steps(progress)
    facts = fact_store.load(engine, as_of=as_of)
    steps.done("facts", len(facts.events) + len(facts.activities))
    history = History(facts)
    pairs, weight = _asked(history, microseconds(as_of))
    steps.done("landmarks", len(pairs))
    frame = opportunity.rows(history, pairs)
    names = frame.attrs[opportunity.CATEGORY_NAMES]
    columns = tuple(feature_columns(frame.columns))
    frame[WEIGHT] = weight
    steps.done("rows", len(frame))
    made = write(
        frame, columns=columns, category_names=names, as_of=as_of, recorded_at=recorded_at,
        settings=settings,
    )  # fmt: skip
    steps.done("files", len(frame))
    open_deals = int((pairs["as_of"] == pd.Timestamp(as_of)).sum())
    url = feast_url if feast_url is not None else sibling_url(engine)
    _publish(made, url, settings)
    steps.done("store", open_deals)
    return BuildReport(
        as_of=as_of, deals=len(history), landmarks=len(frame), open_deals=open_deals,
        schedule="weekly" if landmarks.is_long(history) else "by age in stage",
        columns=columns, fingerprint=made.fingerprint, folder=made.folder, seconds=steps.seconds,
    )  # fmt: skip


def sibling_url(engine: Engine) -> str:
    """Return the URL of the feature database that lies beside that of the facts."""
    url = engine.url.set(database=f"{engine.url.database}_feast")
    return url.render_as_string(hide_password=False)


def _publish(made: Build, feast_url: str, settings: Settings) -> None:
    # Feast takes seconds to import; live rows do not need it
    from features import store  # noqa: PLC0415

    with store.opened(feast_url, settings) as door:
        store.apply(door, made)
        store.materialize(door, made)


def _asked(history: History, as_of: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the landmarks and the open deals at the cut, each pair once, with weights."""
    past, weight = landmarks.landmarks(history, as_of=as_of)
    now = landmarks.open_pairs(history, as_of=as_of)
    before = past.at < as_of
    pairs = Pairs(
        np.concatenate([past.deal[before], now.deal]), np.concatenate([past.at[before], now.at])
    )
    frame = pd.DataFrame(
        {KEYS[0]: history.deals["id"].to_numpy(object)[pairs.deal], KEYS[1]: to_instants(pairs.at)}
    )
    return frame, np.concatenate([weight[before], np.ones(len(now))])


def rows(
    bind: Engine | Connection,
    pairs: pd.DataFrame,
    *,
    settings: Settings,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row of features per (``entity_id``, ``as_of``) pair, in the order asked.

    The same function as for training makes them; each row uses only what was known by its own
    ``as_of``. ``columns`` are the features of the model that asks, in its order; None takes
    those of the newest build (all there are before the first build).
    Raises UnknownDeal for a deal not known at its time.
    """
    asked = columns if columns is not None else newest_columns(settings)
    if asked is None:  # which signals are frequent must be judged by what was known
        latest = pd.to_datetime(pairs[KEYS[1]], utc=True).max().to_pydatetime()
        return opportunity.rows(fact_store.load(bind.engine, as_of=latest), pairs)
    return opportunity.rows(recent.history(bind), pairs, columns=asked)
