"""Rules about the form of modules: they say what they are, and stay small."""

from __future__ import annotations

import ast

import pytest

LONGEST_MODULE = 400
LONGEST_FUNCTION = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _docstring_lines(node: ast.Module | ast.ClassDef | Function) -> set[int]:
    if ast.get_docstring(node, clean=False) is None:
        return set()
    return set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))


def _length(source: str, first: int, last: int, without: set[int]) -> int:
    """Return the number of lines that hold code or comments."""
    lines = source.splitlines()
    return sum(
        1
        for number in range(first, last + 1)
        if number not in without and lines[number - 1].strip()
    )


def undocumented(source: str) -> list[str]:
    """Say that a module has no docstring."""
    return [] if ast.get_docstring(ast.parse(source)) else ["no docstring"]


def long_modules(source: str) -> list[str]:
    """Say how long a module is that is too long."""
    length = _length(source, 1, len(source.splitlines()), _docstring_lines(ast.parse(source)))
    return [f"{length} lines"] if length > LONGEST_MODULE else []


def long_functions(source: str) -> list[str]:
    """Name the functions whose bodies are too long, their docstrings not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            length = _length(
                source, node.body[0].lineno, node.end_lineno or 0, _docstring_lines(node)
            )
            if length > LONGEST_FUNCTION:
                found.append(f"{node.name} has {length} lines")
    return found


BITES = {
    undocumented: "answer = 42\n",
    long_modules: '"""Long."""\n' + "answer = 42\n" * 401,
    long_functions: "def long():\n" + "    answer = 42\n" * 41,
}
INNOCENT = {
    undocumented: '"""Says what it is."""\n',
    long_modules: '"""Just."""\n' + "answer = 42\n\n" * 400,
    long_functions: 'def just():\n    """Say."""\n' + "    answer = 42\n" * 40,
}


@pytest.mark.parametrize("rule", BITES, ids=lambda rule: rule.__name__)
def test_the_rule_bites(rule):
    assert rule(BITES[rule])


@pytest.mark.parametrize("rule", INNOCENT, ids=lambda rule: rule.__name__)
def test_the_rule_leaves_the_innocent_alone(rule):
    assert rule(INNOCENT[rule]) == []


@pytest.mark.parametrize("rule", BITES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule, modules):
    found = [f"{path}: {said}" for path, text in modules.items() for said in rule(text)]
    assert found == []
