"""Money adds up, splits sum to the whole, and rounds in one place."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core import money
from crm_core.errors import Invalid
from crm_core.money import CurrencyMismatch, Money, NotAnAmount

amounts = st.integers(-(10**15), 10**15)
weights = st.lists(st.decimals(0, 10**6, places=3), min_size=1, max_size=20).filter(any)


class TestAllocate:
    @given(amounts, weights)
    def test_parts_sum_to_the_whole(self, minor: int, weights: list[Decimal]) -> None:
        parts = money.allocate(Money(minor, "USD"), weights)
        assert sum(part.minor for part in parts) == minor

    @given(amounts, weights)
    def test_no_part_is_a_unit_away_from_its_exact_share(self, minor, weights) -> None:
        parts = money.allocate(Money(minor, "USD"), weights)
        for part, weight in zip(parts, weights, strict=True):
            assert abs(Decimal(part.minor) - Decimal(minor) * weight / sum(weights)) < 1

    def test_gives_the_left_over_cent_to_the_largest_remainder(self) -> None:
        thirds = money.allocate(Money(100, "USD"), [Decimal(1)] * 3)
        assert [part.minor for part in thirds] == [34, 33, 33]

    @pytest.mark.parametrize("weights", [[], [Decimal(0)], [Decimal(-1), Decimal(2)]])
    def test_refuses_weights_that_cannot_split(self, weights) -> None:
        with pytest.raises(Invalid):
            money.allocate(Money(1, "USD"), weights)


class TestMoney:
    def test_refuses_to_add_two_currencies(self) -> None:
        with pytest.raises(CurrencyMismatch):
            Money(1, "USD") + Money(1, "CNY")

    @pytest.mark.parametrize(
        ("text", "currency", "minor"),
        [
            ("1234.50", "USD", 123450),
            ("1234.50", "JPY", 1234),  # a tie goes to the even yen
            ("1235.50", "JPY", 1236),
            ("1.2345", "BHD", 1234),  # a tie goes to the even fils
            ("-0.005", "USD", 0),
        ],
    )
    def test_rounds_half_even_to_the_currencys_minor_unit(self, text, currency, minor) -> None:
        assert money.from_major(text, currency) == Money(minor, currency)

    @pytest.mark.parametrize("text", ["1.234,50", "", "NaN", "Infinity", "12 USD"])
    def test_refuses_what_is_no_plain_decimal(self, text: str) -> None:
        with pytest.raises(NotAnAmount):
            money.from_major(text, "USD")

    @given(amounts, st.sampled_from(["USD", "JPY", "BHD"]))
    def test_survives_the_way_to_major_units_and_back(self, minor: int, currency: str) -> None:
        amount = Money(minor, currency)
        assert money.from_major(amount.major, currency) == amount
