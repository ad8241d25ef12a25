"""How alike two names, e-mail addresses or telephone numbers are: pure, from 0 to 1."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_LEGAL_FORMS = frozenset({
    "ag", "and", "co", "company", "corp", "corporation", "gmbh", "holding", "inc", "incorporated",
    "kg", "limited", "llc", "llp", "ltd", "mbh", "nv", "oy", "plc", "pte", "pty", "sa", "sarl",
    "sas", "se", "spa", "srl", "the", "und",
})  # fmt: skip
_LEGAL_ENDINGS = re.compile(r"(股份有限公司|有限责任公司|有限公司|集团公司|集团|公司|株式会社)$")
_WORDS = re.compile(r"[^\W_]+")
_FREE_MAIL = frozenset({
    "126.com", "139.com", "163.com", "gmail.com", "gmx.de", "gmx.net", "googlemail.com",
    "hotmail.com", "icloud.com", "live.com", "outlook.com", "qq.com", "sina.com", "web.de",
    "yahoo.com",
})  # fmt: skip
SHORTEST_PHONE = 7


def name(text: str) -> str:
    """Return a name without accents, case, punctuation and legal form."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    words = _WORDS.findall(unicodedata.normalize("NFC", plain))
    kept = [word for word in words if word not in _LEGAL_FORMS] or words
    joined = "".join(kept)
    return _LEGAL_ENDINGS.sub("", joined) or joined


def email(text: str) -> str:
    """Return an e-mail address in the one form of all its spellings."""
    return text.strip().casefold()


def domain(text: str) -> str | None:
    """Return the domain of an e-mail address, None when it says nothing about the company."""
    _, mark, found = email(text).rpartition("@")
    return found if mark and found and found not in _FREE_MAIL else None


def phone(text: str) -> str | None:
    """Return the last nine digits of a telephone number; None when it is too short to tell."""
    digits = re.sub(r"\D", "", text)
    return digits[-9:] if len(digits) >= SHORTEST_PHONE else None


def similarity(one: str, other: str) -> float:
    """Return how many pairs of neighbouring letters two normalised names share, 0 to 1."""
    if one == other:
        return 1.0
    first, second = _pairs(one), _pairs(other)
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 0.0


def _pairs(text: str) -> Counter[str]:
    return Counter(text[i : i + 2] for i in range(len(text) - 1)) or Counter([text])
