"""A file's custom fields are held to the rules that the API holds them to."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.database import transaction
from crm_core.records import custom_fields
from crm_core.records.custom_fields import Definition, Rules
from tests import factories
from tests.crm_core.imports.stores import NOW, bring, one

RULES = {
    "x_size": ("number", Rules(minimum="1", maximum="9")),
    "x_since": ("date", Rules(minimum="2020-01-01")),
    "x_code": ("text", Rules(pattern="[A-Z]{2}[0-9]+")),
    "x_colour": ("category", Rules(options=("red", "蓝"), required=True)),
}
HEADER = "id,name,x_size,x_since,x_code,x_colour\n"


@pytest.fixture
def defined(engine):
    with transaction(engine) as session:
        factories.a_company(session)
        for name, (kind, rules) in RULES.items():
            custom_fields.define(
                session, Definition(table="accounts", name=name, kind=kind, rules=rules),
                user_id=None, recorded_at=NOW,
            )  # fmt: skip


def accounts(tmp_path, text):
    tmp_path.joinpath("accounts.csv").write_text(text)
    return tmp_path


def refused(report):
    return {each.line: (each.column, each.value) for each in report.rejections}


def test_rejects_by_name_and_reason_what_breaks_a_rule(engine, defined, tmp_path):
    rows = [
        "ok,A,5,2021-01-01,AB1,red", "blank,A,,,,蓝", "low,A,0.5,,,red", "high,A,10,,,red",
        "early,A,,2019-12-31,,red", "odd,A,,,ab1,red", "green,A,,,,green", "none,A,5,,,",
    ]  # fmt: skip
    report, _ = bring(engine, accounts(tmp_path, HEADER + "\n".join(rows) + "\n"))
    assert report.tables["accounts"].inserted == 2
    assert refused(report) == {
        4: ("x_size", "0.5"), 5: ("x_size", "10.0"), 6: ("x_since", "2019-12-31"),
        7: ("x_code", "ab1"), 8: ("x_colour", "green"), 9: ("x_colour", None),
    }  # fmt: skip
    said = {each.line: each.reason for each in report.rejections}
    assert said[4] == "x_size is below 1"
    assert said[9] == "x_colour is missing; every one of accounts must have it"


def test_asks_for_a_required_field_of_new_rows_only(engine, defined, tmp_path):
    bring(engine, accounts(tmp_path, HEADER + "a,A,,,,red\n"))
    later = NOW + dt.timedelta(days=1)
    report, _ = bring(engine, accounts(tmp_path, "id,name\na,New\nb,B\n"), at=later)
    assert (report.tables["accounts"].updated, report.tables["accounts"].rejected) == (1, 1)
    assert one(engine, "select custom ->> 'x_colour' from accounts where id = 'a'") == "red"


def test_judges_by_the_latest_version(engine, defined, tmp_path):
    with transaction(engine) as session:
        custom_fields.define(
            session, Definition(table="accounts", name="x_colour", kind="category"),
            user_id=None, recorded_at=NOW,
        )  # fmt: skip
    report, _ = bring(engine, accounts(tmp_path, HEADER + "a,A,,,,green\nb,B,,,,\n"))
    assert report.tables["accounts"].inserted == 2
