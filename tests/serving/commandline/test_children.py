"""Children end with their parent however it ends, and are started again when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crm_core.settings import Settings
from serving.commandline import children
from serving.commandline.children import ChildFailed, Children


def gone(pid: int, seconds: float = 5) -> bool:
    """Return whether a process ends within some seconds (a zombie has ended)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Children whose command is a piece of Python instead of a winward command."""
    monkeypatch.setattr(children, "command", lambda *code: [sys.executable, "-c", *code])
    kept = Children(Settings(home=tmp_path))
    yield kept
    kept.end_all()


def test_a_child_that_dies_is_started_again(kept):
    kept.start("sleeper", "import time; time.sleep(60)")
    first = kept.running[0].process
    first.kill()
    first.wait()
    kept.mend()
    second = kept.running[0].process
    assert second.pid != first.pid
    assert second.poll() is None


def test_a_child_that_dies_again_and_again_is_given_up_with_its_last_words(kept):
    kept.start("broken", "print('no such table'); raise SystemExit(1)")
    for _ in range(5):
        kept.running[0].process.wait()
        kept.mend()
    kept.running[0].process.wait()
    with pytest.raises(ChildFailed, match=r"broken process ends again and again: no such table"):
        kept.mend()


def test_a_child_that_ignores_the_request_is_ended_all_the_same(kept, monkeypatch):
    kept.start(
        "deaf",
        "import signal, time; signal.signal(15, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(60)",
    )
    child = kept.running[0]
    while b"deaf" not in child.log.read_bytes():
        time.sleep(0.02)
    children.end(child.process, patience=0.3)
    assert child.process.returncode == -signal.SIGKILL


def test_what_a_child_started_ends_with_it(kept):
    kept.start(
        "parent",
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True); time.sleep(60)",
    )
    log = kept.running[0].log
    while not log.read_bytes().endswith(b"\n"):
        time.sleep(0.02)
    grandchild = int(log.read_text())
    kept.end_all()
    assert gone(grandchild)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children on Linux only")
def test_a_killed_parent_leaves_no_child_behind():
    code = (
        "import os, subprocess, sys\n"
        "child = 'import time; from serving.commandline import children; '"
        "'children.end_with(%d); print(1, flush=True); time.sleep(60)' % os.getpid()\n"
        "p = subprocess.Popen([sys.executable, '-c', child], stdout=subprocess.PIPE,"
        " process_group=0)\n"
        "p.stdout.readline(); print(p.pid, flush=True); p.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert gone(child)
