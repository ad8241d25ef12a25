"""The entry points of MLproject are commands that exist, with the options they are given."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from serving.commandline.app import app

REPOSITORY = Path(__file__).parents[3]
ENTRY_POINTS = yaml.safe_load((REPOSITORY / "MLproject").read_text())["entry_points"]


def _words(entry: dict) -> list[str]:
    words = shlex.split(entry["command"])
    return words[words.index("winward") + 1 :]


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_is_a_command_with_these_options(name):
    command = get_command(app)
    words = _words(ENTRY_POINTS[name])
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"{name} names no command"
    known = {option for parameter in command.params for option in
             [*parameter.opts, *parameter.secondary_opts]}  # fmt: skip
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_entry_point_declares_what_it_fills_in(name):
    entry = ENTRY_POINTS[name]
    assert set(re.findall(r"{(\w+)}", entry["command"])) == set(entry.get("parameters", {}))


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the database's user can enter; pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="winward-run-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_an_entry_point_runs(tmp_path, home):
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/runs.db",
        "WINWARD_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "run", REPOSITORY, "-e", "migrate", "--env-manager=local"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Prepare model tracking" in done.stdout
