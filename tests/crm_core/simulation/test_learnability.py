"""What is on record predicts the outcome as well as in real CRMs: usefully, never perfectly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier

from tests.crm_core.simulation.companies import Generated

STAGES = {"Qualify": 0, "Discover": 1, "Evaluate": 2, "Propose": 3, "Negotiate": 4}
BELIEF = {"pipeline": 0, "best_case": 1, "most_likely": 2, "commit": 3}
TRAINED_UNTIL = pd.Timestamp("2025-09-01", tz="UTC")


def _read(demo: Generated, table: str) -> pd.DataFrame:
    frame = pd.read_csv(demo.folder / f"{table}.csv", low_memory=False)
    for column in ("occurred_at", "recorded_at", "created_at"):
        if column in frame:
            frame[column] = pd.to_datetime(frame[column])
    return frame


def _snapshot(
    deals: pd.DataFrame, events: pd.DataFrame, done: pd.DataFrame, t: pd.Timestamp
) -> pd.DataFrame:
    """Return simple features of the deals that were open, as far as was known at ``t``."""
    is_open = (deals.created_at <= t) & ~((deals.ended_at <= t) & (deals.learnt_at <= t))
    rows = deals[is_open]
    known = events[(events.recorded_at <= t) & events.opportunity_id.isin(rows.index)]
    last = known.groupby(["opportunity_id", "field"]).new_value.last().unstack()
    entered = known[known.field == "stage"].groupby("opportunity_id").occurred_at.max()
    seen = done[(done.recorded_at <= t) & done.opportunity_id.isin(rows.index)]
    by_deal = seen.groupby("opportunity_id")
    frame = pd.DataFrame(index=rows.index)
    frame["stage"] = last.stage.map(STAGES)
    frame["age"] = (t - rows.created_at).dt.days
    frame["days_in_stage"] = (t - entered).dt.days
    frame["log_amount"] = np.log(last.amount.astype(float))
    frame["pushes"] = known[known.field == "expected_close_on"].groupby("opportunity_id").size()
    due = pd.to_datetime(last.expected_close_on).dt.tz_localize("UTC")
    frame["days_to_close"] = (due - t).dt.days
    frame["belief"] = last.forecast_category.map(BELIEF).astype(float)
    frame["activities"] = by_deal.size()
    recent = seen[seen.occurred_at > t - pd.Timedelta("28D")]
    frame["recent"] = recent.groupby("opportunity_id").size()
    frame["inbound"] = seen[seen.direction == "in"].groupby("opportunity_id").size()
    frame["silence"] = (t - by_deal.occurred_at.max()).dt.days
    frame["people"] = by_deal.contact_id.nunique()
    frame["source"] = rows.source.map({"inbound": 0, "referral": 1, "outbound": 2})
    return frame.assign(t=t, won=rows.won, learnt_at=rows.learnt_at)


@pytest.fixture(scope="module")
def snapshots(demo: Generated) -> pd.DataFrame:
    """Features at ten times, with the outcome of the deals that have one."""
    deals = _read(demo, "opportunities").set_index("id")
    events, done = _read(demo, "opportunity_events"), _read(demo, "activities")
    ends = events[events.new_value.isin(["Won", "Lost"])].set_index("opportunity_id")
    deals["ended_at"], deals["learnt_at"] = ends.occurred_at, ends.recorded_at
    deals["won"] = ends.new_value.eq("Won").astype(float)
    times = pd.date_range("2024-06-01", "2026-03-01", periods=10, tz="UTC").normalize()
    taken = pd.concat([_snapshot(deals, events, done, t) for t in times])
    return taken[taken.won.notna()]


def _auc(won: pd.Series, score: np.ndarray) -> float:
    """Return the chance that a won deal is scored above a lost one, ties counting half."""
    ranks = pd.Series(score).rank().to_numpy()
    good = won.to_numpy() == 1
    wins, losses = good.sum(), (~good).sum()
    return float((ranks[good].sum() - wins * (wins + 1) / 2) / (wins * losses))


class TestRecord:
    def test_lets_a_plain_model_rank_deals_at_075_to_082(self, snapshots: pd.DataFrame) -> None:
        features = snapshots.drop(columns=["t", "won", "learnt_at"])
        past = (snapshots.t < TRAINED_UNTIL) & (snapshots.learnt_at < TRAINED_UNTIL)
        later = snapshots.t >= TRAINED_UNTIL
        model = LGBMClassifier(
            n_estimators=120, learning_rate=0.05, max_depth=4, num_leaves=15,
            min_child_samples=40, n_jobs=1, verbose=-1, random_state=1,
        )  # fmt: skip
        model.fit(features[past].to_numpy(), snapshots.won[past].to_numpy())
        score = model.predict_proba(features[later].to_numpy())[:, 1]
        assert 0.75 <= _auc(snapshots.won[later], score) <= 0.82

    def test_has_no_single_feature_that_gives_the_outcome_away(
        self, snapshots: pd.DataFrame
    ) -> None:
        for name in snapshots.columns.drop(["t", "won", "learnt_at"]):
            alone = _auc(snapshots.won, snapshots[name].fillna(-1).to_numpy())
            assert 0.2 < alone < 0.8, name
