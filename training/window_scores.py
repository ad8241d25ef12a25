"""What was served, and others, on the same later rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training import baselines
from training.datasets import TrainingSet
from training.evaluation import Scores, judge
from training.parts import Array
from training.selection import Layout
from training.windows import LaterWindow


@dataclass(frozen=True, slots=True)
class WindowJudge:
    """Scores probabilities on a later window, by what the rows' layout says of the stage."""

    data: TrainingSet
    layout: Layout
    seed: int

    def served(self, window: LaterWindow, kind: str) -> Scores:
        """Return the scores of what will be served: the model's or the base rate's."""
        return self._score(window, window.p if kind == "model" else window.p_base)

    def baselines(self, window: LaterWindow, kind: str) -> dict[str, Scores]:
        """Return others' scores on the same rows, from what was known at the window's start."""
        before = self.data.known_by(window.start)
        flat = np.ones(len(window.y))
        found = {
            "base_rate": self._score(window, window.p_base),
            "closed_share": self._score(window, flat * baselines.closed_share(before)),
        }
        if self.layout.stage is not None and before.is_resolved.any():
            rates = baselines.stage_rate(before, window.X, stage=self.layout.stage)
            found["stage_rate"] = self._score(window, rates)
        if "stage_progress" in window.features:
            progress = window.features.index("stage_progress")
            odds = baselines.crm_stage_odds(window.X, progress=progress)
            found["crm_stage_odds"] = self._score(window, odds)
        if kind != "model":
            found["best_candidate"] = self._score(window, window.p)
        return found

    def _score(self, window: LaterWindow, p: Array) -> Scores:
        stage = None if self.layout.stage is None else window.X[:, self.layout.stage]
        return judge(
            window.y, p, deal=window.deal, weight=window.weight, stage=stage, seed=self.seed
        )
