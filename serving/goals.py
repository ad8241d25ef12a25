"""The goals of a period as their page and the API show them: the tree, progress, passing down.

Nothing is computed here: progress comes from the metrics against a quota, so that this page and
every other say the same, and weights from the same metrics' past.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.goals import operations, queries
from crm_core.goals.access import NoSuchGoal, Reach, reach_of
from crm_core.goals.arithmetic import (
    Act,
    Difficulty,
    reconciled,
    split,
)
from crm_core.goals.measuring import BASIS, Measured, measure, measure_time, shorter
from crm_core.goals.queries import GoalDetail, GoalView
from crm_core.goals.tree import Key, Kind, Subject, Tree, tree_of
from crm_core.kpis import queries as kpis
from crm_core.kpis.arithmetic import Standing, from_standing
from crm_core.kpis.catalogue import metric as metric_of
from crm_core.money import Money, from_major
from crm_core.people import permissions
from crm_core.people.queries import Viewer, Visibility, calendar, company
from crm_core.periods import Period
from crm_core.quotas.arithmetic import by_unit
from crm_core.quotas.queries import COUNTED, LeaveView, leaves, targets
from serving.goal_views import Asked, Board, Node, Preview, Progress, Recipe
from serving.performance import CREDIT

FORMS = ("attainment", "pacing", "gap", "coverage", "pipeline_needed")


def named_period(session: Session, text: str | None, *, as_of: dt.datetime) -> Period:
    """Return the period of a name, or of ``first..last`` days; this quarter without one.

    The days serve goals made before the company's calendar was changed. Raises NotAPeriod.
    """
    own = calendar(session)
    if not text:
        return own.quarter_of(own.day_of(as_of))
    first, dots, last = text.partition("..")
    if dots:
        try:
            start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
        except ValueError:
            return own.parse(text)
        if start < end:
            return Period(start, end, text)
    return own.parse(text)


def link_of(session: Session, period: Period) -> str:
    """Return how a link names a period: its name while the calendar means the same days by it."""
    now = calendar(session).parse(period.name) if ".." not in period.name else None
    same = now is not None and (now.start, now.end) == (period.start, period.end)
    return period.name if same else f"{period.start}..{period.end}"


def board(session: Session, asked: Asked, *, unit_id: str | None = None) -> Board:
    """Return a unit with who is below it; without one the top of what the viewer sees.

    Who leads nobody sees their own goal. Raises NoSuchGoal for a unit that may not be seen.
    """
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    tree = tree_of(session, reach, period=asked.period, as_of=asked.now)
    top = _top(tree, reach, unit_id)
    below = tree.below(top.id) if top is not None and top.kind == "org_unit" else []
    shown = [*([top] if top else []), *below]
    goals = queries.goals_of(
        session, reach, [s.key for s in shown], metric=asked.metric, period=asked.period
    )
    standings = _standings(session, asked, shown)
    hard = _difficulties(session, asked, tree, [s for s in below if _plans(reach, goals, s)])
    moved = _in_units(session, asked, shown)
    nodes = {s.key: Node(subject=s, goal=goals.get(s.key), difficulty=hard.get(s.key),
                         progress=_progress(asked.metric, standings.get(s.key)),
                         in_units=moved.get(s.id, ()) if s.kind == "user" else (),
                         may_set=_may_set(reach, s, goals.get(s.key)))
             for s in shown}  # fmt: skip
    own = nodes[top.key] if top else None
    told = queries.detail(session, own.goal.id, reach=reach) if own and own.goal else None
    return Board(
        metric=asked.metric, period=asked.period, node=own, currency=company(session).currency,
        counted=asked.metric in COUNTED, roots=tuple(tree.roots()),
        periods=tuple(queries.periods_with_goals(session, reach, metric=asked.metric)),
        path=tuple(tree.path(top.id)) if top and top.kind == "org_unit" else (),
        below=tuple(nodes[s.key] for s in below), detail=told, reach=reach,
        passed_down=told.passed_down[0] if told and told.passed_down else None,
    )  # fmt: skip


def one(session: Session, goal_id: int, *, asked: Asked) -> tuple[GoalDetail, Node]:
    """Return a goal with its history and progress. Raises NoSuchGoal."""
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    told = queries.detail(session, goal_id, reach=reach)
    about = _about(asked, told.goal)
    tree = tree_of(session, reach, period=about.period, as_of=asked.now)
    subject = _subject(tree, told.goal.key)
    hard = _difficulties(session, about, tree, [subject])
    standing = _standings(session, about, [subject]).get(subject.key)
    moved = _in_units(session, about, [subject])
    node = Node(
        subject=subject, goal=told.goal, difficulty=hard.get(subject.key),
        progress=_progress(about.metric, standing), in_units=moved.get(subject.id, ()),
        may_set=_may_set(reach, subject, told.goal),
    )  # fmt: skip
    return told, node


def _about(asked: Asked, goal: GoalView) -> Asked:
    return Asked(asked.viewer, asked.visibility, goal.metric, goal.period, asked.now)


def _subject(tree: Tree, key: Key) -> Subject:
    """Return a goal's subject; who was not there in the period keeps their id."""
    return tree.find(*key) or Subject(key[0], key[1], key[1], None, None)


def _top(tree: Tree, reach: Reach, unit_id: str | None) -> Subject | None:
    if unit_id is not None:
        found = tree.find("org_unit", unit_id)
        if found is None:
            raise NoSuchGoal("There is no such unit among those whose goals you may see.")
        return found
    roots = tree.roots()
    return roots[0] if roots else tree.find("user", reach.viewer.id)


def _plans(reach: Reach, goals: Mapping[Key, GoalView], subject: Subject) -> bool:
    """Return whether a goal is still being planned by who looks at it."""
    goal = goals.get(subject.key)
    return goal is not None and goal.shown.state != "locked" and reach.may("edit", *subject.key)


def _may_set(reach: Reach, subject: Subject, goal: GoalView | None) -> bool:
    return goal.may_change if goal else reach.may("edit", *subject.key)


def _standings(session: Session, asked: Asked, subjects: Sequence[Subject]) -> dict[Key, Standing]:
    found: dict[Key, Standing] = {}
    with company_wide(session, reason=CREDIT):
        for kind, scope in _scopes(asked, subjects).items():
            about = kpis.standings(
                session, metric=asked.metric, grouping=kind, scope=scope, period=asked.period,
                as_of=asked.now,
            )  # fmt: skip
            found |= {(kind, key): standing for key, standing in about.items() if key}
    return found


def _scopes(asked: Asked, subjects: Sequence[Subject]) -> dict[Kind, Visibility]:
    """Return whose rows are asked for: of a unit all that are seen, of people only their own."""
    scopes: dict[Kind, Visibility] = {}
    people = frozenset(s.id for s in subjects if s.kind == "user")
    if any(s.kind == "org_unit" for s in subjects):
        scopes["org_unit"] = asked.visibility
    if people:
        scopes["user"] = Visibility(everyone=False, user_ids=people)
    return scopes


def _progress(metric: str, standing: Standing | None) -> Progress | None:
    if standing is None:
        return None
    suffix = "" if metric == "bookings" else f"_{metric}"
    forms = {form: from_standing(metric_of(f"{form}{suffix}"), standing) for form in FORMS}
    return Progress(
        target=standing.target, actual=standing.actual, pipeline=standing.pipeline,
        expected=standing.elapsed, **forms,
    )  # fmt: skip


def _measured(
    session: Session, asked: Asked, tree: Tree, subjects: Sequence[Subject]
) -> dict[Key, Measured]:
    if not subjects:
        return {}
    with company_wide(session, reason=CREDIT):
        return measure(
            session, tree, subjects, metric=asked.metric, scope=asked.visibility, as_of=asked.now
        )


def _difficulties(
    session: Session, asked: Asked, tree: Tree, subjects: Sequence[Subject]
) -> dict[Key, Difficulty]:
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    goals = queries.goals_of(
        session, reach, [s.key for s in subjects], metric=asked.metric, period=asked.period
    )
    known = [s for s in subjects if s.key in goals and tree.find(*s.key)]
    measured = _measured(session, asked, tree, known)
    return {
        key: found.difficulty(goals[key].shown.amount.major, planned=_planned_days(key, goals[key]))
        for key, found in measured.items()
    }


def _planned_days(key: Key, goal: GoalView) -> Decimal | None:
    """Return the days a person's amount is for; a unit's does not fall with its people's."""
    days = goal.shown.planned_days or Decimal(goal.period.days)
    return days if key[0] == "user" else None


def _in_units(
    session: Session, asked: Asked, subjects: Sequence[Subject]
) -> dict[str, tuple[tuple[str | None, Money], ...]]:
    """Return, for people who moved inside the period, what of their target is whose unit's."""
    people = frozenset(s.id for s in subjects if s.kind == "user")
    if not people:
        return {}
    found = targets(
        session, subject_kind="user", metric=asked.metric, period=asked.period,
        scope=Visibility(everyone=False, user_ids=people), currency=company(session).currency,
        as_of=asked.now,
    )  # fmt: skip
    shares = {user_id: by_unit([target.target]) for user_id, target in found.items()}
    return {user_id: tuple(each.items()) for user_id, each in shares.items() if len(each) > 1}


def preview(session: Session, goal_id: int, recipe: Recipe, *, asked: Asked) -> Preview:
    """Return what passing a goal down would make; nothing is written.

    Raises NoSuchGoal and NotADecomposition.
    """
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    goal = queries.detail(session, goal_id, reach=reach).goal
    about = _about(asked, goal)
    tree = tree_of(session, reach, period=about.period, as_of=asked.now)
    if recipe.over == "time":
        return _in_time(session, about, tree, goal, recipe)
    below = tree.below(goal.key[1]) if goal.key[0] == "org_unit" else []
    measured = _measured(session, about, tree, below)
    goals = queries.goals_of(
        session, reach, [s.key for s in below], metric=about.metric, period=about.period
    )
    amount = goal.shown.amount
    commits = {
        key[1]: view.commit.amount
        for key, view in goals.items()
        if view.commit is not None and view.commit.amount.currency == amount.currency
    }
    found = split(
        amount, [measured[s.key].child() for s in below], mix=recipe.mix, factor=recipe.factor,
        held=recipe.held,
    )  # fmt: skip
    if recipe.trust:
        found = reconciled(found, commits, trust=recipe.trust, exact=recipe.exact)
    hard = {
        line.child.id: measured[s.key].difficulty(line.amount.major)
        for s, line in zip(below, found.lines, strict=True)
    }
    names = {s.id: s.name for s in below}
    return Preview(goal=goal, split=found, names=names, commits=commits, difficulties=hard)


def _in_time(session: Session, asked: Asked, tree: Tree, goal: GoalView, recipe: Recipe) -> Preview:
    """Return what passing a goal to shorter periods would make."""
    parts = shorter(asked.period, calendar(session))
    subject = tree.find(*goal.key)
    children = []
    if subject is not None and parts:
        with company_wide(session, reason=CREDIT):
            children = measure_time(
                session, tree, subject, parts, metric=asked.metric, scope=asked.visibility,
                as_of=asked.now,
            )  # fmt: skip
    found = split(
        goal.shown.amount, children, mix=recipe.mix, factor=recipe.factor, held=recipe.held
    )
    periods = {part.name: part for part in parts}
    return Preview(
        goal=goal, split=found, names={name: name for name in periods}, commits={},
        difficulties={}, periods=periods,
    )  # fmt: skip


def pass_down(
    session: Session,
    goal_id: int,
    recipe: Recipe,
    *,
    version: int,
    reason: str | None,
    asked: Asked,
) -> int:
    """Pass a goal down as its preview shows it; return how many drafts were made.

    From the top it is top-down, by who carries the goal a waterfall, with trust in the commits a
    reconciliation. Raises what the preview and ``operations.pass_down`` raise.
    """
    found = preview(session, goal_id, recipe, asked=asked)
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    carried = reach.carries(*found.goal.key)
    made = operations.pass_down(
        session, goal_id, found.split, version=version,
        method="reconciled" if recipe.trust else "waterfall" if carried else "top_down",
        mix={str(name): weight for name, weight in found.split.mix.items()}, reason=reason,
        reach=reach, now=asked.now, periods=found.periods,
    )  # fmt: skip
    return len(made)


def act(
    session: Session,
    goals: Sequence[tuple[int, int]],
    do: Act,
    *,
    note: str | None,
    asked: Asked,
) -> None:
    """Move goals on, each given with the version that was read: all or none.

    What speaks against an amount is worked out before it is locked. Raises what
    ``operations.act`` raises.
    """
    reach = reach_of(session, asked.viewer, asked.visibility, as_of=asked.now)
    for goal_id, version in sorted(goals):
        flags = flags_of(session, goal_id, asked=asked) if do == "lock" else []
        operations.act(
            session, goal_id, do, version=version, reach=reach, now=asked.now, note=note,
            flags=flags,
        )  # fmt: skip


def flags_of(session: Session, goal_id: int, *, asked: Asked) -> list[dict[str, str]]:
    """Return what speaks against a goal's amount, as it is written down when it is locked."""
    _, node = one(session, goal_id, asked=asked)
    found = node.difficulty
    if found is None or found.flag is None:
        return []
    ratio = "" if found.ratio is None else f"{found.ratio:.4f}"
    return [{"flag": found.flag, "ratio": ratio, "basis": BASIS, "periods": str(found.periods)}]


def records_leave_of(viewer: Viewer, may: Visibility) -> Visibility:
    """Return whose leave the viewer records: whose goals they set, never their own."""
    within = permissions.within(viewer, "edit", "goals", visibility=may)
    if within.everyone:
        return within
    return Visibility(everyone=False, user_ids=within.user_ids - {viewer.id})


def leaves_of(session: Session, key: Key, *, now: dt.datetime) -> list[LeaveView]:
    """Return a person's leaves as known, latest first; of a unit nobody's."""
    if key[0] != "user":
        return []
    alone = Visibility(everyone=False, user_ids=frozenset({key[1]}))
    return leaves(session, alone, as_of=now)


def names_of(session: Session, told: GoalDetail) -> dict[str, str]:
    """Return the names of who a goal was passed down to, by id."""
    lines = [line for passed in told.passed_down for line in passed.lines]
    return queries.names_of(session, {(line["kind"], line["id"]) for line in lines})


def money_of(session: Session, amount: Decimal | str, currency: str | None) -> Money:
    """Return an amount in the company's currency unless told another. Raises NotAnAmount."""
    return from_major(amount, currency or company(session).currency)
