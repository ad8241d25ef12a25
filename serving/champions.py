"""The holder of the promoted model: which bundle answers now, and since when.

Training writes a bundle into ``<models>/<model>/<version>/`` and moves ``current.json`` to it in
one rename. A server looks at that pointer at most once a second and swaps one reference, so that a
promotion or a rollback drops no request and needs no restart.

A question about an earlier time is answered by a version that had been trained by then: one
trained later has learnt from what came after, and its answer would be hindsight.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine

from crm_core.advice import operations as advice
from crm_core.database import transaction
from crm_core.errors import NotFound
from training import bundle as bundles
from training import exports

LOG = logging.getLogger(__name__)
POINTER = "current.json"
CHECK_SECONDS = 1.0
WIN_RATE = "win_rate"


class NoChampion(NotFound):
    """No model is promoted, so there is nothing to score with."""


@dataclass(frozen=True, slots=True)
class Champion:
    """A promoted bundle and its name; ``version`` is what every prediction is logged with."""

    model: str
    version: str
    bundle: bundles.Bundle

    @property
    def trained_as_of(self) -> dt.datetime:
        """The time whose facts it was trained on; it knows nothing later."""
        return _instant(self.bundle.as_of)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The versions that may answer: the one that serves, and those it replaced in turn.

    A version that was rolled back is not among them: somebody judged it wrong.
    ``folder`` is where the replaced ones lie; without it there are none.
    """

    current: Champion | None
    folder: Path | None = None

    def trained_by(self, moment: dt.datetime) -> Champion | None:
        """Return what may answer a question about a time: trained on nothing later.

        The one that serves if it can, else the last trained of those it replaced; None if all
        were trained later.
        """
        if self.current is None or self.current.trained_as_of <= moment:
            return self.current
        able = [(at, version) for at, version in self._replaced() if at <= moment]
        if not able or self.folder is None:
            return None
        _, version = max(able, key=lambda each: each[0])
        return Champion(self.current.model, version, _bundle(self.folder / version))

    def first_trained(self) -> dt.datetime | None:
        """Return the earliest time that any of them can answer for, None without any."""
        if self.current is None:
            return None
        return min([self.current.trained_as_of, *(at for at, _ in self._replaced())])

    def _replaced(self) -> list[tuple[dt.datetime, str]]:
        served = None if self.folder is None else exports.served(self.folder)
        if served is None or self.folder is None:
            return []
        found = []
        for version in served.before:
            try:
                found.append((_trained_as_of(self.folder / version), version))
            except (OSError, ValueError, KeyError):
                LOG.warning("version %s of %s is gone or damaged", version, self.folder.name)
        return found


@lru_cache(maxsize=4)
def _bundle(folder: Path) -> bundles.Bundle:
    """Return a replaced version's bundle; its files do not change any more."""
    return bundles.load(folder)


@lru_cache(maxsize=1000)
def _trained_as_of(folder: Path) -> dt.datetime:
    content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return _instant(content["as_of"])


def _instant(text: str) -> dt.datetime:
    """Return a bundle's time; one without an offset would be in UTC."""
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


def load(models_folder: Path, *, model: str = WIN_RATE) -> Champion | None:
    """Return the promoted bundle, read from LightGBM text and JSON; None when none is promoted."""
    folder = models_folder / model
    served = exports.served(folder)
    if served is None:
        return None
    return Champion(model, served.version, bundles.load(folder / served.version))


def lineage(models_folder: Path, *, model: str = WIN_RATE) -> Lineage:
    """Return the promoted bundle with those it replaced."""
    return Lineage(load(models_folder, model=model), models_folder / model)


def required(models_folder: Path, *, model: str = WIN_RATE) -> Champion:
    """Return the promoted bundle. Raises NoChampion with the commands that make one."""
    champion = load(models_folder, model=model)
    if champion is None:
        raise NoChampion(
            f"No {model.replace('_', '-')} model is promoted; run winward train win-rate --as-of T"
            " and winward promote win-rate."
        )
    return champion


@dataclass
class Champions:
    """The champion of one model in one process, following the pointer while it serves.

    ``engine`` is where the start and the end of a version's service are written; without it
    (a command that scores a file) nothing is written.
    """

    models_folder: Path
    model: str = WIN_RATE
    engine: Engine | None = None
    _champion: Champion | None = None
    _seen: tuple[int, int] | None = None
    _checked: float = float("-inf")
    _reloading: threading.Lock = field(default_factory=threading.Lock)

    def current(self, *, at: dt.datetime) -> Champion | None:
        """Return the bundle to answer with, None when none is promoted.

        ``at`` is written as the time a version started or stopped serving when the pointer has
        moved. While one thread loads a new bundle, the others go on answering with the old one;
        a bundle that cannot be read is logged and never replaces one that can.
        """
        due = time.monotonic() - self._checked >= CHECK_SECONDS
        if due and self._reloading.acquire(blocking=self._seen is None):
            try:
                self._follow(at=at)
            finally:
                self._reloading.release()
        return self._champion

    def lineage(self, *, at: dt.datetime) -> Lineage:
        """Return what answers now with what did before, for questions about earlier times."""
        return Lineage(self.current(at=at), self.models_folder / self.model)

    def _follow(self, *, at: dt.datetime) -> None:
        if time.monotonic() - self._checked < CHECK_SECONDS:
            return  # another thread has just looked while this one waited
        self._checked = time.monotonic()
        seen = self._fingerprint()
        if seen == self._seen:
            return
        try:
            champion = load(self.models_folder, model=self.model)
        except (OSError, ValueError, KeyError, bundles.BundleRefused):
            LOG.exception("the promoted %s bundle cannot be read; the last one goes on", self.model)
            self._seen = seen  # do not read the same broken files every second
            return
        self._champion = champion
        self._record(champion, at=at)
        self._seen = seen

    def _fingerprint(self) -> tuple[int, int]:
        try:
            status = (self.models_folder / self.model / POINTER).stat()
        except (FileNotFoundError, NotADirectoryError):
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)

    def _record(self, champion: Champion | None, *, at: dt.datetime) -> None:
        if self.engine is None:
            return
        with transaction(self.engine) as session:
            advice.record_serving(
                session,
                model=self.model,
                version=None if champion is None else champion.version,
                report={} if champion is None else champion.bundle.card,
                at=at,
            )
