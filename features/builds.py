"""Builds of features on disk: one folder each, written whole or not at all.

A build lies in one folder: ``record.parquet`` (what the record says), ``belief.parquet`` (what
people entered as opinion), ``landmarks.parquet`` (which rows exist, whose they are, their
weight) and ``build.json``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_core.errors import NotFound
from crm_core.settings import Settings
from features.checks import check
from features.definitions import GROUP_COLUMNS, KEYS, WEIGHT, feature

RECORD, BELIEF = "opportunity_record", "opportunity_belief"
MOMENT, CREATED = "event_timestamp", "created_timestamp"
JOIN_KEY = "opportunity_id"


class NoFeatures(NotFound):
    """No features were built up to the asked time."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a build holds: its cut, when it was made, its features and where it lies."""

    as_of: dt.datetime
    recorded_at: dt.datetime
    columns: tuple[str, ...]
    category_names: dict[str, list[str]]
    rows: int
    fingerprint: str
    folder: Path

    @property
    def views(self) -> dict[str, list[str]]:
        """The features of each view; a view without any is left out."""
        belief = [name for name in self.columns if feature(name).belief]
        record = [name for name in self.columns if name not in belief]
        return {name: each for name, each in ((RECORD, record), (BELIEF, belief)) if each}


def write(
    frame: pd.DataFrame,
    *,
    columns: Sequence[str],
    category_names: dict[str, list[str]],
    as_of: dt.datetime,
    recorded_at: dt.datetime,
    settings: Settings,
) -> Build:
    """Write a checked frame as a build and return it.

    Files are written beside their place and renamed, so that a reader never sees half a build.
    """
    check(frame, columns=columns, as_of=as_of)
    ordered = frame.sort_values(list(KEYS), kind="stable", ignore_index=True)
    final = _folder(settings) / as_of.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    partial = final.with_name(final.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    build = Build(
        as_of=as_of.astimezone(dt.UTC), recorded_at=recorded_at.astimezone(dt.UTC),
        columns=tuple(columns), category_names=category_names, rows=len(ordered),
        fingerprint=fingerprint(ordered), folder=final,
    )  # fmt: skip
    keys = {JOIN_KEY: ordered[KEYS[0]].astype(object), MOMENT: ordered[KEYS[1]]}
    for name, names in build.views.items():
        # a row's inputs were all recorded by its as_of, so that is when it was known
        values = {**keys, CREATED: ordered[KEYS[1]], **{each: ordered[each] for each in names}}
        _write_parquet(partial / f"{name.removeprefix('opportunity_')}.parquet", values)
    groups = {each: ordered[each].astype(object) for each in (*GROUP_COLUMNS,)}
    _write_parquet(partial / "landmarks.parquet", {**keys, **groups, WEIGHT: ordered[WEIGHT]})
    (partial / "build.json").write_text(json.dumps(_as_json(build), ensure_ascii=False, indent=1))
    _replace(partial, final)
    return build


def _as_json(build: Build) -> dict[str, Any]:
    document = asdict(build)
    document["as_of"] = build.as_of.isoformat()
    document["recorded_at"] = build.recorded_at.isoformat()
    del document["folder"]
    return document


def _replace(partial: Path, final: Path) -> None:
    """Put a finished folder in its place."""
    final.mkdir(exist_ok=True)
    for file in sorted(partial.iterdir(), key=lambda each: each.suffix == ".json"):
        file.replace(final / file.name)  # build.json last: it makes the build visible
    partial.rmdir()


def _write_parquet(path: Path, columns: dict[str, Any]) -> None:
    arrays = {}
    for name, values in columns.items():
        if name in (MOMENT, CREATED):
            kind = pa.timestamp("us", tz="UTC")
        else:
            kind = pa.float64() if values.dtype == np.float64 else pa.string()
        arrays[name] = pa.Array.from_pandas(values, type=kind)
    pq.write_table(pa.table(arrays), path, compression="zstd", compression_level=1)


def fingerprint(frame: pd.DataFrame) -> str:
    """Return a hash of a frame's keys and values, in order of its rows: equal iff it is."""
    hashes = pd.util.hash_pandas_object(frame, index=False)
    names = ",".join(map(str, frame.columns))
    return f"{pd.util.hash_array(hashes.to_numpy()).sum():016x}-{len(frame)}-{hash_text(names)}"


def hash_text(words: str) -> str:
    """Return a short stable hash of a text."""
    return f"{int(pd.util.hash_array(np.array([words], object))[0]):016x}"


def _folder(settings: Settings) -> Path:
    return settings.features_folder / "win_rate"


def builds(settings: Settings) -> list[Build]:
    """Return the builds on disk, by cut."""
    found = []
    for file in _folder(settings).glob("*Z/build.json"):
        document = json.loads(file.read_text())
        found.append(
            Build(
                as_of=dt.datetime.fromisoformat(document["as_of"]),
                recorded_at=dt.datetime.fromisoformat(document["recorded_at"]),
                columns=tuple(document["columns"]),
                category_names=document["category_names"],
                rows=document["rows"],
                fingerprint=document["fingerprint"],
                folder=file.parent,
            )
        )
    return sorted(found, key=lambda build: build.as_of)


def latest_build(settings: Settings, *, as_of: dt.datetime) -> Build:
    """Return the newest build whose cut is not after ``as_of``. Raises NoFeatures."""
    found = [build for build in builds(settings) if build.as_of <= as_of]
    if not found:
        raise NoFeatures(
            f"No features were built up to {as_of.isoformat()}; "
            f"run `winward features build --as-of {as_of.isoformat()}` first."
        )
    return found[-1]


def newest_columns(settings: Settings) -> tuple[str, ...] | None:
    """Return the features of the newest build, None before the first one."""
    found = builds(settings)
    return found[-1].columns if found else None
