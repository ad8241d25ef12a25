"""The one door through which tables leave the pages: permission, stamp, form and audit.

A document holds what the page and the API show, under the same visibility. That somebody took
it along is written into the audit log.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from babel import Locale
from sqlalchemy.orm import Session

from crm_core.audit.operations import record_here
from crm_core.people import permissions
from crm_core.people import queries as people
from crm_core.people.queries import Viewer
from crm_core.periods import Period
from serving.documents import MEDIA_TYPES, Document, Form, Mark
from serving.explanations import Words
from serving.languages import Language


@dataclass(frozen=True, slots=True)
class File:
    """A document ready to be sent."""

    name: str
    media_type: str
    content: bytes


def deliver(
    session: Session, document: Document, *, form: Form, viewer: Viewer, language: Language
) -> File:
    """Return a document as a file, written down in the audit log.

    Raises MayNot for who may not export numbers, and TooMuchToExport.
    """
    permissions.require(viewer, "export", "metrics")
    document.fits(form)
    content = _content(document, form, tag=language.tag, locale=language.locale)
    record_here(
        session, action="export", table="metrics", record_id=document.name,
        changes={"form": (None, form), "rows": (None, len(document.rows))},
    )  # fmt: skip
    name = re.sub(r"[^A-Za-z0-9_-]", "_", document.name)
    return File(f"{name}.{form}", MEDIA_TYPES[form], content)


def _content(document: Document, form: Form, *, tag: str, locale: Locale) -> bytes:
    if form == "pdf":
        from serving.document_pdf import pdf_file  # noqa: PLC0415 - only where a PDF is made

        return pdf_file(document, language=tag, locale=locale)
    from serving import document_files  # noqa: PLC0415 - openpyxl only where a file is made

    make = document_files.csv_file if form == "csv" else document_files.xlsx_file
    return make(document, language=tag)


def stamp(
    session: Session,
    *,
    viewer: Viewer,
    period: Period,
    as_of: dt.datetime,
    about: Words,
    definitions: dict[str, int],
) -> tuple[Mark, ...]:
    """Return what a document says of itself.

    ``about`` is whose numbers they are, ``definitions`` the version of each metric in it.
    """
    row = people.company(session)
    zone = ZoneInfo(row.time_zone)
    moment = f"{as_of.astimezone(zone).isoformat(timespec='seconds')} ({zone.key})"
    versions = ", ".join(f"{metric} v{version}" for metric, version in definitions.items())
    days = f"{period.name} ({period.start} – {period.end - dt.timedelta(days=1)})"
    is_said = "simulated" in row.name.lower()
    source = f"{row.name} (simulated)" if row.is_simulated and not is_said else row.name
    plain = (
        ("company", Words("Company", "公司"), source),
        ("period", Words("Period", "期间"), days),
        ("as_of", Words("As of", "截至"), moment),
        ("exported_by", Words("Exported by", "导出人"), f"{viewer.name} <{viewer.email}>"),
        ("definitions", Words("Definitions", "指标版本"), versions),
    )
    marks = [Mark(key, name, Words(value, value)) for key, name, value in plain]
    return (*marks[:3], Mark("about", Words("Of", "范围"), about), *marks[3:])


def whose(name: str | None) -> Words:
    """Return in words whose numbers a document holds: one person's, or all one may see."""
    return (
        Words("everybody you may see", "您可查看的全部人员") if name is None else Words(name, name)
    )
