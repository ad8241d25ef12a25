"""Folders for work in progress: private, locked while in use, swept when their program has died."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".in-use"


@contextmanager
def workspace(parent: Path | None, prefix: str) -> Iterator[Path]:
    """Yield an empty folder only we may enter; remove it at the end.

    Folders of the same prefix whose program was killed are removed first. A folder without our
    lock file, of another user, or whose program still runs is left alone.
    """
    home = Path(tempfile.gettempdir()) if parent is None else parent
    _sweep(home, prefix)
    folder, handle = _create(home, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _create(home: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, handle
        os.close(handle)  # a sweeper was quicker than our lock


def _sweep(home: Path, prefix: str) -> None:
    for folder in home.glob(f"{prefix}*"):
        lock = folder / _LOCK
        try:
            if folder.is_symlink() or folder.lstat().st_uid != os.geteuid():
                continue
            handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
