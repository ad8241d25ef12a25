"""The file of scores has the columns of the exchange format and is written whole or not at all."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from serving.explanations import Reason, Words
from serving.score_file import COLUMNS, as_frame
from serving.scores import ScoreView
from serving.table_file import write

BERLIN = ZoneInfo("Europe/Berlin")
AS_OF = dt.datetime(2026, 6, 30, tzinfo=BERLIN).astimezone(dt.UTC)


@pytest.fixture
def frame() -> pd.DataFrame:
    """A scored deal whose id looks like a formula, and one without a number."""
    reason = Reason("dates", False, -0.5, Words("Overdue by 4 days", "逾期 4 天"), {})
    scored = ScoreView(
        opportunity_id="=1+1", as_of=AS_OF, kind="model", model_version="3", p_win=0.25,
        contributions={"dates": -0.5}, reasons=(reason,),
    )  # fmt: skip
    silent = ScoreView(
        opportunity_id="d2", as_of=AS_OF, kind="none", model_version="3", contributions={},
        abstained=Words("Too few closed deals.", "已结单商机太少。"),
    )  # fmt: skip
    return as_frame([scored, silent], time_zone=BERLIN)


def test_the_columns_are_those_of_the_exchange_format(frame: pd.DataFrame) -> None:
    assert list(frame.columns) == [
        "opportunity_id", "as_of", "p_win", "p_win_in_period", "median_days_to_close",
        "model_version", "abstained", "reason_1", "reason_2", "reason_3", "reason_4", "reason_5",
    ]  # fmt: skip
    assert tuple(frame.columns) == COLUMNS


def test_a_csv_leaves_empty_what_is_not_known(frame: pd.DataFrame, tmp_path: Path) -> None:
    write(frame, tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == [
        "'=1+1,2026-06-30T00:00:00+02:00,0.25,,,3,False,Overdue by 4 days,,,,",
        "d2,2026-06-30T00:00:00+02:00,,,,3,True,Too few closed deals.,,,,",
    ]


def test_parquet_holds_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    write(frame, tmp_path / "scores.parquet")
    found = pd.read_parquet(tmp_path / "scores.parquet")
    assert found["opportunity_id"].tolist() == ["=1+1", "d2"]
    assert found["abstained"].tolist() == [False, True]
    assert found["as_of"].tolist() == ["2026-06-30T00:00:00+02:00"] * 2
    assert found["p_win"].isna().tolist() == [False, True]


def test_an_empty_result_is_a_file_with_its_header(tmp_path: Path) -> None:
    write(as_frame([], time_zone=BERLIN), tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().strip() == ",".join(COLUMNS)
