"""The file of scores that leaves the program, in the form of the exchange format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from serving.scores import ScoreView

MOST_REASONS = 5
COLUMNS = (
    "opportunity_id",
    "as_of",
    "p_win",
    "p_win_in_period",
    "median_days_to_close",
    "model_version",
    "abstained",
    *(f"reason_{number}" for number in range(1, MOST_REASONS + 1)),
)
NUMBERS = ("p_win", "p_win_in_period", "median_days_to_close")


def as_frame(
    views: Iterable[ScoreView], *, time_zone: ZoneInfo, locale: str = "en"
) -> pd.DataFrame:
    """Return one row per view with the columns of the exchange format.

    ``abstained`` is true where there is no number; ``reason_1`` then says what is missing.
    ``as_of`` is ISO 8601 with the company's offset, so that a day reads as the day that was
    asked for. Numbers that were not estimated are empty, never 0.
    """
    rows = []
    for view in views:
        said = [words.text(locale) for words in view.sentences()][:MOST_REASONS]
        rows.append(
            {
                "opportunity_id": view.opportunity_id,
                "as_of": view.as_of.astimezone(time_zone).isoformat(),
                "p_win": view.p_win,
                "p_win_in_period": view.p_win_in_period,
                "median_days_to_close": view.median_days_to_close,
                "model_version": view.model_version,
                "abstained": view.abstained is not None,
                **{f"reason_{number}": text for number, text in enumerate(said, start=1)},
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = {name: "float64" if name in NUMBERS else "string" for name in COLUMNS}
    return frame.astype({**kinds, "abstained": "bool"})


def summary(views: Sequence[ScoreView]) -> dict[str, int | str | None]:
    """Return how many deals were scored in which way, by which versions, and why none was."""
    kinds = Counter(view.kind for view in views)
    versions = dict.fromkeys(view.model_version for view in views if view.row_hash is not None)
    silent = Counter(view.abstained.en for view in views if view.abstained is not None)
    return {
        "deals": len(views),
        "scored_by_model": kinds["model"],
        "scored_by_base_rate": kinds["base_rate"],
        "abstained": kinds["none"],
        "in_hindsight": sum(view.hindsight is not None for view in views),
        "model_version": ", ".join(str(each) for each in versions) or None,
        "why_none": silent.most_common(1)[0][0] if silent and not versions else None,
    }


def lines(told: dict[str, int | str | None], *, out: Path | None) -> list[str]:
    """Return the summary as a person reads it."""
    said = [
        f"{told['deals']} deals: {told['scored_by_model']} scored by the model, "
        f"{told['scored_by_base_rate']} by the base rate, {told['abstained']} without a number."
    ]
    if told["in_hindsight"]:
        said.append(
            f"{told['in_hindsight']} in hindsight: the model learnt from what came later; they are "
            "not written down."
        )
    if told["why_none"] is not None:
        said.append(str(told["why_none"]))
    if out is not None:
        said.append(f"Written to {out}.")
    return said
