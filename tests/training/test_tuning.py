"""The search is repeatable, keeps its journal, and never returns worse than the start."""

from __future__ import annotations

from training.learners import TreeSettings
from training.tuning import search

START = TreeSettings()


def bowl(shape: TreeSettings, give_up) -> float:
    loss = abs(shape.leaves - 11) / 10 + abs(shape.l2 - 30) / 100 + abs(shape.trees - 100) / 200
    return float("nan") if give_up(0, loss) else loss


class TestSearch:
    def test_gives_the_same_answer_every_time(self):
        found = [search(bowl, rows=5000, trials=15, seed=4, start=START) for _ in range(2)]
        assert found[0] == found[1]
        assert found[0] != search(bowl, rows=5000, trials=15, seed=5, start=START)

    def test_never_ends_worse_than_the_start(self):
        found = search(bowl, rows=5000, trials=12, seed=4, start=START)
        assert bowl(found, lambda *_: False) <= bowl(START, lambda *_: False)

    def test_without_trials_is_the_start(self):
        assert search(bowl, rows=5000, trials=0, seed=1, start=START) == START

    def test_goes_on_from_its_journal(self, tmp_path):
        journal = tmp_path / "studies" / "trees.log"
        first = search(bowl, rows=5000, trials=6, seed=4, start=START, journal=journal)
        size = journal.stat().st_size
        second = search(bowl, rows=5000, trials=6, seed=4, start=START, journal=journal)
        assert journal.stat().st_size > size
        assert bowl(second, lambda *_: False) <= bowl(first, lambda *_: False)
