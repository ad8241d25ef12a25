"""Simulated companies, generated once for the whole run."""

from __future__ import annotations

import pytest

from tests.crm_core.simulation.companies import Generated, made


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The small company: eight reps, two years."""
    return made(tmp_path_factory.mktemp("small"), seed=7)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The demo company: sixty reps, three years."""
    return made(tmp_path_factory.mktemp("demo"), seed=7, size="demo")


@pytest.fixture(scope="session")
def medium(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """The medium company: sixty reps, three years, twenty thousand deals."""
    return made(tmp_path_factory.mktemp("medium"), seed=7, size="medium")
