"""What ``winward up`` must have before it starts: a home of its own, some disk, a free port."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_core.errors import Conflict, Invalid
from crm_core.postgres import UnusableHome, prepare_home

FIRST_START_BYTES = 1_000_000_000
LATER_START_BYTES = 100_000_000


class AlreadyUp(Conflict):
    """Another ``winward up`` serves from the same home."""


class AddressInUse(Conflict):
    """Something else listens on the port."""


class BadAddress(Invalid):
    """The host or port cannot be listened on."""


@contextmanager
def claimed(home: Path) -> Iterator[None]:
    """Keep a home for this process while the block lasts.

    The kernel drops the claim of a killed process: a file left behind never blocks a start.
    Raises AlreadyUp with the process that has it.
    """
    prepare_home(home)
    path = home / "up.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUp(
                f"Winward already runs on {home} as process {holder(home)}; stop that one, or "
                "choose another folder with --home and another --port."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def holder(home: Path) -> int | None:
    """Return the process that serves from a home, None if there is none."""
    try:
        with (home / "up.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except OSError:
        return None
    return None


def check_space(home: Path) -> None:
    """Raise UnusableHome when the disk has too little room to work."""
    first = not (home / "postgresql").exists()
    needed = FIRST_START_BYTES if first else LATER_START_BYTES
    free = shutil.disk_usage(home).free
    if free < needed:
        raise UnusableHome(
            f"The disk of {home} has {free // 1_000_000} MB free and {needed // 1_000_000} MB are "
            "needed; free some space, or choose another folder with --home or WINWARD_HOME."
        )


def bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, not yet listening."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise BadAddress(
            f"The host '{host}' is not an address of this machine; use --host 127.0.0.1 for this "
            "machine only or --host 0.0.0.0 for every network it is on."
        ) from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(0)  # two programs may bind; only listening proves the port ours
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    return listener


def _explained(error: OSError, host: str, port: int) -> Conflict | Invalid:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"Port {port} on {host} is in use by another program; choose another one, for example "
            f"--port {port + 100 if port < 65000 else 8100}."
        )
    if error.errno == errno.EACCES:
        return BadAddress(
            f"Port {port} needs an administrator; choose one from 1024 on: --port 8000."
        )
    return BadAddress(
        f"{host}:{port} cannot be listened on ({error.strerror}); use --host 127.0.0.1 or the "
        "address of a network of this machine."
    )
