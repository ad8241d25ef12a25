"""Pure geometry of the charts: numbers in, coordinates out, drawn as SVG by the templates.

Coordinates lie in a square of 100 × 100 that the page stretches; labels are HTML beside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from serving.deals import PastScore
from serving.explanations import Words, sigmoid
from serving.scores import ScoreView

SCALES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Tops of an axis whose half is round too."""


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of the waterfall, from where the bar before ended; in percent of the width.

    ``sign`` is 1 where the step raises the probability, -1 where it lowers it, 0 for totals.
    """

    name: Words
    start: float
    width: float
    sign: int
    points: float
    contribution: float | None
    joint: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From the base's probability to the deal's, one step per group of reasons."""

    steps: tuple[Step, ...]
    ticks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Dot:
    """One probability of the line."""

    x: float
    y: float
    score: PastScore


@dataclass(frozen=True, slots=True)
class Line:
    """Probability over time, with the band where there is one and the ticks of both axes.

    ``path`` is what was said, ``hindsight`` what today's model would have said before.
    """

    path: str
    hindsight: str
    band: str
    dots: tuple[Dot, ...]
    levels: tuple[tuple[float, float], ...]
    days: tuple[dt.date, ...]


BASE = Words("Average deal", "平均水平")
RESULT = Words("This deal", "本商机")


def waterfall(score: ScoreView) -> Waterfall | None:
    """Return the chart of a score's reasons, None when it has none."""
    if score.p_win is None or score.base_value is None or not score.effects:
        return None
    base = sigmoid(score.base_value)
    levels = [base]
    for effect in score.effects:
        levels.append(levels[-1] + effect.points)
    # points are additive, so a sum on the way can leave 0 to 1; the axis then reaches out to it
    low, top = min(0.0, *levels), _scale(max(levels))

    def x(level: float) -> float:
        return 100 * (level - low) / (top - low)

    steps = [_total(BASE, base, x)]
    for before, after, effect in zip(levels, levels[1:], score.effects, strict=False):
        steps.append(
            Step(
                name=effect.name,
                start=x(min(before, after)),
                width=x(max(before, after)) - x(min(before, after)),
                sign=1 if effect.points >= 0 else -1,
                points=effect.points,
                contribution=effect.contribution,
                joint=x(after),
            )
        )
    steps.append(_total(RESULT, score.p_win, x))
    return Waterfall(tuple(steps), tuple((x(top * part / 2), top * part / 2) for part in range(3)))


def _total(name: Words, level: float, x: Callable[[float], float]) -> Step:
    return Step(name, x(0), x(level) - x(0), 0, level, None, x(level))


def _scale(highest: float) -> float:
    """Return the smallest round top of an axis that shows ``highest``."""
    return next((scale for scale in SCALES if highest <= scale), max(1.0, highest))


def line(scores: Sequence[PastScore]) -> Line | None:
    """Return the chart of a deal's probabilities, None without any."""
    if not scores:
        return None
    first, last = scores[0].day, scores[-1].day
    span = max(1, (last - first).days)
    top = _scale(max(max(each.p_win, each.high or 0) for each in scores))

    def y(level: float) -> float:
        return 100 - 100 * level / top

    dots = tuple(
        Dot(100 * (each.day - first).days / span if len(scores) > 1 else 50, y(each.p_win), each)
        for each in scores
    )
    given = [dot for dot in dots if not dot.score.is_hindsight]
    banded = [dot for dot in given if dot.score.low is not None and dot.score.high is not None]
    upper = [f"{dot.x:.2f},{y(dot.score.high or 0):.2f}" for dot in banded]
    lower = [f"{dot.x:.2f},{y(dot.score.low or 0):.2f}" for dot in reversed(banded)]
    days = (first,) if len(scores) == 1 else (first, first + (last - first) / 2, last)
    return Line(
        path=_points(given),
        hindsight=_points([dot for dot in dots if dot.score.is_hindsight]),
        band=" ".join(upper + lower) if len(banded) > 1 else "",
        dots=dots,
        levels=tuple((y(top * part / 2), top * part / 2) for part in range(3)),
        days=days,
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its middle, and in percent of the height its top and length; the target's place.

    A missing value has no length; ``target`` is None without one.
    """

    x: float
    y: float
    height: float
    target: float | None


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars side by side on one axis; ``width`` of each, ``slot`` of each with its gap."""

    bars: tuple[Bar, ...]
    width: float
    slot: float
    zero: float
    levels: tuple[tuple[float, Decimal], ...]


def bars(
    values: Sequence[Decimal | None], targets: Sequence[Decimal | None] | None = None
) -> Bars | None:
    """Return bars of values with the mark of each one's target; None without any value."""
    aims = [None] * len(values) if targets is None else targets
    known = [each for each in (*values, *aims) if each is not None]
    if not known or not any(known):
        return None
    top, low = _round_top(max(*known, Decimal(0))), -_round_top(-min(*known, Decimal(0)))
    slot = 100 / len(values)

    def y(level: Decimal) -> float:
        return 100 * float((top - level) / (top - low))

    made = tuple(
        Bar(
            x=slot * (place + 0.5),
            y=min(y(value or Decimal(0)), y(Decimal(0))),
            height=abs(y(value or Decimal(0)) - y(Decimal(0))),
            target=None if aim is None else y(aim),
        )
        for place, (value, aim) in enumerate(zip(values, aims, strict=True))
    )
    levels = sorted({low, Decimal(0), (top / 2) if low == 0 else Decimal(0), top})
    return Bars(made, slot * 0.58, slot, y(Decimal(0)), tuple((y(each), each) for each in levels))


def _round_top(highest: Decimal) -> Decimal:
    """Return the smallest round number, half of which is round too, that is not below."""
    if highest <= 0:
        return Decimal(0)
    step = Decimal(1).scaleb(highest.adjusted())
    return next(top for times in (1, 2, 3, 4, 5, 6, 8, 10) if (top := step * times) >= highest)


@dataclass(frozen=True, slots=True)
class Progress:
    """A bar towards a quota, in percent of its width; ``quota`` is where 100 % lies."""

    fill: float
    expected: float | None
    quota: float


def progress(attained: Decimal | None, expected: Decimal | None) -> Progress | None:
    """Return the bar of an attainment with the mark of what was expected by now."""
    if attained is None:
        return None
    scale = 100 / max(1.0, float(attained))
    return Progress(
        fill=max(0.0, float(attained)) * scale,
        expected=None if expected is None else float(min(expected, Decimal(1))) * scale,
        quota=scale,
    )


@dataclass(frozen=True, slots=True)
class Strip:
    """A band on a line with one's own dot, in percent of the width; ``ticks`` of the axis."""

    start: float
    width: float
    own: float
    ticks: tuple[tuple[float, Decimal], ...]


def strip(low: Decimal, high: Decimal, own: Decimal) -> Strip:
    """Return one's own ratio on the line on which the peers' band lies."""
    top = _round_top(max(high, own, Decimal("0.1")))

    def x(level: Decimal) -> float:
        return 100 * float(max(level, Decimal(0)) / top)

    ticks = tuple((x(top * part / 2), top * part / 2) for part in range(3))
    return Strip(x(low), x(high) - x(low), x(own), ticks)


def _points(dots: Sequence[Dot]) -> str:
    return " ".join(f"{dot.x:.2f},{dot.y:.2f}" for dot in dots)
