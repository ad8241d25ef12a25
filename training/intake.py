"""What a model may learn from: the rows and features let in, and what was left out and why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from training import columns
from training.datasets import TrainingSet, column_days, days, join, recording_start

Reason = Literal["at_the_cut", "not_open", "before_recording", "repeated"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was in the frame and is not learnt from.

    ``count`` rows, or the features of ``names``; ``since`` is when outcomes began to be recorded.
    """

    reason: Reason
    count: int
    names: tuple[str, ...] = ()
    since: str | None = None

    def sentence(self) -> str:
        """Return the count with its reason."""
        if self.reason == "at_the_cut":
            return f"{self.count} rows stand at the cut itself: they are scored, not learnt from."
        if self.reason == "not_open":
            return f"{self.count} rows of deals whose outcome was already known."
        if self.reason == "repeated":
            return (
                f"The feature {', '.join(self.names)}: beside the stage itself it only tells "
                "the date."
            )
        day = (self.since or "")[:10]
        return (
            f"{self.count} rows from before {day}, when outcomes began to be recorded: "
            "of the deals from then only those that lived on are in the store."
        )


@dataclass(frozen=True, slots=True)
class Intake:
    """The rows to learn from and what was left out."""

    data: TrainingSet
    left_out: tuple[LeftOut, ...]


def admit(frame: pd.DataFrame, outcomes: pd.DataFrame, *, as_of: dt.datetime) -> Intake:
    """Return the rows of open deals with labels as known at ``as_of``, ready to learn from.

    Left out are rows at the cut or of deals no longer open, rows from before outcomes were
    recorded (:func:`training.datasets.recording_start`) and features that only repeat another
    (:func:`training.columns.repeated`). Raises FrameRejected.
    """
    joined = join(frame, outcomes, as_of=as_of)
    at_cut = int((column_days(frame, "as_of") >= days(as_of)).sum())
    start = recording_start(joined)
    data = joined if start is None else joined.take(joined.as_of >= start)
    places = columns.repeated(data.features, data.X)
    names = tuple(data.features[place] for place in places)
    counts = (
        LeftOut("at_the_cut", at_cut),
        LeftOut("not_open", len(frame) - at_cut - len(joined)),
        LeftOut("before_recording", len(joined) - len(data), since=_moment(start)),
        LeftOut("repeated", len(names), names=names),
    )
    return Intake(data=data.without(places), left_out=tuple(each for each in counts if each.count))


def _moment(day: float | None) -> str | None:
    if day is None:
        return None
    return dt.datetime.fromtimestamp(day * 86_400.0, tz=dt.UTC).isoformat()
