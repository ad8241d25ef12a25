"""The sealed truth of a run: what no product code may read, for judging models and advice.

Parquet files in a folder of their own. ``deals`` and ``deal_weeks`` carry hidden quality and the
rep's exact propensities, ``members`` and ``accounts`` the hidden traits, ``leaving`` when
customers truly left, ``effects`` what each action truly does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from crm_core.simulation.closing import NEVER
from crm_core.simulation.customers import RETENTION_EFFECT
from crm_core.simulation.draws import Floats, Integers, sigmoid
from crm_core.simulation.effects import passing_effect, quality_effect
from crm_core.simulation.emission import Columns, ParquetTables, named
from crm_core.simulation.leads import caused
from crm_core.simulation.process import open_deals
from crm_core.simulation.record import Run
from crm_core.simulation.rollouts import Futures, joined, roll_out
from crm_core.simulation.world import ACTIONS, SEGMENTS, VERSION, World

_AT_ONCE = 50
"""Futures that are told side by side, so that memory stays small."""
_OUTCOMES = ("open", "advanced", "won", "lost")


HABIT: Mapping[str, object] = {"kind": "habit"}


class Seal:
    """Writes the truth of one company, part by part; files of an earlier run are replaced."""

    def __init__(
        self,
        folder: Path,
        world: World,
        seed: int,
        policy: Mapping[str, object],
        *,
        futures: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._futures = folder, futures
        self._tables = ParquetTables(folder)
        self._value = {"deals": 0, "won": 0, "booked_eur": 0.0, "customers_left": 0}
        said = dataclasses.asdict(world) | {"version": VERSION, "seed": seed, "policy": policy}
        self._write("world", said)

    def add(self, run: Run) -> None:
        """Write the truth of a run."""
        first = not self._tables.rows
        for name, columns in {
            "deals": _deals(run),
            "deal_weeks": _deal_weeks(run),
            "accounts": _accounts(run),
            "leaving": _leaving(run),
            **({"members": _members(run), "effects": _effects(run)} if first else {}),
            **({"chances": _chances(run, self._futures)} if self._futures else {}),
        }.items():
            self._tables.append(name, pa.table(columns))
        won = run.known[run.state.won[run.known]]
        self._value["deals"] += len(run.known)
        self._value["won"] += len(won)
        self._value["booked_eur"] += float(run.state.amount[won].sum())
        self._value["customers_left"] += len(run.customers.left[0])

    def close(self) -> None:
        """Write what the policy was worth in this world, and end the files."""
        self._tables.close()
        self._write("value", self._value)

    def _write(self, name: str, content: Mapping[str, object]) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (self._folder / f"{name}.json").write_text(text, encoding="utf-8")


def _deals(run: Run) -> Columns:
    deals, known = run.setting.deals, run.known
    true_at = run.ends.true_at[known]
    return {
        "opportunity_id": np.asarray(named(run.deal_ids, known)),
        "kind": np.asarray(("ordinary", "created_closed", "duplicate"))[deals.kind[known]],
        "duplicate_of": pa.array(named(run.deal_ids, deals.original[known]), pa.string()),
        "noise": deals.noise[known],
        "quality_at_end": run.state.quality[known],
        "competitor": run.state.competitor[known],
        "amount_at_end": run.state.amount[known],
        "ended": true_at < run.setting.weeks.end,
        "ended_at": np.where(true_at < NEVER, true_at, 0).astype("datetime64[s]"),
        "won": run.state.won[known],
        "caused_by_campaign": caused(run, known),
    }


def _deal_weeks(run: Run) -> Columns:
    """Return every deal-week: state, choice, and what would have followed each action."""
    happened = run.happened
    columns: Columns = {
        "opportunity_id": np.asarray(named(run.deal_ids, happened.deal)),
        "monday": run.setting.weeks.monday[happened.week].astype("datetime64[s]"),
        "stage": happened.stage.astype(np.int8),
        "silent": happened.silent.astype(np.int8),
        "contacts": happened.contacts.astype(np.int8),
        "quality": happened.quality.astype(np.float32),
        "perceived": happened.perceived.astype(np.float32),
        "action": _choice(ACTIONS, happened.action),
        "advised": _choice((*ACTIONS, None), happened.advised),
        "loss": happened.loss.astype(np.float32),
        "advance": happened.advance.astype(np.float32),
        "outcome": _choice(_OUTCOMES, happened.outcome),
    }
    for code, name in enumerate(ACTIONS):
        columns[f"propensity_{name}"] = happened.propensity[:, code].astype(np.float32)
    return columns | _potential(run)


def _choice(names: tuple[str | None, ...], codes: Integers) -> pa.Array:
    values = pa.DictionaryArray.from_arrays(
        pa.array(codes % len(names), pa.int8()), pa.array(names, pa.string())
    )
    return values.cast(pa.string())


def _potential(run: Run) -> Columns:
    """Return the week's chances of a loss and of an advance under every action."""
    happened, world = run.happened, run.setting.world

    def passing(action: Integers) -> tuple[Floats, Floats]:
        return passing_effect(
            world, action, stage=happened.stage, silent=happened.silent,
            since_meeting=happened.since_meeting, discounted=happened.discounted,
        )  # fmt: skip

    taken = passing(happened.action)
    columns: Columns = {}
    for code, name in enumerate(ACTIONS):
        instead = passing(np.full(len(happened.action), code))
        for kind, chance, there, here in zip(
            ("loss", "advance"), (happened.loss, happened.advance), instead, taken, strict=True
        ):
            odds = np.log(chance / (1 - chance)) + world.effect * (there - here)
            columns[f"{kind}_if_{name}"] = sigmoid(odds).astype(np.float32)
    return columns


def _chances(run: Run, futures: int) -> Columns:
    """Return, for deals truly open at the end, the chance to win by habit and by first action."""
    setting, week = run.setting, run.setting.weeks.count
    deals = np.intersect1d(open_deals(setting, run.state, week), run.known)
    numbers = range(1, futures + 1)
    turns = [numbers[first : first + _AT_ONCE] for first in range(0, futures, _AT_ONCE)]

    def told(first: int | None) -> Futures:
        return joined(
            [
                roll_out(
                    setting, run.state, week, run.draws, deals=deals, futures=turn, first=first
                )
                for turn in turns
            ]
        )

    habitual = told(None)
    columns: Columns = {
        "opportunity_id": np.asarray(named(run.deal_ids, deals)),
        "p_win": habitual.win_chance(),
        "p_win_in_13_weeks": habitual.win_chance(within=13),
        "expected_amount_eur": (habitual.won * habitual.amount).mean(axis=1),
    }
    for code, name in enumerate(ACTIONS):
        columns[f"p_win_if_{name}"] = told(code).win_chance()
    return columns


def _members(run: Run) -> Columns:
    org = run.setting.org
    return {
        "user_id": [member.id for member in org.members],
        "skill": org.skill,
        "diligence": org.diligence,
        "optimism": org.optimism,
        "trust": org.trust,
    }


def _accounts(run: Run) -> Columns:
    firms = run.setting.firms
    types = np.asarray(("indifferent", "persuadable", "sleeping_dog"))
    return {
        "account_id": run.account_ids,
        "affinity": firms.affinity,
        "industry_effect": firms.industry_effect,
        "retention_type": types[firms.retention],
        "retention_effect": np.asarray(RETENTION_EFFECT)[firms.retention],
    }


def _leaving(run: Run) -> Columns:
    account, week = run.customers.left
    return {
        "account_id": np.asarray(run.account_ids)[account],
        "monday": run.setting.weeks.monday[week].astype("datetime64[s]"),
        "hazard": run.customers.hazard,
    }


def _effects(run: Run) -> Columns:
    """Return each action's lasting effect on quality, in this world, by stage and segment."""
    grid = np.meshgrid(np.arange(len(ACTIONS)), np.arange(5), np.arange(3), indexing="ij")
    action, stage, segment = (axis.ravel() for axis in grid)
    one = np.ones(len(action), dtype=np.int64)
    world = run.setting.world
    effect = quality_effect(
        world, action, stage=stage, segment=segment, contacts=one, since_meeting=99 * one,
        touches=one,
    )  # fmt: skip
    loss, advance = passing_effect(
        world, action, stage=stage, silent=2 * one, since_meeting=99 * one, discounted=0 * one
    )
    return {
        "action": np.asarray(ACTIONS)[action],
        "stage": stage,
        "segment": np.asarray(SEGMENTS)[segment],
        "quality_change": effect * world.effect,
        "loss_log_odds_after_two_silent_weeks": loss * world.effect,
        "advance_log_odds": advance * world.effect,
    }
