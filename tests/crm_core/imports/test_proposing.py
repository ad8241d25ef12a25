"""A mapping proposed for a foreign file: what it recognises, what it leaves to a person."""

from __future__ import annotations

import datetime as dt

import openpyxl
import pytest

from crm_core.errors import Invalid, NotFound
from crm_core.imports.mapping import parse
from crm_core.imports.operations import import_path
from crm_core.imports.proposing import propose
from crm_core.imports.synonyms import plain, stage_kind

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
COMPANY = "company: {name: A, currency: EUR, time_zone: Europe/Berlin}\n"
DEALS = (
    "商机编号,商机名称,客户名称,销售阶段,金额,创建时间,成交日期,备注,空列\n"
    '1,甲,北京公司,谈判,"1,200.50",2026年01月05日,,好,\n'
    '2,乙,上海公司,赢单,"3,000.00",2026年01月06日,2026年02月01日,,\n'
)
CUSTOMERS = "Customer Name,Country,Employees,FoundedOn\n北京公司,CN,100,NULL\n上海公司,CN,20,2001\n"


def becomes(proposal):
    return {m.source.name: m.target for file in proposal.files for m in file.matches}


class TestAFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "商机.csv").write_bytes(DEALS.encode("gb18030"))
        (tmp_path / "客户.csv").write_text(CUSTOMERS)
        return tmp_path

    def test_in_chinese_and_english_is_recognised(self, folder):
        proposal = propose(folder)
        assert [file.table for file in proposal.files] == ["opportunities", "accounts"]
        assert becomes(proposal) == {
            "商机编号": "id",
            "商机名称": "name",
            "客户名称": "account_id",
            "销售阶段": "stage",
            "金额": "amount",
            "创建时间": "created_at",
            "成交日期": "closed_at",
            "备注": "x_备注",
            "空列": None,
            "Customer Name": "name",
            "Country": "country",
            "Employees": "employees",
            "FoundedOn": "x_founded_on",
        }
        assert (proposal.coverage, proposal.cells, proposal.is_complete) == (1, 1, True)

    def test_comes_in_through_what_was_proposed(self, engine, folder, tmp_path):
        proposal = propose(folder)
        mapping = tmp_path / "proposed.yaml"
        mapping.write_text(proposal.yaml + COMPANY)
        report = import_path(
            engine,
            folder,
            mapping=mapping,
            recorded_at=NOW,
            dry_run=False,
            rejected_folder=None,
            progress=None,
        )
        assert report.rejections == []
        assert {name: c.inserted for name, c in report.tables.items()} == {
            "accounts": 2,
            "opportunities": 2,
        }

    def test_says_what_it_saw(self, folder):
        mapping = parse(propose(folder).yaml.encode(), "proposed")
        (deals, accounts) = sorted(mapping.tables, key=lambda table: table.table, reverse=True)
        assert [(s.stage, s.kind) for s in mapping.stages] == [("谈判", "open"), ("赢单", "won")]
        assert deals.columns["created_at"].dates == ["%Y年%m月%d日"]
        assert deals.columns["amount"].number.thousands == ","
        assert deals.columns["account_id"].expression == 'slug("客户名称")'
        assert accounts.columns["id"].expression == 'slug("Customer Name")'
        assert [file.missing for file in mapping.files.values()] == [[], ["NULL"]]
        assert mapping.files[deals.source].dropped == ["空列"]


class TestWhatAPersonMustDecide:
    def test_is_a_required_column_nobody_found(self, tmp_path):
        (tmp_path / "orders.csv").write_text("Order Number,Amount,Colour\n1,2,red\n")
        proposal = propose(tmp_path / "orders.csv")
        assert proposal.files[0].missing == ("account_id", "ordered_on")
        assert not proposal.is_complete
        assert "# TODO account_id" in proposal.yaml

    def test_is_a_date_that_two_formats_read(self, tmp_path):
        (tmp_path / "orders.csv").write_text(
            "Order Number,Order Date\n1,03/04/2026\n1,05/06/2026\n"
        )
        text = propose(tmp_path / "orders.csv").yaml
        assert "TODO %m/%d/%Y reads every value too" in text
        assert "TODO id repeats: 1 values in 2 rows" in text

    def test_is_data_a_table_has_no_place_for(self, tmp_path):
        (tmp_path / "invoices.csv").write_text("Invoice Number,Amount,Colour\n1,2,red\n2,3,\n")
        proposal = propose(tmp_path / "invoices.csv")
        assert becomes(proposal)["Colour"] is None
        assert proposal.coverage == pytest.approx(2 / 3)
        assert proposal.cells == pytest.approx(4 / 5)

    def test_is_a_file_that_looks_like_nothing(self, tmp_path):
        (tmp_path / "z.csv").write_text("aa,bb\n1,2\n")
        proposal = propose(tmp_path)
        assert (proposal.files[0].table, proposal.coverage) == (None, 0)

    def test_a_kind_that_does_not_fit_is_no_match(self, tmp_path):
        (tmp_path / "accounts.csv").write_text("Name,Employees\nA,many\nB,few\n")
        assert becomes(propose(tmp_path))["Employees"] == "x_employees"


def test_every_sheet_of_a_workbook_is_a_file(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "Customers"
    book.active.append(["Customer Name", "Country"])
    book.active.append(["A", "CN"])
    sheet = book.create_sheet("Products")
    sheet.append(["Product Name", "Price"])
    sheet.append(["P", 3])
    book.save(tmp_path / "all.xlsx")
    assert [file.table for file in propose(tmp_path / "all.xlsx").files] == ["accounts", "products"]


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(NotFound, match="does not exist"):
        propose(tmp_path / "absent")
    with pytest.raises(NotFound, match="holds no CSV"):
        propose(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(Invalid, match="is empty"):
        propose(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [("OrderDate", "order date"), ("customerID", "customer id"), ("  E-Mail ", "e mail")],
)
def test_names_are_compared_without_marks(name, said):
    assert plain(name) == said


def test_stages_are_known_by_their_names():
    assert [stage_kind(name) for name in ("Closed Won", "输单", "On-Hold", "Demo")] == [
        "won",
        "lost",
        "on_hold",
        "open",
    ]
