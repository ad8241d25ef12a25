"""What a start needs is checked before anything is started, and told in one sentence."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple

import pytest

from crm_core.postgres import UnusableHome
from serving.commandline import home

_ELSEWHERE = (
    "import sys, time; from pathlib import Path; from serving.commandline import home\n"
    "with home.claimed(Path(sys.argv[1])): print('claimed', flush=True); time.sleep(60)\n"
)


@pytest.fixture
def other(tmp_path):
    """Another process that has claimed the home."""
    process = subprocess.Popen(
        [sys.executable, "-c", _ELSEWHERE, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def test_a_claimed_home_names_the_process_that_has_it(tmp_path, other):
    assert home.holder(tmp_path) == other.pid
    claim = home.claimed(tmp_path)
    with pytest.raises(home.AlreadyUp, match=rf"as process {other.pid}; .*--home"):
        claim.__enter__()


def test_the_claim_of_a_killed_process_is_gone(tmp_path, other):
    other.kill()
    other.wait()
    assert home.holder(tmp_path) is None
    with home.claimed(tmp_path):
        assert home.holder(tmp_path) == os.getpid()
    assert home.holder(tmp_path) is None


def test_a_port_in_use_is_named_with_another_one():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(home.AddressInUse, match=rf"Port {port} .* in use .*--port \d+"):
            home.bound("127.0.0.1", port)


def test_a_free_port_is_ours_at_once():
    with home.bound("127.0.0.1", 0) as ours:
        port = ours.getsockname()[1]
        with pytest.raises(home.AddressInUse):
            home.bound("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_named_with_the_remedy(host):
    with pytest.raises(home.BadAddress, match=r"--host 127\.0\.0\.1"):
        home.bound(host, 0)


def test_too_little_disk_is_told_with_what_is_needed(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 300_000_000))
    with pytest.raises(UnusableHome, match=r"300 MB free and 1000 MB are needed; free some"):
        home.check_space(tmp_path)
    (tmp_path / "postgresql").mkdir()
    home.check_space(tmp_path)  # a later start needs less
