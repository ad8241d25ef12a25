"""The whole way: files → facts → features → model → explained score → advice → outcome."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import make_url, text

from crm_core.database import create_engine, web_engine
from crm_core.settings import Settings
from serving.app import create_app
from serving.explanations import sigmoid
from tests.journeys.commands import Winward

AS_OF = "2026-06-30"
NOW = dt.datetime(2026, 6, 30, 9, tzinfo=dt.UTC)
REP = "rep@demo.winward"


@pytest.fixture
def winward(database_url: str, tmp_path: Path) -> Winward:
    return Winward(database_url, tmp_path / "home")


@pytest.fixture
def web(database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """The application on the store, at a fixed time."""
    engine = web_engine(database_url)
    app = create_app(Settings(home=tmp_path / "home"), engine)
    app.state.fixed_time = NOW
    with TestClient(app, base_url="https://testserver") as client:
        yield client
    engine.dispose()


def count(url: str, table: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = int(connection.execute(text(f"select count(*) from {table}")).scalar_one())
    engine.dispose()
    return found


def empty_sibling(url: str) -> str:
    """Create an empty database beside another; it goes with the tests' server."""
    name = f"{make_url(url).database}_moved"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def log_in(web: TestClient, password: str) -> dict[str, str]:
    opened = web.post("/api/v1/session", json={"email": REP, "password": password})
    assert opened.status_code == 201, opened.text
    return {"X-CSRF-Token": opened.json()["csrf_token"], "Origin": "https://testserver"}


def test_from_a_file_to_an_explained_score_and_what_came_of_it(
    winward: Winward, web: TestClient, database_url: str, tmp_path: Path
) -> None:
    files, scores = tmp_path / "company", tmp_path / "scores.csv"
    winward.says("simulate", files, "--seed", "1", "--size", "small", "--until", AS_OF)
    report = winward.json("import", files)
    assert report["tables"]["opportunities"]["inserted"] > 1000

    built = winward.json("features", "build", "--as-of", AS_OF)
    trained = winward.json("train", "win-rate", "--as-of", AS_OF, "--no-promote")
    assert trained["report"]["verdict"] == "better than the base rate"
    assert trained["report"]["suspected_leakage"] == []
    served = trained["report"]["served"]["log_loss"]["value"]
    assert served < trained["report"]["baselines"]["base_rate"]["log_loss"]["value"] - 0.05
    assert winward.run("score", "win-rate", "--as-of", AS_OF).returncode == 0  # abstains
    winward.says("promote", "win-rate", "--force")
    winward.says("score", "win-rate", "--as-of", AS_OF, "--out", scores)

    table = pd.read_csv(scores)
    assert len(table) == built["open_deals"]
    assert table["opportunity_id"].is_unique
    assert not table["abstained"].any()
    assert table["p_win"].between(0.001, 0.999).all()
    assert table["reason_1"].notna().mean() > 0.9

    password = winward.says("password", REP).split()[-1]
    token = log_in(web, password)
    mine = web.get("/api/v1/opportunities?limit=200").json()["items"]
    assert mine
    assert {deal["id"] for deal in mine} < set(table["opportunity_id"])
    deal = mine[0]["id"]
    said = web.get(f"/api/v1/opportunities/{deal}/score?as_of=2026-06-29T22:00:00Z").json()
    row = table.set_index("opportunity_id").loc[deal]
    assert said["p_win"] == pytest.approx(row["p_win"], abs=1e-12)
    assert said["model_version"] == "1"
    total = said["base_value"] + math.fsum(effect["contribution"] for effect in said["effects"])
    assert sigmoid(total) == pytest.approx(said["p_win"], abs=1e-6)

    winward.says("advise", "--as-of", AS_OF, "--out", tmp_path / "advice.csv")
    advised = [
        item
        for each in mine
        for item in web.get(f"/api/v1/opportunities/{each['id']}/advice").json()["actions"]
    ]
    assert advised
    answer = web.post(
        f"/api/v1/recommendations/{advised[0]['id']}/response",
        json={"response": "done"}, headers=token,
    )  # fmt: skip
    assert answer.json()["response"] == "done"
    winward.says("settle", "--as-of", AS_OF)
    assert count(database_url, "recommendation_responses") == 1
    assert count(database_url, "served_models") == 1
    assert count(database_url, "predictions") == len(table)  # neither abstentions nor replays

    # the whole installation moves to another place and says the same
    kept = tmp_path / "winward.tar"
    told = winward.json("backup", kept, "--no-verify")
    assert told["files"] > 5
    moved = Winward(empty_sibling(database_url), tmp_path / "moved")
    moved.says("restore", kept)
    again = tmp_path / "again.csv"
    moved.says("score", "win-rate", "--as-of", AS_OF, "--out", again)
    assert again.read_bytes() == scores.read_bytes()
    assert "champion" in moved.says("models")
