"""What the API of goals takes and gives."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from crm_core.goals.arithmetic import COMPONENTS, Difficulty
from crm_core.goals.measuring import BASIS
from crm_core.goals.queries import CommitView, GoalDetail, GoalView, PassedDown, VersionView
from crm_core.kpis.arithmetic import MetricValue
from crm_core.money import Money, from_major
from serving import goals
from serving.goal_views import Board, MetricName, Node, Preview, Recipe

Major = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
Weight = Annotated[Decimal, Field(ge=0, le=100, max_digits=9)]
ComponentName = Literal["history", "potential", "even", "season"]
Text = Annotated[str, Field(max_length=1000)]


class Amount(BaseModel):
    """Money, exact; of new customers the number, in whatever currency."""

    amount: Decimal
    currency: str

    @classmethod
    def exactly(cls, money: Money) -> Amount:
        """Return the JSON of an amount that is there."""
        return cls(amount=money.major, currency=money.currency)

    @classmethod
    def of(cls, money: Money | None) -> Amount | None:
        """Return the JSON of an amount, None without one."""
        return None if money is None else cls.exactly(money)


class Figure(BaseModel):
    """One number against the quota, or why there is none."""

    metric: str
    value: Decimal | None
    reason: str | None

    @classmethod
    def of(cls, found: MetricValue) -> Figure:
        """Return the JSON of a metric's value."""
        return cls(metric=found.metric, value=found.value, reason=found.reason_if_none)


class Version(BaseModel):
    """One amount of a goal and how it came about."""

    version: int
    state: str
    amount: Amount
    effective_on: dt.date
    planned_days: Decimal | None
    method: str
    base: Amount | None
    reason: str | None
    created_at: dt.datetime
    created_by: str | None

    @classmethod
    def of(cls, view: VersionView | None) -> Version | None:
        """Return the JSON of a version."""
        if view is None:
            return None
        plain = ("version", "state", "effective_on", "planned_days", "method", "reason",
                 "created_at", "created_by")  # fmt: skip
        given = {name: getattr(view, name) for name in plain}
        return cls(**given, amount=Amount.exactly(view.amount), base=Amount.of(view.base))


class Commit(BaseModel):
    """What whoever carries the goal said they will reach."""

    amount: Amount | None
    note: str | None
    by: str | None
    occurred_at: dt.datetime

    @classmethod
    def of(cls, view: CommitView | None) -> Commit | None:
        """Return the JSON of a commit."""
        if view is None:
            return None
        return cls(
            amount=Amount.of(view.amount), note=view.note, by=view.by,
            occurred_at=view.occurred_at,
        )  # fmt: skip


class GoalLine(BaseModel):
    """A goal: the newest version you may read, the one in force, and what you may do."""

    id: int
    subject_kind: str
    subject_id: str
    metric: str
    period_start: dt.date
    period_end: dt.date
    shown: Version | None
    in_force: Version | None
    commit: Commit | None
    may: list[str]

    @classmethod
    def of(cls, view: GoalView | None) -> GoalLine | None:
        """Return the JSON of a goal."""
        if view is None:
            return None
        return cls(
            id=view.id, subject_kind=view.key[0], subject_id=view.key[1], metric=view.metric,
            period_start=view.period.start, period_end=view.period.end,
            shown=Version.of(view.shown), in_force=Version.of(view.in_force),
            commit=Commit.of(view.commit), may=list(view.may),
        )  # fmt: skip


class Hardness(BaseModel):
    """Quota ÷ potential; the potential is from past periods until a model gives one."""

    potential: Decimal | None
    periods: int
    ratio: Decimal | None
    flag: str | None
    basis: str = BASIS

    @classmethod
    def of(cls, found: Difficulty | None) -> Hardness | None:
        """Return the JSON of a difficulty."""
        if found is None:
            return None
        return cls(
            potential=found.potential, periods=found.periods, ratio=found.ratio, flag=found.flag
        )


class TreeNode(BaseModel):
    """A unit or a person with goal and progress. ``figures`` as the metrics say them."""

    kind: str
    id: str
    name: str
    level: str | None
    goal: GoalLine | None
    target: Decimal | None
    actual: Decimal | None
    pipeline: Decimal | None
    expected_share: Decimal | None
    figures: list[Figure]
    difficulty: Hardness | None
    in_units: dict[str, Amount | None]

    @classmethod
    def of(cls, node: Node) -> TreeNode:
        """Return the JSON of a node."""
        at = node.progress
        return cls(
            kind=node.subject.kind, id=node.subject.id, name=node.subject.name,
            level=node.subject.level, goal=GoalLine.of(node.goal),
            target=at.target if at else None, actual=at.actual.value if at else None,
            pipeline=at.pipeline.value if at else None,
            expected_share=at.expected if at else None,
            figures=[Figure.of(getattr(at, form)) for form in goals.FORMS] if at else [],
            difficulty=Hardness.of(node.difficulty),
            in_units={unit or "": Amount.of(part) for unit, part in node.in_units},
        )  # fmt: skip


class Passed(BaseModel):
    """How a goal was passed down; ``residual`` is what the lines exceed ``passed`` by."""

    version: int
    method: str
    factor: Decimal
    mix: dict[str, str]
    lines: list[dict[str, Any]]
    passed: Amount | None
    residual: Amount | None
    created_at: dt.datetime
    created_by: str | None

    @classmethod
    def of(cls, view: PassedDown | None) -> Passed | None:
        """Return the JSON of a decomposition."""
        if view is None:
            return None
        return cls(
            version=view.version, method=view.method, factor=view.factor, mix=dict(view.mix),
            lines=[dict(line) for line in view.lines], passed=Amount.of(view.passed),
            residual=Amount.of(view.residual), created_at=view.created_at,
            created_by=view.created_by,
        )  # fmt: skip


class Level(BaseModel):
    """A unit (or your own goal) and who is below it."""

    metric: str
    period_start: dt.date
    period_end: dt.date
    path: list[str]
    node: TreeNode | None
    below: list[TreeNode]
    below_sum: Amount | None
    residual: Amount | None
    passed_down: Passed | None

    @classmethod
    def of(cls, board: Board) -> Level:
        """Return the JSON of a board."""
        return cls(
            metric=board.metric, period_start=board.period.start, period_end=board.period.end,
            path=[unit.id for unit in board.path],
            node=TreeNode.of(board.node) if board.node else None,
            below=[TreeNode.of(node) for node in board.below],
            below_sum=Amount.of(board.below_sum), residual=Amount.of(board.residual),
            passed_down=Passed.of(board.passed_down),
        )  # fmt: skip


class Step(BaseModel):
    """Who did what to which version, when and why."""

    version: int
    act: str
    state: str
    by: str | None
    occurred_at: dt.datetime
    note: str | None
    flags: list[dict[str, Any]]


class Told(BaseModel):
    """A goal with everything that was ever said about it, latest first."""

    goal: GoalLine | None
    versions: list[Version | None]
    steps: list[Step]
    commits: list[Commit | None]
    passed_down: list[Passed | None]

    @classmethod
    def of(cls, found: GoalDetail) -> Told:
        """Return the JSON of a goal's history."""
        return cls(
            goal=GoalLine.of(found.goal), versions=[Version.of(each) for each in found.versions],
            steps=[Step.model_validate(each, from_attributes=True) for each in found.steps],
            commits=[Commit.of(each) for each in found.commits],
            passed_down=[Passed.of(each) for each in found.passed_down],
        )  # fmt: skip


class NewGoal(BaseModel):
    """A goal, or its next version. ``whole``: the amount is for every day of the period."""

    subject_kind: Literal["user", "org_unit"]
    subject_id: str = Field(max_length=200)
    metric: MetricName = "bookings"
    period: str = Field(max_length=24)
    amount: Major
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    reason: Text | None = None
    effective_on: dt.date | None = None
    whole: bool = False


class WantedAct(BaseModel):
    """What to do with the version that was read."""

    act: Literal["submit", "comment", "send_back", "approve", "lock", "withdraw"]
    version: int = Field(ge=1, le=2**31 - 1)
    note: Text | None = None


class NewCommit(BaseModel):
    """What you will reach."""

    amount: Major
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    note: Text | None = None


def _half_and_half() -> dict[ComponentName, Decimal]:
    return {"history": Decimal(50), "even": Decimal(50)}


class RecipeText(BaseModel):
    """How to pass a goal down: the mix of weights, the factor, and amounts held by hand."""

    mix: dict[ComponentName, Weight] = Field(default_factory=_half_and_half, max_length=4)
    factor: Decimal = Field(Decimal(1), gt=0, le=3, max_digits=9, decimal_places=6)
    held: dict[str, Major] = Field(default_factory=dict, max_length=1000)
    trust: Decimal = Field(Decimal(0), ge=0, le=1, max_digits=6)
    exact: bool = True
    over: Literal["people", "time"] = "people"

    def recipe(self, currency: str) -> Recipe:
        """Return the recipe with its amounts in the goal's currency."""
        from_text = {key: from_major(major, currency) for key, major in self.held.items()}
        mix = {name: self.mix[name] for name in COMPONENTS if name in self.mix}
        return Recipe(
            mix=mix,
            factor=self.factor,
            held=from_text,
            trust=self.trust,
            exact=self.exact,
            over=self.over,
        )


class WantedSplit(RecipeText):
    """A recipe to carry out for the version that was read."""

    version: int = Field(ge=1, le=2**31 - 1)
    reason: Text | None = None


class SplitLine(BaseModel):
    """One child's part: shares by component, the weight they make, what the weights alone gave."""

    kind: str
    id: str
    name: str
    shares: dict[str, Decimal]
    capacity: Decimal
    ramp: Decimal
    weight: Decimal
    given: Amount | None
    commit: Amount | None
    amount: Amount | None
    held: bool
    difficulty: Hardness | None


class SplitView(BaseModel):
    """What passing down would make; the lines sum to ``passed`` plus ``residual``."""

    factor: Decimal
    mix: dict[str, Decimal]
    passed: Amount | None
    residual: Amount | None
    lines: list[SplitLine]

    @classmethod
    def of(cls, found: Preview) -> SplitView:
        """Return the JSON of a preview."""
        lines = [
            SplitLine(
                kind=line.child.kind, id=line.child.id, name=found.names[line.child.id],
                shares={str(name): share for name, share in line.shares.items()},
                capacity=line.child.capacity, ramp=line.child.ramp, weight=line.weight,
                given=Amount.of(line.given), commit=Amount.of(found.commits.get(line.child.id)),
                amount=Amount.of(line.amount), held=line.held,
                difficulty=Hardness.of(found.difficulties.get(line.child.id)),
            )
            for line in found.split.lines
        ]  # fmt: skip
        return cls(
            factor=found.split.factor, lines=lines, passed=Amount.of(found.split.passed),
            mix={str(name): weight for name, weight in found.split.mix.items()},
            residual=Amount.of(found.split.residual),
        )  # fmt: skip


class Created(BaseModel):
    """The number of what was made."""

    id: int


class Made(BaseModel):
    """How many drafts were made."""

    drafts: int
