"""The holder of the promoted model follows the pointer and never drops a request."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from serving import champions
from serving.champions import Champions, NoChampion, required
from tests.serving.bundles import bundle, point_at, put

NOW = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
LATER = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champions, "CHECK_SECONDS", 0.0)


def version(holder: Champions, at: dt.datetime = NOW) -> str | None:
    found = holder.current(at=at)
    return None if found is None else found.version


def test_there_is_none_before_the_first_promotion(tmp_path: Path) -> None:
    assert Champions(tmp_path).current(at=NOW) is None


def test_a_command_without_a_champion_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoChampion, match="winward train win-rate"):
        required(tmp_path)


def test_a_promotion_and_a_rollback_are_followed(tmp_path: Path) -> None:
    put(tmp_path, bundle(version="1"))
    holder = Champions(tmp_path)
    assert version(holder) == "1"
    put(tmp_path, bundle(version="2"))
    assert version(holder) == "2"
    point_at(tmp_path, "1")
    assert version(holder) == "1"


def test_the_pointer_is_looked_at_once_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(champions, "CHECK_SECONDS", 3600.0)
    put(tmp_path, bundle(version="1"))
    holder = Champions(tmp_path)
    assert version(holder) == "1"
    put(tmp_path, bundle(version="2"))
    assert version(holder) == "1"


def test_a_damaged_bundle_never_replaces_a_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, bundle(version="1"))
    holder = Champions(tmp_path)
    assert version(holder) == "1"
    put(tmp_path, bundle(version="2"), point=False)
    (tmp_path / "win_rate" / "2" / "model.txt").write_text("tampered")
    with caplog.at_level(logging.ERROR):
        point_at(tmp_path, "2")
        assert version(holder) == "1"
    assert "cannot be read" in caplog.text


def test_no_request_waits_or_fails_while_models_change(tmp_path: Path) -> None:
    put(tmp_path, bundle(version="1"))
    put(tmp_path, bundle(version="2"), point=False)
    holder = Champions(tmp_path)
    seen: set[str | None] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(version(holder))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for turn in range(20):
        point_at(tmp_path, "21"[turn % 2])
    stop.set()
    for asker in askers:
        asker.join()
    assert seen <= {"1", "2"}
    assert version(holder) == "1"


def test_service_is_written_down_from_when_to_when(tmp_path: Path, engine: Engine) -> None:
    put(tmp_path, bundle(version="1"))
    first, second = (Champions(tmp_path, engine=engine) for _ in range(2))
    version(first, NOW), version(second, NOW)
    put(tmp_path, bundle(version="2"))
    version(first, LATER), version(second, LATER)
    with engine.connect() as connection:
        rows = connection.execute(
            text("select version, served_from, served_to from served_models order by id")
        ).all()
    assert [tuple(row) for row in rows] == [("1", NOW, LATER), ("2", LATER, None)]
