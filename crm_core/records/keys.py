"""A record's key as one text: its id, or the parts of a longer key joined by ``|``.

``~`` and ``|`` inside a part are written ``~0`` and ``~1``, so that every key reads back.
"""

from __future__ import annotations

from collections.abc import Sequence


def join(parts: Sequence[str]) -> str:
    """Return the key of these parts; the one part of a simple key stays as it is."""
    if len(parts) == 1:
        return parts[0]
    return "|".join(part.replace("~", "~0").replace("|", "~1") for part in parts)


def split(key: str, *, parts: int) -> list[str] | None:
    """Return the parts of a key, None when it has another number of parts."""
    if parts == 1:
        return [key]
    found = [part.replace("~1", "|").replace("~0", "~") for part in key.split("|")]
    return found if len(found) == parts else None
