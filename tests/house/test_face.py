"""Pages and API hold no SQL: they hand a session on and never say what to ask of it."""

from __future__ import annotations

import ast

import pytest

ALLOWED = {"Engine", "Session"}
"""What may be imported from SQLAlchemy for annotations."""


def questions(source: str) -> list[str]:
    """Names imported from SQLAlchemy with which a module could ask the database itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sqlalchemy":
            found += [alias.name for alias in node.names if alias.name not in ALLOWED]
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("sqlalchemy")]
    return found


@pytest.mark.parametrize(
    "source",
    ["from sqlalchemy import select", "import sqlalchemy", "from sqlalchemy.orm import joinedload"],
)
def test_the_rule_bites(source):
    assert questions(source)


def test_the_rule_leaves_the_innocent_alone():
    assert questions("from sqlalchemy import Engine\nfrom sqlalchemy.orm import Session") == []


def test_no_page_and_no_route_asks_the_database_itself(modules):
    found = {
        path: questions(text)
        for path, text in modules.items()
        if path.startswith(("serving/api/", "serving/web/"))
    }
    assert {path: names for path, names in found.items() if names} == {}
