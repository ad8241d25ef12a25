"""New customers, contacts and leads that seem to be there already, or twice in the file.

Found by what is equal once spelling is set aside (name, e-mail address, telephone number), in
one pass over a table, so that the time grows with the rows. Names that are only similar are
left to the page of a record's possible duplicates, which asks about one record at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.accounts import likeness
from crm_core.imports.report import Finding
from crm_core.imports.staging import Stage

MOST_ROWS = 1_000_000
"""A table with more rows is not compared; the finding says so."""
MOST_PAIRS = 50
_EXAMPLES = 3
_SHORTEST_NAME = 3
_READ = {
    "accounts": "t.name, t.custom->>'x_email', t.custom->>'x_phone', ''",
    "contacts": "t.name, t.email, t.phone, t.account_id",
    "leads": "t.custom->>'x_name', t.custom->>'x_email', t.custom->>'x_phone', ''",
}


@dataclass(slots=True)
class _Pairs:
    """The pairs found so far: how many new rows they touch, and the first of them in words."""

    touched: set[str] = field(default_factory=set)
    shown: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, first: tuple[str, bool], second: tuple[str, bool], sentence: str) -> None:
        """Keep a pair unless both were there before this import."""
        fresh = {key for key, is_new in (first, second) if is_new}
        if not fresh:
            return
        self.touched |= fresh
        if len(self.shown) < MOST_PAIRS:
            self.shown.setdefault((first[0], second[0]), sentence)


def tell(session: Session, stage: Stage) -> None:
    """Add a finding that names rows of the stage which may be duplicates of others."""
    table = stage.table.name
    if table not in _READ or not _has_new(session, stage):
        return
    total = session.execute(text(f"select count(*) from {table}")).scalar_one()
    if total > MOST_ROWS:
        stage.note(
            "possible duplicates", None, int(total),
            f"are too many to be compared with one another; at most {MOST_ROWS:,} are",
        )  # fmt: skip
        return
    found = _find(session, stage)
    if found.touched:
        stage.findings.append(
            Finding(
                "possible duplicates", table, None, len(found.touched),
                "may be records that are there already, or twice in the file",
                tuple(list(found.shown.values())[:_EXAMPLES]), tuple(found.shown),
            )
        )  # fmt: skip


def _has_new(session: Session, stage: Stage) -> bool:
    new = text(f"select exists (select from {stage.name} where _verdict = 'inserted')")
    return bool(session.execute(new).scalar_one())


def _find(session: Session, stage: Stage) -> _Pairs:
    """Compare by keys: the first record that has a key is the one that later ones repeat."""
    table = stage.table.name
    rows = session.execute(
        text(
            f"select t.id, {_READ[table]}, s.id is not null from {table} t"
            f" left join {stage.name} s on s.id = t.id and s._verdict = 'inserted'"
            " order by s.id is not null, t.id"
        ).execution_options(yield_per=5_000)
    )
    first: dict[tuple[str, str], tuple[str, bool]] = {}
    found = _Pairs()
    for key, name, email, phone, beside, is_new in rows:
        for reason, sign in _signs(name, email, phone, beside):
            before = first.setdefault((reason, sign), (key, is_new))
            if before[0] != key:
                found.add(before, (key, is_new), f"{before[0]} = {key} ({name}): {reason}")
    return found


def _signs(
    name: str | None, email: str | None, phone: str | None, beside: str
) -> Iterator[tuple[str, str]]:
    plain = likeness.name(name) if name else ""
    if len(plain) >= _SHORTEST_NAME or (plain and not plain.isascii()):
        yield "same name", f"{beside}\n{plain}"
    if email and email.strip():
        yield "same e-mail", likeness.email(email)
    digits = likeness.phone(phone) if phone else None
    if digits:
        yield "same telephone number", digits
