"""Rules that read single words of the code: rounding, the hidden clocks, commits, addresses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

COMMITS_IN = "crm_core/database.py"
"""The one module that commits; every other uses its ``transaction()``."""


def _calls(source: str) -> Iterator[tuple[int, str, ast.Call]]:
    """Yield line, name and node of every call; ``a.b.c()`` is named ``c`` with its dotted path."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


def roundings(source: str) -> list[int]:
    """Lines that round with the built-in, which rounds halves to even digits of a binary float."""
    return [line for line, name, _ in _calls(source) if name == "round"]


def hidden_clocks(source: str) -> list[int]:
    """Lines that read the clock through a word: ``Timestamp("now")``, ``to_datetime("today")``."""
    return [
        line
        for line, name, call in _calls(source)
        if name.rpartition(".")[2] in ("Timestamp", "to_datetime", "datetime64", "Period")
        and any(
            isinstance(given, ast.Constant) and given.value in ("now", "today")
            for given in call.args
        )
    ]


def commits(source: str) -> list[int]:
    """Lines that commit a transaction."""
    return [
        line
        for line, name, call in _calls(source)
        if name.endswith(".commit") and not call.args and not call.keywords
    ]


_MACHINE = re.compile(r"(?<![\w.])/(?:" + "|".join(("work", "root", "home/\\w+")) + r")/\w")
_REGISTRIES = ("pypi.", "pythonhosted.", "npmjs.", "debian.", "conda.", "unpkg.", "jsdelivr.")
_REGISTRY = re.compile(
    r"https?://[\w.-]*(?:"
    + "|".join(re.escape(host) for host in _REGISTRIES)
    + r")(?:org|com|net|io)"
)


def addresses(text: str) -> list[int]:
    """Lines that name a path of one machine or the host of a package registry."""
    return [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if _MACHINE.search(line) or _REGISTRY.search(line)
    ]


BITES = {
    roundings: "price = round(2.675, 2)",
    hidden_clocks: 'import pandas as pd\nmoment = pd.Timestamp("now")',
    commits: "def save(session):\n    session.commit()",
    addresses: "path = '/" + "work/data'",
}


@pytest.mark.parametrize("rule", BITES, ids=lambda rule: rule.__name__)
def test_the_rule_bites(rule):
    assert rule(BITES[rule])


@pytest.mark.parametrize(
    ("rule", "innocent"),
    [
        (roundings, "import numpy as np\nx = np.round(values)\nround_trip()"),
        (hidden_clocks, 'import pandas as pd\nmoment = pd.Timestamp("2026-06-30")'),
        (commits, "repository.commit('message')"),
        (addresses, "see docs/work/plan and https://winward.example/root"),
    ],
)
def test_the_rule_leaves_the_innocent_alone(rule, innocent):
    assert rule(innocent) == []


def test_a_registry_is_recognised():
    assert addresses("index = https://" + "pypi" + ".org/simple")
    assert addresses("deb http://deb." + "debian" + ".org/debian stable main")


def _found(rule, sources: dict[str, str]) -> list[str]:
    return [f"{path}:{line}" for path, text in sources.items() for line in rule(text)]


def test_no_module_rounds_with_the_built_in(modules):
    assert _found(roundings, modules) == []


def test_no_module_reads_the_clock_through_a_word(modules):
    assert _found(hidden_clocks, modules) == []


def test_only_the_database_module_and_the_migrations_commit(modules):
    # the migrations' lock and Feast's online store are no transactions of ours
    allowed = (COMMITS_IN, "crm_core/migrations/__init__.py", "features/online.py")
    others = {path: text for path, text in modules.items() if path not in allowed}
    assert _found(commits, others) == []
    assert len(commits(modules[COMMITS_IN])) == 1


def test_no_tracked_file_names_a_machine_or_a_registry(tracked):
    assert _found(addresses, tracked) == []
