"""``winward up`` serves, stops everything it started, and resumes from whatever it left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

WINWARD = (sys.executable, "-m", "serving.commandline")


def free_port() -> int:
    """Return a port nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def processes_of(home: Path) -> list[int]:
    """Return the processes that were started for a home: by their environment or folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            folder = os.readlink(entry / "cwd")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = f"WINWARD_HOME={home}\0".encode() in environment or folder.startswith(str(home))
        if ours and state != "Z":
            found.append(int(entry.name))
    return found


def none_left(home: Path, seconds: float = 10) -> bool:
    """Return whether every process of a home ends within some seconds."""
    deadline = time.monotonic() + seconds
    while processes_of(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@dataclass
class Up:
    """A running ``winward up`` and what it has printed."""

    process: subprocess.Popen[bytes]
    output: Path
    port: int

    def wait_for(self, words: str, seconds: float = 120) -> str:
        """Return the match of the words in what it prints."""
        deadline = time.monotonic() + seconds
        while True:
            printed = self.output.read_text()
            match = re.search(words, printed)
            if match:
                return match.group()
            assert self.process.poll() is None, printed
            assert time.monotonic() < deadline, printed
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for this module: what one test leaves behind the next one starts from."""
    folder = Path(tempfile.mkdtemp(prefix="winward-up-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"WINWARD_HOME": str(home), "WINWARD_WEB_PROCESSES": "1"}


@pytest.fixture
def start(home, tmp_path):
    """Start ``winward up`` on the module's home; whatever is left of it is killed at the end."""
    started = []

    def start(*options: str) -> Up:
        port = free_port()
        output = tmp_path / f"output-{len(started)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*WINWARD, "up", "--port", str(port), *options],
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env=_environment(home),
            )  # fmt: skip
        started.append(process)
        return Up(process, output, port)

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def test_a_first_start_that_is_interrupted_ends_everything_it_started(start, home):
    up = start("--empty")
    up.wait_for("✓ Make an administrator")
    assert len(processes_of(home)) > 2
    assert up.stop(signal.SIGINT) == 0
    assert none_left(home)


def test_the_next_start_goes_on_where_that_one_stopped(start, home):
    up = start("--empty")
    up.wait_for("Ready after")
    assert "Make an administrator" not in up.output.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/readyz", timeout=10) as answer:
        assert answer.status == 200
    assert up.stop(signal.SIGTERM) == 0
    assert none_left(home)


def test_a_later_start_does_nothing_again_and_ends_when_its_terminal_does(start, home):
    up = start()
    up.wait_for("Ready after")
    printed = up.output.read_text()
    assert "Migrate" not in printed
    assert "demo" not in printed  # '--empty' is remembered
    assert up.stop(signal.SIGHUP) == 0
    assert none_left(home)


def test_a_killed_start_leaves_no_server_behind_and_blocks_no_other(start, home):
    up = start()
    up.wait_for("Ready after")
    up.process.kill()
    up.process.wait()
    assert none_left(home, seconds=20)
    again = start()
    again.wait_for("Ready after")
    assert again.stop() == 0


def _web_processes(home: Path) -> list[int]:
    return [
        pid for pid in processes_of(home) if b"\0web\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_a_running_start_replaces_a_dead_web_process_and_refuses_a_second_start(start, home):
    up = start()
    up.wait_for("Ready after")
    other = start()
    assert other.process.wait(60) == 4
    assert other.output.read_text().strip() == (
        f"winward: Winward already runs on {home} as process {up.process.pid}; stop that one, or "
        "choose another folder with --home and another --port."
    )
    for pid in _web_processes(home):
        os.kill(pid, signal.SIGKILL)
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/readyz", timeout=60) as answer:
        assert answer.status == 200
    assert up.stop() == 0


def _said(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*WINWARD, "up", *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr.strip()


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = _said("--port", port, "--home", str(tmp_path))
    assert code == 4
    assert re.fullmatch(rf"winward: Port {port} on 127.0.0.1 is in use .* --port \d+\.", said)


def test_an_unusable_home_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    code, said = _said("--home", str(tmp_path / "file"))
    assert code == 4
    assert re.fullmatch(r"winward: .*file is not a folder; choose another .*", said)


def test_an_unreachable_database_is_one_sentence(tmp_path):
    url = "postgresql://winward:secret@127.0.0.1:1/winward"
    port = str(free_port())
    code, said = _said("--home", str(tmp_path), "--port", port, WINWARD_DATABASE_URL=url)
    assert code == 4
    assert re.fullmatch(
        r"winward: The database 'winward' at 127\.0\.0\.1:1 cannot be used .*", said
    )
    assert "secret" not in said


def test_a_setting_that_cannot_be_meant_is_one_sentence(tmp_path):
    code, said = _said("--home", str(tmp_path), WINWARD_WEB_PROCESSES="many")
    assert code == 2
    assert said.startswith("winward: WINWARD_WEB_PROCESSES is 'many'")
    assert "\n" not in said


def test_a_full_disk_is_one_sentence(tmp_path):
    home = Path(tempfile.mkdtemp(prefix="winward-full-"))
    home.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m,mode=755", "winward-test", home],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        home.rmdir()
        pytest.skip("a small disk can be mounted by root only")
    try:
        code, said = _said("--home", str(home), "--port", str(free_port()))
    finally:
        subprocess.run(["umount", home], check=True)
        home.rmdir()
    assert code == 4
    assert re.fullmatch(r"winward: The disk of .* 1000 MB are needed; free some space, .*", said)
