"""Which rows refer to which: the database's foreign keys, and the looser ties of the format."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.imports.scratch import quoted
from crm_core.imports.tracking import Shape

_FOREIGN_KEYS = text(
    """
    select child.relname, a.attname, parent.relname, b.attname
    from pg_constraint k
    join pg_class child on child.oid = k.conrelid join pg_class parent on parent.oid = k.confrelid
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    join pg_attribute b on b.attrelid = k.confrelid and b.attnum = k.confkey[1]
    where k.contype = 'f' and cardinality(k.conkey) = 1
      and child.relnamespace = 'public'::regnamespace order by 1, 2
    """
)
_TYPES = text(
    """
    select a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute a
    join pg_index i on i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)
    where a.attrelid = cast(:table as regclass)
    """
)
_LOOSE = (("leads", "converted_opportunity_id", "opportunities"),)


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of a table that names a row of another."""

    table: str
    column: str
    parent: str
    parent_column: str


def every(session: Session) -> list[Reference]:
    """Return all references: foreign keys and those that only the exchange format knows."""
    found = {Reference(*map(str, row)) for row in session.execute(_FOREIGN_KEYS)}
    for table in exchange.TABLES:
        for column in table.columns:
            if column.refers_to is not None:
                found.add(Reference(table.name, column.name, column.refers_to, "id"))
    found |= {Reference(table, column, parent, "id") for table, column, parent in _LOOSE}
    return sorted(found, key=lambda each: (each.table, each.column, each.parent))


def of(session: Session, table: str) -> list[Reference]:
    """Return the references that rows of a table make."""
    return [each for each in every(session) if each.table == table]


def to(session: Session, table: str) -> list[Reference]:
    """Return the references that name rows of a table."""
    return [each for each in every(session) if each.parent == table]


def key_types(session: Session, table: str) -> dict[str, str]:
    """Return the SQL types of a table's primary key."""
    return {str(name): str(kind) for name, kind in session.execute(_TYPES, {"table": table})}


def matches(session: Session, shape: Shape, alias: str, entry: str) -> str:
    """Return the SQL that a row is the one that an entry of ``import_changes`` names."""
    types = key_types(session, shape.name)
    return " and ".join(
        f"{alias}.{quoted(name)} = {entry}.key[{place}]::{types[name]}"
        for place, name in enumerate(shape.key, 1)
    )
