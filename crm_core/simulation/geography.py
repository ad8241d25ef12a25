"""Countries in which the simulated company sells: currency, rate, working time, names."""

from __future__ import annotations

from dataclasses import dataclass

COMPANY_CURRENCY = "EUR"


@dataclass(frozen=True, slots=True)
class Country:
    """A country of a region; ``style`` names the family of names used there."""

    code: str
    name: str
    region: str
    currency: str
    style: str
    weight: float


COUNTRIES = (
    Country("DE", "Germany", "EMEA", "EUR", "german", 0.35),
    Country("CH", "Switzerland", "EMEA", "CHF", "german", 0.10),
    Country("FR", "France", "EMEA", "EUR", "french", 0.20),
    Country("NL", "Netherlands", "EMEA", "EUR", "english", 0.10),
    Country("GB", "United Kingdom", "EMEA", "GBP", "english", 0.25),
    Country("US", "United States", "Americas", "USD", "english", 0.75),
    Country("CA", "Canada", "Americas", "USD", "english", 0.10),
    Country("MX", "Mexico", "Americas", "USD", "spanish", 0.15),
    Country("CN", "China", "Greater China", "CNY", "chinese", 0.85),
    Country("HK", "Hong Kong", "Greater China", "USD", "chinese", 0.15),
    Country("JP", "Japan", "Asia Pacific", "JPY", "japanese", 0.50),
    Country("SG", "Singapore", "Asia Pacific", "USD", "english", 0.30),
    Country("AU", "Australia", "Asia Pacific", "USD", "english", 0.20),
)

UTC_OFFSET = {"EMEA": 1, "Americas": -5, "Greater China": 8, "Asia Pacific": 9}
"""Hours that working time in a region lies ahead of UTC (its winter time)."""

TIME_ZONES = {
    "EMEA": "Europe/Berlin",
    "Americas": "America/New_York",
    "Greater China": "Asia/Shanghai",
    "Asia Pacific": "Asia/Tokyo",
}

CURRENCIES = ("EUR", "CHF", "GBP", "USD", "CNY", "JPY")
PER_EURO = (1.0, 0.95, 0.86, 1.10, 7.85, 168.0)
"""Units of each currency per euro around which the simulated rates wander."""
DIGITS = (2, 2, 2, 2, 2, 0)
"""Minor digits of each currency."""


@dataclass(frozen=True, slots=True)
class Product:
    """What the company sells. ``cost_share`` is of the price; software recurs by the year."""

    id: str
    name: str
    family: str
    list_price: int
    cost_share: float
    segment_weight: tuple[float, float, float]


PRODUCTS = (
    Product("P-AQ100", "AquaSense 100", "Sensors", 4_200, 0.52, (4.0, 2.0, 0.5)),
    Product("P-AQ300", "AquaSense 300", "Sensors", 9_800, 0.50, (3.0, 3.0, 1.0)),
    Product("P-SP500", "Spectra 500", "Spectrometers", 28_500, 0.55, (1.5, 4.0, 2.0)),
    Product("P-SP900", "Spectra 900", "Spectrometers", 96_000, 0.58, (0.2, 1.5, 4.0)),
    Product("P-LABIQ", "LabIQ Cloud (annual)", "Software", 12_000, 0.18, (2.0, 3.0, 3.0)),
    Product("P-LABEN", "LabIQ Enterprise (annual)", "Software", 60_000, 0.20, (0.1, 1.0, 3.0)),
    Product("P-SERV", "Care Plan (annual)", "Service", 6_500, 0.62, (1.0, 1.5, 1.5)),
    Product("P-CONS", "Consumables", "Consumables", 850, 0.45, (0.0, 0.0, 0.0)),
)
RECURRING = tuple(i for i, p in enumerate(PRODUCTS) if p.family in ("Software", "Service"))
CONSUMABLES = len(PRODUCTS) - 1
