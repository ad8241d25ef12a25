"""What the columns of a frame mean to a model, read from the features' definitions."""

from __future__ import annotations

import numpy as np

from features.definitions import UnknownFeature, feature
from training.parts import Array
from training.selection import Layout

STAGE_COLUMNS = ("stage_code", "stage_progress")
AGE_COLUMN = "deal_age_days"
OTHER = "other"
STAGE_RECORD, STAGE = "stage_lift", "stage_code"
MOST_STAGES = 64


def layout(names: tuple[str, ...]) -> Layout:
    """Return categories, known directions and the places of stage and age.

    A column without a definition is a number without a known direction.
    """
    categorical, monotone = [], {}
    for position, name in enumerate(names):
        try:
            definition = feature(name)
        except UnknownFeature:
            continue
        if definition.is_category:
            categorical.append(position)
        elif definition.monotone:
            monotone[position] = definition.monotone
    stage = next((names.index(each) for each in STAGE_COLUMNS if each in names), None)
    return Layout(
        categorical=tuple(categorical),
        monotone=monotone,
        stage=stage,
        age=names.index(AGE_COLUMN) if AGE_COLUMN in names else None,
    )


def groups(names: tuple[str, ...]) -> dict[str, str]:
    """Return each feature's family, by which explanations are added up."""
    found = {}
    for name in names:
        try:
            found[name] = feature(name).group
        except UnknownFeature:
            found[name] = OTHER
    return found


def undated(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns whose values are as of today and not as of their row."""
    found = []
    for name in names:
        try:
            if feature(name).undated:
                found.append(name)
        except UnknownFeature:
            continue
    return tuple(found)


def repeated(names: tuple[str, ...], X: Array) -> tuple[int, ...]:
    """Return the places of features that only say again what another column says: the stage's.

    The record of a stage as of the row's own day differs between two rows of one stage by that
    day alone. Beside the stage's code it tells nothing but the date, and while a history is
    young it moves all the time: first the deals end that end fast, and those are losses. Trees
    split the early rows from the late ones by it, and what they learn so is wrong after the cut
    (scores 1.2 points too low on bpic2012). The code is given the stage's shrunk rate by the
    model's own encoder, the same on every day. Rates by owner, account and other categories
    stay: what was won with them lately is news.
    """
    if STAGE_RECORD not in names or STAGE not in names:
        return ()
    stages = X[:, names.index(STAGE)]
    if len(np.unique(stages[~np.isnan(stages)])) > MOST_STAGES:
        return ()
    return (names.index(STAGE_RECORD),)
