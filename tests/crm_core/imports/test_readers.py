"""What a file is, in which encoding and with which delimiter; and what is refused."""

from __future__ import annotations

import struct
import time
import zipfile

import openpyxl
import pytest

from crm_core.errors import Invalid
from crm_core.imports import encodings, limits
from crm_core.imports.readers import NotReadable, Options, open_source

ROWS = [["id", "name"], ["1", "Łódź"], ["2", "b, c"]]


def write(path, content):
    path.write_bytes(content)
    return path


def cells(path, **options):
    with open_source(path, path.name, Options(**options)) as source:
        tables = list(source.batches)
    rows = [list(row.values())[2:] for table in tables for row in table.to_pylist()]
    return source, rows


def problems(path):
    with open_source(path, path.name, Options()) as source:
        return [
            (row["_line"], row["_problem"]) for table in source.batches for row in table.to_pylist()
        ]


class TestEncoding:
    @pytest.mark.parametrize(
        ("codec", "text", "name"),
        [
            ("utf-8", "客户,名称\n1,北京分公司\n", "UTF-8"),
            ("utf-8-sig", "客户,名称\n1,北京分公司\n", "UTF-8 with BOM"),
            ("utf-16", "客户,名称\n1,北京分公司\n", "UTF-16 LE"),
            ("utf-16-le", "id,name\n1,Smith and Sons\n", "UTF-16 LE"),
            ("utf-16-be", "id,name\n1,Smith and Sons\n", "UTF-16 BE"),
            ("gb18030", "客户,名称\n1,北京分公司\n2,上海有限公司\n", "GB18030"),
            ("cp1252", "id,name\n1,Müller GmbH\n2,Société générale – Paris\n", "Windows-1252"),
        ],
    )
    def test_is_detected_and_named(self, tmp_path, codec, text, name):
        source, rows = cells(write(tmp_path / "a.csv", text.encode(codec)))
        assert source.encoding == name
        assert [source.names, *rows] == [line.split(",") for line in text.splitlines()]

    def test_with_one_bad_byte_is_an_error_that_names_the_line(self, tmp_path):
        text = "id,name\n" + "1,北京分公司\n" * 50
        path = write(tmp_path / "a.csv", text.encode() + b"2,\xff\xfe\n")
        with pytest.raises(encodings.Undecodable, match="line 52: byte 0xFF is not UTF-8"):
            cells(path)

    def test_named_by_the_mapping_and_wrong_is_an_error_with_the_line(self, tmp_path):
        path = write(tmp_path / "a.csv", b"id,name\n1,ok\n2,\xff\xff\n")
        with pytest.raises(encodings.Undecodable, match="line 3"):
            cells(path, encoding="GB18030")


class TestDelimited:
    @pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
    def test_finds_the_delimiter(self, tmp_path, mark):
        path = write(tmp_path / "a.csv", f'id{mark}name\r\n1{mark}"x{mark} y"\r\n'.encode())
        source, rows = cells(path)
        assert (source.delimiter, rows) == (mark, [["1", f"x{mark} y"]])

    def test_reads_quotes_as_rfc_4180_says(self, tmp_path):
        path = write(tmp_path / "a.csv", b'id,name\n1,"a ""b""\nc"\n\n2,\n')
        _, rows = cells(path)
        assert rows == [["1", 'a "b"\nc'], ["2", None]]

    def test_tells_the_line_of_a_row_that_does_not_fit(self, tmp_path):
        path = write(tmp_path / "a.csv", b'id,name\n1,"a\nb"\n2\n3,x,y\n4,z,\n')
        assert problems(path) == [
            (2, None),
            (4, "the line has 1 cells, the header 2"),
            (5, "the line has 3 cells, the header 2"),
            (6, None),
        ]

    def test_reads_fixed_widths(self, tmp_path):
        path = write(tmp_path / "a.txt", b"001 Ann  \n002 Bob  \n")
        source, rows = cells(path, format="fixed", widths=(("id", 0, 3), ("name", 4, 9)))
        assert (source.names, rows) == (["id", "name"], [["001", "Ann"], ["002", "Bob"]])


class TestWorkbook:
    def book(self, path):
        book = openpyxl.Workbook()
        sheet = book.active
        import datetime as dt

        for row in (
            ["id", "when", "n", "yes"],
            [1, dt.datetime(2026, 2, 3), 1.5, True],
            ["2", dt.datetime(2026, 2, 3, 4, 5), 7.0, None],
        ):
            sheet.append(row)
        book.save(path)
        return path

    def test_gives_dates_and_numbers_as_canonical_text(self, tmp_path):
        _, rows = cells(self.book(tmp_path / "a.xlsx"))
        assert rows == [["1", "2026-02-03", "1.5", "true"], ["2", "2026-02-03 04:05:00", "7", None]]

    def test_is_recognised_under_another_name_and_text_named_xlsx_too(self, tmp_path):
        source, _ = cells(self.book(tmp_path / "a.xlsx").rename(tmp_path / "a.csv"))
        assert source.format == "xlsx"
        source, rows = cells(write(tmp_path / "b.xlsx", b"id,name\n1,x\n"))
        assert (source.format, rows) == ("csv", [["1", "x"]])

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
    def test_that_is_cut_off_is_a_clear_error(self, tmp_path, share):
        whole = self.book(tmp_path / "a.xlsx").read_bytes()
        path = write(tmp_path / "cut.xlsx", whole[: int(len(whole) * share)])
        with pytest.raises(limits.Damaged, match=r"cut\.xlsx is a damaged or cut-off"):
            cells(path)

    def test_that_declares_entities_is_refused(self, tmp_path):
        path = self.book(tmp_path / "a.xlsx")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("xl/worksheets/evil.xml", "<!DOCTYPE x [<!ENTITY a 'b'>]><x/>")
        with pytest.raises(limits.Refused, match="entities"):
            cells(path)


def archive_of(path, name, size):
    """Write a zip whose directory claims that a member unpacks to ``size`` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"0" * 1000)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, size)
    path.write_bytes(bytes(data))
    return path


class TestBombs:
    @pytest.mark.parametrize(
        ("name", "size", "part"),
        [
            ("data.csv", 0xF0000000, "times its size"),
            ("../../etc/passwd", 1000, "out of its folder"),
            ("/etc/passwd", 1000, "out of its folder"),
            ("..\\x.csv", 1000, "out of its folder"),
        ],
    )
    def test_in_an_archive_are_refused_at_once(self, tmp_path, name, size, part):
        path = archive_of(tmp_path / "a.zip", name, size)
        started = time.perf_counter()
        with pytest.raises(limits.Refused, match=part):
            limits.open_archive(path)
        assert time.perf_counter() - started < 1

    def test_of_one_endless_line_or_a_million_columns_are_refused(self, tmp_path):
        endless = write(tmp_path / "a.csv", b"id,name\n1," + b"x" * 3_000_000)
        with pytest.raises(limits.Refused, match="line 2 is longer"):
            cells(endless)
        wide = write(tmp_path / "b.csv", b",".join(b"c%d" % i for i in range(100_000)))
        with pytest.raises(limits.Refused, match="100,000 columns"):
            cells(wide)
        wider = write(tmp_path / "c.csv", b",".join(b"c%d" % i for i in range(1_000_000)))
        with pytest.raises(limits.Refused):
            cells(wider)

    def test_with_nul_bytes_are_refused(self, tmp_path):
        with pytest.raises(limits.Refused, match="line 3 holds a NUL"):
            cells(write(tmp_path / "a.csv", b"id,name\n1,a\n2,\x00\n"))


@pytest.mark.parametrize(
    ("head", "what"),
    [(b"\xd0\xcf\x11\xe0", "old Excel"), (b"\x1f\x8b\x08", "gzip"), (b"%PDF-1.7", "PDF")],
)
def test_other_kinds_of_files_are_named_and_turned_away(tmp_path, head, what):
    with pytest.raises(NotReadable, match=what):
        cells(write(tmp_path / "a.csv", head + b"\x00" * 20))


def test_an_empty_file_says_what_is_missing(tmp_path):
    with pytest.raises(Invalid, match="is empty"):
        cells(write(tmp_path / "a.csv", b""))
