"""The sealed truth of a run: what no product code may read, for judging models and advice.

Parquet files in a folder of their own. ``deals`` and ``deal_weeks`` carry hidden quality and the
rep's exact propensities, ``members`` and ``accounts`` the hidden traits, ``leaving`` when
customers truly left, ``effects`` what each action truly does.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from crm_core.simulation.closing import NEVER
from crm_core.simulation.customers import RETENTION_EFFECT
from crm_core.simulation.emission import Columns, named, write_truth
from crm_core.simulation.process import quality_effect
from crm_core.simulation.record import Run
from crm_core.simulation.world import ACTIONS, SEGMENTS, VERSION

_OUTCOMES = ("open", "advanced", "won", "lost")


def seal(run: Run, folder: Path) -> None:
    """Write the truth of a run; files of an earlier run are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    world = dataclasses.asdict(run.setting.world) | {
        "version": VERSION, "seed": run.draws.seed,
    }  # fmt: skip
    (folder / "world.json").write_text(json.dumps(world, indent=1, ensure_ascii=False) + "\n")
    _deals(run, folder)
    _deal_weeks(run, folder)
    _members_and_accounts(run, folder)
    _effects(run, folder)


def _deals(run: Run, folder: Path) -> None:
    deals, known = run.setting.deals, run.known
    true_at = run.ends.true_at[known]
    write_truth(
        folder,
        "deals",
        {
            "opportunity_id": np.asarray(named(run.deal_ids, known)),
            "kind": np.asarray(("ordinary", "created_closed", "duplicate"))[deals.kind[known]],
            "duplicate_of": np.asarray(named(run.deal_ids, deals.original[known]), dtype=object),
            "noise": deals.noise[known],
            "quality_at_end": run.state.quality[known],
            "competitor": run.state.competitor[known],
            "amount_at_end": run.state.amount[known],
            "ended": true_at < run.setting.weeks.end,
            "ended_at": np.where(true_at < NEVER, true_at, 0).astype("datetime64[s]"),
            "won": run.state.won[known],
        },
    )


def _deal_weeks(run: Run, folder: Path) -> None:
    happened = run.happened
    columns: Columns = {
        "opportunity_id": np.asarray(named(run.deal_ids, happened.deal)),
        "monday": run.setting.weeks.monday[happened.week].astype("datetime64[s]"),
        "stage": happened.stage,
        "quality": happened.quality.astype(np.float32),
        "perceived": happened.perceived.astype(np.float32),
        "action": np.asarray(ACTIONS)[happened.action],
        "loss": happened.loss.astype(np.float32),
        "advance": happened.advance.astype(np.float32),
        "outcome": np.asarray(_OUTCOMES)[happened.outcome],
    }
    for code, name in enumerate(ACTIONS):
        columns[f"propensity_{name}"] = happened.propensity[:, code].astype(np.float32)
    write_truth(folder, "deal_weeks", columns)


def _members_and_accounts(run: Run, folder: Path) -> None:
    org, firms, base = run.setting.org, run.setting.firms, run.customers
    write_truth(
        folder,
        "members",
        {
            "user_id": [member.id for member in org.members],
            "skill": org.skill,
            "diligence": org.diligence,
            "optimism": org.optimism,
        },
    )
    write_truth(
        folder,
        "accounts",
        {
            "account_id": run.account_ids,
            "affinity": firms.affinity,
            "industry_effect": firms.industry_effect,
            "retention_type": np.asarray(("indifferent", "persuadable", "sleeping_dog"))[
                firms.retention
            ],
            "retention_effect": np.asarray(RETENTION_EFFECT)[firms.retention],
        },
    )
    account, week = base.left
    write_truth(
        folder,
        "leaving",
        {
            "account_id": np.asarray(run.account_ids)[account],
            "monday": run.setting.weeks.monday[week].astype("datetime64[s]"),
            "hazard": base.hazard,
        },
    )


def _effects(run: Run, folder: Path) -> None:
    """Write each action's lasting effect on quality, in this world, by stage and segment."""
    grid = np.meshgrid(np.arange(len(ACTIONS)), np.arange(5), np.arange(3), indexing="ij")
    action, stage, segment = (axis.ravel() for axis in grid)
    one = np.ones(len(action), dtype=np.int64)
    effect = quality_effect(
        action, stage=stage, segment=segment, contacts=one, since_meeting=99 * one, touches=one
    )
    write_truth(
        folder,
        "effects",
        {
            "action": np.asarray(ACTIONS)[action],
            "stage": stage,
            "segment": np.asarray(SEGMENTS)[segment],
            "quality_change": effect * run.setting.world.effect,
        },
    )
