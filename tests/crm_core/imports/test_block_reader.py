"""Reading by the block answers what the careful reader answers, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core.errors import CrmError
from crm_core.imports import block_reader
from crm_core.imports.readers import Options, open_source

CAREFULLY = "ISO 8859-1"
"""ASCII text in another encoding than UTF-8 never goes by the block."""


def answer(path, encoding):
    """Return every row with its line and problem, or the message that stops the import."""
    rows = []
    try:
        with open_source(path, path.name, Options(encoding=encoding, delimiter=",")) as source:
            for batch in source.batches:
                rows += batch.to_pylist()
    except CrmError as error:
        return rows and [], error.message
    return rows, None


cell = st.text(alphabet="ab',\"\n\r =", max_size=4)
well_formed = st.lists(
    st.tuples(cell, cell).map(
        lambda pair: ",".join('"' + text.replace('"', '""') + '"' for text in pair)
    )
)
plain = st.lists(st.sampled_from(["1,2", "3,", ",", "'=1,x", '"a,b",""', "4,5,", "6", "7,8,9", ""]))
ends = st.sampled_from(["\n", "\r\n", "\r"])


@pytest.fixture(params=[7, 64, block_reader.BLOCK])
def block(request, monkeypatch):
    """Blocks so short that records cross their ends, and long ones."""
    monkeypatch.setattr(block_reader, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
class TestBlocks:
    @settings(max_examples=150, deadline=None)
    @given(body=st.text(alphabet='ab,"\n\r \x00', max_size=40))
    def test_read_any_text_as_the_careful_reader_does(self, tmp_path_factory, body):
        self.both_agree(tmp_path_factory, "id,name\n" + body)

    @settings(max_examples=150, deadline=None)
    @given(rows=st.one_of(well_formed, plain), end=ends, last=st.booleans())
    def test_read_well_formed_rows_as_the_careful_reader_does(
        self, tmp_path_factory, rows, end, last
    ):
        self.both_agree(tmp_path_factory, end.join(["id,name", *rows, *([""] * last)]))

    def both_agree(self, tmp_path_factory, text):
        path = tmp_path_factory.mktemp("block") / "a.csv"
        path.write_bytes(text.encode())
        assert answer(path, "UTF-8") == answer(path, CAREFULLY)

    def test_tell_the_line_after_cells_with_line_ends(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes(b'id,name\n1,"a\nb"\n' + b"2,c\n" * 50 + b"3\n" + b'4,"x"y\n5,z\n')
        rows, _ = answer(path, "UTF-8")
        assert [row["_line"] for row in rows] == [2, *range(4, 57)]
        assert [row["_problem"] for row in rows[-3:]] == [
            "the line has 1 cells, the header 2",
            "the line cannot be split: ',' expected after '\"'",
            None,
        ]
