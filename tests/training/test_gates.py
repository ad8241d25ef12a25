"""What may serve and what may not, and the sentence that says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training import gates
from training.bundle import ExplanationDoesNotAddUp
from training.evaluation import logit, sigmoid
from training.parts import LinearPart
from training.reports import Leak


def decide(trained, *, champion=None, window=None, **changes):
    report = replace(trained.report, **changes).as_json()
    return gates.decide(trained.bundle, report, window or trained.window, champion=champion)


class TestAChallenger:
    def test_that_is_better_and_calibrated_may_serve(self, trained):
        assert decide(trained).refusals == ()

    def test_with_a_leak_may_not(self, trained):
        found = decide(trained, leaks=(Leak("feature close_value", 1.0, 0.9),))
        assert any("feature close_value" in each for each in found.refusals)

    def test_no_better_than_the_base_rate_may_not(self, trained):
        gain = replace(trained.report.gain, high=0.001)
        found = decide(trained, gain=gain)
        assert any("not better than the base rate" in each for each in found.refusals)

    def test_that_promises_too_much_may_not(self, trained):
        window = replace(trained.window, p=sigmoid(logit(trained.window.p) + 1.0))
        assert any("not calibrated" in each for each in decide(trained, window=window).refusals)

    def test_that_is_too_sure_may_not(self, trained):
        window = replace(trained.window, p=sigmoid(3.0 * logit(trained.window.p)))
        assert any("too sure" in each for each in decide(trained, window=window).refusals)

    def test_too_good_to_be_true_may_not(self, trained):
        p = np.where(trained.window.y == 1, 0.97, 0.03)
        found = decide(trained, window=replace(trained.window, p=p))
        assert any("too good to be true" in each for each in found.refusals)

    def test_whose_explanations_do_not_add_up_stops_everything(self, trained, monkeypatch):
        real = LinearPart.contributions
        monkeypatch.setattr(LinearPart, "contributions", lambda self, X: (real(self, X)[0], 99.0))
        with pytest.raises(ExplanationDoesNotAddUp):
            decide(trained)


class TestAgainstAChampion:
    def champion(self, trained, shift=0.0, *, as_of="2000-01-01T00:00:00+00:00"):
        bundle = trained.bundle.with_version("old")
        return replace(bundle, intercept=bundle.intercept + shift, as_of=as_of)

    def test_a_worse_one_is_replaced(self, trained):
        found = decide(trained, champion=self.champion(trained, 1.5))
        assert found.is_allowed
        assert "Against version old: log loss -" in found.notes[0]

    def test_a_better_one_is_kept(self, trained):
        window = replace(trained.window, p=sigmoid(0.4 * logit(trained.window.p) + 0.3))
        found = decide(trained, champion=self.champion(trained), window=window)
        assert any("not as good as version old" in each for each in found.refusals)

    def test_one_that_has_seen_the_window_is_not_compared(self, trained):
        found = decide(trained, champion=self.champion(trained, as_of=trained.bundle.as_of))
        assert found.is_allowed
        assert "Not compared with version old" in found.notes[0]

    def test_a_working_one_is_not_replaced_by_a_base_rate(self, trained):
        rate = replace(trained.bundle, kind="base_rate", parts=(), version="new")
        report = trained.report.as_json()
        kept = gates.decide(rate, report, trained.window, champion=self.champion(trained))
        assert any("would replace a model" in each for each in kept.refusals)
        broken = self.champion(trained, 3.0)
        assert gates.decide(rate, report, trained.window, champion=broken).is_allowed

    def test_a_base_rate_may_be_the_first_to_serve(self, trained):
        rate = replace(trained.bundle, kind="base_rate", parts=(), version="new")
        found = gates.decide(rate, trained.report.as_json(), trained.window, champion=None)
        assert found.is_allowed
        assert "served as base_rate" in found.notes[0]
