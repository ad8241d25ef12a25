"""SQL rounds and converts as money does."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Date, Numeric, Text, literal, select

from crm_core.money import Money, from_major, minor_digits, round_half_even
from crm_core.orders.conversion import half_even, major, rates, valued
from crm_core.orders.models import FxRate

DAY = dt.date(2026, 6, 30)
NOW = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
CHECKS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
halves = st.integers(-(10**13), 10**13).map(lambda n: Decimal(n) / 2)
decimals = st.decimals(-(10**12), 10**12, places=6)


class TestHalfEven:
    @CHECKS
    @given(st.one_of(halves, decimals))
    def test_rounds_as_money(self, session, number):
        found = session.scalar(select(half_even(literal(number, Numeric))))
        assert int(found) == round_half_even(number)


class TestMajor:
    @CHECKS
    @given(st.integers(-(10**15), 10**15), st.sampled_from(["USD", "JPY", "BHD", "CLF", "XYZ"]))
    def test_is_exact_for_every_number_of_decimals(self, session, minor, currency):
        found = session.scalar(select(major(literal(minor), literal(currency, Text))))
        assert found == Decimal(minor).scaleb(-minor_digits(currency))


class TestValued:
    def value(self, session, amount, currency, day=DAY, to="USD"):
        rows = select(
            literal(amount, Numeric).label("major"),
            literal(currency, Text).label("currency"),
            literal(day, Date).label("rate_day"),
        )
        found = session.scalar(select(valued(rows, to=to, name="priced", known_at=NOW).c.value))
        return None if found is None else int(found)

    def add(self, session, base, quote, day, rate):
        session.add(FxRate(base=base, quote=quote, valid_from=day, rate=Decimal(rate)))
        session.flush()

    def test_uses_the_rate_in_force_on_the_day(self, session):
        self.add(session, "EUR", "USD", dt.date(2026, 1, 1), "1.10")
        self.add(session, "EUR", "USD", dt.date(2026, 6, 30), "1.20")
        self.add(session, "EUR", "USD", dt.date(2026, 7, 1), "9")
        assert self.value(session, Decimal(10), "EUR") == 1200
        assert self.value(session, Decimal(10), "EUR", dt.date(2026, 6, 29)) == 1100

    def test_prefers_the_pair_to_its_inverse(self, session):
        self.add(session, "USD", "EUR", dt.date(2026, 6, 1), "0.5")
        assert self.value(session, Decimal(10), "EUR") == 2000
        self.add(session, "EUR", "USD", dt.date(2025, 6, 1), "1.10")
        assert self.value(session, Decimal(10), "EUR") == 1100

    def test_is_none_without_a_rate_or_an_amount(self, session):
        assert self.value(session, Decimal(10), "EUR") is None
        assert self.value(session, None, "USD") is None
        self.add(session, "EUR", "USD", dt.date(2026, 7, 1), "1.10")
        assert self.value(session, Decimal(10), "EUR") is None

    def test_agrees_with_the_rates_in_memory(self, session):
        self.add(session, "EUR", "JPY", dt.date(2026, 1, 1), "161.37")
        self.add(session, "JPY", "USD", dt.date(2026, 1, 1), "0.0067")
        held = rates(session, to="JPY", day=DAY, known_at=NOW)
        for currency in ("EUR", "USD", "JPY", "GBP"):
            ours = self.value(session, Decimal("123.45"), currency, to="JPY")
            twin = held.convert(from_major("123.45", currency))
            if currency == "JPY":
                continue  # 123.45 yen are no amount in minor units
            assert ours == (None if twin is None else twin.minor)


class TestCorrections:
    def test_count_from_when_they_were_recorded(self, session):
        learnt = dt.datetime(2026, 6, 20, tzinfo=dt.UTC)
        session.add_all([
            FxRate(base="EUR", quote="USD", valid_from=dt.date(2026, 6, 1), rate=Decimal("1.1")),
            FxRate(base="EUR", quote="USD", valid_from=dt.date(2026, 6, 1), rate=Decimal("1.2"),
                   recorded_at=learnt),
        ])  # fmt: skip
        session.flush()
        for known_at, rate in ((learnt - dt.timedelta(seconds=1), "1.1"), (learnt, "1.2")):
            held = rates(session, to="USD", day=DAY, known_at=known_at)
            assert held.by_currency == {"EUR": Decimal(rate)}
            rows = select(
                literal(Decimal(100), Numeric).label("major"),
                literal("EUR", Text).label("currency"),
                literal(DAY, Date).label("rate_day"),
            )
            priced = valued(rows, to="USD", name="priced", known_at=known_at)
            assert session.scalar(select(priced.c.value)) == Decimal(rate) * 10_000


class TestInMemory:
    @CHECKS
    @given(
        st.integers(-(10**12), 10**12),
        st.sampled_from([("BHD", "USD"), ("JPY", "USD"), ("USD", "JPY"), ("USD", "KWD")]),
        st.sampled_from(["3", "7", "0.3", "1.1439666667", "149.5", "0.0067", "6"]),
        st.booleans(),
    )
    @example(165, ("BHD", "USD"), "3", True)  # 0.165 dinars at 3 per dollar are 5.5 cents: 6
    @example(330, ("BHD", "USD"), "6", True)
    def test_conversion_equals_the_database_s_to_the_minor_unit(
        self, session, minor, pair, rate, is_inverse
    ):
        """A quota is converted in memory and held against orders converted in SQL."""
        outer = session.begin_nested()
        source, to = pair
        base, quote = (to, source) if is_inverse else (source, to)
        session.add(FxRate(base=base, quote=quote, valid_from=DAY, rate=Decimal(rate)))
        session.flush()
        amount = Money(minor, source)
        rows = select(
            literal(amount.major, Numeric).label("major"),
            literal(source, Text).label("currency"),
            literal(DAY, Date).label("rate_day"),
        )
        priced = valued(rows, to=to, name="priced", known_at=NOW)
        in_sql = session.scalar(select(priced.c.value))
        in_memory = rates(session, to=to, day=DAY, known_at=NOW).convert(amount)
        outer.rollback()
        session.expunge_all()
        assert in_memory == Money(int(in_sql), to)
