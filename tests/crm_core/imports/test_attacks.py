"""Files made to harm: each is refused in a sentence, quickly, with and without a mapping."""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import time
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_core.errors import CrmError, printable
from crm_core.imports.operations import import_path
from crm_core.imports.readers import Options, open_source

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = (
    '<!DOCTYPE lolz [<!ENTITY l0 "lol">'
    + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    + "]>"
)


def workbook(path, change=lambda xml: xml):
    """Write a small workbook whose sheet's XML was changed."""
    book = openpyxl.Workbook()
    for row in (["id", "name"], ["1", "a"], ["2", "b"]):
        book.active.append(row)
    book.save(path)
    members = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            members[member.filename] = archive.read(member)
    members[SHEET] = change(members[SHEET])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def with_entities(xml, before=""):
    body = xml[xml.index(b"<worksheet") :].replace(b"<v>1</v>", b"<v>&l9;</v>")
    return ('<?xml version="1.0"?>' + before + ENTITIES).encode() + body


def in_utf_16(xml):
    text = with_entities(xml).decode()
    return text.replace('version="1.0"', 'version="1.0" encoding="UTF-16"').encode("utf-16")


def wide(xml):
    cells = "<c><v>1</v></c>" * 300_000
    name = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    return name + f"<sheetData><row>{cells}</row></sheetData></worksheet>".encode()


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("accounts.csv", b"id,name\n" + b"1,aaaaaaaaaaaa\n" * 1_200_000)


def slip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("accounts.csv", "id,name\n1,a\n")
        archive.writestr("../../evil.csv", "id,name\n1,a\n")


def endless(path, start=b"", size=200):
    """Write a file of ``size`` MiB whose last line never ends; its blocks take no space."""
    path.write_bytes(start)
    os.truncate(path, len(start))
    with path.open("ab") as stream:
        for _ in range(size):
            stream.write(b"x" * (1 << 20))


def repeated(path):
    value = pa.array(["x" * 6_000_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), value)
    pq.write_table(pa.table({"id": [str(i) for i in range(50_000)], "name": column}), path)


def not_text(path):
    right = pa.array(["ab", "cd"])
    wrong = pa.Array.from_buffers(
        pa.string(), 2, [None, right.buffers()[1], pa.py_buffer(b"\xff\xfecd")]
    )
    pq.write_table(pa.table({"id": ["a", "b"], "name": wrong}), path)


ATTACKS = {
    "an entity bomb.xlsx": (lambda p: workbook(p, with_entities), "declares entities"),
    "entities after a comment.xlsx": (
        lambda p: workbook(p, lambda x: with_entities(x, f"<!--{'x' * 5000}-->")),
        "declares entities",
    ),
    "entities in UTF-16.xlsx": (lambda p: workbook(p, in_utf_16), "declares entities"),
    "a row of too many cells.xlsx": (lambda p: workbook(p, wide), "more cells than a sheet"),
    "a row far below.xlsx": (
        lambda p: workbook(p, lambda x: x.replace(b'<row r="3"', b'<row r="1000000000"')),
        "numbers its rows",
    ),
    "spaces for a sheet.xlsx": (
        lambda p: workbook(p, lambda x: x + b" " * (40 << 20)),
        "times its size",
    ),
    "a bomb.zip": (bomb, "times its size"),
    "a slip.zip": (slip, "leads out of its folder"),
    "an endless header.csv": (endless, "line 1 is longer"),
    "an endless line.csv": (lambda p: endless(p, b"id,name\n1,"), "line 2 is longer"),
    "a million columns.csv": (
        lambda p: p.write_bytes(b",".join(b"c%d" % i for i in range(1_000_000))),
        "line 1 is longer",
    ),
    "a picture.csv": (
        lambda p: p.write_bytes(bytes(b for b in random.Random(2).randbytes(99_999) if b)),
        "is not text",
    ),
    "NUL.csv": (lambda p: p.write_bytes(b"id,name\n1,a\x00b\n"), "line 2 holds a NUL"),
    "a wrong byte.csv": (
        lambda p: p.write_bytes(b"id,name\n" + "1,北京\n".encode() * 99 + b"2,\xff\n"),
        "line 101: byte 0xFF",
    ),
    "one long value for many rows.parquet": (repeated, "a cell is longer"),
    "NUL.parquet": (
        lambda p: pq.write_table(pa.table({"id": ["a"], "name": ["x\x00y"]}), p),
        "holds a NUL character",
    ),
    "bytes that are not text.parquet": (not_text, "is not UTF-8"),
    "two thousand columns too many.parquet": (
        lambda p: pq.write_table(pa.table({f"c{i}": [1] for i in range(2_100)}), p),
        "columns",
    ),
}


@pytest.mark.parametrize("mapped", [False, True], ids=["in the exchange format", "mapped"])
@pytest.mark.parametrize("name", ATTACKS)
def test_is_refused_quickly(engine, tmp_path, name, mapped):
    write, said = ATTACKS[name]
    ending = name.rpartition(".")[2]
    path = tmp_path / f"accounts.{ending}"
    write(path)
    mapping = None
    if mapped or ending == "zip":
        member = ", member: accounts.csv" if ending == "zip" else ""
        mapping = tmp_path / "mapping.yaml"
        mapping.write_text(
            f"name: m\nfiles: {{a: {{path: {path.name}{member}}}}}\n"
            "company: {name: A, currency: EUR, time_zone: UTC}\n"
            "tables: [{table: accounts, from: a, columns: {id: id, name: name}}]\n"
        )
    started = time.process_time()
    with pytest.raises(CrmError, match=re.escape(said)) as caught:
        import_path(
            engine,
            path if mapping else with_company(path),
            mapping=mapping,
            recorded_at=NOW,
            dry_run=False,
            rejected_folder=None,
            progress=None,
        )
    assert time.process_time() - started < 2
    assert len(caught.value.message) < 500
    assert not (tmp_path.parent / "evil.csv").exists()


def with_company(path):
    (path.parent / "company.csv").write_text("name,currency,time_zone\nA,EUR,UTC\n")
    return path.parent


def test_a_workbook_that_claims_to_be_vast_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, lambda xml: xml.replace(b'ref="A1:B3"', b'ref="A1:XFD1048576"'))
    started = time.process_time()
    with open_source(path, path.name, Options()) as source:
        rows = [row for batch in source.batches for row in batch.to_pylist()]
    assert [(row["id"], row["name"]) for row in rows] == [("1", "a"), ("2", "b")]
    assert time.process_time() - started < 1


def test_names_and_values_never_reach_a_terminal_raw(engine, tmp_path):
    path = tmp_path / "accounts.csv"
    path.write_bytes(b"id,na\x1b[31mme\n1,\x1b]0;pwned\x07\n")
    with pytest.raises(CrmError) as caught:
        import_path(
            engine,
            with_company(path),
            mapping=None,
            recorded_at=NOW,
            dry_run=True,
            rejected_folder=None,
            progress=None,
        )
    assert "na\\x1b[31mme" in caught.value.message
    assert printable("\x1b\u202e\x9b ü 北京\n") == "\\x1b\\u202e\\x9b ü 北京\n"
