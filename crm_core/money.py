"""Money: an integer of minor units with its currency, and the only rounding in the house.

Rates are ``Decimal``. Adding two currencies raises. Splits allocate by largest remainder, so
the parts always sum to the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from babel.numbers import get_currency_precision

from crm_core.errors import Invalid


class CurrencyMismatch(Invalid):
    """Two amounts of different currencies were combined; convert one of them first."""


class NotAnAmount(Invalid):
    """A text is not a decimal number in major units such as ``1234.50``."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: ``minor`` units (cents, yen, fils) of an ISO 4217 ``currency``."""

    minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def _require_same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(
                f"{self.currency} and {other.currency} cannot be combined; convert one first."
            )

    @property
    def major(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-minor_digits(self.currency))


def minor_digits(currency: str) -> int:
    """Return the number of decimal places of a currency (USD 2, JPY 0, BHD 3), after ISO 4217."""
    return int(get_currency_precision(currency))


def round_half_even(value: Decimal) -> int:
    """Return the nearest integer, ties to even: the one rounding of amounts."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def from_major(value: Decimal | str, currency: str) -> Money:
    """Return the money for a decimal in major units, rounded half even to the minor unit.

    Raises NotAnAmount for text that is not a plain decimal, and for NaN or infinity.
    """
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise NotAnAmount(f"{value!r} is not an amount; write it like 1234.50.") from error
    if not number.is_finite():
        raise NotAnAmount(f"{value!r} is not a finite amount.")
    return Money(round_half_even(number.scaleb(minor_digits(currency))), currency)


def apply_rate(amount: Money, rate: Decimal) -> Money:
    """Return ``amount × rate``, rounded once, in the same currency."""
    return Money(round_half_even(Decimal(amount.minor) * rate), amount.currency)


def convert(amount: Money, *, rate: Decimal, to: str) -> Money:
    """Return the amount in currency ``to`` at ``rate`` (units of ``to`` per unit of the amount)."""
    return from_major(amount.major * rate, to)


def total(amounts: Iterable[Money], *, currency: str) -> Money:
    """Return the sum, zero of ``currency`` when there are none. Raises CurrencyMismatch."""
    result = Money(0, currency)
    for amount in amounts:
        result = result + amount
    return result


def allocate(amount: Money, weights: Sequence[Decimal]) -> list[Money]:
    """Split an amount by weights so that the parts sum exactly to it.

    Largest remainder: each part is first rounded towards zero, then the minor units that are
    left go one each to the largest remainders, ties to the earlier part. Raises Invalid when
    there is no weight, a weight is negative, or all are zero.
    """
    if not weights or any(weight < 0 for weight in weights) or sum(weights) == 0:
        raise Invalid("An amount is split by at least one weight, none negative, not all zero.")
    sign = -1 if amount.minor < 0 else 1
    whole = abs(amount.minor)
    scale = sum(weights, Decimal(0))
    exact = [Decimal(whole) * weight / scale for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for index in by_remainder[: whole - sum(parts)]:
        parts[index] += 1
    return [Money(sign * part, amount.currency) for part in parts]
