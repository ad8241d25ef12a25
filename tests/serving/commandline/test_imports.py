"""The commands that bring files in and out: what they print and with which code they end."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from crm_core import settings
from serving.commandline.app import app
from serving.commandline.imports import SOME_REJECTED

COMPANY = "name,currency,time_zone\nAcme,EUR,Europe/Berlin\n"


@pytest.fixture
def winward(database_url, monkeypatch, tmp_path):
    monkeypatch.setenv("WINWARD_DATABASE_URL", database_url)
    monkeypatch.setenv("WINWARD_HOME", str(tmp_path / "home"))
    settings.load.cache_clear()
    yield lambda *words: CliRunner().invoke(app, [str(word) for word in words])
    settings.load.cache_clear()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "company.csv").write_text(COMPANY)
    (folder / "accounts.csv").write_text("id,name,created_at\na,A,2099-01-01\nb,\x1b[31mB,\nc,,\n")
    return folder


def test_an_import_ends_with_7_when_rows_were_rejected_and_0_when_none(winward, folder, tmp_path):
    verdicts = tmp_path / "verdicts.csv"
    first = winward("import", folder, "--yes", "--verdicts", verdicts)
    assert first.exit_code == SOME_REJECTED == 7, first.output
    assert "such as line 2: 2098-12-31" in first.output
    assert "rejected accounts.csv, line 4" in " ".join(first.output.split())
    with verdicts.open(newline="") as stream:
        assert [row["verdict"] for row in csv.DictReader(stream)] == [
            "insert",
            "insert",
            "insert",
            "reject",
        ]
    (folder / "accounts.csv").write_text("id,name\na,A\n")
    second = winward("import", folder, "--yes", "--json")
    assert second.exit_code == 0, second.output
    assert json.loads(second.output)["tables"]["accounts"]["unchanged"] == 1


def test_an_export_needs_a_new_folder_and_a_form_it_knows(winward, folder, tmp_path):
    winward("import", folder, "--yes")
    out = winward("export", tmp_path / "out", "--format", "parquet", "--json")
    assert out.exit_code == 0, out.output
    assert json.loads(out.output) == {"company": 1, "accounts": 2}
    again = winward("export", tmp_path / "out")
    assert "is not empty" in str(again.exception)
    assert winward("export", tmp_path / "other", "--format", "xls").exit_code == 2


def test_a_profile_proposes_a_mapping_and_never_overwrites_one(winward, folder, tmp_path):
    out = tmp_path / "proposed.yaml"
    done = winward("profile", folder / "accounts.csv", "--out", out)
    assert done.exit_code == 0, done.output
    assert "Coverage: 100%" in done.output
    assert "table: accounts" in out.read_text()
    assert isinstance(winward("profile", folder, "--out", out).exception, FileExistsError)
    (folder / "odd.csv").write_text("aa,bb\n1,2\n")
    odd = winward("profile", folder / "odd.csv", "--json")
    assert odd.exit_code == 1
    assert json.loads(odd.stdout)["coverage"] == 0
