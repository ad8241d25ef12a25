"""Running ``winward`` as a person does: a process of its own with its own settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import make_url


class Winward:
    """The command line on one store and one home folder."""

    def __init__(self, database_url: str, home: Path) -> None:
        url = make_url(database_url).set(drivername="postgresql")
        self.environment = {
            **{key: value for key, value in os.environ.items() if key[:8] != "WINWARD_"},
            "WINWARD_DATABASE_URL": url.render_as_string(hide_password=False),
            "WINWARD_HOME": str(home),
            "WINWARD_TRIALS": "0",
            "WINWARD_THREADS": "1",
        }

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it printed, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "serving.commandline", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, timeout=500, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def says(self, *arguments: str | Path) -> str:
        """Run a command that must succeed; return its standard output."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"winward {arguments}: {done.stderr[-3000:]}"
        return done.stdout

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """Run a command with ``--json`` that must succeed; return what it printed."""
        found: dict[str, Any] = json.loads(self.says(*arguments, "--json"))
        return found
