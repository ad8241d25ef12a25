"""Notebooks run from top to bottom on a small simulated company, and are kept without outputs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from sqlalchemy import Engine, make_url

from crm_core.imports.operations import import_path
from crm_core.simulation import generate

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def outputs(notebook: nbformat.NotebookNode) -> list[int]:
    """Return the numbers of the cells that carry outputs or counts."""
    return [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None)
    ]


def test_there_is_at_least_one() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    assert outputs(nbformat.read(path, as_version=4)) == []


def test_the_rule_bites() -> None:
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    assert outputs(nbformat.v4.new_notebook(cells=[cell])) == [0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(
        tmp_path / "company",
        seed=1,
        size="small",
        until=dt.date(2026, 6, 30),
        truth=tmp_path / "truth",
    )
    import_path(
        engine,
        tmp_path / "company",
        mapping=None,
        recorded_at=dt.datetime(2026, 7, 1, tzinfo=dt.UTC),
        dry_run=False,
        rejected_folder=None,
        progress=None,
    )
    url = make_url(engine.url).set(drivername="postgresql")
    monkeypatch.setenv("WINWARD_DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("WINWARD_HOME", str(tmp_path / "home"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
