"""Asked again before a model, or a bare rate, is believed: does all of later time agree."""

from __future__ import annotations

import numpy as np

from training.censoring import pooled_labels
from training.datasets import TrainingSet
from training.evaluation import Interval, bootstrap_mean, row_log_loss, sigmoid, standard_error
from training.model import WinRateModel
from training.parts import Array
from training.selection import Choice, Layout, Prepared, decayed, side_by_side


def gain_counting_open(
    choice: Choice,
    folds: list[Prepared],
    data: TrainingSet,
    layout: Layout,
    *,
    seed: int,
    threads: int,
) -> Interval:
    """Return the gain over the base rate on all later rows, those of open deals too.

    An open deal counts as its age alone says (:func:`training.censoring.pooled_labels`). Where
    most later deals are still open, the few that ended are the fast ones, and to be right about
    those may be no merit at all: on maven_crm a blend looked better by 0.006 nats on them and
    was worse than the base rate on the future.
    """
    pooled = pooled_labels(data, layout.ages(data.X))

    def gain(fold: Prepared) -> Array:
        model = choice.model(layout, seed=seed, threads=1)
        model.fit(fold.X, fold.y, decayed(fold, choice.half_life), fold.deal)
        p = sigmoid(model.decision_function(fold.later.X))
        y = pooled[fold.inside]
        return row_log_loss(y, p) - row_log_loss(y, np.full(len(y), fold.base))

    found = side_by_side(gain, folds, threads=threads)
    return bootstrap_mean(
        np.concatenate(found),
        np.concatenate([fold.later.deal for fold in folds]),
        np.concatenate([fold.later_weight for fold in folds]),
        seed=seed,
    )


def table_holds(folds: list[Prepared], layout: Layout) -> bool:
    """Return whether rates by stage and age were not worse than one rate, beyond noise."""
    if layout.stage is None or layout.age is None:
        return False
    table = WinRateModel(family="table", stage=layout.stage, age=layout.age)
    worse = []
    for fold in folds:
        margin = table.fit(fold.X, fold.y, fold.weight).decision_function(fold.test_rows)
        flat = np.full(len(margin), fold.base)
        loss = row_log_loss(fold.test_y, sigmoid(margin))
        worse.append(loss - row_log_loss(fold.test_y, flat))
    difference = np.concatenate(worse)
    weight = np.concatenate([fold.test_weight for fold in folds])
    deal = np.concatenate([fold.test_deal for fold in folds])
    noise = standard_error(difference, deal, weight)
    return bool(np.average(difference, weights=weight) <= noise)
