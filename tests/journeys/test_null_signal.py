"""Honesty on real data: nothing known at the start predicts maven_crm, and the product says so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.journeys.commands import Winward

CUT = "2017-10-01"


@pytest.mark.real_data
def test_no_signal_is_reported_and_the_base_rate_served(
    database_url: str, data_sets: Path, tmp_path: Path
) -> None:
    winward = Winward(database_url, tmp_path / "home")
    report = winward.json("import", data_sets / "maven_crm", "--mapping", "maven_crm")
    assert report["tables"]["opportunities"]["rows"] == 8800

    winward.json("features", "build", "--as-of", CUT)
    trained = winward.json("train", "win-rate", "--as-of", CUT)
    found = trained["report"]
    assert found["verdict"] == "no better than the base rate"
    assert found["kind"] == "base_rate"
    assert found["suspected_leakage"] == []
    assert "best_candidate" in found["baselines"]
    area = found["baselines"]["best_candidate"]["auc"]
    assert area is None or area["value"] < 0.58
    assert trained["promotion"]["promoted"], trained["promotion"]

    scores = tmp_path / "scores.parquet"
    told = winward.json("score", "win-rate", "--as-of", CUT, "--out", scores)
    assert told["scored_by_base_rate"] == told["deals"] > 1000
    table = pd.read_parquet(scores)
    assert table["p_win"].nunique() == 1
    assert table["p_win"].between(0.58, 0.70).all()
    assert table["reason_1"].str.startswith("No better than the base rate").all()
