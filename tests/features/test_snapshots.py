"""Features are built from a real store, kept behind Feast and asked for live: the same bits."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from crm_core.database import transaction
from features import builds, labels, snapshots
from features.checks import FrameRejected, check
from features.definitions import GROUP_COLUMNS, KEYS, WEIGHT, feature_columns
from tests import factories

DAY = dt.timedelta(days=1)
START = factories.START
CUT = START + 120 * DAY


def a_small_company(session) -> None:
    """Forty deals over four months with activities; every third is still open at the cut."""
    chance = random.Random(5)
    factories.a_company(session)
    reps = [factories.a_user(session, key=f"rep{i}") for i in range(3)]
    accounts = [
        factories.an_account(session, key=f"acc{i}", industry=["steel", "food"][i % 2])
        for i in range(6)
    ]
    contacts = [factories.a_contact(session, account=each, seniority="vp") for each in accounts]
    for number in range(40):
        created = START + chance.randrange(90) * DAY
        deal = factories.an_opportunity(
            session, key=f"deal{number:02d}", account=accounts[number % 6], owner=reps[number % 3],
            created_at=created, source=["web", "fair"][number % 2], amount=f"{100 + number}.00",
            custom={"x_seats": number, "x_tier": ["gold", "tin"][number % 2]},
        )  # fmt: skip
        moment = created + chance.randrange(1, 20) * DAY
        factories.moves(session, deal, to="Propose", at=moment)
        for _ in range(chance.randrange(4)):
            at = created + chance.random() * 30 * DAY
            factories.an_activity(
                session, opportunity=deal, kind="meeting", at=at, contact_id=contacts[number % 6].id
            )
        if number % 3:
            ending = moment + chance.randrange(1, 30) * DAY
            late = ending + 20 * DAY if number % 5 == 0 else None
            factories.moves(
                session, deal, to=["Won", "Lost"][number % 2], at=ending, recorded_at=late
            )
    factories.an_order(session, account=accounts[0], ordered_on=dt.date(2026, 2, 1))


@pytest.fixture
def filled(engine):
    with transaction(engine) as session:
        a_small_company(session)
    return engine


@pytest.fixture
def built(filled, settings, feast_url):
    return snapshots.build(
        filled, as_of=CUT, recorded_at=CUT, settings=settings, progress=None, feast_url=feast_url
    )


class TestABuild:
    def test_gives_the_training_frame_through_feast(self, filled, built, settings, feast_url):
        from features.store import training_frame

        frame = training_frame(as_of=CUT, settings=settings, feast_url=feast_url)
        assert list(frame.columns) == [*KEYS, *GROUP_COLUMNS, WEIGHT, *built.columns]
        assert len(frame) == built.landmarks
        assert frame["as_of"].dt.tz is not None
        assert frame["as_of"].max() == pd.Timestamp(CUT)
        assert {"x_seats", "x_tier_code", "source_lift", "done_meeting_count"} <= set(frame)

        live = snapshots.rows(filled, frame[list(KEYS)], settings=settings)
        assert feature_columns(live.columns) == list(built.columns)
        pd.testing.assert_frame_equal(live, frame.drop(columns=WEIGHT), check_exact=True)

    def test_puts_the_open_deals_online_and_only_them(self, filled, built, settings, feast_url):
        from features import store

        with filled.connect() as connection:
            open_deals = set(
                connection.execute(
                    text("select id from opportunities where outcome is null")
                ).scalars()
            )
            closed = connection.execute(
                text("select id from opportunities where closed_at < '2026-04-01' limit 1")
            ).scalar_one()
        ids = [*sorted(open_deals)[:5], closed]
        with store.opened(feast_url, settings) as door:
            online = store.online_rows(door, ids, columns=built.columns)
        pairs = pd.DataFrame({"entity_id": ids[:5], "as_of": CUT})
        expected = snapshots.rows(filled, pairs, settings=settings)[list(built.columns)]
        pd.testing.assert_frame_equal(online[list(built.columns)].iloc[:5], expected)
        assert online[list(built.columns)].iloc[5].isna().all()
        assert built.open_deals >= len(open_deals)

    def test_is_identical_when_rebuilt_after_later_recordings(
        self, filled, built, settings, feast_url
    ):
        with transaction(filled) as session:
            from crm_core.opportunities.models import Opportunity

            for number in (0, 3, 6, 9):
                deal = session.get(Opportunity, f"deal{number:02d}")
                factories.moves(session, deal, to="Won", at=CUT + 5 * DAY)
                factories.an_event(
                    session, deal, field="amount", value="9.99",
                    at=CUT - 30 * DAY, recorded_at=CUT + 3 * DAY,
                )  # fmt: skip
                factories.an_activity(
                    session, opportunity=deal, kind="call", at=CUT - 9 * DAY,
                    recorded_at=CUT + 2 * DAY,
                )  # fmt: skip
            factories.an_opportunity(
                session, created_at=CUT - 50 * DAY, recorded_at=CUT + DAY, source="late source"
            )
            # the trigger keeps what the accounts were before
            session.execute(
                text("update accounts set industry = 'glass', employees = 7, custom = :own"),
                {"own": '{"x_late": true}'},
            )
        again = snapshots.build(
            filled, as_of=CUT, recorded_at=CUT + 30 * DAY, settings=settings, progress=None,
            feast_url=feast_url,
        )  # fmt: skip
        assert again.fingerprint == built.fingerprint
        assert again.columns == built.columns

    def test_tells_its_progress(self, filled, settings, feast_url):
        told = []
        snapshots.build(
            filled, as_of=CUT, recorded_at=CUT, settings=settings, feast_url=feast_url,
            progress=lambda step, done, total: told.append(step),
        )  # fmt: skip
        assert told == ["facts", "landmarks", "rows", "files", "store"]

    def test_before_the_first_deal_is_refused_with_the_remedy(self, settings):
        with pytest.raises(builds.NoFeatures, match="winward features build"):
            builds.latest_build(settings, as_of=START)


class TestOutcomes:
    def test_are_those_known_at_the_cut(self, filled):
        at_cut = labels.outcomes(filled, known_at=CUT)
        assert set(at_cut["outcome"]) == {"won", "lost"}
        assert (at_cut["known_at"] <= pd.Timestamp(CUT)).all()
        assert (at_cut["closed_at"] <= at_cut["known_at"]).all()
        late = at_cut[at_cut["known_at"] > at_cut["closed_at"]]
        assert len(late) > 0
        one = late.iloc[0]
        before = labels.outcomes(filled, known_at=one["known_at"] - pd.Timedelta("1us"))
        assert one["entity_id"] not in set(before["entity_id"])


class TestCheck:
    def frame(self, **columns) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "entity_id": ["a", "b"],
                "as_of": pd.to_datetime([CUT, CUT], utc=True),
                "account_id": [None, "x"],
                "owner_id": ["u", None],
                "amount_log": [1.0, np.nan],
                **columns,
            }
        )

    def test_accepts_a_sound_frame(self):
        frame = self.frame()
        assert check(frame, columns=["amount_log"], as_of=CUT) is frame

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"month_": [1.0, 2.0]}, "unexpected"),
            ({"amount_log": ["1", "2"]}, "float64"),
            ({"amount_log": [1.0, np.inf]}, "infinite"),
            ({"entity_id": ["a", "a"]}, "two rows"),
            ({"entity_id": ["a", None]}, "no entity_id"),
            ({"as_of": pd.to_datetime([CUT, CUT + DAY], utc=True)}, "after"),
            ({"as_of": pd.to_datetime([CUT, CUT]).tz_localize(None)}, "zone"),
        ],
    )
    def test_refuses_a_frame_that_would_mislead(self, columns, words):
        with pytest.raises(FrameRejected, match=words):
            check(self.frame(**columns), columns=["amount_log"], as_of=CUT)

    def test_refuses_a_missing_column(self):
        with pytest.raises(FrameRejected, match="lacks"):
            check(self.frame(), columns=["amount_log", "deal_age_days"], as_of=CUT)


def test_facts_in_memory_are_read_again_when_something_was_added(filled, built, settings):
    pairs = pd.DataFrame({"entity_id": ["deal00"], "as_of": [CUT]})
    before = snapshots.rows(filled, pairs, settings=settings)["activities_all"][0]
    with transaction(filled) as session:
        from crm_core.opportunities.models import Opportunity

        deal = session.get(Opportunity, "deal00")
        factories.an_activity(session, opportunity=deal, at=CUT - DAY)
    after = snapshots.rows(filled, pairs, settings=settings)["activities_all"][0]
    assert after == before + 1


def test_a_deal_not_yet_known_is_refused(filled, settings):
    from features.opportunity import UnknownDeal

    pairs = pd.DataFrame({"entity_id": ["deal00"], "as_of": [START - DAY]})
    with pytest.raises(UnknownDeal, match="deal00"):
        snapshots.rows(filled, pairs, settings=settings)
