"""Would training anew gain anything? Trains a challenger, asks the gates, tells who decides.

Nothing is promoted unless the settings say so: who trains is not who lets a model serve.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, exists, select
from sqlalchemy.orm import Session

from crm_core.database import transaction
from crm_core.people.models import User
from crm_core.people.queries import company_day
from crm_core.processes import alerts
from crm_core.processes.models import Alert
from crm_core.settings import Settings
from features import labels
from serving import data_health
from training import pipeline

TOLD = ("admin", "data_scientist")
"""The roles that are told."""
KIND = "retraining"
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What training anew came to. ``version`` is None where the data stopped it.

    ``gain`` is the change of log loss against the version that serves, on later rows that it had
    not seen (below 0: better), with its interval; None where they cannot be compared.
    """

    version: str | None
    serving: str | None
    gain: float | None
    low: float | None
    high: float | None
    allowed: bool
    promoted: bool
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for a script."""
        return {**asdict(self), "reasons": list(self.reasons)}

    def sentence(self) -> str:
        """Return it in English."""
        if self.version is None:
            return "Not trained anew: the data fail a rule that stops training."
        verdict = "allow" if self.allowed else "refuse"
        if self.gain is None:
            told = f"version {self.version} is not compared with version {self.serving or '–'}"
        else:
            told = (
                f"version {self.version} would change the log loss by {_signed(self.gain)} "
                f"[{_signed(self.low)}, {_signed(self.high)}] against version {self.serving}"
            )
        served = "it serves now" if self.promoted else "nothing was promoted"
        return f"{told[0].upper()}{told[1:]}; the gates {verdict} it; {served}."


def check(
    engine: Engine,
    urls: Mapping[str, str],
    settings: Settings,
    *,
    as_of: dt.datetime,
    now: dt.datetime,
) -> Finding:
    """Train a challenger as of a time, compare it with the champion, tell who decides.

    The same ``as_of`` again trains nothing and tells nobody twice.
    """
    stopping = data_health.stopping_training(engine, now=now)
    if stopping:
        found = _stopped(stopping)
    else:
        version = _trained(engine, urls, settings, as_of=as_of)
        found = _judged(urls, settings, version)
    _tell(engine, found, as_of=as_of, now=now)
    return found


def _stopped(stopping: tuple[str, ...]) -> Finding:
    return Finding(
        version=None, serving=None, gain=None, low=None, high=None, allowed=False, promoted=False,
        reasons=stopping,
    )  # fmt: skip


def _trained(
    engine: Engine, urls: Mapping[str, str], settings: Settings, *, as_of: dt.datetime
) -> str:
    """Return the challenger trained as of a time, trained now unless it was before."""
    for row in pipeline.versions(mlflow_url=urls["mlflow"]):
        if row["as_of"] is not None and dt.datetime.fromisoformat(row["as_of"]) == as_of:
            return str(row["version"])
    trained = pipeline.train_win_rate(
        settings=settings,
        mlflow_url=urls["mlflow"],
        feast_url=urls["feast"],
        outcomes=labels.outcomes(engine, known_at=as_of),
        as_of=as_of,
        seed=SEED,
    )
    return trained.version


def _judged(urls: Mapping[str, str], settings: Settings, version: str) -> Finding:
    judged = pipeline.judge_win_rate(settings=settings, mlflow_url=urls["mlflow"], version=version)
    decision, between = judged.decision, judged.decision.difference
    promoted = judged.serving == version
    if decision.is_allowed and settings.retrain_promotes and not promoted:
        promoted = pipeline.promote_win_rate(
            settings=settings, mlflow_url=urls["mlflow"], version=version
        ).promoted
    return Finding(
        version=version, serving=judged.serving, allowed=decision.is_allowed, promoted=promoted,
        gain=between.value if between else None, low=between.low if between else None,
        high=between.high if between else None, reasons=(*decision.refusals, *decision.notes),
    )  # fmt: skip


def _tell(engine: Engine, found: Finding, *, as_of: dt.datetime, now: dt.datetime) -> None:
    with transaction(engine) as session:
        key = f"{KIND}:{as_of.isoformat()}"
        if session.scalar(select(exists().where(Alert.kind == KIND, Alert.dedupe_key == key))):
            return
        for user_id in _told(session, now):
            alerts.raise_alert(
                session, user_id=user_id, kind=KIND, dedupe_key=key, words=_words(found), now=now,
                severity="warning" if found.version is None or _is_gain(found) else "info",
            )  # fmt: skip
        alerts.keep_only(session, kind=KIND, dedupe_keys=[key], now=now)


def _told(session: Session, now: dt.datetime) -> list[str]:
    today = company_day(session, now)
    people = select(User.id).where(
        User.role.in_(TOLD), (User.left_on.is_(None)) | (User.left_on > today)
    )
    return list(session.scalars(people.order_by(User.id)))


def _is_gain(found: Finding) -> bool:
    return found.allowed and found.high is not None and found.high < 0.0


def _words(found: Finding) -> dict[str, Any]:
    """Return what the alert says; numbers as they are read."""
    return {
        **found.as_json(),
        "gain": None if found.gain is None else _signed(found.gain),
        "low": None if found.low is None else _signed(found.low),
        "high": None if found.high is None else _signed(found.high),
        "reasons": " ".join(found.reasons),
    }


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"
