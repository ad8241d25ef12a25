"""What a frame of features must look like, or ``FrameRejected``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd

from crm_core.errors import Invalid
from features.definitions import GROUP_COLUMNS, KEYS, WEIGHT, feature


class FrameRejected(Invalid):
    """A frame of features breaks the contract; training or scoring on it would mislead."""


def check(frame: pd.DataFrame, *, columns: Sequence[str], as_of: dt.datetime) -> pd.DataFrame:
    """Return the frame if it keeps the contract, else raise FrameRejected.

    The contract: exactly the key columns, the group columns, perhaps the weight, and
    ``columns`` in their order; keys present and unique; times timezone-aware and not after
    ``as_of``; every feature described, float64 and finite or NaN.
    """
    _check_columns(frame, columns)
    _check_keys(frame, as_of)
    for name in columns:
        feature(name)
        if frame[name].dtype != np.float64:
            raise FrameRejected(
                f"Column {name!r} holds {frame[name].dtype}, features are float64; "
                "encode it in features/ before it enters a frame."
            )
        if np.isinf(frame[name].to_numpy()).any():
            raise FrameRejected(
                f"Column {name!r} holds infinite values; a feature is finite, or NaN when unknown."
            )
    return frame


def _check_columns(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    expected = [*KEYS, *GROUP_COLUMNS, *columns]
    found = [column for column in frame.columns if column != WEIGHT]
    missing = [column for column in expected if column not in found]
    extra = [column for column in found if column not in expected]
    if missing or extra:
        raise FrameRejected(
            f"The frame lacks {missing or 'no column'} and has unexpected {extra or 'none'}; "
            "build it again with `winward features build`."
        )
    if found != expected:
        raise FrameRejected("The frame's columns are in another order than the feature list.")


def _check_keys(frame: pd.DataFrame, as_of: dt.datetime) -> None:
    moments = frame[KEYS[1]]
    if not isinstance(moments.dtype, pd.DatetimeTZDtype):
        raise FrameRejected(f"Column {KEYS[1]!r} holds times without a zone; give them in UTC.")
    if frame[list(KEYS)].isna().any(axis=None):
        raise FrameRejected("A row has no entity_id or no as_of; each row needs both.")
    if len(frame) and moments.max() > pd.Timestamp(as_of):
        raise FrameRejected(
            f"A row is as of {moments.max()}, after {as_of}: features may not come from later."
        )
    repeated = frame.duplicated(list(KEYS))
    if repeated.any():
        row = frame.loc[repeated.idxmax()]
        raise FrameRejected(
            f"Opportunity {row[KEYS[0]]!r} has two rows as of {row[KEYS[1]]}; keep one."
        )
