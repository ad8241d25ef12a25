"""A document holds the same values in every form, as what they are, and runs nothing."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import zlib
from base64 import a85decode
from decimal import Decimal

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from crm_core.money import Money
from serving.document_files import csv_file, xlsx_file
from serving.document_pdf import mixed, pdf_file
from serving.documents import Column, Document, Figure, Mark, TooMuchToExport
from serving.explanations import Words

EN, ZH = Locale.parse("en"), Locale.parse("zh_CN")
COLUMNS = (
    Column("name", Words("Name", "名称")),
    Column("day", Words("Day", "日期"), "day"),
    Column("amount", Words("Amount", "金额"), "number"),
    Column("share", Words("Share", "占比"), "number"),
)
STAMP = (Mark("as_of", Words("As of", "截至"), Words("30 Jun 2026", "2026年6月30日")),)
ROW = (
    "Söhne 云帆",
    dt.date(2026, 6, 30),
    Money(123_456_789, "EUR"),
    Figure(Decimal(1) / 3, "ratio"),
)


def a_document(*rows, columns=COLUMNS):
    return Document(
        name="numbers", title=Words("Numbers", "业绩"), columns=columns, rows=rows, stamp=STAMP
    )


def read_csv(content):
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


def read_xlsx(content):
    return load_workbook(io.BytesIO(content))


def drawn(pdf):
    """The texts that a PDF draws."""
    parts = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        parts.append(zlib.decompress(a85decode(stream.strip().removesuffix(b"~>"))))
    return b"".join(parts).decode("latin-1")


class TestCsv:
    def test_holds_plain_numbers_and_the_stamp_in_each_row(self):
        head, row = read_csv(csv_file(a_document(ROW), language="en"))
        assert head == ["Name", "Day", "Amount (EUR)", "Share", "as_of"]
        assert row == ["Söhne 云帆", "2026-06-30", "1234567.89", "0.333333333333", "30 Jun 2026"]

    def test_opens_in_excel_as_utf_8_with_chinese_heads(self):
        content = csv_file(a_document(ROW), language="zh-CN")
        assert content.startswith(b"\xef\xbb\xbf")
        assert read_csv(content)[0][0] == "名称"

    def test_leaves_a_missing_value_empty_and_negative_amounts_numbers(self):
        row = ("x", None, Money(-5, "JPY"), None)
        assert read_csv(csv_file(a_document(row), language="en"))[1][:4] == ["x", "", "-5", ""]

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\t=1", "\r=1", "'=1"])
    def test_lets_no_text_run(self, text):
        cell = read_csv(csv_file(a_document((text, None, None, None)), language="en"))[1][0]
        assert cell == "'" + text


class TestXlsx:
    def test_holds_numbers_as_numbers_and_days_as_days(self):
        book = read_xlsx(xlsx_file(a_document(ROW), language="en"))
        cells = list(book["Numbers"].iter_rows())[1]
        assert cells[1].value == dt.datetime(2026, 6, 30)
        assert (cells[2].value, cells[2].number_format) == (1234567.89, "#,##0.00")
        assert (cells[3].value, cells[3].number_format) == (0.333333333333, "0.0%")
        assert [cell.value for cell in book["About"][1]] == ["As of", "30 Jun 2026"]

    def test_tells_its_sheets_in_chinese(self):
        book = read_xlsx(xlsx_file(a_document(ROW), language="zh-CN"))
        assert book.sheetnames == ["业绩", "说明"]
        assert book["业绩"]["C1"].value == "金额 (EUR)"

    @pytest.mark.parametrize("text", ["=1+1", "=cmd|' /C calc'!A0", "@x", "-x"])
    def test_lets_no_text_run(self, text):
        cell = read_xlsx(xlsx_file(a_document((text, None, None, None)), language="en"))["Numbers"][
            "A2"
        ]
        assert (cell.value, cell.data_type) == (text, "s")

    @settings(max_examples=30, deadline=None)
    @given(st.text(max_size=30), st.integers(-(10**15), 10**15))
    def test_takes_any_text_and_any_amount(self, text, minor):
        document = a_document((text, None, Money(minor, "EUR"), None))
        row = read_xlsx(xlsx_file(document, language="en"))["Numbers"]
        assert Money(
            int((Decimal(str(row["C2"].value)) * 100).to_integral_value()), "EUR"
        ) == Money(minor, "EUR")
        csv_file(document, language="en").decode() if text.isascii() else None


class TestPdf:
    def test_writes_amounts_exactly_and_latin_beside_chinese(self):
        text = drawn(pdf_file(a_document(ROW), language="en", locale=EN))
        assert "(\\2001,234,567.89)" in text  # the euro sign of the Latin font
        assert "(33.3%)" in text
        assert "(S\\366hne )" in text
        assert _wide("云帆") in text

    def test_is_the_same_twice_and_speaks_chinese(self):
        document = a_document(*[ROW] * 120)
        first = pdf_file(document, language="zh-CN", locale=ZH)
        assert first == pdf_file(document, language="zh-CN", locale=ZH)
        text = drawn(first)
        assert text.count(_wide("金额")) > 1  # the head stands on every page
        assert _wide("截至") in text

    def test_draws_each_letter_in_a_font_that_has_it(self):
        assert mixed("a<b 云 c") == 'a&lt;b <font name="STSong-Light">云</font> c'
        assert mixed("Łódź") == "Łódz".replace("Ł", '<font name="STSong-Light">Ł</font>')


def _wide(text):
    """How a PDF writes text in the Chinese font: two bytes a letter, some escaped."""
    escaped = {"\\": "\\\\", "(": "\\(", ")": "\\)"}
    letters = text.encode("utf-16-be").decode("latin-1")
    return "".join(escaped.get(c, c if 32 <= ord(c) < 127 else f"\\{ord(c):03o}") for c in letters)


class TestADocument:
    @pytest.mark.parametrize(("form", "most"), [("pdf", 2_000), ("csv", 100_000)])
    def test_leaves_no_row_out_but_refuses(self, form, most):
        a_document(*[ROW] * most).fits(form)
        with pytest.raises(TooMuchToExport, match="shorter period"):
            a_document(*[ROW] * (most + 1)).fits(form)

    def test_names_no_currency_over_several(self):
        other = (*ROW[:2], Money(1, "USD"), None)
        assert list(a_document(ROW, other).headings("en"))[2] == "Amount"

    @pytest.mark.parametrize(
        ("value", "plain"), [("1E+3", "1000"), ("0.50", "0.5"), ("0", "0"), ("-0", "0")]
    )
    def test_writes_figures_plainly(self, value, plain):
        assert f"{Figure(Decimal(value), 'count').plain:f}" == plain
