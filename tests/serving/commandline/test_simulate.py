"""``winward simulate`` writes a company and says in one sentence why it will not."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from serving.commandline import app as commandline


def _refusal(arguments: list[str], monkeypatch, capsys) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["winward", "simulate", *arguments])
    with pytest.raises(SystemExit) as left:
        commandline.main()
    return int(left.value.code or 0), capsys.readouterr().err


def test_writes_the_tables_and_the_truth_beside_them(tmp_path):
    folder = tmp_path / "company"
    result = CliRunner().invoke(
        commandline.app,
        ["simulate", str(folder), "--size", "small", "--until", "2026-07-01", "--json"],
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert summary["rows"]["users"] >= 8
    assert summary["logins"]["manager"] == "manager@demo.winward"
    assert (folder / "opportunities.csv").is_file()
    assert (tmp_path / "company-truth" / "deals.parquet").is_file()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (["--size", "huge"], "'huge' is not a size of simulated company; choose small, demo,"),
        (["--until", "31.02.2026"], "--until '31.02.2026' is not a day"),
        (["--until", "0001-01-01"], "is not between"),
    ],
)
def test_refuses_in_one_sentence(option, sentence, tmp_path, monkeypatch, capsys):
    code, said = _refusal([str(tmp_path / "new"), *option], monkeypatch, capsys)
    assert code == 2
    assert sentence in said
    assert not (tmp_path / "new").exists()


def test_refuses_a_folder_that_holds_something(tmp_path, monkeypatch, capsys):
    (tmp_path / "deals.xlsx").write_text("not ours")
    code, said = _refusal([str(tmp_path)], monkeypatch, capsys)
    assert code == 4
    assert "is not empty; name a new folder" in said
