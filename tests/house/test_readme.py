"""The README keeps up with the code: every setting and every room is in it."""

from __future__ import annotations

import re

import pytest

from crm_core.settings import Settings


def missing_settings(readme: str) -> list[str]:
    """Settings that no row of a table in the README names."""
    rows = [line for line in readme.splitlines() if line.lstrip().startswith("|")]
    return [
        name
        for name in (f"WINWARD_{field.upper()}" for field in Settings.model_fields)
        if not any(re.search(rf"\b{name}\b", row) for row in rows)
    ]


def unknown_settings(readme: str) -> list[str]:
    """Settings the README names that do not exist."""
    known = {f"WINWARD_{field.upper()}" for field in Settings.model_fields}
    return sorted(set(re.findall(r"\bWINWARD_[A-Z_]+\b", readme)) - known)


def missing_rooms(readme: str, rooms: list[str]) -> list[str]:
    """Rooms that the README does not name."""
    return [room for room in rooms if not re.search(rf"\b{re.escape(room)}\b", readme)]


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rooms(repository) -> list[str]:
    """Every package of the tree, by its folder's name."""
    packages = ("crm_core", "features", "training", "serving")
    return [
        folder.parent.name
        for package in packages
        for folder in sorted((repository / package).glob("**/__init__.py"))
        if len(folder.relative_to(repository).parts) <= 3
    ]


def test_the_rules_bite():
    table = "\n".join(f"| `WINWARD_{field.upper()}` | |" for field in Settings.model_fields)
    assert missing_settings(table.replace("| `WINWARD_PORT` | |", "")) == ["WINWARD_PORT"]
    assert missing_settings(table) == []
    assert unknown_settings("set WINWARD_SPEED=9") == ["WINWARD_SPEED"]
    assert missing_rooms("crm_core/ quotas_old/", ["crm_core", "quotas"]) == ["quotas"]


def test_every_setting_stands_in_the_readme(readme):
    assert missing_settings(readme) == []


def test_the_readme_names_no_setting_that_does_not_exist(readme):
    assert unknown_settings(readme) == []


def test_the_readme_names_every_room(readme, rooms):
    assert missing_rooms(readme, rooms) == []
