"""The folder that serving reads: one folder per promoted version and a pointer to one of them.

Every change is a rename of something complete, so that a reader, or a crash at any moment,
meets the old state or the new one and nothing between.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from crm_core.errors import CrmError
from training.bundle import Bundle

POINTER = "current.json"


class NothingToRollBackTo(CrmError):
    """No version served before the present one, or its files are gone."""

    kind = "conflict"


@dataclass(frozen=True, slots=True)
class Served:
    """What the pointer says: the version that serves and those before it, oldest first."""

    version: str
    before: tuple[str, ...]


def served(folder: Path) -> Served | None:
    """Return what serves from a model's folder, None when nothing was promoted."""
    try:
        content = json.loads((folder / POINTER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Served(version=str(content["version"]), before=tuple(content.get("before", ())))


def export(bundle: Bundle, folder: Path) -> Path:
    """Write the bundle of one version into ``folder/<version>`` in one rename.

    The written files are read back before they get their name, so that a full disk or a
    damaged write cannot become a version. Returns the version's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / bundle.version
    partial = folder / f".{bundle.version}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    bundle.save(partial)
    for path in partial.iterdir():
        _flush(path)
    Bundle.load(partial)
    if target.exists():  # an earlier attempt that did not come to the pointer
        _discard(target)
    os.replace(partial, target)
    _flush(folder)
    return target


def point_to(folder: Path, version: str) -> Served:
    """Let ``version`` serve; the one that did is remembered for a rollback."""
    now = served(folder)
    if now is not None and now.version == version:
        return now
    before = () if now is None else (*(each for each in now.before if each != version), now.version)
    return _point(folder, Served(version=version, before=before))


def roll_back(folder: Path) -> Served:
    """Let the version serve that served before. Raises NothingToRollBackTo."""
    now = served(folder)
    if now is None or not now.before:
        raise NothingToRollBackTo("No version served before the present one; promote one instead.")
    version = now.before[-1]
    if not (folder / version / "bundle.json").exists():
        raise NothingToRollBackTo(
            f"The files of version {version} are gone from {folder}; promote it again."
        )
    Bundle.load(folder / version)
    return _point(folder, Served(version=version, before=now.before[:-1]))


def _point(folder: Path, state: Served) -> Served:
    partial = folder / f".{POINTER}.partial"
    content = {"version": state.version, "before": list(state.before)}
    partial.write_text(json.dumps(content), encoding="utf-8")
    _flush(partial)
    os.replace(partial, folder / POINTER)
    _flush(folder)
    return state


def _discard(target: Path) -> None:
    """Remove a version's folder without a moment in which half of it has its name."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    os.replace(target, old)
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    """Have the operating system put a file or a folder's entries on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
