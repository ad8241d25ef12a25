"""Explained scores in a batch against bare LightGBM ``pred_contrib`` on the same rows.

Ours is everything a served score is: calibrated probability, band, exact contributions by group,
the check that every row adds up, and the reasons in two languages. The reference is the booster's
``pred_contrib`` alone. One thread each. The model has the shape that training chooses by default
(150 trees of 7 leaves, blended with a linear part) on the product's own features.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd

from benchmarks.compare import Comparison, by_turns
from features.definitions import FEATURES
from serving.champions import WIN_RATE, Champion
from serving.scores import explained
from training.bundle import Band, Bundle
from training.parts import Encoder, LinearPart, TreePart

ROWS = 5_000
TURNS = 5
SEED = 20_260_101


def model() -> tuple[Champion, lightgbm.Booster]:
    """Return a champion of the default shape, and the booster inside it."""
    names = tuple(feature.name for feature in FEATURES)
    random = np.random.default_rng(SEED)
    rows = table(random, 6_000)
    signal = np.nan_to_num(rows[:, :12]) @ random.normal(size=12)
    won = (signal - np.median(signal) + random.normal(scale=4, size=len(rows)) > 0) * 1.0
    shape = {"num_leaves": 7, "max_depth": 4, "learning_rate": 0.05, "feature_fraction": 0.7}
    fixed = {"objective": "cross_entropy", "num_threads": 1, "seed": SEED, "verbose": -1}
    booster = lightgbm.train({**shape, **fixed}, lightgbm.Dataset(rows, won), 150)
    width = len(names)
    linear = LinearPart(
        centre=np.full(width, 4.0),
        spread=np.full(width, 3.0),
        bends=np.zeros(width, dtype=np.bool_),
        mean=np.zeros(width),
        deviation=np.ones(width),
        coefficient=random.normal(scale=0.1, size=width),
        gap=np.zeros(width),
        gap_share=np.full(width, 0.1),
        intercept=0.0,
        clip=4.0,
    )
    bundle = Bundle(
        kind="model",
        version="benchmark",
        as_of="2026-01-01T00:00:00+00:00",
        fingerprint="",
        features=names,
        groups={feature.name: feature.group for feature in FEATURES},
        encoder=Encoder(tables={}, overall=0.0),
        parts=((0.5, TreePart.from_text(booster.model_to_string())), (0.5, linear)),
        slope=0.95,
        intercept=0.02,
        base_margin=0.0,
        bands=(Band(upto=np.finfo(float).max, low=-0.2, high=0.2, deals=1_000),),
        abstained=None,
        card={},
    )
    return Champion(WIN_RATE, "benchmark", bundle), booster


def table(random: np.random.Generator, rows: int) -> np.ndarray:
    """Return made-up feature rows with gaps."""
    made = random.gamma(2.0, 2.0, size=(rows, len(FEATURES)))
    made[random.random(made.shape) < 0.1] = np.nan
    return made


def compare() -> Comparison:
    """Score the same rows both ways."""
    champion, booster = model()
    rows = table(np.random.default_rng(SEED + 1), ROWS)
    frame = pd.DataFrame(rows, columns=list(champion.bundle.features))
    frame.insert(0, "entity_id", [f"deal {number}" for number in range(ROWS)])
    frame.insert(1, "as_of", pd.Timestamp("2026-06-30T00:00:00Z"))
    ours, reference = by_turns(
        lambda: explained(champion, frame),
        lambda: booster.predict(rows, pred_contrib=True, num_threads=1),
        turns=TURNS,
    )
    return Comparison("scores", ours, reference, ROWS, "rows", f"{len(FEATURES)} features")
