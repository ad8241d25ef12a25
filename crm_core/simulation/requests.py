"""A simulation as somebody asks for it: by the names of a size, a world, a policy file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crm_core.errors import Invalid
from crm_core.simulation import policy_files
from crm_core.simulation.decisions import Policy, habit
from crm_core.simulation.generation import Format, Summary, generate
from crm_core.simulation.truth import HABIT
from crm_core.simulation.world import known_size, world_of
from crm_core.simulation.worlds import confounded, world_named


class UnknownFormat(Invalid):
    """A format of files that the simulator does not write."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for, in their words; None where they said nothing."""

    size: str
    world: str = "base"
    confounding: float | None = None
    policy: Path | None = None
    file_format: str | None = None
    futures: int = 0


def simulate(
    folder: Path,
    request: Request,
    *,
    seed: int,
    until: dt.date,
    truth: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write the company asked for. Raises as ``generate``, UnknownWorld, UnknownPolicy."""
    size = known_size(request.size)
    world = world_named(request.world, world_of(size))
    if request.confounding is not None:
        world = confounded(world, request.confounding)
    policy: Policy = habit
    described = HABIT
    if request.policy is not None:
        policy, described = policy_files.read(request.policy)
    return generate(
        folder,
        seed=seed,
        size=size,
        until=until,
        truth=truth,
        world=world,
        policy=policy,
        described=described,
        file_format=_format(request.file_format),
        futures=request.futures,
        progress=progress,
    )


def _format(text: str | None) -> Format | None:
    match text:
        case None | "csv" | "parquet":
            return text
        case _:
            raise UnknownFormat(f"{text!r} is not a format of files; choose csv or parquet.")
