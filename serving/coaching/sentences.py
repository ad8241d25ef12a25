"""Sentences whose slots hold facts of the record, in zh-CN and English. Pure.

A slot is a whole number, a day, an amount, a name from the record, or a term that has its own
word in each language. Nothing else fits, so no score and no model output can stand in one.
"""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from crm_core.money import Money, from_major, minor_digits

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word of ours that a sentence names, in both languages."""

    en: str
    zh: str


Slot = int | dt.date | Money | str | Term
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Template:
    """One sentence in both languages, with the same slots in each. Raises ValueError if not."""

    en: str
    zh: str

    def __post_init__(self) -> None:
        if slot_names(self.en) != slot_names(self.zh):
            raise ValueError(f"{self.en!r} and {self.zh!r} have different slots")

    def render(self, slots: Mapping[str, Slot], language: Language) -> str:
        """Return the sentence with its facts. Raises KeyError for a missing slot."""
        text = self.zh if language == "zh" else self.en
        return text.format_map({name: written(slots[name], language) for name in slot_names(text)})


def slot_names(text: str) -> frozenset[str]:
    """Return the names of the slots in a template."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


def written(value: Slot, language: Language) -> str:
    """Return a fact as it is written in a sentence."""
    match value:
        case Term():
            return value.zh if language == "zh" else value.en
        case Money():
            return f"{value.currency} {value.major:,.{minor_digits(value.currency)}f}"
        case dt.date():
            if language == "zh":
                return f"{value.year}年{value.month}月{value.day}日"
            return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"
        case _:
            return str(value)


def as_json(slots: Mapping[str, Slot]) -> dict[str, Any]:
    """Return slots as what is stored beside the advice; :func:`from_json` reads it back."""
    stored: dict[str, Any] = {}
    for name, value in slots.items():
        match value:
            case Term():
                stored[name] = {"en": value.en, "zh": value.zh}
            case Money():
                stored[name] = {"amount": str(value.major), "currency": value.currency}
            case dt.date():
                stored[name] = {"day": value.isoformat()}
            case _:
                stored[name] = value
    return stored


def from_json(stored: Mapping[str, Any]) -> dict[str, Slot]:
    """Return stored slots as facts."""
    slots: dict[str, Slot] = {}
    for name, value in stored.items():
        match value:
            case {"en": en, "zh": zh}:
                slots[name] = Term(en, zh)
            case {"amount": amount, "currency": currency}:
                slots[name] = from_major(Decimal(amount), currency)
            case {"day": day}:
                slots[name] = dt.date.fromisoformat(day)
            case _:
                slots[name] = value
    return slots
