"""The import contracts hold, and each of them notices a violation.

All violations are planted at once into a copy of the packages; the linter must name every one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("crm_core", "features", "training", "serving")

VIOLATIONS = {
    # contract: (module, what it must not import)
    "direction": ("crm_core/quotas/models.py", "import features.definitions"),
    "nouns": ("crm_core/people/models.py", "import crm_core.quotas.models"),
    "files": ("crm_core/people/queries.py", "import crm_core.people.operations"),
    "purity": ("crm_core/quotas/arithmetic.py", "import sqlalchemy"),
    "clock": ("crm_core/people/operations.py", "import crm_core.clock"),
    "web": ("training/datasets.py", "import fastapi"),
    "shap": ("serving/scoring.py", "import shap"),
    "mlflow": ("training/datasets.py", "import mlflow"),
    "optuna": ("training/datasets.py", "import optuna"),
    "feast": ("training/datasets.py", "import feast"),
    "doors": ("serving/api/planted.py", "import training.datasets"),
    "tables": ("serving/web/planted.py", "import crm_core.people.models"),
    "cycles": ("serving/languages.py", "import serving.dependencies"),
    "frames": ("training/datasets.py", "import psycopg"),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys; sys.path.insert(0, '.')\n"
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", script, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def report(repository: Path, tmp_path_factory) -> str:
    """What the linter says about a copy of the packages with every violation planted."""
    folder = tmp_path_factory.mktemp("violations")
    for package in PACKAGES:
        shutil.copytree(
            repository / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(repository / "pyproject.toml", folder)
    for name, violation in VIOLATIONS.values():
        path = folder / name
        before = path.read_text() if path.exists() else '"""Planted."""\n'
        path.write_text(before.rstrip() + f"\n{violation}\n")
    (folder / "crm_core" / "unplaced.py").write_text('"""A module nobody placed."""\n')
    done = _lint(folder)
    assert done.returncode != 0
    return " ".join((done.stdout + done.stderr).split())


def test_the_packages_keep_every_contract(repository):
    done = _lint(repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_contract_notices_its_violation(contract, report):
    module, violation = VIOLATIONS[contract]
    importer = module.removesuffix(".py").replace("/", ".")
    imported = violation.removeprefix("import ")
    if contract == "cycles":  # named relative to the folder of the siblings
        importer, imported = ".languages", ".dependencies"
    assert f"{importer} -> {imported}" in report


def test_an_unplaced_module_is_noticed(report):
    assert "crm_core.unplaced" in report


def test_every_contract_has_a_violation(repository):
    declared = (repository / "pyproject.toml").read_text().split("[[tool.importlinter.contracts]]")
    ids = {block.split('id = "')[1].split('"')[0] for block in declared[1:]}
    assert ids == set(VIOLATIONS)
