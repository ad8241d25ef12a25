"""A page asks the database a fixed number of questions, whatever the number of its rows.

Each test is a thread of another product's users.
"""

from __future__ import annotations

import pytest
from sqlalchemy import event

from tests.complaints.conftest import HTML


def statements(firm, who, path):
    """Return how many statements a page costs."""
    client, seen = firm.person(who), []

    def note(connection, cursor, statement, *_):
        seen.append(statement)

    engine = firm.app.state.engine
    client.get(path, headers=HTML)  # the first look may write down a score
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert client.get(path, headers=HTML).status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


@pytest.mark.parametrize(
    "path",
    ["/deals", "/accounts", "/customers/acme", "/kpis/pipeline?period=2026-Q2",
     "/api/v1/kpis?period=2026-Q2", "/api/v1/kpis/pipeline/slices?by=stage&by=person",
     "/api/v1/forecasts?period=2026-Q2"],
)  # fmt: skip
def test_krayin_980_ten_times_the_deals_cost_no_more_statements(firm, path):
    """metabase#6782: 120 calls for one dashboard; LifeOS#897: six seconds."""
    firm.opens().rates(JPY_EUR="0.006", KWD_EUR="3")
    counts = []
    for deals in (3, 30):
        for number in range(deals):
            firm.deal(f"{deals}-{number}", "100", ("EUR", "JPY", "KWD")[number % 3],
                      owner=("ann", "bob")[number % 2])  # fmt: skip
        counts.append(statements(firm, "boss", path))
    assert counts[0] == counts[1]
    assert counts[0] <= 40
