"""Draws belong to named events, so that one world can be told twice with one thing changed."""

from __future__ import annotations

import numpy as np
import pytest

from crm_core.simulation.draws import Draws, Stream, choose, normal, philox, poisson


class TestPhilox:
    # Known answers of Random123 (kat_vectors, philox4x32 10 rounds); zero, ones, and digits of pi.
    @pytest.mark.parametrize(
        ("counter", "key", "expected"),
        [
            ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
            (
                (0xFFFFFFFF,) * 4,
                (0xFFFFFFFF,) * 2,
                (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
            ),
            (
                (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
                (0xA4093822, 0x299F31D0),
                (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
            ),
        ],
    )
    def test_gives_the_published_answers(self, counter, key, expected) -> None:
        words = philox(np.asarray(counter, dtype=np.uint64)[:, None], key)
        assert tuple(int(word) for word in words[:, 0]) == expected


class TestDraws:
    def test_of_an_event_do_not_depend_on_who_else_is_asked(self) -> None:
        draws = Draws(3)
        everybody = draws.uniform(Stream.DEAL, np.arange(50), 9, 6)
        alone = draws.uniform(Stream.DEAL, np.asarray([17]), 9, 6)
        assert (everybody[:, 17] == alone[:, 0]).all()

    def test_of_an_event_do_not_depend_on_how_many_slots_are_asked(self) -> None:
        draws = Draws(3)
        few = draws.uniform(Stream.DEAL, np.arange(5), 9, 2)
        many = draws.uniform(Stream.DEAL, np.arange(5), 9, 11)
        assert (few == many[:2]).all()

    @pytest.mark.parametrize("other", [Draws(4), Draws(3, future=1), Draws(3 + (1 << 32))])
    def test_differ_by_seed_and_by_future(self, other: Draws) -> None:
        here = Draws(3).uniform(Stream.DEAL, np.arange(100), 9, 1)
        there = other.uniform(Stream.DEAL, np.arange(100), 9, 1)
        assert not (here == there).any()

    def test_are_uniform_and_uncorrelated(self) -> None:
        u = Draws(5).uniform(Stream.DEAL, np.arange(20_000), 1, 4)
        assert 0 < u.min() < 0.001
        assert 0.999 < u.max() < 1
        assert np.abs(u.mean(axis=1) - 0.5).max() < 0.01
        assert np.abs(np.corrcoef(u) - np.eye(4)).max() < 0.03


class TestShapes:
    def test_normal_is_standard(self) -> None:
        u = Draws(5).uniform(Stream.DEAL, np.arange(20_000), 1, 2)
        drawn = normal(u[0], u[1])
        assert abs(drawn.mean()) < 0.03
        assert abs(drawn.std() - 1) < 0.03

    def test_poisson_has_its_mean_and_variance(self) -> None:
        u = Draws(5).uniform(Stream.DEAL, np.arange(20_000), 2, 1)[0]
        drawn = poisson(u, 1.3)
        assert abs(drawn.mean() - 1.3) < 0.04
        assert abs(drawn.var() - 1.3) < 0.06

    def test_choose_keeps_the_shares(self) -> None:
        u = Draws(5).uniform(Stream.DEAL, np.arange(20_000), 3, 1)[0]
        shares = np.bincount(choose(u, (0.35, 0.15, 0.5))) / len(u)
        assert shares == pytest.approx([0.35, 0.15, 0.5], abs=0.015)
