"""The only door to Optuna: a seeded, pruned search that gives the same answer every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna

from training.learners import TreeSettings

Objective = Callable[[TreeSettings, Callable[[int, float], bool]], float]
"""Given settings and ``report(step, value) → give up?`` return the loss to minimise."""


def search(
    objective: Objective,
    *,
    rows: int,
    trials: int,
    seed: int,
    start: TreeSettings,
    journal: Path | None = None,
    study: str = "trees",
) -> TreeSettings:
    """Return the tree settings with the least loss among ``start`` and ``trials`` others.

    ``rows`` (of the smallest training fold) scales the smallest leaf. ``journal`` names a file
    that several processes may share; without one the search is kept in memory. A trial whose
    loss on a fold is worse than the median of its predecessors there is given up.
    """
    if trials <= 0:
        return start
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    if journal is not None:
        journal.parent.mkdir(parents=True, exist_ok=True)
        backend = optuna.storages.journal.JournalFileBackend(str(journal))
        storage = optuna.storages.JournalStorage(backend)
    found = optuna.create_study(
        study_name=study,
        storage=storage,
        load_if_exists=journal is not None,
        direction="minimize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(8, trials)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    found.enqueue_trial(_as_params(start, rows), skip_if_exists=True)

    def run(trial: optuna.Trial) -> float:
        settings = _suggest(trial, start, rows)

        def give_up(step: int, value: float) -> bool:
            trial.report(value, step)
            return bool(trial.should_prune())

        loss = objective(settings, give_up)
        if loss != loss:  # a pruned trial has no loss
            raise optuna.TrialPruned
        return loss

    found.optimize(run, n_trials=trials, n_jobs=1, show_progress_bar=False)
    return _from_params(found.best_params, start)


def _largest_leaf_share(rows: int) -> float:
    """Return the largest share of the rows that the smallest leaf may be asked to hold."""
    return min(0.05, 2000.0 / max(rows, 1))


def _suggest(trial: optuna.Trial, start: TreeSettings, rows: int) -> TreeSettings:
    params = {
        "trees": trial.suggest_int("trees", 50, 250, step=50),
        "leaves": trial.suggest_categorical("leaves", [4, 7, 11, 15]),
        "smallest_leaf": trial.suggest_float(
            "smallest_leaf", 10.0, max(20.0, _largest_leaf_share(rows) * rows), log=True
        ),
        "l2": trial.suggest_float("l2", 0.5, 100.0, log=True),
        "columns": trial.suggest_float("columns", 0.3, 1.0),
    }
    return _from_params(params, start)


def _as_params(settings: TreeSettings, rows: int) -> dict[str, float]:
    return {
        "trees": settings.trees,
        "leaves": settings.leaves,
        "smallest_leaf": min(settings.smallest_leaf, max(20.0, _largest_leaf_share(rows) * rows)),
        "l2": settings.l2,
        "columns": settings.columns,
    }


def _from_params(params: dict[str, float], start: TreeSettings) -> TreeSettings:
    return replace(
        start,
        trees=int(params["trees"]),
        leaves=int(params["leaves"]),
        smallest_leaf=float(params["smallest_leaf"]),
        l2=float(params["l2"]),
        columns=float(params["columns"]),
    )
