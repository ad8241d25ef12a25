"""A command that cannot use a path or a time says so in one sentence."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving.commandline", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "taken").write_text("here already")
    done = run("simulate", str(tmp_path / "taken"), "--truth", str(tmp_path / "truth"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "taken" in done.stderr
