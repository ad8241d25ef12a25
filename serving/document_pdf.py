"""Documents as PDF: A4, every page headed and stamped, Latin and Chinese side by side."""

from __future__ import annotations

import datetime as dt
import io
import unicodedata
from html import escape
from itertools import groupby
from typing import Any

from babel import Locale
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from crm_core.money import Money
from serving import formats
from serving.documents import Cell, Document, Figure

_LATIN, _BOLD, _CHINESE = "Helvetica", "Helvetica-Bold", "STSong-Light"
"""Fonts that every PDF reader brings: nothing to ship; what one lacks the other has."""

_WIDE = 6
_INK, _SOFT, _LINE = (colors.HexColor(code) for code in ("#13212f", "#5d6f80", "#c3ced8"))


def pdf_file(document: Document, *, language: str, locale: Locale) -> bytes:
    """Return the document as a PDF; amounts exact, in the reader's way of writing numbers."""
    pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
    page = landscape(A4) if len(document.columns) > _WIDE else A4
    text = ParagraphStyle("text", fontName=_LATIN, fontSize=8.5, leading=12, textColor=_INK)
    head = ParagraphStyle("head", parent=text, fontName=_BOLD, fontSize=15, leading=21)
    soft = ParagraphStyle("soft", parent=text, fontSize=8, leading=11.5, textColor=_SOFT)
    title = document.title.text(language)
    story: list[Flowable] = [Paragraph(mixed(title), head), Spacer(1, 2 * mm)]
    for mark in document.stamp:
        said = f"{mark.name.text(language)}: {mark.value.text(language)}"
        story.append(Paragraph(mixed(said), soft))
    if document.note is not None:
        story.append(Paragraph(mixed(document.note.text(language)), text))
    story += [Spacer(1, 4 * mm), _table(document, language, locale, text, page[0] - 28 * mm)]
    target = io.BytesIO()
    SimpleDocTemplate(
        target, pagesize=page, title=title, author="Winward", invariant=1,
        leftMargin=14 * mm, rightMargin=14 * mm, topMargin=13 * mm, bottomMargin=15 * mm,
    ).build(story, onFirstPage=_number, onLaterPages=_number)  # fmt: skip
    return target.getvalue()


def _number(canvas: Any, page: Any) -> None:  # noqa: ANN401 - reportlab's own
    canvas.setFont(_LATIN, 7.5)
    canvas.setFillColor(_SOFT)
    canvas.drawRightString(page.pagesize[0] - 14 * mm, 8 * mm, str(canvas.getPageNumber()))


def _table(
    document: Document, language: str, locale: Locale, style: ParagraphStyle, width: float
) -> Table:
    right = ParagraphStyle("right", parent=style, alignment=2)
    first = ParagraphStyle("first", parent=style, fontName=_BOLD, fontSize=8)
    last = ParagraphStyle("last", parent=first, alignment=2)
    is_number = [column.kind == "number" for column in document.columns]
    rows: list[list[Paragraph]] = [
        [
            Paragraph(mixed(name), last if number else first)
            for name, number in zip(document.headings(language), is_number, strict=True)
        ]
    ]
    for row in document.rows:
        rows.append(
            [
                Paragraph(mixed(spoken(cell, locale=locale)), right if number else style)
                for cell, number in zip(row, is_number, strict=True)
            ]
        )
    table = Table(rows, colWidths=_widths(document, language, locale, width), repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, _SOFT),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )
    return table


def _widths(document: Document, language: str, locale: Locale, width: float) -> list[float]:
    """Return column widths by what they hold; numbers never break, texts share the rest."""
    needs = []
    for place, head in enumerate(document.headings(language)):
        shown = [_breadth(spoken(row[place], locale=locale)) for row in document.rows[:500]]
        needs.append((max([min(30.0, each) for each in shown] + [min(18.0, _breadth(head))])) + 2)
    return [width * need / sum(needs) for need in needs]


def _breadth(text: str) -> float:
    return sum(1.9 if ord(letter) > 0x2E80 else 1.0 for letter in text)


def spoken(cell: Cell, *, locale: Locale) -> str:
    """Return a value as a reader of the language writes it, exact."""
    if isinstance(cell, Money):
        return formats.money(cell, locale=locale, style="exact")
    if isinstance(cell, Figure):
        if cell.unit == "ratio":
            return formats.number(cell.value, locale=locale, style="tenths")
        return formats.number(cell.value, locale=locale)
    if isinstance(cell, dt.date):
        return cell.isoformat()
    return formats.ABSENT if cell is None else cell


def mixed(text: str) -> str:
    """Return a text as a paragraph's markup, each letter in the font that has it."""
    runs = groupby((_drawable(letter) for letter in text), key=_is_latin)
    return "".join(
        escape("".join(run)) if latin else f'<font name="{_CHINESE}">{escape("".join(run))}</font>'
        for latin, run in runs
    )


def _is_latin(letter: str) -> bool:
    return bool(letter.encode("cp1252", "ignore"))


def _drawable(letter: str) -> str:
    """Return the letter, or for an accented one that neither font has its plain form."""
    if _is_latin(letter) or ord(letter) > 0x2E80:
        return letter
    plain = unicodedata.normalize("NFKD", letter)[0]
    return plain if _is_latin(plain) else letter.replace("\u2212", "-")
