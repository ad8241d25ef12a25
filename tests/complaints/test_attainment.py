"""Credits are the one source of attainment, whatever their order, batches and corrections.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from crm_core.orders.models import Credit
from crm_core.quotas.models import Quota
from tests.complaints.conftest import NOON

QUARTER = "2026-Q2"
START, END = dt.date(2026, 4, 1), dt.date(2026, 7, 1)


def quota(firm, owner, minor, *, currency="EUR", metric="bookings"):
    """Give somebody a quota of the second quarter."""
    with firm.facts() as session:
        session.add(
            Quota(subject_kind="user", subject_id=owner, metric=metric, period_start=START,
                  period_end=END, recorded_at=NOON - dt.timedelta(days=80), currency=currency,
                  amount_minor=minor)
        )  # fmt: skip


def share(firm, order, **shares):
    """Split an order's credit: ``ann="0.5"``."""
    with firm.facts() as session:
        session.add_all(
            Credit(order_id=order, user_id=who, share=Decimal(part)) for who, part in shares.items()
        )


class TestErpNext:
    def test_erpnext_4046_five_whole_and_ten_half_are_10_not_15(self, firm):
        """The same again in 2024: erpnext PR#40062."""
        firm.opens()
        quota(firm, "ann", 20_00)
        quota(firm, "bob", 20_00)
        firm.order("whole", "5", "EUR")
        firm.order("half", "10", "EUR")
        share(firm, "half", ann="0.5", bob="0.5")
        assert firm.value("ann", "bookings", QUARTER) == 10
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.5")
        assert firm.value("bob", "bookings", QUARTER) == 5
        assert firm.value("bob", "attainment", QUARTER) == Decimal("0.25")
        assert firm.value("boss", "bookings", QUARTER) == 15
        assert firm.value("boss", "attainment", QUARTER) == Decimal("0.375")
        rows = {row["row_id"]: Decimal(row["value"])
                for row in firm.metric("ann", "attainment", QUARTER)["rows"]}  # fmt: skip
        assert rows == {"whole": 5, "half": 5}

    def test_erpnext_40062_shares_of_three_leave_no_cent_and_no_yen_behind(self, firm):
        firm.opens(currency="USD").rates(JPY_USD="0.01", KWD_USD="3.25")
        for key, amount, currency in (("o1", "100.00", "USD"), ("o2", "1000", "JPY"),
                                      ("o3", "0.005", "KWD")):  # fmt: skip
            firm.order(key, amount, currency)
            share(firm, key, ann="0.3333", bob="0.3333", zoe="0.3334")
        parts = {who: firm.value(who, "bookings", QUARTER) for who in ("ann", "bob", "zoe")}
        assert sum(parts.values()) == firm.value("ops", "bookings", QUARTER) == Decimal("110.02")

    def test_erpnext_40308_an_edited_order_moves_every_number_that_rests_on_it(self, firm):
        firm.opens()
        quota(firm, "ann", 200_00)
        written = firm.makes("orders", id="o", account_id="acme", owner_id="ann",
                             ordered_on="2026-05-12", amount="100", currency="EUR")  # fmt: skip
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.5")
        before = NOON
        firm.is_at(NOON + dt.timedelta(hours=1))
        firm.changes("orders", written["key"], amount="150")
        assert firm.value("ann", "bookings", QUARTER) == 150
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.75")
        assert firm.value("ann", "gap", QUARTER) == 50
        replayed = firm.value("ann", "bookings", QUARTER, as_of=before.isoformat())
        assert replayed == 100


class TestXactly:
    ROWS = ("o1,acme,ann,2026-05-01,100.10,EUR", "o2,acme,ann,2026-05-02,70,USD",
            "o3,acme,bob,2026-05-02,5000,JPY", "o4,acme,ann,2026-06-30,1.005,KWD")  # fmt: skip
    HEAD = "id,account_id,owner_id,ordered_on,amount,currency\n"
    SPLITS = pytest.mark.parametrize(
        "batches", [[[0, 1, 2, 3]], [[3, 2, 1, 0]], [[0, 2], [3, 1]], [[1], [0, 3, 2]]], ids=str
    )

    @SPLITS
    def test_xactly_attainment_depends_on_no_batch_split_and_no_row_order(self, firm, batches):
        firm.opens().rates(USD_EUR="0.9", JPY_EUR="0.006", KWD_EUR="2.9973")
        quota(firm, "ann", 332_22)
        for batch in batches:
            lines = "".join(f"{self.ROWS[number]}\n" for number in batch)
            assert firm.uploads(orders=self.HEAD + lines)["status"] == "committed"
        firm.is_at(NOON + dt.timedelta(minutes=5))
        assert firm.value("ann", "bookings", QUARTER) == Decimal("166.11")  # 100.10 + 63 + 3.01
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.5")
        assert firm.value("boss", "bookings", QUARTER) == Decimal("196.11")
