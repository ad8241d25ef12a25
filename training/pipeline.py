"""Train, promote and roll back the win-rate model: the functions behind the commands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from crm_core.errors import Conflict
from crm_core.settings import Settings
from features import store
from training import exports, gates, registry
from training.bundle import Bundle
from training.reports import TrainingReport
from training.win_rate import train


class TrainingStopped(Conflict):
    """The data fail a rule that training must obey; a model learnt from them would mislead."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A registered training: its version's number and its report."""

    version: str
    report: TrainingReport


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion came to. ``refusals`` stand against it; ``forced`` overruled them.

    ``version`` serves now if ``promoted``, else ``serving`` (None: nothing) still does.
    """

    version: str
    promoted: bool
    forced: bool
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    serving: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gates would say of a version; nothing was promoted.

    ``serving`` is the version that serves (None: nothing); ``decision.difference`` the log loss
    that the version would change.
    """

    version: str
    serving: str | None
    decision: gates.Decision


def train_win_rate(
    *,
    settings: Settings,
    mlflow_url: str,
    feast_url: str,
    outcomes: pd.DataFrame,
    as_of: dt.datetime,
    seed: int = 7,
    blocking: Sequence[str] = (),
) -> Trained:
    """Train on the newest features up to ``as_of``, judge on later time, register a challenger.

    ``outcomes`` as ``features.labels.outcomes(engine, known_at=as_of)`` returns them.
    ``blocking`` are the findings of data health that stop a training, each a sentence that
    starts with its rule: with any of them nothing is read, and TrainingStopped names them all.
    """
    if blocking:
        told = "; ".join(each.rstrip(".") for each in blocking)
        raise TrainingStopped(
            f"Training is stopped by data health: {told}. Mend the records, check again with "
            "'winward health', then train."
        )
    frame = store.training_frame(as_of=as_of, settings=settings, feast_url=feast_url)
    return train_on(
        frame, outcomes, settings=settings, mlflow_url=mlflow_url, as_of=as_of, seed=seed
    )


def train_on(
    frame: pd.DataFrame,
    outcomes: pd.DataFrame,
    *,
    settings: Settings,
    mlflow_url: str,
    as_of: dt.datetime,
    seed: int = 7,
) -> Trained:
    """Train on a given frame, and register what came of it as the challenger."""
    trained = train(frame, outcomes, as_of=as_of, settings=settings, seed=seed)
    version = registry.register(trained, url=mlflow_url, settings=settings)
    return Trained(version=version, report=trained.report)


def promote_win_rate(
    *, settings: Settings, mlflow_url: str, version: str | None = None, force: bool = False
) -> Promotion:
    """Let a version (default: the newest) serve if it passes the gates, or say why not.

    ``force`` overrules the gates, which is written down beside the version.
    """
    challenger = registry.registered(mlflow_url, version or registry.newest(mlflow_url))
    folder = settings.models_folder / registry.MODEL
    now = exports.served(folder)
    if now is not None and now.version == challenger.version:
        return Promotion(
            version=challenger.version,
            promoted=True,
            forced=False,
            refusals=(),
            notes=(f"Version {challenger.version} serves already.",),
            serving=now.version,
        )
    champion = None if now is None else _champion(settings, now.version)
    decision = gates.decide(
        challenger.bundle, challenger.report, challenger.window, champion=champion
    )
    promoted = decision.is_allowed or force
    if promoted:
        exports.export(challenger.bundle, folder)
        state = exports.point_to(folder, challenger.version)
        _point_aliases(mlflow_url, state)
    said = "promoted" if decision.is_allowed else "forced" if force else "refused"
    registry.note(
        mlflow_url,
        version=challenger.version,
        tags={
            "decision": said,
            "decision_reasons": " ".join((*decision.refusals, *decision.notes)),
        },
    )
    return Promotion(
        version=challenger.version,
        promoted=promoted,
        forced=force and not decision.is_allowed,
        refusals=decision.refusals,
        notes=decision.notes,
        serving=challenger.version if promoted else None if now is None else now.version,
    )


def judge_win_rate(*, settings: Settings, mlflow_url: str, version: str) -> Judgement:
    """Ask the gates about a version and change nothing."""
    challenger = registry.registered(mlflow_url, version)
    now = exports.served(settings.models_folder / registry.MODEL)
    champion = None if now is None else _champion(settings, now.version)
    decision = gates.decide(
        challenger.bundle, challenger.report, challenger.window, champion=champion
    )
    return Judgement(version, None if now is None else now.version, decision)


def note(*, mlflow_url: str, version: str, tags: dict[str, str]) -> None:
    """Write something down beside a version."""
    registry.note(mlflow_url, version=version, tags=tags)


def _champion(settings: Settings, version: str) -> Bundle:
    return Bundle.load(settings.models_folder / registry.MODEL / version)


def _point_aliases(mlflow_url: str, state: exports.Served) -> None:
    previous = state.before[-1] if state.before else None
    registry.point_aliases(mlflow_url, champion=state.version, previous=previous)


def rollback_win_rate(*, settings: Settings, mlflow_url: str) -> str:
    """Let the version serve that served before, return it. Raises NothingToRollBackTo.

    The pointer moves first: serving changes even while the tracking server is away.
    """
    state = exports.roll_back(settings.models_folder / registry.MODEL)
    _point_aliases(mlflow_url, state)
    return state.version


def trained_cuts(*, mlflow_url: str) -> list[dt.datetime]:
    """Return the cuts of all registered versions: their features must stay."""
    return registry.cuts(mlflow_url)


def versions(*, mlflow_url: str) -> list[dict[str, Any]]:
    """Return the trained versions, newest first, with scores, decisions and aliases."""
    return registry.versions(mlflow_url)
