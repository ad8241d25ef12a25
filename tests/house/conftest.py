"""What the rules of the house are checked on: the files of this repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("crm_core", "features", "training", "serving")


def listed(*options: str) -> list[Path]:
    """Return the files that git names, as paths from the repository's root."""
    done = subprocess.run(
        ["git", "ls-files", "-z", *options], cwd=REPOSITORY, capture_output=True, check=True
    )
    names = [name for name in done.stdout.decode().split("\0") if name]
    return [Path(name) for name in names if (REPOSITORY / name).is_file()]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def tracked() -> dict[str, str]:
    """Every tracked text file by its path."""
    texts = {}
    for path in listed():
        try:
            texts[path.as_posix()] = (REPOSITORY / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
    return texts


@pytest.fixture(scope="session")
def modules() -> dict[str, str]:
    """Every Python module of the four packages by its path, without generated migrations."""
    return {
        path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        if "versions" not in path.parts
    }
