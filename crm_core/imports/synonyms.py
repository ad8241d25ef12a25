"""What other systems call our tables, columns and stages: the words of ``synonyms.yaml``."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib import resources

import yaml

from crm_core import exchange

Words = dict[str, frozenset[str]]


@cache
def _file() -> dict[str, dict[str, object]]:
    content = (resources.files("crm_core.imports") / "synonyms.yaml").read_bytes()
    return dict(yaml.load(content, Loader=yaml.CBaseLoader))  # noqa: S506 - only text, our own file


def _plain_words(given: object) -> frozenset[str]:
    return frozenset(plain(str(word)) for word in given) if isinstance(given, list) else frozenset()


@cache
def tables() -> Words:
    """Return the names a file or sheet of each table may have."""
    return {
        table.name: _plain_words(_file()["tables"].get(table.name)) | {plain(table.name)}
        for table in exchange.TABLES
    }


@cache
def columns(table: str) -> Words:
    """Return the names each column of a table may have."""
    given = _file()["columns"].get(table)
    known = given if isinstance(given, dict) else {}
    return {
        column.name: _plain_words(known.get(column.name)) | {plain(column.name)}
        for column in exchange.table(table).columns
    }


def stage_kind(stage: str) -> str:
    """Return won, lost or on_hold for a stage that is named so, else open."""
    for kind, words in _file()["stages"].items():
        if plain(stage) in _plain_words(words):
            return kind
    return "open"


def plain(name: str) -> str:
    """Return a name in lower case and without marks: ``OrderDate`` is ``order date``."""
    text = unicodedata.normalize("NFKC", name).strip()
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
