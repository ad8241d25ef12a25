"""The company that an import belongs to: its currency and time zone decide how rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.numbers import list_currencies
from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.imports import readers, resolving
from crm_core.imports.mapping import CompanySpec, Mapping
from crm_core.imports.tracking import Tracker
from crm_core.people import models as people


class NoCompany(NotFound):
    """Neither the store nor the files say whose data this is."""


@dataclass(frozen=True, slots=True)
class Company:
    """Currency and time zone; ``new`` is a company to be written because the store has none."""

    currency: str
    time_zone: str
    new: CompanySpec | None = None

    def ensure(self, session: Session, tracker: Tracker) -> None:
        """Write the mapping's company if the store still has none."""
        if self.new is not None and session.get(people.Company, 1) is None:
            session.add(people.Company(id=1, **self.new.model_dump()))
            session.flush()
            tracker.keep_inserted(session, "company", "true")


def decide(session: Session, mapping: Mapping, found: list[resolving.Found]) -> Company:
    """Return the company: from its own file, else the store's, else the mapping's.

    Raises NoCompany, or Invalid for an unknown currency or time zone.
    """
    for file in found:
        if any(spec.table == "company" and spec.source == file.key for spec in mapping.tables):
            return _from_file(file)
    stored = session.scalars(select(people.Company)).one_or_none()
    if stored is not None:
        return Company(stored.currency, stored.time_zone)
    if mapping.company is None:
        raise NoCompany(
            "The store has no company yet; add a company.csv (name, currency, time_zone) "
            "or a company to the mapping."
        )
    _check(mapping.name, mapping.company.currency, mapping.company.time_zone)
    return Company(mapping.company.currency, mapping.company.time_zone, mapping.company)


def _from_file(file: resolving.Found) -> Company:
    with readers.open_source(file.path, file.label, file.options) as source:
        batch = next(source.batches, None)
    if batch is None:
        raise Invalid(f"{file.label} has no row; it must hold the company.")
    row = batch.slice(0, 1).to_pylist()[0]
    currency, zone = row.get("currency"), row.get("time_zone")
    if not currency or not zone:
        raise Invalid(f"{file.label}, line 2: currency and time_zone must be given.")
    _check(f"{file.label}, line 2", str(currency), str(zone))
    return Company(str(currency), str(zone))


def _check(where: str, currency: str, time_zone: str) -> None:
    if currency not in list_currencies():
        raise Invalid(f"{where}: {currency!r} is not an ISO 4217 currency code such as EUR.")
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(
            f"{where}: {time_zone!r} is not a time zone such as Europe/Berlin."
        ) from error
