"""Old builds of features go, so that a nightly build does not fill the disk.

The builds made last stay, and of each cut that a registered model was trained at the build it
read: training on that cut again must meet the same rows.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Collection
from pathlib import Path

from crm_core.settings import Settings
from features.builds import Build, builds

KEPT = 7
"""Builds that stay whatever rests on them: a week of nightly ones."""
_GONE = ".pruned"


def prune(
    settings: Settings, *, trained_at: Collection[dt.datetime], keep: int = KEPT
) -> tuple[Build, ...]:
    """Remove the builds that nothing needs and return them, the oldest cut first.

    ``trained_at`` are the cuts of all registered models; for each the newest build up to it
    stays, which is the one that training read. The ``keep`` builds made last stay, and the one
    with the newest cut. A build vanishes by one rename before its files go, so that a reader
    meets all of it or none of it; what a crash left behind goes at the next call.
    """
    found = builds(settings)
    for left in _remains(settings):
        shutil.rmtree(left, ignore_errors=True)
    if not found:
        return ()
    needed = {build.folder for build in sorted(found, key=_made)[-max(keep, 1) :]}
    needed.add(found[-1].folder)
    for cut in trained_at:
        read = [build for build in found if build.as_of <= cut]
        if read:
            needed.add(read[-1].folder)
    gone = tuple(build for build in found if build.folder not in needed)
    for build in gone:
        aside = build.folder.with_name(build.folder.name + _GONE)
        build.folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return gone


def _made(build: Build) -> tuple[dt.datetime, dt.datetime]:
    return build.recorded_at, build.as_of


def _remains(settings: Settings) -> list[Path]:
    return list((settings.features_folder / "win_rate").glob(f"*{_GONE}"))
