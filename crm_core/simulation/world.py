"""The parameters of the simulated world: its true effects, its habits, its sizes.

Everything here is the truth that a model or an estimate may be checked against; nothing outside
this package reads it. The numbers are those of the simulator specification; a world is varied by
``dataclasses.replace``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from crm_core.errors import Invalid

Size = Literal["small", "demo", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
VERSION = 1

ACTIONS = ("none", "follow_up", "meeting", "stakeholder", "demo", "discount")
NONE, FOLLOW_UP, MEETING, STAKEHOLDER, DEMO, DISCOUNT = range(6)
SEGMENTS = ("SMB", "Mid-market", "Enterprise")
SOURCES = ("inbound", "referral", "outbound")
INDUSTRIES = (
    "Pharmaceuticals",
    "Food and beverage",
    "Chemicals",
    "Semiconductors",
    "Automotive",
    "Water and energy",
    "Universities",
    "Medical devices",
)


class UnknownSize(Invalid):
    """A size of company that the simulator does not have."""


@dataclass(frozen=True, slots=True)
class Region:
    """A sales region: its teams and how many seats each has.

    ``name`` is the part of the world (currency, working time, names of people); ``unit`` is what
    the org unit is called where a part of the world has several.
    """

    name: str
    teams: tuple[tuple[str, int], ...]
    unit: str = ""

    @property
    def seats(self) -> int:
        """Number of seats for reps."""
        return sum(count for _, count in self.teams)


@dataclass(frozen=True, slots=True)
class World:
    """What is true in this world. Probabilities are per week and on the log-odds scale."""

    regions: tuple[Region, ...]
    years: float
    accounts_per_seat: int
    parted: bool = False
    """Whether each region is simulated on its own, so that memory does not grow with all."""

    # how much actions matter (all, and each beside it), how much reps act on what nobody
    # records, how well they record
    effect: float = 0.5
    action_effect: tuple[float, ...] = (1.0,) * len(ACTIONS)
    kappa: float = 0.6
    rho: float = 0.5
    hygiene: float = 1.0

    # people
    skill_sd: float = 0.45
    optimism_sd: float = 0.5
    ramp_weeks: int = 26
    ramp_loss: float = 0.4
    attrition_per_year: float = 0.15

    # arrivals
    deals_per_seat_week: float = 0.9
    demo_seat_load: float = 2.5
    created_closed: float = 0.02
    duplicated: float = 0.01

    # a deal's hidden quality and its course, by stage 0–4 and by segment
    quality_mean: float = -0.05
    quality_sd: float = 0.72
    affinity_sd: float = 0.6
    industry_sd: float = 0.2
    source_quality: tuple[float, float, float] = (0.25, 0.5, -0.25)
    source_mix: tuple[float, float, float] = (0.35, 0.15, 0.5)
    segment_mix: tuple[float, float, float] = (0.55, 0.30, 0.15)
    amount_log_mean: tuple[float, float, float] = (8.9, 10.2, 11.4)
    amount_log_sd: float = 0.7
    loss: tuple[float, ...] = (-3.15, -3.25, -3.35, -3.45, -3.35)
    advance: tuple[float, ...] = (-1.55, -1.75, -1.85, -1.75, -1.65)
    advance_by_segment: tuple[float, float, float] = (0.0, -0.15, -0.35)
    silence_loss: float = 0.35
    silence_drift: float = 0.02
    discount_price: float = 0.92
    quarter_end_push: float = 0.9
    quarter_end_drag: float = 0.25

    # shocks common to all deals, and to all of a region
    macro_sd: float = 0.10
    region_sd: float = 0.06
    shock_memory: float = 0.9

    # drift from this week on: the log-odds of winning fall, larger customers come forward
    drift_week: int | None = None
    drift_win: float = -0.5

    # campaigns: the share of a channel's inbound deals that would not exist without it
    caused_by_channel: tuple[float, float, float] = (0.5, 0.7, 0.25)

    # hygiene
    late_stage: float = 0.2
    skipped_stage: float = 0.015
    stepped_back: float = 0.015
    late_loss: float = 0.25
    late_loss_weeks: float = 5.0
    late_activity: float = 0.05

    # plan
    expected_win_rate: tuple[float, float, float] = (0.36, 0.31, 0.25)
    quota_stretch: float = 1.05

    @property
    def seats(self) -> int:
        """Number of seats for reps."""
        return sum(region.seats for region in self.regions)


_DEMO = (
    Region("EMEA", (("DACH", 8), ("Western Europe", 8))),
    Region("Americas", (("US East", 8), ("US West and Latin America", 8))),
    Region("Greater China", (("East China", 7), ("South China", 7))),
    Region("Asia Pacific", (("Japan", 7), ("South-East Asia", 7))),
)
_SMALL = (
    Region("EMEA", (("DACH", 3), ("Western Europe", 2))),
    Region("Greater China", (("East China", 3),)),
)


_AREAS = ("EMEA", "Americas", "Greater China", "Asia Pacific")
_LARGE = tuple(
    Region(
        area,
        tuple((f"{area} {number}-{team}", 8) for team in range(1, 11)),
        unit=f"{area} {number}",
    )
    for number in range(1, 17)
    for area in _AREAS
)


def known_size(text: str) -> Size:
    """Return a text as a size. Raises UnknownSize."""
    for size in SIZES:
        if text == size:
            return size
    raise UnknownSize(
        f"{text!r} is not a size of simulated company; "
        f"choose {', '.join(SIZES[:-1])} or {SIZES[-1]}."
    )


def world_of(size: Size) -> World:
    """Return the base world of a size. Raises UnknownSize."""
    match known_size(size):
        case "small":
            return World(regions=_SMALL, years=2.0, accounts_per_seat=25)
        case "demo":
            return World(regions=_DEMO, years=3.0, accounts_per_seat=35)
        case "medium":
            return World(regions=_DEMO, years=3.0, accounts_per_seat=50, deals_per_seat_week=1.9)
        case "large":
            return World(regions=_LARGE, years=4.0, accounts_per_seat=25, parted=True)
