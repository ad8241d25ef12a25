"""The truth is sealed: it lies apart, and no product code knows of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from tests.crm_core.simulation.companies import Generated

REPOSITORY = Path(__file__).parents[3]
TRUTH_FILES = ("deals", "deal_weeks", "members", "accounts", "leaving", "effects")
# simulate writes the folder and first_fill names it; neither opens what is inside
WRITERS = {"serving/commandline/simulate.py", "serving/commandline/first_fill.py"}
_INSIDE = re.compile(
    r"crm_core\.simulation\.(?!world import known_size)\w|deal_weeks|quality_at_end|retention_type"
)
_NAMED = re.compile(r"demo-truth|-truth\b|truth=")


def reads_truth(name: str, source: str) -> bool:
    """Return whether product code looks into the simulation or its truth."""
    if _INSIDE.search(source):
        return True
    return name not in WRITERS and bool(_NAMED.search(source))


def _product_files() -> list[Path]:
    return [
        path
        for package in ("crm_core", "features", "training", "serving")
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if not path.is_relative_to(REPOSITORY / "crm_core" / "simulation")
    ]


class TestSeal:
    def test_no_module_outside_the_simulation_reads_it(self) -> None:
        offenders = [
            str(path.relative_to(REPOSITORY))
            for path in _product_files()
            if reads_truth(str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8"))
        ]
        assert offenders == []

    @pytest.mark.parametrize(
        "source",
        [
            "from crm_core.simulation.truth import seal",
            "frame = read(home / 'demo-truth' / 'deals.parquet')",
            "propensities = read('deal_weeks.parquet')",
        ],
    )
    def test_bites(self, source: str) -> None:
        assert reads_truth("features/opportunity.py", source)

    def test_the_record_shows_none_of_it(self, small: Generated) -> None:
        hidden = {"quality", "perceived", "skill", "diligence", "optimism", "affinity", "noise"}
        for table in small.summary.rows:
            assert not hidden & set(small.rows(table)[0]), table
        assert not list(small.folder.glob("*.parquet"))


class TestTruth:
    def test_has_a_row_for_every_deal_user_and_account(self, small: Generated) -> None:
        for name, table, key in (
            ("deals", "opportunities", "opportunity_id"),
            ("members", "users", "user_id"),
            ("accounts", "accounts", "account_id"),
        ):
            known = parquet.read_table(small.truth / f"{name}.parquet")[key].to_pylist()
            assert sorted(known) == sorted(row["id"] for row in small.rows(table))

    def test_files_are_all_there(self, small: Generated) -> None:
        assert {path.stem for path in small.truth.iterdir()} == {*TRUTH_FILES, "value", "world"}

    def test_propensities_are_exact(self, small: Generated) -> None:
        weeks = parquet.read_table(small.truth / "deal_weeks.parquet").to_pandas()
        columns = [name for name in weeks if name.startswith("propensity_")]
        assert weeks[columns].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
        for name in columns:
            done = weeks.action == name.removeprefix("propensity_")
            spread = np.sqrt((weeks[name] * (1 - weeks[name])).sum())
            assert abs(done.sum() - weeks[name].sum()) < 4 * spread
