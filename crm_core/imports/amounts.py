"""Decimal text into minor units, a column at a time.

An amount that fits its currency's decimals is an exact product; only what has more decimals is
rounded, value by value, by the one rounding of :mod:`crm_core.money`.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from crm_core import money

_WRITTEN = pa.decimal128(27, 12)
"""What compiled queries write: amounts below 1e15 with at most twelve decimals."""


def in_minor_units(table: pa.Table, name: str, currency: str) -> tuple[pa.Table, int]:
    """Replace a column of decimal text by minor units of each row's currency.

    A row without a currency has ``currency``. Return also how many amounts were rounded.
    """
    amounts = pc.cast(table.column(name), _WRITTEN)
    codes = _codes(table, currency)
    minors = pa.nulls(table.num_rows, pa.int64())
    rounded = 0
    for digits, is_meant in _by_digits(codes).items():
        meant = pc.if_else(is_meant, amounts, pa.scalar(None, _WRITTEN))
        exact = pc.multiply(meant, pa.scalar(Decimal(10**digits)))
        whole = pc.trunc(exact)
        minors = pc.if_else(is_meant, pc.cast(whole, pa.int64()), minors)
        rounds = pc.indices_nonzero(pc.fill_null(pc.not_equal(whole, exact), fill_value=False))
        if len(rounds):
            rounded += len(rounds)
            minors = _with_rounded(minors, amounts, codes, rounds)
    position = table.column_names.index(name)
    return table.set_column(position, name, minors), rounded


def _codes(table: pa.Table, currency: str) -> pa.ChunkedArray | pa.Array:
    if "currency" not in table.column_names:
        return pa.repeat(pa.scalar(currency, pa.string()), table.num_rows)
    return pc.fill_null(table.column("currency"), currency)


def _by_digits(codes: pa.ChunkedArray | pa.Array) -> dict[int, pa.ChunkedArray | pa.Array]:
    """Return which rows have a currency of so many decimals."""
    found: dict[int, list[str]] = {}
    for code in pc.unique(codes).to_pylist():
        found.setdefault(money.minor_digits(code), []).append(code)
    return {
        digits: pc.is_in(codes, value_set=pa.array(of, pa.string())) for digits, of in found.items()
    }


def _with_rounded(
    minors: pa.ChunkedArray | pa.Array,
    amounts: pa.ChunkedArray,
    codes: pa.ChunkedArray | pa.Array,
    rounds: pa.Array,
) -> pa.Array:
    """Return the minor units with those of some rows rounded half to even."""
    values = minors.to_pylist()
    pairs = zip(amounts.take(rounds).to_pylist(), codes.take(rounds).to_pylist(), strict=True)
    for row, (amount, code) in zip(rounds.to_pylist(), pairs, strict=True):
        values[row] = money.from_major(amount, code).minor
    return pa.array(values, pa.int64())
