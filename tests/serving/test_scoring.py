"""A score is explained, adds up, is the same by every door, and is written down."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm_core.database import transaction
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.people.models import Company, User
from crm_core.settings import Settings
from serving import scoring
from serving.champions import WIN_RATE, Champion
from serving.explanations import sigmoid
from serving.scoring import ScoreView
from tests.serving.bundles import bundle

AS_OF = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
SCORED_AT = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 5, number, tzinfo=dt.UTC)


def _event(deal: str, field: str, value: str, number: int) -> OpportunityEvent:
    return OpportunityEvent(
        opportunity_id=deal, field=field, new_value=value,
        occurred_at=day(number), recorded_at=day(number),
    )  # fmt: skip


@pytest.fixture
def company(engine: Engine) -> Engine:
    """Three deals of May: one overdue and open, one young and open, one won on the 20th."""
    with transaction(engine) as session:
        session.add(Company(id=1, name="Test", currency="EUR", time_zone="UTC"))
        session.add(User(id="u1", name="Rep", email="rep@example.com", role="rep"))
        for position, (stage, kind) in enumerate((("Talk", "open"), ("Won", "won"))):
            session.add(Stage(pipeline="default", stage=stage, position=position, kind=kind))
        session.flush()
        for deal, number in (("overdue", 1), ("young", 28), ("won", 2)):
            session.add(
                Opportunity(
                    id=deal, owner_id="u1", created_at=day(number), recorded_at=day(number),
                    currency="EUR", stage="Talk",
                )
            )  # fmt: skip
            session.flush()
            session.add(_event(deal, "stage", "Talk", number))
            session.add(_event(deal, "owner_id", "u1", number))
        session.add(_event("overdue", "expected_close_on", "2026-05-11", 2))
        session.add(_event("won", "stage", "Won", 20))
    return engine


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def champion() -> Champion:
    return Champion(WIN_RATE, "7", bundle(version="7"))


@pytest.fixture
def views(company: Engine, settings: Settings, champion: Champion) -> list[ScoreView]:
    """What is said of every open deal."""
    return scoring.score_many(
        company, opportunity_ids=None, as_of=AS_OF, champion=champion, settings=settings,
        scored_at=SCORED_AT,
    )  # fmt: skip


def one(
    engine: Engine,
    settings: Settings,
    deal: str,
    champion: Champion | None,
    as_of: dt.datetime = AS_OF,
) -> ScoreView:
    with Session(engine) as session:
        view = scoring.score_one(
            session, opportunity_id=deal, as_of=as_of, champion=champion, settings=settings,
            scored_at=SCORED_AT,
        )  # fmt: skip
        session.commit()
    return view


class TestScoreMany:
    def test_scores_every_open_deal_once(self, views: list[ScoreView]) -> None:
        assert [view.opportunity_id for view in views] == ["overdue", "young"]
        assert {view.kind for view in views} == {"model"}

    def test_adds_up_to_the_log_odds_and_to_the_probability(self, views: list[ScoreView]) -> None:
        for view in views:
            assert view.base_value is not None
            assert view.margin is not None
            total = math.fsum([view.base_value, *view.contributions.values()])
            assert total == pytest.approx(view.margin, abs=1e-6)
            assert view.p_win == pytest.approx(sigmoid(view.margin), abs=1e-12)
            gained = math.fsum(effect.points for effect in view.effects)
            assert sigmoid(view.base_value) + gained == pytest.approx(view.p_win, abs=1e-6)

    def test_says_why_with_facts_of_the_deal(self, views: list[ScoreView]) -> None:
        said = [reason.sentence.en for reason in views[0].reasons]
        assert any("passed 50 days ago" in sentence for sentence in said), said

    def test_bounds_the_probability(self, views: list[ScoreView]) -> None:
        for view in views:
            assert view.low is not None
            assert view.high is not None
            assert view.low < view.p_win < view.high
            assert view.n_similar == 412

    def test_writes_down_what_was_said(self, company: Engine, views: list[ScoreView]) -> None:
        with company.connect() as connection:
            rows = connection.execute(
                text(
                    "select opportunity_id, p_win, model_version, as_of, scored_at, row_hash,"
                    " reasons from predictions order by 1"
                )
            ).all()
        assert [(row[0], row[1]) for row in rows] == [(v.opportunity_id, v.p_win) for v in views]
        assert {tuple(row[2:5]) for row in rows} == {("7", AS_OF, SCORED_AT)}
        assert len({row.row_hash for row in rows}) == 2
        assert {"en", "zh", "group", "facts"} <= set(rows[0].reasons[0])

    def test_sees_only_what_was_known_then(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        found = scoring.score_many(
            company, opportunity_ids=None, as_of=day(10), champion=champion, settings=settings,
            scored_at=SCORED_AT,
        )  # fmt: skip
        assert [view.opportunity_id for view in found] == ["overdue", "won"]


class TestScoreOne:
    def test_says_the_same_as_the_batch(
        self, company: Engine, settings: Settings, champion: Champion, views: list[ScoreView]
    ) -> None:
        assert one(company, settings, "young", champion) == views[1]

    def test_sees_a_change_as_soon_as_it_is_recorded(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        before = one(company, settings, "young", champion)
        with transaction(company) as session:
            session.add(_event("young", "expected_close_on", "2026-05-30", 30))
        after = one(company, settings, "young", champion)
        assert after.row_hash != before.row_hash
        batch = scoring.score_many(
            company, opportunity_ids=["young"], as_of=AS_OF, champion=champion, settings=settings,
            scored_at=SCORED_AT,
        )  # fmt: skip
        assert batch == [after]

    def test_abstains_on_a_deal_that_is_closed(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        view = one(company, settings, "won", champion)
        assert (view.kind, view.p_win) == ("none", None)
        assert view.abstained is not None
        assert "won on 2026-05-20" in view.abstained.en
        assert "赢单" in view.abstained.zh

    def test_abstains_before_the_deal_was_known(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        view = one(company, settings, "young", champion, as_of=day(20))
        assert view.abstained is not None
        assert "not known" in view.abstained.en

    def test_writes_nothing_about_a_deal_that_does_not_exist(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        assert one(company, settings, "nobody", champion).kind == "none"
        with company.connect() as connection:
            assert connection.scalar(text("select count(*) from predictions")) == 0

    def test_abstains_without_a_model(self, company: Engine, settings: Settings) -> None:
        view = one(company, settings, "young", None)
        assert view.abstained is not None
        assert "winward train win-rate" in view.abstained.en
        assert view.model_version is None

    def test_tells_a_base_rate_as_what_it_is(self, company: Engine, settings: Settings) -> None:
        flat = Champion(WIN_RATE, "8", bundle(version="8", kind="base_rate"))
        view = one(company, settings, "young", flat)
        assert (view.kind, view.reasons) == ("base_rate", ())
        assert view.note is not None
        assert view.note.en == (
            "No better than the base rate: an estimated 63 % of all deals are won in the end, "
            "open ones counted in (n = 412)."
        )

    def test_tells_a_rate_of_few_deals_as_what_it_is(
        self, company: Engine, settings: Settings
    ) -> None:
        few = dataclasses.replace(bundle(version="8"), kind="base_rate")
        view = one(company, settings, "young", Champion(WIN_RATE, "8", few))
        assert (view.kind, view.reasons) == ("base_rate", ())
        assert view.note is not None
        assert view.note.en.startswith("Too few closed deals to learn more (n = 412)")

    def test_abstains_when_there_was_too_little_to_learn_from(
        self, company: Engine, settings: Settings
    ) -> None:
        silent = Champion(WIN_RATE, "9", bundle(version="9", kind="none"))
        view = one(company, settings, "young", silent)
        assert (view.kind, view.p_win) == ("none", None)
        assert view.abstained is not None
        assert "3 won and 1 lost" in view.abstained.en


class TestScorePairs:
    def test_scores_each_deal_at_its_own_time_in_the_order_given(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        pairs = pd.DataFrame(
            {
                "entity_id": ["young", "won", "overdue"],
                "as_of": pd.to_datetime([AS_OF, day(10), day(10)], utc=True),
            }
        )
        found = scoring.score_pairs(
            company, pairs, champion=champion, settings=settings, scored_at=SCORED_AT
        )
        assert [(v.opportunity_id, v.as_of, v.kind) for v in found] == [
            ("young", AS_OF, "model"),
            ("won", day(10), "model"),
            ("overdue", day(10), "model"),
        ]
