"""Fixtures of the training tests: a trained model, a tracking server of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from crm_core.database import create_engine
from crm_core.postgres import EmbeddedServer
from crm_core.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # made_frames, shared by the tests of this folder


@dataclass(frozen=True)
class Quick:
    """Settings of a training that takes a second."""

    threads: int = 2
    trials: int = 0


@pytest.fixture(scope="session")
def quick() -> Quick:
    return Quick()


@pytest.fixture(scope="session")
def trained(quick):
    """A model that is better than the base rate, on 1 200 simulated deals."""
    from made_frames import pipeline, week

    from training.win_rate import train

    frame, outcomes = pipeline(deals=1200, seed=3)
    return train(frame, outcomes, as_of=week(90).to_pydatetime(), settings=quick)


@pytest.fixture(scope="session")
def mlflow_url(postgresql: EmbeddedServer) -> Iterator[str]:
    """An empty database for MLflow, shared by the tests of this folder (migrating is slow)."""
    engine = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("create database training_mlflow"))
    yield postgresql.url("training_mlflow")
    with engine.connect() as connection:
        connection.execute(text("drop database training_mlflow with (force)"))
    engine.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings whose folders are this test's own."""
    return Settings(home=tmp_path, threads=2, trials=0)
