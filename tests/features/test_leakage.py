"""A row never changes with what became known after its time, and never contains the outcome."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import landmarks, opportunity
from features.definitions import feature_columns
from features.fact_tables import DAY, FOREVER, Facts, to_instants
from features.history import History
from tests.features.histories import START, a_history, facts, frame, known_at


def asked(history: History, moment: int) -> pd.DataFrame:
    """Every deal that was known at the moment, asked at the moment."""
    ids = history.deals["id"].to_numpy(object)[history.known <= moment]
    return pd.DataFrame(
        {"entity_id": ids, "as_of": to_instants(np.full(len(ids), moment, np.int64))}
    )


def features_at(given: Facts, moment: int) -> pd.DataFrame:
    history = History(given)
    return opportunity.rows(history, asked(history, moment))


class TestARow:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(seed=st.integers(0, 10_000), hour=st.integers(24, 24 * 80))
    def test_is_the_same_when_all_later_facts_are_deleted(self, seed, hour):
        everything = a_history(seed)
        moment = START + hour * (DAY // 24)
        before = features_at(known_at(everything, moment), moment)
        columns = feature_columns(before.columns)
        history = History(everything)
        after = opportunity.rows(history, asked(history, moment), columns=columns)
        pd.testing.assert_frame_equal(before, after, check_exact=True)

    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_is_the_same_alone_and_among_others(self, seed):
        history = History(a_history(seed))
        moment = START + 50 * DAY
        together = opportunity.rows(history, asked(history, moment))
        columns = feature_columns(together.columns)
        for number in range(min(3, len(together))):
            one = asked(history, moment).iloc[[number]].reset_index(drop=True)
            alone = opportunity.rows(History(history.facts), one, columns=columns)
            expected = together.iloc[[number]].reset_index(drop=True)
            pd.testing.assert_frame_equal(alone, expected, check_exact=True)

    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 10_000), shuffle=st.integers(0, 99))
    def test_does_not_depend_on_the_order_of_the_facts(self, seed, shuffle):
        given_facts = a_history(seed)
        moment = START + 55 * DAY
        mixed = Facts(
            calendar=given_facts.calendar,
            **{
                name: getattr(given_facts, name)
                .sample(frac=1, random_state=shuffle)
                .reset_index(drop=True)
                for name in Facts.__dataclass_fields__
                if name != "calendar"
            },
        )
        first, second = features_at(given_facts, moment), features_at(mixed, moment)
        order = first["entity_id"].sort_values().index
        other = second["entity_id"].sort_values().index
        pd.testing.assert_frame_equal(
            first.loc[order].reset_index(drop=True),
            second.loc[other, first.columns].reset_index(drop=True),
            check_exact=True,
        )


class TestLandmarks:
    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_are_instants_at_which_the_deal_was_known_to_be_open(self, seed):
        history = History(a_history(seed))
        pairs, weight = landmarks.landmarks(history, as_of=START + 70 * DAY)
        assert history.is_open_at(pairs).all()
        assert not history.born_closed[pairs.deal].any()
        assert (pairs.at <= START + 70 * DAY).all()
        per_deal = np.bincount(pairs.deal, minlength=len(history))
        assert per_deal.max(initial=0) <= landmarks.MOST
        assert not pd.DataFrame({"d": pairs.deal, "t": pairs.at}).duplicated().any()
        assert (weight >= 1).all()

    def test_stand_for_as_many_as_there_were(self):
        deal = {"id": "d", "pipeline": "default", "created_at": START, "recorded_at": START,
                "currency": "EUR", "history": "full"}  # fmt: skip
        event = {"opportunity_id": "d", "field": "stage", "occurred_at": START,
                 "recorded_at": START, "sequence": 1, "new_value": "Qualify"}  # fmt: skip
        history = History(facts(opportunities=[deal], events=[event]))
        pairs, weight = landmarks.landmarks(history, as_of=START + 7 * 40 * DAY)
        assert len(pairs) == landmarks.MOST
        assert weight.sum() == pytest.approx(1 + 40)  # the creation and forty Mondays

    def test_fall_on_midnight_of_the_companys_monday_through_the_clock_change(self):
        weeks = landmarks.mondays(START, START + 120 * DAY, "Europe/Berlin")
        local = pd.DatetimeIndex(to_instants(weeks)).tz_convert("Europe/Berlin")
        assert set(local.dayofweek) == {0}
        assert set(local.hour) == {0}
        assert len(weeks) == 17


def test_an_outcome_recorded_after_closing_never_appears():
    # the canary: a field that equals the outcome, entered when the deal was already closed
    everything = a_history(11, deals=40)
    history = History(everything)
    ends = history.endings
    closed = ends.sign > 0
    canary = [
        {
            "opportunity_id": history.deals["id"][deal], "field": "custom",
            "occurred_at": int(known), "recorded_at": int(known) + DAY,
            "sequence": 10**7 + int(deal),
            "new_value": f'{{"x_canary": {int(won)}}}',
        }
        for deal, known, won in zip(
            ends.deal[closed], ends.known[closed], ends.won[closed], strict=True
        )
    ]  # fmt: skip
    events = pd.concat([everything.events, frame("events", canary)], ignore_index=True)
    with_canary = replace(everything, events=events)
    history = History(with_canary)
    pairs, _ = landmarks.landmarks(history, as_of=START + 90 * DAY)
    rows = opportunity.rows(
        history,
        pd.DataFrame(
            {
                "entity_id": history.deals["id"].to_numpy(object)[pairs.deal],
                "as_of": to_instants(pairs.at),
            }
        ),
    )
    reopened = set(ends.deal[~closed])
    fresh = ~np.isin(pairs.deal, list(reopened))
    assert len(canary) >= 5
    assert rows["x_canary"][fresh].isna().all()


def test_no_feature_of_an_open_deal_gives_its_outcome_away():
    history = History(a_history(3, deals=120))
    pairs, _ = landmarks.landmarks(history, as_of=START + 90 * DAY)
    ends = history.endings
    won = dict(zip(ends.deal[ends.sign > 0], ends.won[ends.sign > 0], strict=True))
    known = np.array([deal in won for deal in pairs.deal])
    rows = opportunity.rows(
        history,
        pd.DataFrame(
            {
                "entity_id": history.deals["id"].to_numpy(object)[pairs.deal],
                "as_of": to_instants(pairs.at),
            }
        ),
    )[known]
    outcome = pd.Series([won[deal] for deal in pairs.deal[known]], dtype=float)
    for name in feature_columns(rows.columns):
        values = rows[name].reset_index(drop=True)
        use = values.notna()
        if use.sum() > 40 and outcome[use].nunique() == 2:
            ranks = values[use].rank()
            positive = outcome[use] == 1
            n, m = positive.sum(), (~positive).sum()
            auc = (ranks[positive].sum() - n * (n + 1) / 2) / (n * m)
            assert 0.1 < auc < 0.9, name


def test_the_present_is_after_all_facts_and_no_fact_is_forever():
    assert dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() * 1_000_000 == START
    assert START < FOREVER
