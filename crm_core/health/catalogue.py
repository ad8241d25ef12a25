"""The rules of data health, all of them, and which of them a number rests on."""

from __future__ import annotations

from collections.abc import Iterable

from crm_core.health.anomalies import ANOMALY
from crm_core.health.completeness import COMPLETENESS
from crm_core.health.freshness import FRESHNESS
from crm_core.health.rule import DIMENSIONS, Dimension, Purpose, Rule, Severity
from crm_core.health.uniqueness import UNIQUENESS
from crm_core.health.validity import VALIDITY

__all__ = ["BY_ID", "CATALOGUE", "DIMENSIONS", "Dimension", "Purpose", "Rule", "Severity"]

CATALOGUE: tuple[Rule, ...] = (*COMPLETENESS, *VALIDITY, *FRESHNESS, *UNIQUENESS, *ANOMALY)
BY_ID = {rule.id: rule for rule in CATALOGUE}


def resting_on(sources: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules on whose data a number from these sources rests."""
    wanted = set(sources)
    return tuple(rule for rule in CATALOGUE if wanted & set(rule.sources))
