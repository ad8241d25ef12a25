"""The first look at a formula: its characters, its length, its depth and every name in it.

What is refused here never reaches the parser; each refusal names the place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from crm_core.kpis.formulas import FUNCTIONS, FormulaInvalid

LONGEST = 1000
MOST_TOKENS = 150
DEEPEST = 12
KEYWORDS = frozenset(
    {
        "and", "or", "not", "in", "is", "null", "between", "case", "when", "then", "else", "end",
        "true", "false",
    }
)  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>'(?:[^'\x00-\x1f\x7f]|'')*')
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign><=|>=|<>|!=|[-+*/=<>(),])""",
    re.VERBOSE | re.ASCII,
)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_REMEDY = {
    ".": "write the field's name alone, without a table",
    ";": "a formula is one expression",
    '"': "write names without quotation marks and texts in 'single' ones",
    "|": "texts cannot be joined",
    "'": "the text is not closed, or holds a control character",
    "%": "use numbers and + - * / only",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the formula; ``position`` counts characters from 1."""

    kind: str
    text: str
    position: int


def look_over(text: str, *, names: Collection[str]) -> tuple[Token, ...]:
    """Return the words of a formula in which every name is known. Raises FormulaInvalid."""
    if len(text) > LONGEST:
        raise FormulaInvalid(f"a formula has at most {LONGEST} characters.", position=LONGEST + 1)
    found = tuple(_tokens(text))
    if not found:
        raise FormulaInvalid("the formula is empty.", position=1)
    if len(found) > MOST_TOKENS:
        raise FormulaInvalid(
            f"a formula has at most {MOST_TOKENS} words.", position=found[MOST_TOKENS].position
        )
    _check_depth(found)
    for token, following in zip(found, [*found[1:], None], strict=True):
        if token.kind == "name":
            _check_name(token, following, names)
    return found


def _tokens(text: str) -> Iterator[Token]:
    at, before = 0, None
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            what = text[at]
            remedy = _REMEDY.get(what, "fields, numbers, 'texts' and + - * / < > = ( ) are")
            raise FormulaInvalid(f"{what!r} is not part of a formula; {remedy}.", position=at + 1)
        kind = str(match.lastgroup)
        token = Token(kind, match.group(), at + 1)
        _check_neighbours(before, token)
        if kind != "space":
            yield token
        before = token
        at = match.end()


def _check_neighbours(before: Token | None, token: Token) -> None:
    words = ("name", "number", "text")
    if before is not None and before.kind in words and token.kind in words:
        raise FormulaInvalid(
            f"{before.text}{token.text} is neither a name, a number nor a text.",
            position=before.position,
        )
    pair = "" if before is None else before.text + token.text
    if pair in ("--", "/*"):
        raise FormulaInvalid("a formula has no comments.", position=token.position - 1)
    if token.kind == "number" and not _NUMBER.fullmatch(token.text):
        raise FormulaInvalid(
            "a number has at most 15 digits and 6 decimals.", position=token.position
        )


def _check_depth(found: tuple[Token, ...]) -> None:
    depth = 0
    for token in found:
        word = token.text.lower()
        if word in ("(", "case"):
            depth += 1
        elif word in (")", "end"):
            depth -= 1
        if depth > DEEPEST:
            raise FormulaInvalid(
                f"a formula is at most {DEEPEST} brackets deep.", position=token.position
            )


def _check_name(token: Token, following: Token | None, names: Collection[str]) -> None:
    name = token.text.lower()
    is_call = following is not None and following.text == "(" and name not in KEYWORDS
    known = FUNCTIONS if is_call else names
    if name in known or (not is_call and name in KEYWORDS):
        return
    near = tuple(get_close_matches(name, sorted(known), n=3, cutoff=0.6))
    if is_call:
        listed = "" if near else f" There are {', '.join(FUNCTIONS)}."
        raise FormulaInvalid(
            f"there is no function {name}.{listed}", position=token.position, near=near
        )
    listed = "" if near else f" There are {', '.join(sorted(names))}."
    raise FormulaInvalid(f"there is no field {name}.{listed}", position=token.position, near=near)
