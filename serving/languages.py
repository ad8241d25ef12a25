"""The languages of the face: catalogues read once at start, and which one a request reads."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

COOKIE = "winward_lang"
LOCALES = Path(__file__).parent / "web" / "locales"


@dataclass(frozen=True, slots=True)
class Language:
    """A language: ``code`` in links and cookies, ``tag`` for HTML, its own name, its words."""

    code: str
    tag: str
    name: str
    locale: Locale = field(repr=False)
    translations: Translations = field(repr=False, compare=False)

    def text(self, message: str) -> str:
        """Return a message of the catalogue in this language."""
        return str(self.translations.gettext(message))


def _load(code: str, tag: str, locale: str, name: str) -> Language:
    with (LOCALES / f"{locale}.po").open("rb") as file:
        catalogue = read_po(file, locale=locale)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(code, tag, name, Locale.parse(locale), Translations(compiled))


@cache
def languages() -> dict[str, Language]:
    """Return the languages by code, English first: the one to fall back to."""
    return {
        "en": _load("en", "en", "en", "English"),
        "zh": _load("zh", "zh-CN", "zh_CN", "中文"),
    }


def choose(
    *, asked: str | None, chosen: str | None, personal: str | None, accepted: str | None
) -> Language:
    """Return the first language that is known, English when none is.

    In this order: asked for in the link, chosen before, the person's own, the browser's.
    """
    known = languages()
    for wanted in (asked, chosen, personal, *_preferences(accepted or "")):
        code = (wanted or "").strip()[:2].lower()
        if code in known:
            return known[code]
    return known["en"]


def _preferences(accepted: str) -> list[str]:
    """Return the tags of an Accept-Language header, most wanted first."""
    weighted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        tag, _, quality = part.partition(";q=")
        try:
            weighted.append((float(quality or 1), tag))
        except ValueError:
            continue
    return [tag for _, tag in sorted(weighted, key=lambda pair: -pair[0])]
