"""Counter-based random numbers: each draw belongs to a named event, not to a place in a queue.

A draw is a pure function of (seed, future, stream, entity, week, slot). So two runs of the world
that differ in one action share every other draw (common random numbers), which is what makes
``do(action)`` and roll-outs of many futures honest. Philox4x32-10 after Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3" (SC 2011), vectorised in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
FUTURES, _PARTS = 1 << 12, 1 << 12


class Stream(IntEnum):
    """Which part of the world a draw belongs to."""

    PERSON = 1
    SEAT = 2
    ACCOUNT = 3
    ARRIVAL = 4
    BIRTH = 5
    DEAL = 6
    RECORD = 7
    CLOSING = 8
    HYGIENE = 9
    ACTIVITY = 10
    LOGGING = 11
    CUSTOMER = 12
    ORDER = 13
    SHOCK = 14
    QUOTA = 15
    LEAD = 16
    CONTACT = 17
    CAMPAIGN = 18
    RATE = 19
    TICKET = 20


def philox(counters: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    """Return Philox4x32-10 of counters, shape (4, n), each word below 2**32."""
    a, b, c, d = counters
    first, second = key
    for _ in range(_ROUNDS):
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            (q >> _HALF) ^ b ^ np.uint64(first),
            q & _LOW,
            (p >> _HALF) ^ d ^ np.uint64(second),
            p & _LOW,
        )
        first, second = (first + _WEYL[0]) & 0xFFFFFFFF, (second + _WEYL[1]) & 0xFFFFFFFF
    return np.stack((a, b, c, d))


@dataclass(frozen=True, slots=True)
class Draws:
    """All the chance of one future of one part of a world.

    ``future`` 0 is the one that happened. ``part`` tells the parts of a large company apart,
    whose deals and accounts are each numbered from 0.
    """

    seed: int
    future: int = 0
    part: int = 0

    def __post_init__(self) -> None:
        """Check that both fit into the counter."""
        assert 0 <= self.future < FUTURES, f"a future beyond {FUTURES}"
        assert 0 <= self.part < _PARTS, f"a part beyond {_PARTS}"

    @property
    def company(self) -> Draws:
        """The chance that all parts share: shocks, industries, people."""
        return replace(self, part=0)

    def uniform(self, stream: Stream, entity: Integers, week: Integers | int, slots: int) -> Floats:
        """Return draws in (0, 1), shape (slots, len(entity)): one row per named event.

        The upper half of an entity's number, if any, says how many futures on its draws lie.
        """
        blocks = -(-slots // 4)
        size = len(entity)
        counters = np.empty((4, blocks, size), dtype=np.uint64)
        numbers = np.asarray(entity, dtype=np.uint64)
        futures = (numbers >> _HALF) + np.uint64(self.future)
        counters[0] = numbers & _LOW
        counters[1] = np.asarray(week) & 0xFFFFFFFF
        counters[2] = np.arange(blocks, dtype=np.uint64)[:, None]
        counters[3] = (futures << np.uint64(8)) | np.uint64(int(stream) | self.part << 20)
        key = (self.seed & 0xFFFFFFFF, (self.seed >> 32) & 0xFFFFFFFF)
        words = philox(counters.reshape(4, blocks * size), key).reshape(4, blocks, size)
        drawn = words.transpose(1, 0, 2).reshape(4 * blocks, size)[:slots]
        return (drawn.astype(np.float64) + 0.5) / 4294967296.0


def normal(first: Floats, second: Floats) -> Floats:
    """Return standard normal draws from two uniform ones (Box and Muller)."""
    result: Floats = np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second)
    return result


def poisson(uniform: Floats, mean: Floats | float, *, most: int = 40) -> Integers:
    """Return Poisson draws by inversion, at most ``most``."""
    means = np.broadcast_to(np.asarray(mean, dtype=np.float64), uniform.shape)
    term = np.exp(-means)
    reached = term.copy()
    count = np.zeros(uniform.shape, dtype=np.int64)
    for k in range(1, most + 1):
        above = uniform > reached
        if not above.any():
            break
        count += above
        term = term * means / k
        reached = reached + term
    return count


def choose(uniform: Floats, weights: tuple[float, ...]) -> Integers:
    """Return the index of the weight into whose share of the sum each draw falls."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    index: Integers = np.searchsorted(edges / edges[-1], uniform, side="right").astype(np.int64)
    return np.minimum(index, len(weights) - 1)


def pick(uniform: Floats, count: Integers | int) -> Integers:
    """Return an index below ``count``, each equally likely."""
    index: Integers = np.floor(uniform * count).astype(np.int64)
    return index


def sigmoid(value: Floats) -> Floats:
    """Return 1 / (1 + exp(-value))."""
    result: Floats = 1.0 / (1.0 + np.exp(-value))
    return result
