"""Pages ask nobody but us: no template, style or script loads anything from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_FOREIGN = (
    re.compile(r"""(?:src|href|action|poster|data)\s*=\s*["']?\s*(?:https?:)?//""", re.IGNORECASE),
    re.compile(r"""url\(\s*["']?\s*(?:https?:)?//""", re.IGNORECASE),
    re.compile(r"""@import\s+(?:url\()?["']?\s*(?:https?:)?//""", re.IGNORECASE),
    re.compile(
        r"""(?:fetch|import|open|importScripts|WebSocket|EventSource)\(\s*["'`]\s*(?:https?:|wss?:)?//""",
    ),
)
_KINDS = (".html", ".css", ".js", ".svg", ".jinja")


def foreign_assets(text: str) -> list[int]:
    """Lines that would make a browser ask another host."""
    return [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if any(pattern.search(line) for pattern in _FOREIGN)
    ]


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://cdn.example/htmx.js"></script>',
        "<link rel=stylesheet href='//fonts.example/a.css'>",
        "body { background: url(http://pictures.example/a.png) }",
        '@import "https://fonts.example/a.css";',
        'fetch("https://api.example/deals")',
    ],
)
def test_the_rule_bites(line):
    assert foreign_assets(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        '<script src="/static/app.js"></script>',
        '<svg xmlns="http://www.w3.org/2000/svg">',
        "<p>as https://winward.example says</p>",
    ],
)
def test_the_rule_leaves_the_innocent_alone(line):
    assert foreign_assets(line) == []


def test_no_page_style_or_script_names_another_host(repository: Path):
    found = [
        f"{path.relative_to(repository)}:{line}"
        for path in sorted((repository / "serving").rglob("*"))
        if path.suffix in _KINDS
        for line in foreign_assets(path.read_text(encoding="utf-8"))
    ]
    assert found == []
