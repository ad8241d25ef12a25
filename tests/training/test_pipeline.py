"""The functions behind the commands: what they refuse before any work."""

from __future__ import annotations

import pandas as pd
import pytest
from made_frames import week

from training import pipeline


class TestATraining:
    def test_is_stopped_by_what_data_health_found(self, home):
        findings = (
            "deal_stage_is_known: 3 of 900 fail “A deal's stage is one of its pipeline's”.",
            "deal_closes_after_creation: 1 of 900 fail “A deal closes after it was created”",
        )
        with pytest.raises(pipeline.TrainingStopped) as refused:
            pipeline.train_win_rate(
                settings=home, mlflow_url="nowhere", feast_url="nowhere",
                outcomes=pd.DataFrame(), as_of=week(90).to_pydatetime(), blocking=findings,
            )  # fmt: skip
        assert "deal_stage_is_known: 3 of 900" in str(refused.value)
        assert "deal_closes_after_creation: 1 of 900" in str(refused.value)
        assert not any(home.home.iterdir())
