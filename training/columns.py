"""What the columns of a frame mean to a model, read from the features' definitions."""

from __future__ import annotations

from features.definitions import UnknownFeature, feature
from training.selection import Layout

STAGE_COLUMNS = ("stage_code", "stage_progress")
AGE_COLUMN = "deal_age_days"
OTHER = "other"


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
