"""What a model must beat: the base rate, the record of the stage, the CRM's stage odds."""

from __future__ import annotations

import numpy as np

from training.censoring import share_won_in_the_end
from training.datasets import TrainingSet, landmark_weights
from training.learners import fit_table
from training.parts import Array

CRM_STAGE_ODDS = (0.10, 0.25, 0.50, 0.60, 0.80)
"""The default stage probabilities that CRMs ship, spread over the way through the pipeline."""


def base_rate(train: TrainingSet) -> float:
    """Return the share of landmarks won in the end, open deals counted while they were seen."""
    return share_won_in_the_end(train, landmark_weights(train))


def closed_share(train: TrainingSet) -> float:
    """Return won ÷ (won + lost) among deals closed so far, as CRMs show it. 0.5 without any."""
    closed = train.is_resolved
    if not closed.any():
        return 0.5
    return float(np.average(train.y[closed], weights=landmark_weights(train)[closed]))


def stage_rate(train: TrainingSet, X: Array, *, stage: int) -> Array:
    """Return each row's shrunk win rate of its stage among closed landmarks."""
    closed = train.is_resolved
    weight = landmark_weights(train)[closed]
    table = fit_table(train.X[closed], train.y[closed], weight, stage=stage, age=stage)
    values = X[:, stage]
    place = np.minimum(np.searchsorted(table.stages, values), len(table.stages) - 1)
    margin = np.where(table.stages[place] == values, table.stage_margin[place], table.overall)
    p: Array = 1.0 / (1.0 + np.exp(-margin))
    return p


def crm_stage_odds(X: Array, *, progress: int) -> Array:
    """Return the CRM's default probability by the share of stages that lie behind (0 to 1)."""
    steps = len(CRM_STAGE_ODDS) - 1
    place = np.clip(np.nan_to_num(X[:, progress]) * steps, 0, steps)
    p: Array = np.interp(place, np.arange(steps + 1.0), np.array(CRM_STAGE_ODDS))
    return p
