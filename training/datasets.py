"""Frames and outcomes joined into what a model learns from, as known at a cut.

A row is one deal at one time it was open (a landmark). Its label is the deal's outcome if that
was known at the cut, and unknown (NaN) otherwise: nothing here can see past the cut. Times are
days since 1970 in UTC, a deal that is still open is known at infinity.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_core.errors import CrmError

Array = NDArray[np.float64]
KEYS = ("entity_id", "as_of", "account_id", "owner_id", "weight")
LANDMARKS_AT_FULL_WEIGHT = 12
_NANOSECONDS_PER_DAY = 86_400 * 10**9


class FrameRejected(CrmError):
    """The frame cannot be trained on; the message names the column and the remedy."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows of open deals with labels as known at ``cut``.

    ``X`` holds the features in the order of ``features`` (NaN = not known), ``y`` 1 won, 0
    lost, NaN still open. ``as_of`` and ``known_at`` are days; ``cut`` too. ``weight`` is what
    the caller gave, before :func:`landmark_weights`. Rows are ordered by time, then deal.
    """

    X: Array
    features: tuple[str, ...]
    y: Array
    deal: NDArray[np.int64]
    account: NDArray[np.int64]
    as_of: Array
    known_at: Array
    weight: Array
    cut: float

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)

    @property
    def is_resolved(self) -> NDArray[np.bool_]:
        """Which rows have an outcome known at the cut."""
        known: NDArray[np.bool_] = ~np.isnan(self.y)
        return known

    @property
    def deals_won(self) -> int:
        """Number of different deals known to be won."""
        return len(np.unique(self.deal[self.y == 1.0]))

    @property
    def deals_lost(self) -> int:
        """Number of different deals known to be lost."""
        return len(np.unique(self.deal[self.y == 0.0]))

    def take(self, rows: NDArray[Any]) -> TrainingSet:
        """Return the given rows (mask or positions)."""
        arrays = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name not in ("features", "cut")
        }
        return replace(self, **arrays)

    def without(self, places: Sequence[int]) -> TrainingSet:
        """Return the rows without the features at these positions."""
        if not places:
            return self
        kept = [place for place in range(len(self.features)) if place not in places]
        return replace(
            self, X=self.X[:, kept], features=tuple(self.features[place] for place in kept)
        )

    def known_by(self, cut: float) -> TrainingSet:
        """Return what was known at an earlier cut: later rows gone, later outcomes open."""
        earlier = self.take(self.as_of < cut)
        unknown = earlier.known_at > cut
        return replace(
            earlier,
            y=np.where(unknown, np.nan, earlier.y),
            known_at=np.where(unknown, np.inf, earlier.known_at),
            cut=cut,
        )


def days(moment: dt.datetime) -> float:
    """Return an aware instant as days since 1970 in UTC."""
    if moment.tzinfo is None:
        raise FrameRejected(f"{moment} has no time zone; pass an aware time.")
    return moment.timestamp() / 86_400.0


def column_days(frame: pd.DataFrame, column: str) -> Array:
    """Return a time column as days since 1970 in UTC, NaN where empty."""
    stamps = pd.to_datetime(frame[column], utc=True)
    nanoseconds = stamps.astype("datetime64[ns, UTC]").astype("int64").to_numpy(np.int64)
    found: Array = np.where(stamps.isna(), np.nan, nanoseconds / _NANOSECONDS_PER_DAY)
    return found


def feature_columns(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the model inputs of a frame: every column that is not a key, in order."""
    return tuple(str(name) for name in frame.columns if name not in KEYS)


def join(frame: pd.DataFrame, outcomes: pd.DataFrame, *, as_of: dt.datetime) -> TrainingSet:
    """Return the landmarks of ``frame`` before ``as_of`` with labels as known at ``as_of``.

    ``frame``: entity_id, as_of, account_id and float features, one row per deal and time.
    ``outcomes``: entity_id, outcome (won, lost), known_at, one row per resolved deal. Landmarks
    at or after the moment a deal's outcome was known are dropped: it was no longer open.
    Raises FrameRejected when a key is missing or repeated or a feature is not a number.
    """
    _check(frame, outcomes)
    cut = days(as_of)
    known = pd.Series(column_days(outcomes, "known_at"), index=outcomes["entity_id"])
    won = pd.Series((outcomes["outcome"] == "won").to_numpy(float), index=outcomes["entity_id"])
    entity = frame["entity_id"]
    known_at = known.reindex(entity).fillna(np.inf).to_numpy(np.float64)
    y = won.reindex(entity).to_numpy(np.float64)
    moment = column_days(frame, "as_of")
    names = feature_columns(frame)
    account = frame.get("account_id", entity)
    deal_code = pd.factorize(entity, sort=True)[0].astype(np.int64)
    own_account = account.astype("string").fillna("deal " + entity.astype("string"))
    unknown = known_at > cut
    everything = TrainingSet(
        X=frame[list(names)].to_numpy(np.float64),
        features=names,
        y=np.where(unknown, np.nan, y),
        deal=deal_code,
        account=pd.factorize(own_account, sort=True)[0].astype(np.int64),
        as_of=moment,
        known_at=np.where(unknown, np.inf, known_at),
        weight=frame["weight"].to_numpy(np.float64) if "weight" in frame else np.ones(len(frame)),
        cut=cut,
    )
    keep = (moment < cut) & (moment < known_at)
    order = np.lexsort((deal_code, moment))
    return everything.take(order[keep[order]])


def _check(frame: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    for name, table, needed in (
        ("training frame", frame, ("entity_id", "as_of")),
        ("outcomes", outcomes, ("entity_id", "outcome", "known_at")),
    ):
        missing = [column for column in needed if column not in table]
        if missing:
            raise FrameRejected(f"The {name} has no column {', '.join(missing)}; build it again.")
    if frame.duplicated(["entity_id", "as_of"]).any():
        raise FrameRejected("The training frame has a deal twice at one time; build it again.")
    if outcomes["entity_id"].duplicated().any():
        raise FrameRejected("The outcomes name a deal twice; one outcome per deal is needed.")
    for name in feature_columns(frame):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise FrameRejected(f"Feature {name} is not a number; encode it in features.")


def landmark_weights(data: TrainingSet, *, half_life_days: float | None = None) -> Array:
    """Return each row's weight: capped per deal, halved every ``half_life_days`` of age.

    A deal of n landmarks weighs min(n, 12) rows in all, so that a deal that lingers does not
    drown the others (and is not flattened to one row either: that biases the open pipeline).
    Where landmarks were sampled, the frame's own weight says how many a row stands for.
    """
    count = np.bincount(data.deal, weights=data.weight)[data.deal]
    weight: Array = data.weight * np.minimum(1.0, LANDMARKS_AT_FULL_WEIGHT / count)
    if half_life_days is not None:
        weight = weight * 0.5 ** ((data.cut - data.as_of) / half_life_days)
    return weight


def observation_weights(data: TrainingSet, *, largest: float = 5.0) -> Array:
    """Return weights that undo the censoring of resolved rows when a model is *judged*.

    A row resolved after d days was seen to resolve only because its landmark lies at least d
    days before the cut. Weighting by 1/share of rows with that much follow-up lets slow deals
    count as they will. Open rows get 0. Capped: few rows must not speak for many.
    """
    follow_up = np.sort(data.cut - data.as_of)
    took = np.where(data.is_resolved, data.known_at - data.as_of, np.inf)
    share = 1.0 - np.searchsorted(follow_up, took, side="left") / max(len(data), 1)
    weight: Array = np.where(
        data.is_resolved, np.minimum(largest, 1.0 / np.maximum(share, 1e-9)), 0.0
    )
    return weight


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of forward chaining: learn what was known at ``cut``, judge on [start, end).

    ``inside`` says which rows of the whole are those of ``test``.
    """

    train: TrainingSet
    test: TrainingSet
    cut: float
    inside: NDArray[np.bool_]


def split(data: TrainingSet, *, start: float, end: float, embargo_days: float = 0.0) -> Fold:
    """Return the rows known before ``start`` and the later rows of [start + embargo, end).

    The label "won in the end" has no fixed horizon, so the gap is each deal's own: a training
    row's outcome must have been known at ``start``. A deal that is tested was open at
    ``start`` or did not exist, so its outcome is never among the training labels.
    """
    inside = (data.as_of >= start + embargo_days) & (data.as_of < end)
    return Fold(train=data.known_by(start), test=data.take(inside), cut=start, inside=inside)


def forward_folds(
    data: TrainingSet, *, shares: Sequence[float], embargo_days: float = 0.0
) -> Iterator[Fold]:
    """Yield forward-chaining folds whose boundaries are quantiles of the resolved rows' time.

    ``shares`` are the boundaries, ascending in (0, 1]: (0.4, 0.6, 0.8) yields [0.4, 0.6) judged
    by what was known at 0.4, and [0.6, 0.8) by what was known at 0.6.
    """
    times = np.sort(data.as_of[data.is_resolved])
    if len(times) == 0:
        return
    edges = [float(times[min(int(share * len(times)), len(times) - 1)]) for share in shares]
    edges = [*edges[:-1], np.nextafter(edges[-1], np.inf)] if shares[-1] >= 1.0 else edges
    for start, end in zip(edges, edges[1:], strict=False):
        if end > start:
            yield split(data, start=start, end=end, embargo_days=embargo_days)


def fingerprint(data: TrainingSet) -> str:
    """Return the identity of a data set: a sha256 that does not depend on the rows' order.

    It covers the features' names and values, labels, times, weights and the cut.
    """
    table = np.column_stack(
        [data.X, data.y, data.as_of, data.known_at, data.weight, data.deal, data.account]
    )
    table = np.ascontiguousarray(np.where(table == 0.0, 0.0, table))  # −0 is 0
    table[np.isnan(table)] = np.nan  # one NaN
    raw = table.tobytes()
    width = table.shape[1] * table.itemsize
    digests = sorted(
        hashlib.blake2b(raw[i : i + width], digest_size=16).digest()
        for i in range(0, len(raw), width)
    )
    whole = hashlib.sha256()
    whole.update("\x1f".join(data.features).encode())
    whole.update(repr(data.cut).encode())
    whole.update(str(len(data)).encode())
    for digest in digests:
        whole.update(digest)
    return whole.hexdigest()


FEWEST_EXPOSED_DEALS = 40


def recording_start(data: TrainingSet) -> float | None:
    """Return the day from which outcomes were recorded, None if they always were.

    A CRM that was filled with its open deals on some day knows no outcome from before: what it
    holds from then are the survivors, the slow deals. The sign: many deals were open before the
    first outcome of all, for longer than a quarter of the later deals took to end.
    """
    closed = data.is_resolved
    if not closed.any():
        return None
    first = float(data.known_at[closed].min())
    later = closed & (data.as_of >= first)
    if not later.any():
        return None
    usual = float(np.quantile((data.known_at - data.as_of)[later], 0.25))
    exposed = data.deal[data.as_of < first - usual]
    return first if len(np.unique(exposed)) >= FEWEST_EXPOSED_DEALS else None


def since_recording(data: TrainingSet) -> TrainingSet:
    """Return the landmarks from the day on which outcomes were recorded."""
    start = recording_start(data)
    return data if start is None else data.take(data.as_of >= start)
