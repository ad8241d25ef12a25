"""Policies as data: a small YAML or JSON file that says what is done on which deals.

kind: ordered                 # or advised: shown to reps, who follow as far as they trust
rules:                        # the first that fits counts
  - when: {silent_days_over: 14}
    do: follow_up
otherwise: habit              # or none, or uniform
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm_core.errors import Invalid
from crm_core.simulation import policies
from crm_core.simulation.decisions import Policy, View, habit
from crm_core.simulation.draws import Floats, Integers
from crm_core.simulation.world import ACTIONS, SEGMENTS, SOURCES

Action = Literal["none", "follow_up", "meeting", "stakeholder", "demo", "discount"]
Share = Annotated[float, Field(ge=0, le=1)]


class UnknownPolicy(Invalid):
    """A policy file that cannot be read or says what the simulator does not know."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class When(_Part):
    """Conditions that must all hold; stages count from 1, amounts are in euros."""

    silent_days_over: float | None = None
    stages: tuple[Annotated[int, Field(ge=1, le=5)], ...] | None = None
    segments: tuple[Literal["SMB", "Mid-market", "Enterprise"], ...] | None = None
    sources: tuple[Literal["inbound", "referral", "outbound"], ...] | None = None
    contacts_under: int | None = None
    weeks_since_meeting_over: int | None = None
    age_weeks_over: int | None = None
    amount_over: float | None = None

    def fits(self, view: View) -> NDArray[np.bool_]:
        """Return for each deal whether all conditions hold."""
        limits: tuple[tuple[float | None, Integers | Floats], ...] = (
            (self.silent_days_over, view.silent * 7),
            (self.weeks_since_meeting_over, view.since_meeting),
            (self.age_weeks_over, view.age),
            (self.amount_over, view.amount),
        )
        result = np.ones(len(view.deal), dtype=np.bool_)
        for limit, value in limits:
            if limit is not None:
                result &= value > limit
        if self.contacts_under is not None:
            result &= view.contacts < self.contacts_under
        if self.stages is not None:
            result &= np.isin(view.stage + 1, self.stages)
        if self.segments is not None:
            result &= np.isin(view.segment, [SEGMENTS.index(s) for s in self.segments])
        if self.sources is not None:
            result &= np.isin(view.source, [SOURCES.index(s) for s in self.sources])
        return result


class Rule(_Part):
    """What is done on deals that fit."""

    when: When = When()
    do: Action


class Habit(_Part):
    """Reps do as they would."""

    kind: Literal["habit"]


class Uniform(_Part):
    """Each of some actions with the same chance."""

    kind: Literal["uniform"]
    among: tuple[Action, ...] = Field(default=get_args(Action), min_length=1)


class Directed(_Part):
    """Rules, the playbook or the oracle, as orders or as advice."""

    kind: Literal["ordered", "advised"]
    rules: tuple[Rule, ...] | Literal["playbook", "oracle"]
    otherwise: Literal["habit", "none", "uniform"] = "habit"
    strength: float = policies.ENCOURAGEMENT
    cap: Annotated[int, Field(ge=1)] | None = None


class Portion(_Part):
    """One policy of a mixture and its share."""

    share: Share
    policy: Described


class Mixture(_Part):
    """On each deal and week one of several policies."""

    kind: Literal["mixture"]
    parts: tuple[Portion, ...] = Field(min_length=1)


Described = Annotated[Habit | Uniform | Directed | Mixture, Field(discriminator="kind")]


class _File(_Part):
    policy: Described


def read(path: Path) -> tuple[Policy, dict[str, object]]:
    """Return the policy of a file, and what the file says. Raises UnknownPolicy."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        described = _File.model_validate({"policy": content}).policy
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnknownPolicy(f"The policy {path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the file"
        raise UnknownPolicy(
            f"The policy {path} is not understood at {place}: {first['msg']}; "
            "docs/simulator.md shows what a policy may say."
        ) from error
    return built(described), described.model_dump(mode="json", exclude_none=True)


def built(described: Habit | Uniform | Directed | Mixture) -> Policy:
    """Return the policy that a description means. Raises UnknownPolicy."""
    match described:
        case Habit():
            return habit
        case Uniform():
            return policies.uniform([ACTIONS.index(name) for name in described.among])
        case Directed():
            return _directed(described)
        case Mixture():
            parts = [(part.share, built(part.policy)) for part in described.parts]
            if not sum(share for share, _ in parts) > 0:
                raise UnknownPolicy("The shares of a mixture sum to nothing; give one above 0.")
            return policies.mixture(parts)


def _directed(described: Directed) -> Policy:
    recommend: policies.Recommendation
    if isinstance(described.rules, str):
        recommend = policies.playbook if described.rules == "playbook" else policies.oracle
    else:
        recommend = _by_rules(described.rules)
    if described.kind == "advised":
        cap = policies.CAP if described.cap is None else described.cap
        return policies.advised(recommend, strength=described.strength, cap=cap)
    otherwise = _OTHERWISE[described.otherwise]
    return policies.ordered(recommend, otherwise=otherwise, cap=described.cap)


_OTHERWISE: dict[str, Policy] = {
    "habit": habit,
    "none": policies.uniform([0]),
    "uniform": policies.uniform(),
}


def _by_rules(rules: tuple[Rule, ...]) -> Callable[[View], tuple[Integers, Floats]]:
    def recommend(view: View) -> tuple[Integers, Floats]:
        action = np.full(len(view.deal), -1)
        for rule in reversed(rules):
            action = np.where(rule.when.fits(view), ACTIONS.index(rule.do), action)
        return action, view.amount

    return recommend
