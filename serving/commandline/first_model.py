"""The first model of a store: features, training, promotion, scores and advice as of now."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Engine

from crm_core.settings import Settings
from serving import data_health
from serving.commandline import demo_processes, milestones
from serving.commandline.progress import Steps

SEED = 7
FIRST_TRIALS = 4
"""Trials of the first training: somebody waits for it. A later training searches longer."""


def make(
    engine: Engine,
    urls: dict[str, str],
    settings: Settings,
    steps: Steps,
    *,
    now: dt.datetime,
) -> None:
    """Bring a filled store to explained scores; each step may be repeated."""
    from features import snapshots

    with steps.step("Build features") as advance:
        snapshots.build(engine, as_of=now, recorded_at=now, settings=settings, progress=advance)
    with steps.step("Train the win-rate model"):
        version = _train(engine, urls, settings, now=now)
    with steps.step("Promote it"):
        refusals = _promote(urls, settings, version)
    for refusal in refusals:
        steps.console.print(f"    not promoted: {refusal}", markup=False)
    with steps.step("Score the open deals"):
        _score(engine, settings, now=now)
    with steps.step("Start the processes, check the data"):
        demo_processes.make(engine, now=now)
        data_health.check(engine, now=now, cause="import")
    milestones.reach(engine, "model", "refused" if refusals else "promoted")
    milestones.reach(engine, "scores", now.isoformat())


def _train(engine: Engine, urls: dict[str, str], settings: Settings, *, now: dt.datetime) -> str:
    from features import labels
    from training import pipeline

    trained = pipeline.train_win_rate(
        settings=settings.model_copy(update={"trials": min(settings.trials, FIRST_TRIALS)}),
        mlflow_url=urls["mlflow"],
        feast_url=urls["feast"],
        outcomes=labels.outcomes(engine, known_at=now),
        as_of=now,
        seed=SEED,
    )
    return trained.version


def _promote(urls: dict[str, str], settings: Settings, version: str) -> tuple[str, ...]:
    """Return why the version does not serve; nothing when it does."""
    from training import pipeline

    found = pipeline.promote_win_rate(settings=settings, mlflow_url=urls["mlflow"], version=version)
    return () if found.promoted else found.refusals or ("the gates gave no reason",)


def _score(engine: Engine, settings: Settings, *, now: dt.datetime) -> None:
    from serving import scoring
    from serving.champions import lineage

    scoring.score_many(
        engine,
        opportunity_ids=None,
        as_of=now,
        models=lineage(settings.models_folder),
        settings=settings,
        scored_at=now,
    )
