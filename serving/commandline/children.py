"""Child processes that never outlive their parent, and are started again when they die.

Each child has its own process group, so that Ctrl-C reaches only the parent, which then ends
them in order. Should the parent be killed outright, the kernel tells the children (Linux), or
they notice within a second (elsewhere).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crm_core.errors import CrmError
from crm_core.settings import Settings

PATIENCE_SECONDS = 10.0
MOST_RESTARTS = 5
"""Restarts of a child within a minute; one more and it is given up."""
_PR_SET_PDEATHSIG = 1
_LARGEST_LOG = 10_000_000


class ChildFailed(CrmError):
    """A process that we keep running ends again and again; the message quotes its log."""

    kind = "conflict"


def end_with(parent: int) -> None:
    """Make this process receive SIGTERM when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we could ask
            os.kill(os.getpid(), signal.SIGTERM)
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def leave_on_request() -> None:
    """Let SIGTERM end this process through its ``finally`` blocks, as an error would.

    Servers that handle the signal themselves raise it again when they are done: without this
    they would then be gone before they let go of the database.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def command(*arguments: str) -> list[str]:
    """Return the command line of ``winward …`` as a child of this process."""
    return [sys.executable, "-m", "serving.commandline", "--with-parent", str(os.getpid()),
            *arguments]  # fmt: skip


def end(process: subprocess.Popen[bytes], patience: float = PATIENCE_SECONDS) -> None:
    """End a child and all it started: ask first, insist after ``patience`` seconds."""
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # macOS says PermissionError of a process that has ended
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


@dataclass
class Child:
    """A process that is kept running, with what it takes to start it again."""

    name: str
    arguments: Sequence[str]
    log: Path
    pass_fds: Sequence[int]
    process: subprocess.Popen[bytes]
    restarts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_RESTARTS))


class Children:
    """The processes that ``winward up`` keeps running."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running: list[Child] = []

    def start(self, name: str, *arguments: str, pass_fds: Sequence[int] = ()) -> None:
        """Start ``winward …`` as a child; what it prints goes to ``logs/name.log``."""
        log = self.settings.logs_folder / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        process = self._spawn(arguments, log, pass_fds)
        self.running.append(Child(name, arguments, log, pass_fds, process))

    def _spawn(
        self, arguments: Sequence[str], log: Path, pass_fds: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.settings.environment(),
                pass_fds=pass_fds,
                process_group=0,
            )

    def mend(self, most: int = MOST_RESTARTS) -> None:
        """Start again what has ended. Raises ChildFailed for one that ended too often."""
        for child in self.running:
            if child.process.poll() is None:
                continue
            now = time.monotonic()
            if sum(now - restart < 60 for restart in child.restarts) >= most:
                raise ChildFailed(
                    f"The {child.name} process ends again and again: {last_line(child.log)} "
                    f"(whole log: {child.log})."
                )
            child.restarts.append(now)
            child.process = self._spawn(child.arguments, child.log, child.pass_fds)

    def end_all(self) -> None:
        """End every child; all are asked at once, so that the wait is that of the slowest."""
        for child in self.running:
            _signal_group(child.process, signal.SIGTERM)
        for child in self.running:
            end(child.process)
        self.running.clear()


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    said = [line for line in lines if line]
    return said[-1] if said else "it printed nothing"
