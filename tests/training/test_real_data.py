"""The real data sets through the real pipeline: imported, made into features, trained, judged.

The protocols are those of the data's README: each set is trained as of one day on what was
known then, and asked about pairs of deal and time that came later.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from crm_core.imports.operations import import_path
from features import facts, labels, opportunity, snapshots
from features.fact_tables import microseconds
from features.history import History
from training import evaluation as ev
from training.reports import BETTER, NO_BETTER
from training.win_rate import train

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(900)]
IMPORTED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Tuned:
    threads: int = 2
    trials: int = 20


def built(engine, *, as_of):
    """Return the frame that a build as of then would store, and the outcomes known then."""
    history = History(facts.load(engine, as_of=as_of))
    pairs, weight = snapshots._asked(history, microseconds(as_of))
    frame = opportunity.rows(history, pairs)
    frame["weight"] = weight
    return frame, labels.outcomes(engine, known_at=as_of)


def asked(engine, pairs, bundle, home):
    """Return p and the outcome of pairs of deal and time, each seen as it was known then."""
    known = labels.outcomes(engine, known_at=IMPORTED).set_index("entity_id")
    rows = snapshots.rows(engine, pairs, settings=home, columns=bundle.features)
    table = rows[list(bundle.features)].to_numpy(np.float64)
    won = (known["outcome"].reindex(rows["entity_id"]) == "won").to_numpy(float)
    return bundle.score(table), won, rows


def imported(engine, folder, name):
    import_path(
        engine, folder / name, mapping=name, recorded_at=IMPORTED, dry_run=False,
        rejected_folder=None, progress=None,
    )  # fmt: skip


class TestMavenCrm:
    """Nothing that is known when a deal is engaged tells how it ends."""

    CUT = dt.datetime(2017, 8, 1, tzinfo=dt.UTC)

    @pytest.fixture
    def world(self, engine, data_sets):
        imported(engine, data_sets, "maven_crm")
        return built(engine, as_of=self.CUT)

    def test_serves_the_base_rate_and_refuses_the_leak(self, engine, world, home):
        frame, outcomes = world
        found = train(frame, outcomes, as_of=self.CUT, settings=Tuned())
        assert found.report.verdict == NO_BETTER
        assert found.bundle.kind == "base_rate"
        assert found.report.leaks == ()

        known = labels.outcomes(engine, known_at=IMPORTED)
        engaged = known["created_at"]
        pairs = known[(engaged >= "2017-08-01T04:00Z") & (engaged < "2017-10-01T04:00Z")]
        pairs = pairs[["entity_id"]].assign(as_of=pairs["created_at"])
        scores, won, _ = asked(engine, pairs, found.bundle, home)
        assert len(won) == 1216
        assert won.mean() == pytest.approx(0.630, abs=0.001)
        assert ev.log_loss(won, scores.p) <= 0.659 + 0.003

        # close_value as a column of the table: filled in only when a deal was won
        ends = known.set_index("entity_id")["outcome"].reindex(frame["entity_id"])
        leak = np.where(ends == "won", 1000.0, 0.0)
        leaky = train(
            frame.assign(close_value=leak), outcomes, as_of=self.CUT, settings=Tuned(trials=0)
        )
        assert any("close_value" in leak.what for leak in leaky.report.leaks)


class TestBpic2012:
    """Loan applications with their history of events: there is signal, and it is calibrated."""

    CUT = dt.datetime(2012, 1, 15, tzinfo=dt.UTC)
    AGES = (3, 7, 14, 21)

    def pairs(self, folder):
        """Return the protocol's pairs: pre-acceptance, offer sent, then while open."""
        events = pd.read_parquet(folder / "bpic2012" / "events.parquet")
        events["t"] = events["t"].dt.tz_localize("UTC")
        first = events.groupby(["case", "activity"])["t"].min().unstack()
        born = events.groupby("case")["t"].min()
        won = first[["A_APPROVED", "A_REGISTERED", "A_ACTIVATED"]].min(axis=1)
        ended = won.combine(first[["A_DECLINED", "A_CANCELLED"]].min(axis=1), min)
        ended = ended.fillna(won).fillna(first[["A_DECLINED", "A_CANCELLED"]].min(axis=1))
        moments = [first["A_PREACCEPTED"], first["O_SENT"]]
        moments += [first["O_SENT"] + pd.Timedelta(days=age) for age in self.AGES]
        stacked = pd.concat([each[(each < ended) & (born >= self.CUT)] for each in moments])
        return pd.DataFrame({"entity_id": stacked.index.astype(str), "as_of": stacked.to_numpy()})

    def test_beats_the_logistic_regression_of_the_survey(self, engine, data_sets, home):
        imported(engine, data_sets, "bpic2012")
        frame, outcomes = built(engine, as_of=self.CUT)
        found = train(frame, outcomes, as_of=self.CUT, settings=Tuned())
        assert found.report.verdict == BETTER
        assert found.report.leaks == ()
        pairs = self.pairs(data_sets)
        pairs["as_of"] = pd.to_datetime(pairs["as_of"], utc=True)
        scores, won, _ = asked(engine, pairs, found.bundle, home)
        assert len(won) == 7015
        assert won.mean() == pytest.approx(0.436, abs=0.001)
        assert ev.log_loss(won, scores.p) <= 0.635
        assert ev.auc(won, scores.p) >= 0.668
        # 0.025 of it is what chance exceeds once in twenty; the log ends in March and the
        # protocol drops what is open then, so that late questions are about fast deals
        assert ev.ece(won, scores.p) <= 0.03
        assert found.report.seconds


class TestBankMarketing:
    """The rate of success quadruples after the cut: a frozen model must not fall apart."""

    def test_frozen_model_does_no_worse_than_the_logistic_regression(self, engine, data_sets, home):
        imported(engine, data_sets, "bank_marketing")
        known = labels.outcomes(engine, known_at=IMPORTED).sort_values(
            ["created_at", "entity_id"], kind="stable"
        )
        cut = known["created_at"].iloc[28_831].to_pydatetime()
        frame, outcomes = built(engine, as_of=cut)
        found = train(frame, outcomes, as_of=cut, settings=Tuned())
        later = known.iloc[28_831:]
        pairs = later[["entity_id"]].assign(as_of=later["created_at"])
        scores, won, _ = asked(engine, pairs, found.bundle, home)
        assert won.mean() == pytest.approx(0.246, abs=0.002)
        assert ev.log_loss(won, scores.p) <= 0.587
