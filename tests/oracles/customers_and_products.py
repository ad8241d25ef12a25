"""What random companies lack for slicing: customers, products and fields of their own.

Every fact gets a customer and, at times, a product; some customers change later, known only then.
"""

from __future__ import annotations

import datetime as dt
import json
import random

from sqlalchemy import text

from crm_core.imports.models import CustomField
from crm_core.opportunities.models import OpportunityEvent

CHANGED = dt.datetime(2026, 4, 10, tzinfo=dt.UTC)
REGIONS = (None, "North", "South", "it's")
TIERS = ("A", "B", None)


def add(session, seed: int) -> None:
    """Spread the facts of a random company over customers and products."""
    rng = random.Random(seed)
    for number in range(6):
        session.execute(
            text("insert into accounts (id, name, region, country, industry, tier, employees, "
                 "custom) values (:id, :id, :region, :country, :industry, :tier, :staff, "
                 "cast(:custom as jsonb))"),
            {"id": f"a{number}", "region": rng.choice(REGIONS), "country": rng.choice("DF"),
             "industry": rng.choice([None, "Steel", "Food"]), "tier": rng.choice(TIERS),
             "staff": rng.choice([None, 0, 7, 400]),
             "custom": json.dumps(_custom(rng))},
        )  # fmt: skip
    for number in range(3):
        session.execute(
            text("insert into products (id, name, family) values (:id, :id, :family)"),
            {"id": f"p{number}", "family": rng.choice([None, "Soft", "Hard"])},
        )
    session.add_all(
        CustomField(table_name=table, name=name, kind=kind)
        for table, name, kind in (
            ("accounts", "x_segment", "category"), ("accounts", "x_score", "number"),
            ("accounts", "x_both", "boolean"), ("opportunities", "x_both", "boolean"),
            ("opportunities", "x_since", "date"),
        )
    )  # fmt: skip
    session.flush()
    _spread(session, rng)
    session.execute(
        text("select set_config('winward.recorded_at', :at, true)"), {"at": CHANGED.isoformat()}
    )
    session.execute(text("update accounts set region = 'Moved', tier = 'C' where id in "
                         "('a1', 'a3')"))  # fmt: skip
    session.execute(text("update accounts set custom = custom || '{\"x_segment\": \"late\"}' "
                         "where id = 'a2'"))  # fmt: skip
    session.execute(text("update products set family = 'New' where id = 'p0'"))
    session.execute(text("select set_config('winward.recorded_at', '', true)"))


def _custom(rng) -> dict:
    given = {
        "x_segment": rng.choice(["big", "small", "", None]),
        "x_score": rng.choice([1, 2.5, "3", "many", None]),
        "x_both": rng.choice([True, False, None]),
    }
    return {name: value for name, value in given.items() if value is not None}


def _spread(session, rng) -> None:
    for table in ("orders", "opportunities"):
        ids = [row.id for row in session.execute(text(f"select distinct id from {table}"))]
        for one in sorted(ids):
            session.execute(
                text(f"update {table} set account_id = :a where id = :id"),
                {"a": f"a{rng.randrange(6)}", "id": one},
            )
            if table == "orders" and rng.random() < 0.7:
                session.execute(
                    text("update orders set product_id = :p, quantity = :q where id = :id"),
                    {"p": f"p{rng.randrange(3)}", "q": rng.choice([None, 0, 1, 2.5]), "id": one},
                )
            elif table == "opportunities":
                session.execute(
                    text("update opportunities set source = :s where id = :id"),
                    {"s": rng.choice([None, "web", "fair"]), "id": one},
                )
                _tell(session, rng, one)
    session.flush()


def _tell(session, rng, deal: str) -> None:
    for _ in range(rng.randrange(3)):
        at = dt.datetime(2025, 8, 1, tzinfo=dt.UTC) + dt.timedelta(hours=rng.randrange(9000))
        given = {rng.choice(["x_both", "x_since"]): rng.choice([True, False, "2026-02-28", "soon"])}
        session.add(
            OpportunityEvent(
                opportunity_id=deal, field="custom", new_value=json.dumps(given), occurred_at=at,
                recorded_at=at + dt.timedelta(days=rng.choice([0, 40])),
            )
        )  # fmt: skip
