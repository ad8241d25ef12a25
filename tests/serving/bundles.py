"""Builders of small real bundles, through the same code that exports a promoted one."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Literal

import lightgbm
import numpy as np

from features.definitions import FEATURES
from training.bundle import Band, Bundle
from training.parts import Encoder, LinearPart, TreePart
from training.timing import Timing

GROUPS = {feature.name: feature.group for feature in FEATURES}
FEATURE_NAMES = (
    "days_overdue",
    "days_since_two_way",
    "contacts_engaged",
    "amount_log",
    "days_in_stage_ratio",
    "close_date_pushes",
)


@lru_cache
def tree_part(names: tuple[str, ...] = FEATURE_NAMES, *, seed: int = 3) -> TreePart:
    """A booster that has learnt that overdue, silent deals are lost."""
    random = np.random.default_rng(seed)
    rows = random.gamma(2.0, 3.0, size=(800, len(names)))
    rows[random.random(rows.shape) < 0.1] = np.nan
    signal = np.nan_to_num(rows[:, 0]) + np.nan_to_num(rows[:, 1]) - 12
    won = (signal + random.normal(scale=3, size=800) < 0) * 1.0
    booster = lightgbm.train(
        {
            "objective": "binary",
            "max_depth": 4,
            "num_leaves": 15,
            "verbose": -1,
            "num_threads": 1,
            "seed": seed,
        },
        lightgbm.Dataset(rows, won),
        30,
    )
    return TreePart.from_text(booster.model_to_string())


@lru_cache
def timing_of(names: tuple[str, ...] = FEATURE_NAMES, *, seed: int = 3) -> Timing:
    """Two bins of 30 and 60 days; what happens in them is learnt from drawn rows."""
    random = np.random.default_rng(seed)
    rows = random.gamma(2.0, 3.0, size=(900, len(names) + 2))
    booster = lightgbm.train(
        {
            "objective": "multiclass", "num_class": 3, "num_leaves": 4, "verbose": -1,
            "num_threads": 1, "seed": seed,
        },
        lightgbm.Dataset(rows, (rows[:, 0] > 6) + 1.0 * (rows[:, 1] > 6)),
        5,
    )  # fmt: skip
    return Timing.of(
        edges=np.array([0.0, 30.0, 90.0]), won=np.array([0.9, 1.1]), lost=np.ones(2),
        text=booster.model_to_string(),
    )  # fmt: skip


def linear_part(width: int) -> LinearPart:
    """A linear part with a different slope for each feature."""
    return LinearPart(
        centre=np.full(width, 6.0),
        spread=np.full(width, 4.0),
        bends=np.zeros(width, dtype=np.bool_),
        mean=np.zeros(width),
        deviation=np.ones(width),
        coefficient=np.linspace(-0.4, 0.3, width),
        gap=np.full(width, 0.1),
        gap_share=np.full(width, 0.1),
        intercept=0.2,
        clip=4.0,
    )


def bundle(
    *,
    version: str = "1",
    kind: Literal["model", "base_rate", "none"] = "model",
    names: tuple[str, ...] = FEATURE_NAMES,
    base_margin: float = 0.54,
    as_of: str = "2026-06-01T00:00:00+00:00",
    is_timed: bool = False,
) -> Bundle:
    """A blend of trees and a linear part, calibrated; or a base rate; or an abstention."""
    parts = ((0.6, tree_part(names)), (0.4, linear_part(len(names)))) if kind == "model" else ()
    return Bundle(
        kind=kind,
        version=version,
        as_of=as_of,
        fingerprint="f" * 64,
        features=names,
        groups={name: GROUPS[name] for name in names},
        encoder=Encoder(tables={}, overall=0.0),
        parts=parts,
        slope=0.9,
        intercept=-0.1,
        base_margin=base_margin,
        bands=(Band(upto=np.finfo(float).max, low=-0.3, high=0.2, deals=412),),
        abstained="There are 3 won and 1 lost deals; 5 of each are needed."
        if kind == "none"
        else None,
        card={"log_loss": 0.6},
        timing=timing_of(names) if is_timed else None,
    )


def put(models: Path, given: Bundle, *, point: bool = True) -> None:
    """Lay a bundle into the models folder and, unless told not to, point at it."""
    folder = models / "win_rate" / given.version
    folder.mkdir(parents=True)
    given.save(folder)
    if point:
        point_at(models, given.version)


def point_at(models: Path, version: str, *, before: tuple[str, ...] = ()) -> None:
    """Move the pointer in one rename, as a promotion does."""
    partial = models / "win_rate" / "current.json.partial"
    partial.write_text(json.dumps({"version": version, "before": list(before)}))
    partial.replace(models / "win_rate" / "current.json")
