"""What the page and the API of goals are given: plain values, nothing of the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from crm_core.goals.access import Reach
from crm_core.goals.arithmetic import Component, Difficulty, Split
from crm_core.goals.measuring import BASIS
from crm_core.goals.queries import GoalDetail, GoalView, PassedDown
from crm_core.goals.tree import Subject
from crm_core.kpis.arithmetic import MetricValue
from crm_core.money import Money, total
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import Period

MetricName = Literal["bookings", "invoiced", "cash_received", "gross_margin", "new_customers"]
TOGETHER = ("submit", "approve", "lock")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a goals page or request is about."""

    viewer: Viewer
    visibility: Visibility
    metric: str
    period: Period
    now: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a subject stands against its published quota; each number with its reason if none."""

    target: Decimal | None
    actual: MetricValue
    pipeline: MetricValue
    expected: Decimal | None
    attainment: MetricValue
    pacing: MetricValue
    gap: MetricValue
    coverage: MetricValue
    pipeline_needed: MetricValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One line of the tree. ``in_units`` is a mover's target by unit, empty for others.

    ``planned`` is the amount of the version the viewer reads, ``difficulty`` how hard that is.
    """

    subject: Subject
    goal: GoalView | None
    progress: Progress | None
    difficulty: Difficulty | None = None
    in_units: tuple[tuple[str | None, Money], ...] = ()
    may_set: bool = False

    @property
    def planned(self) -> Money | None:
        """The amount of the version shown."""
        return self.goal.shown.amount if self.goal else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A unit (or a rep's own goal), who is below it, and how its goal was passed down."""

    metric: str
    period: Period
    periods: tuple[Period, ...]
    currency: str
    counted: bool
    node: Node | None
    path: tuple[Subject, ...]
    roots: tuple[Subject, ...]
    below: tuple[Node, ...]
    passed_down: PassedDown | None
    detail: GoalDetail | None
    reach: Reach = field(repr=False)

    @property
    def last_day(self) -> dt.date:
        """The last day of the period."""
        return self.period.end - dt.timedelta(days=1)

    @property
    def names(self) -> dict[str, str]:
        """The names of who is below, by id."""
        return {node.subject.id: node.subject.name for node in self.below}

    @property
    def may_pass_down(self) -> bool:
        """Whether the viewer sets the goals of everybody below."""
        return all(self.reach.may("edit", *node.subject.key) for node in self.below)

    @property
    def together(self) -> dict[str, list[GoalView]]:
        """What can be done to several goals below at once, with those it can be done to."""
        goals = [node.goal for node in self.below if node.goal is not None]
        found = {act: [goal for goal in goals if act in goal.may] for act in TOGETHER}
        return {act: chosen for act, chosen in found.items() if chosen}

    @property
    def flagged(self) -> frozenset[int]:
        """The goals below against whose amount something speaks."""
        return frozenset(
            node.goal.id
            for node in self.below
            if node.goal is not None and node.difficulty is not None and node.difficulty.flag
        )

    @property
    def below_sum(self) -> Money | None:
        """The sum of what is planned below, None where nothing is."""
        planned = [node.planned for node in self.below if node.planned is not None]
        codes = {amount.currency for amount in planned}
        return total(planned, currency=planned[0].currency) if len(codes) == 1 else None

    @property
    def residual(self) -> Money | None:
        """What is planned below beyond (or, negative, short of) what was passed down."""
        planned = self.node.planned if self.node else None
        whole = self.passed_down.passed if self.passed_down else planned
        found = self.below_sum
        if found is None or whole is None or whole.currency != found.currency:
            return None
        return found - whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a goal is to be passed down; amounts of ``held`` are in the goal's currency."""

    mix: Mapping[Component, Decimal]
    factor: Decimal = Decimal(1)
    held: Mapping[str, Money] = field(default_factory=dict)
    trust: Decimal = Decimal(0)
    exact: bool = True
    over: Literal["people", "time"] = "people"
    """Whether the goal is passed to those below or to shorter periods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What passing down would make, with what it rests on."""

    goal: GoalView
    split: Split
    names: Mapping[str, str]
    commits: Mapping[str, Money]
    difficulties: Mapping[str, Difficulty]
    periods: Mapping[str, Period] = field(default_factory=dict)
    basis: str = BASIS
