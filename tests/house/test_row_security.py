"""Every table says how the web may see it, and every lifting of the scope is known here."""

from __future__ import annotations

import re

from crm_core import schema
from crm_core.row_security import CLASSES

LIFTED = {
    "features/recent.py": 1,  # the memory of facts from which live rows are made
    "crm_core/processes/alerts.py": 2,  # an alert is told to somebody else, and settled for all
    "crm_core/records/operations.py": 1,  # a key that is taken is taken
    "crm_core/records/upkeep.py": 2,  # a visible record's past; all of a merged record
    "serving/cells.py": 2,  # credit by the owner of the time
    "serving/coaching/recommend.py": 1,  # norms: what is usual in the company
    "serving/contests.py": 2,  # a rank is among all; only what the rule tells leaves
    "serving/goals.py": 3,  # credit by the owner of the time
    "serving/leadership.py": 1,  # credit by the owner of the time
    "serving/metrics.py": 4,  # likewise; and when the newest fact was recorded
    "serving/numbers.py": 1,  # of all peers only a rank and a coarse band leave
    "serving/forecasting.py": 1,  # a won deal counts for who owned it then, whoever does now
    "serving/performance.py": 2,  # credit by the owner of the time
    "serving/row_documents.py": 1,  # likewise
    "serving/scoring.py": 1,  # a live row has a training row's inputs
}
"""Where a web request may read the whole company's facts; each says why where it does."""

_LIFT = re.compile(r"with company_wide\(|= company_wide_engine\(")


def undeclared(tables: set[str]) -> set[str]:
    """Return the tables that declare no class in ``crm_core/row_security.py``."""
    return tables - set(CLASSES)


def test_the_rule_bites():
    assert undeclared({"opportunities", "a_new_table"}) == {"a_new_table"}


def test_every_table_declares_how_the_web_may_see_it():
    assert undeclared(set(schema.metadata.tables)) == set()


def test_nothing_is_declared_that_does_not_exist():
    assert set(CLASSES) - set(schema.metadata.tables) == set()


def test_every_lifting_of_the_scope_is_known(modules):
    found = {path: len(_LIFT.findall(text)) for path, text in modules.items()}
    assert {path: count for path, count in found.items() if count} == LIFTED
