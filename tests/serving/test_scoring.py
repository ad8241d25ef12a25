"""A score is explained, adds up, is the same by every door, and is written down."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
import shutil
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crm_core.advice.operations import record_predictions
from crm_core.database import transaction
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.people.models import Company, User
from crm_core.settings import Settings
from features import snapshots
from serving import champions, score_file, scoring
from serving.champions import WIN_RATE, Champion, Lineage, lineage
from serving.explanations import sigmoid
from serving.score_words import FEWEST_CLOSED
from serving.scores import ScoreView
from tests.serving.bundles import bundle, point_at, put
from training.win_rate import FEWEST_FOR_A_RATE

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
    """A model trained as of 5 May."""
    return Champion(WIN_RATE, "7", bundle(version="7", as_of="2026-05-05T00:00:00+00:00"))


@pytest.fixture
def views(company: Engine, settings: Settings, champion: Champion) -> list[ScoreView]:
    """What is said of every open deal."""
    return scoring.score_many(
        company, opportunity_ids=None, as_of=AS_OF, models=Lineage(champion), settings=settings,
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
        return scoring.score_one(
            session, opportunity_id=deal, as_of=as_of, models=Lineage(champion), settings=settings,
        )  # fmt: skip


class TestTheTime:
    """When a deal ends: by the end of the company's fiscal quarter, and by when half have."""

    @pytest.fixture
    def timed(self) -> Champion:
        return Champion(
            WIN_RATE, "8", bundle(version="8", as_of="2026-05-05T00:00:00+00:00", is_timed=True)
        )

    def test_runs_to_the_end_of_the_fiscal_quarter(
        self, company: Engine, settings: Settings, timed: Champion
    ) -> None:
        as_of = dt.datetime(2026, 6, 10, 16, tzinfo=dt.UTC)  # the 11th in Shanghai
        ends = {"UTC": (1, dt.datetime(2026, 7, 1, tzinfo=dt.UTC)),
                "Asia/Shanghai": (2, dt.datetime(2026, 7, 31, 16, tzinfo=dt.UTC))}  # fmt: skip
        seen = []
        for zone, (first_month, end) in ends.items():
            with transaction(company) as session:
                own = session.get_one(Company, 1)
                own.time_zone, own.fiscal_year_start_month = zone, first_month
            view = one(company, settings, "young", timed, as_of)
            with Session(company) as session:
                row = snapshots.rows(
                    session.connection(),
                    pd.DataFrame({"entity_id": ["young"], "as_of": [as_of]}),
                    settings=settings, columns=timed.bundle.features,
                )  # fmt: skip
            X = row[list(timed.bundle.features)].to_numpy(float)
            share = timed.bundle.timing.spread(X).won_within(
                np.array([(end - as_of).total_seconds() / 86400])
            )
            assert view.p_win_in_period == pytest.approx(view.p_win * share[0], abs=1e-12)
            assert 0 < view.p_win_in_period < view.p_win
            assert 0 < view.median_days_to_close < 90
            seen.append(view.p_win_in_period)
        assert seen[0] < seen[1]

    def test_is_kept_and_told_by_the_file(
        self, company: Engine, settings: Settings, timed: Champion
    ) -> None:
        views = scoring.score_many(
            company, opportunity_ids=None, as_of=AS_OF, models=Lineage(timed), settings=settings,
            scored_at=SCORED_AT,
        )  # fmt: skip
        frame = score_file.as_frame(views, time_zone=ZoneInfo("UTC"))
        with company.connect() as connection:
            kept = connection.execute(
                text(
                    "select p_win_in_period, median_days_to_close from predictions"
                    " order by opportunity_id"
                )
            ).all()
        told = frame[["p_win_in_period", "median_days_to_close"]].to_numpy()
        assert [tuple(row) for row in told] == [tuple(row) for row in kept]
        assert (told > 0).all()

    def test_is_not_told_by_a_model_whose_times_did_not_hold(self, views: list[ScoreView]) -> None:
        assert {view.p_win_in_period for view in views} == {None}
        assert {view.median_days_to_close for view in views} == {None}


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
            company, opportunity_ids=None, as_of=day(10), models=Lineage(champion),
            settings=settings, scored_at=SCORED_AT,
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
            company, opportunity_ids=["young"], as_of=AS_OF, models=Lineage(champion),
            settings=settings, scored_at=SCORED_AT,
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

    def test_abstains_on_a_deal_that_does_not_exist(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        assert one(company, settings, "nobody", champion).kind == "none"

    def test_tells_days_on_the_company_s_clock(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        with transaction(company) as session:
            session.execute(text("update company set time_zone = 'Pacific/Honolulu'"))
        said = one(company, settings, "won", champion).abstained
        assert said is not None
        assert "won on 2026-05-19" in said.en
        assert "2026-05-19" in said.zh
        said = one(company, settings, "young", champion, as_of=day(20)).abstained
        assert said is not None
        assert "2026-05-19 14:00" in said.en

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
        assert not re.search("[A-Za-z]", view.abstained.zh)

    def test_says_in_one_language_what_was_missing(
        self, company: Engine, settings: Settings
    ) -> None:
        cold = dataclasses.replace(
            bundle(version="9", kind="none"), card={"deals_won": 3, "deals_lost": 1}
        )
        said = one(company, settings, "young", Champion(WIN_RATE, "9", cold)).abstained
        assert said is not None
        assert "at least 10 closed deals" in said.en
        assert "3 won and 1 lost were known on 2026-06-01" in said.en
        assert not re.search("[A-Za-z]", said.zh)
        assert "赢单 3 个、丢单 1 个" in said.zh
        assert FEWEST_CLOSED == FEWEST_FOR_A_RATE

    def test_claims_no_bounds_for_a_rate_by_stage_and_age(
        self, company: Engine, settings: Settings
    ) -> None:
        few = dataclasses.replace(bundle(version="8"), kind="base_rate")
        by_stage = one(company, settings, "young", Champion(WIN_RATE, "8", few))
        assert (by_stage.low, by_stage.high, by_stage.n_similar) == (None, None, 412)
        flat = Champion(WIN_RATE, "8", bundle(version="8", kind="base_rate"))
        of_all = one(company, settings, "young", flat)
        assert of_all.low is not None
        assert of_all.low < of_all.p_win < of_all.high


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
            company, pairs, models=Lineage(champion), settings=settings, scored_at=SCORED_AT
        )
        assert [(v.opportunity_id, v.as_of, v.kind) for v in found] == [
            ("young", AS_OF, "model"),
            ("won", day(10), "model"),
            ("overdue", day(10), "model"),
        ]


def kept(engine: Engine) -> list[tuple[object, ...]]:
    """Return what is written down: deal, version, as_of, what the model was trained on."""
    statement = (
        "select opportunity_id, model_version, as_of, model_as_of from predictions order by id"
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def batch(
    engine: Engine, settings: Settings, models: Lineage, as_of: dt.datetime, **options: bool
) -> list[ScoreView]:
    return scoring.score_many(
        engine, opportunity_ids=None, as_of=as_of, models=models, settings=settings,
        scored_at=SCORED_AT, **options,
    )  # fmt: skip


class TestAQuestionOfThePast:
    @pytest.fixture
    def models(self, settings: Settings) -> Lineage:
        """Three versions that served in turn, trained on 5, 15 and 25 May."""
        for version, number in (("1", 5), ("2", 15), ("3", 25)):
            put(settings.models_folder, bundle(version=version, as_of=day(number).isoformat()))
        point_at(settings.models_folder, "3", before=("1", "2"))
        return lineage(settings.models_folder)

    @pytest.mark.parametrize(
        ("asked", "version"),
        [(day(31), "3"), (day(25), "3"), (day(24), "2"), (day(15), "2"), (day(14), "1")],
    )
    def test_is_answered_by_the_last_version_trained_by_then(
        self, company: Engine, settings: Settings, models: Lineage, asked: dt.datetime, version: str
    ) -> None:
        found = batch(company, settings, models, asked)
        assert {view.model_version for view in found} == {version}
        assert all(view.hindsight is None for view in found)
        assert {row[1] for row in kept(company)} == {version}

    def test_is_not_answered_when_no_model_had_been_trained(
        self, company: Engine, settings: Settings, models: Lineage
    ) -> None:
        (view, *_) = batch(company, settings, models, day(4))
        assert (view.kind, view.p_win, view.model_version) == ("none", None, None)
        assert view.abstained is not None
        assert view.abstained.en == (
            "No model had been trained by 2026-05-04 00:00; the first is of 2026-05-05 00:00."
        )
        assert "2026-05-05 00:00" in view.abstained.zh
        assert kept(company) == []

    def test_is_answered_in_hindsight_only_when_asked_and_never_kept(
        self, company: Engine, settings: Settings, models: Lineage
    ) -> None:
        found = batch(company, settings, models, day(4), in_hindsight=True)
        assert {(view.kind, view.model_version) for view in found} == {("model", "3")}
        for view in found:
            assert view.hindsight is not None
            assert view.sentences()[0] is view.hindsight
            assert "2026-05-25" in view.hindsight.en
            assert "2026-05-25" in view.hindsight.zh
        assert kept(company) == []

    def test_skips_a_version_that_was_rolled_back_or_whose_files_are_gone(
        self, settings: Settings, models: Lineage
    ) -> None:
        assert models.trained_by(day(20)).version == "2"  # type: ignore[union-attr]
        shutil.rmtree(settings.models_folder / "win_rate" / "2")
        champions._trained_as_of.cache_clear()
        assert models.trained_by(day(20)).version == "1"  # type: ignore[union-attr]
        point_at(settings.models_folder, "1")  # 3 was rolled back
        assert lineage(settings.models_folder).trained_by(day(31)).version == "1"  # type: ignore[union-attr]

    def test_gives_each_pair_its_own_model(
        self, company: Engine, settings: Settings, models: Lineage
    ) -> None:
        asked = [day(4), day(10), day(30)]
        pairs = pd.DataFrame(
            {"entity_id": ["overdue"] * 3, "as_of": pd.to_datetime(asked, utc=True)}
        )
        found = scoring.score_pairs(
            company, pairs, models=models, settings=settings, scored_at=SCORED_AT
        )
        assert [view.model_version for view in found] == [None, "1", "3"]

    def test_the_store_itself_refuses_hindsight(
        self, company: Engine, settings: Settings, models: Lineage
    ) -> None:
        view, *_ = batch(company, settings, models, day(30))
        told = view.as_prediction(scored_at=SCORED_AT)
        early = dataclasses.replace(told, as_of=day(24))
        with (
            pytest.raises(IntegrityError, match="not_in_hindsight"),
            transaction(company) as session,
        ):
            record_predictions(session, [early])


class TestWhatIsKept:
    def now(self, engine: Engine, settings: Settings, champion: Champion, at: dt.datetime) -> int:
        """Score the young deal as a page does at a time; return how many scores are kept then."""
        with transaction(engine) as session:
            view = scoring.score_one(
                session, opportunity_id="young", as_of=at, models=Lineage(champion),
                settings=settings,
            )  # fmt: skip
            scoring.write_if_new(session, view, scored_at=at)
        return len(kept(engine))

    def test_is_new_only_when_the_facts_or_the_model_changed(
        self, company: Engine, settings: Settings, champion: Champion
    ) -> None:
        hour = dt.timedelta(hours=1)
        assert self.now(company, settings, champion, AS_OF) == 1
        assert self.now(company, settings, champion, AS_OF + hour) == 1
        with transaction(company) as session:
            session.add(
                OpportunityEvent(
                    opportunity_id="young", field="expected_close_on", new_value="2026-07-31",
                    occurred_at=day(30), recorded_at=AS_OF + 2 * hour,
                )
            )  # fmt: skip
        assert self.now(company, settings, champion, AS_OF + hour) == 1  # not known yet
        assert self.now(company, settings, champion, AS_OF + 3 * hour) == 2
        assert self.now(company, settings, champion, AS_OF + 4 * hour) == 2
        other = dataclasses.replace(champion, version="8")
        assert self.now(company, settings, other, AS_OF + 5 * hour) == 3
        assert self.now(company, settings, other, AS_OF + 6 * hour) == 3

    def test_is_no_abstention_of_nobody(self, company: Engine, settings: Settings) -> None:
        batch(company, settings, Lineage(None), AS_OF)
        assert kept(company) == []

    def test_is_the_abstention_of_a_model_that_was_asked(
        self, company: Engine, settings: Settings
    ) -> None:
        silent = Champion(WIN_RATE, "9", bundle(version="9", kind="none"))
        batch(company, settings, Lineage(silent), AS_OF)
        assert [row[:2] for row in kept(company)] == [("overdue", "9"), ("young", "9")]
