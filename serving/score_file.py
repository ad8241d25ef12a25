"""The file of scores that leaves the program, in the form of the exchange format."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from crm_core.errors import Invalid
from serving.scoring import NO_MODEL, ScoreView

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
ENDINGS = (".csv", ".parquet")
_FORMULA = re.compile(r"^(?:[=@\t\r]|[+-](?!\d+(?:[.,]\d+)?$))")


class NotAScoreFile(Invalid):
    """The ending or the folder of the file does not allow it to be written."""


def check_target(path: Path) -> None:
    """Raise NotAScoreFile unless the path can take scores: said before any work is done."""
    if path.suffix.lower() not in ENDINGS:
        raise NotAScoreFile(f"--out {path} must end in .csv or .parquet.")
    if not path.absolute().parent.is_dir():
        raise NotAScoreFile(f"--out {path}: its folder does not exist; make it first.")


def as_frame(views: Iterable[ScoreView], *, locale: str = "en") -> pd.DataFrame:
    """Return one row per view with the columns of the exchange format.

    ``abstained`` is true where there is no number; ``reason_1`` then says what is missing. The
    times are UTC. Numbers that were not estimated are empty, never 0.
    """
    rows = []
    for view in views:
        said = [words.text(locale) for words in view.sentences()][:MOST_REASONS]
        rows.append(
            {
                "opportunity_id": view.opportunity_id,
                "as_of": view.as_of,
                "p_win": view.p_win,
                "p_win_in_period": view.p_win_in_period,
                "median_days_to_close": view.median_days_to_close,
                "model_version": view.model_version,
                "abstained": view.abstained is not None,
                **{f"reason_{number}": text for number, text in enumerate(said, start=1)},
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = [name for name in COLUMNS if name.startswith(("reason_", "model_", "opportunity_"))]
    numbers = ["p_win", "p_win_in_period", "median_days_to_close"]
    return frame.astype(
        {**dict.fromkeys(texts, "string"), **dict.fromkeys(numbers, "float64"), "abstained": "bool"}
    )


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame whole or not at all: it is renamed into place when it is complete.

    A CSV text that a spreadsheet would run as a formula is led by an apostrophe.
    """
    check_target(path)
    folder = path.absolute().parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
    try:
        if path.suffix.lower() == ".csv":
            told = frame.assign(as_of=[moment.isoformat() for moment in frame["as_of"]])
            for name in told.columns[told.dtypes == "string"]:
                told[name] = told[name].map(_harmless, na_action="ignore")
            told["abstained"] = told["abstained"].map({True: "true", False: "false"})
            told.to_csv(partial, index=False, encoding="utf-8", lineterminator="\n")
        else:
            frame.assign(as_of=pd.to_datetime(frame["as_of"], utc=True)).to_parquet(
                partial, index=False
            )
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        raise


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def summary(views: Sequence[ScoreView], *, version: str | None) -> dict[str, int | str | None]:
    """Return how many deals were scored in which way, and by which version."""
    kinds = Counter(view.kind for view in views)
    return {
        "deals": len(views),
        "scored_by_model": kinds["model"],
        "scored_by_base_rate": kinds["base_rate"],
        "abstained": kinds["none"],
        "model_version": version,
    }


def lines(told: dict[str, int | str | None], *, out: Path | None) -> list[str]:
    """Return the summary as a person reads it."""
    said = [
        f"{told['deals']} deals: {told['scored_by_model']} scored by the model, "
        f"{told['scored_by_base_rate']} by the base rate, {told['abstained']} without a number."
    ]
    if told["model_version"] is None:
        said.append(NO_MODEL.en)
    if out is not None:
        said.append(f"Written to {out}.")
    return said
