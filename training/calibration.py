"""The affine map from raw to served log-odds, and how sure a served score is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from training.bundle import Band
from training.evaluation import affine_fit, logit, sigmoid
from training.parts import Array

PRIOR_DEALS = 200.0
"""What the identity is worth. Deals of one month share the month, so they witness less than
their number: with 50 the map cost 0.008 nats at 800 simulated deals, with 200 nothing."""
MOST_BANDS = 10
DEALS_PER_BAND = 60
CONFIDENCE = 0.90
_FAR = 1e300


def by_deals(weight: Array, deal: NDArray[np.int64]) -> Array:
    """Return weights that sum to the number of deals: rows of one deal are one witness."""
    scaled: Array = weight * (len(np.unique(deal)) / max(float(weight.sum()), 1e-12))
    return scaled


def fit(margin: Array, y: Array, weight: Array, deal: NDArray[np.int64]) -> tuple[float, float]:
    """Return (a, b) of the served margin a·m + b, from out-of-time margins.

    Platt's map shrunk to the identity by a prior worth 200 deals. A negative slope would turn
    the model upside down; then only the intercept is fitted.
    """
    scaled = by_deals(weight, deal)
    a, b = affine_fit(margin, y, scaled, prior_rows=PRIOR_DEALS)
    if a <= 0.0:
        return 1.0, 0.0
    return a, b


def fit_shift(
    margin: Array, y: Array, weight: Array, deal: NDArray[np.int64]
) -> tuple[float, float]:
    """Return (1, b): the shift of a base rate, shrunk to none by a prior worth 200 deals."""
    scaled = by_deals(weight, deal)
    p = sigmoid(margin)
    precision = PRIOR_DEALS * float(np.average(p * (1.0 - p), weights=scaled))
    b = 0.0
    for _ in range(30):
        p = sigmoid(margin + b)
        gradient = float(scaled @ (p - y)) + precision * b
        b -= float(np.clip(gradient / (float(scaled @ (p * (1.0 - p))) + precision), -1.0, 1.0))
    return 1.0, b


def bands(margin: Array, y: Array, weight: Array, deal: NDArray[np.int64]) -> tuple[Band, ...]:
    """Return how the win rate of similar scores may differ from the score, by range of margin.

    Each range holds at least about 60 deals. Its bounds are the 5 % and 95 % points of the
    Beta posterior of the win rate, with the score itself as a prior worth two deals.
    """
    deals = len(np.unique(deal))
    if deals == 0:
        return ()
    number = int(np.clip(deals // DEALS_PER_BAND, 1, MOST_BANDS))
    edges = np.unique(np.quantile(margin, np.arange(1, number) / number))
    place = np.searchsorted(edges, margin, side="left")
    found = []
    for index, upto in enumerate([*edges.tolist(), _FAR]):
        rows = place == index
        if rows.any():
            found.append(_band(upto, margin[rows], y[rows], weight[rows], deal[rows]))
    return tuple(found)


def _band(upto: float, margin: Array, y: Array, weight: Array, deal: NDArray[np.int64]) -> Band:
    deals = len(np.unique(deal))
    promised = float(np.average(sigmoid(margin), weights=weight))
    happened = float(np.average(y, weights=weight))
    won, lost = deals * happened + 2 * promised, deals * (1 - happened) + 2 * (1 - promised)
    tail = (1.0 - CONFIDENCE) / 2.0
    ends = logit(np.array([beta.ppf(tail, won, lost), beta.ppf(1.0 - tail, won, lost), promised]))
    return Band(
        upto=upto,
        low=min(0.0, float(ends[0] - ends[2])),
        high=max(0.0, float(ends[1] - ends[2])),
        deals=deals,
    )


def rate_band(p: float, deals: int) -> Band:
    """Return the band of a bare rate that rests on ``deals`` deals."""
    return _band(
        _FAR, logit(np.full(deals, p)), np.full(deals, p), np.ones(deals), np.arange(deals)
    )
