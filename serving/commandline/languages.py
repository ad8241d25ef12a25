"""The languages a command can speak."""

from __future__ import annotations

import typer

_KNOWN = {"en": "en", "zh": "zh-CN", "zh-cn": "zh-CN"}


def parse_locale(text: str) -> str:
    """Return ``en`` or ``zh-CN``; ``zh`` is short for the latter. Raises BadParameter."""
    found = _KNOWN.get(text.lower().replace("_", "-"))
    if found is None:
        raise typer.BadParameter(f"there is no language {text!r}; there are en and zh-CN.")
    return found
