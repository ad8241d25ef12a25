"""Data health stops a training, and who decides is told once what training anew came to."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from crm_core.database import transaction
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User
from crm_core.processes.models import Alert
from crm_core.settings import Settings
from serving import data_health, retraining
from serving.commandline.models import NoReason, _reason
from serving.retraining import Finding
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}
COMPARED = Finding(
    version="2", serving="1", gain=-0.0123, low=-0.02, high=-0.004, allowed=True, promoted=False,
    reasons=("Against version 1.",),
)  # fmt: skip
ALONE = Finding(
    version="2", serving="1", gain=None, low=None, high=None, allowed=True, promoted=True,
    reasons=("Not compared.",),
)  # fmt: skip
FIRST = Finding(
    version="1", serving=None, gain=None, low=None, high=None, allowed=False, promoted=False,
    reasons=(),
)  # fmt: skip
STOPPED = Finding(
    version=None, serving=None, gain=None, low=None, high=None, allowed=False, promoted=False,
    reasons=("a rule fails",),
)  # fmt: skip


@pytest.fixture
def broken(app, engine):
    """A company one of whose deals stands in a stage that no pipeline has."""
    with transaction(engine) as session:
        session.execute(
            update(Opportunity).where(Opportunity.id == "deal of rep").values(stage="Nowhere")
        )
    return engine


def alerts_of(engine):
    with transaction(engine) as session:
        found = session.scalars(select(Alert).where(Alert.kind == "retraining"))
        return [(each.user_id, each.times, each.severity) for each in found]


class TestDataHealth:
    def test_names_what_stops_a_training(self, broken):
        found = data_health.stopping_training(broken, now=NOON)
        assert any("stage_is_known: 1 of 6 fail" in sentence for sentence in found)

    def test_stops_the_weekly_training_before_anything_is_learnt(self, broken, tmp_path):
        settings = Settings(home=tmp_path)
        found = retraining.check(broken, {}, settings, as_of=NOON, now=NOON)  # no tracking to ask
        assert found.version is None
        assert found.sentence().startswith("Not trained anew")
        assert alerts_of(broken) == [("admin", 1, "warning")]

    def test_is_overruled_only_with_a_reason(self):
        with pytest.raises(NoReason):
            _reason("  ", ("a rule fails",))
        assert _reason("mended tomorrow", ()) is None
        assert _reason("mended tomorrow", ("a rule fails",)) == {
            "despite_health": "mended tomorrow", "health_findings": "a rule fails",
        }  # fmt: skip

    def test_is_told_after_an_import(self, broken):
        assert "critical" in data_health.after_import(broken, now=NOON)

    def test_waits_for_a_company(self, engine):
        assert "once the company" in data_health.after_import(engine, now=NOON)


class TestWhoDecides:
    def test_is_told_once_however_often_it_is_checked(self, app, engine):
        with transaction(engine) as session:
            session.get(User, "finance").role = "data_scientist"
        for _ in range(2):
            retraining._tell(engine, COMPARED, as_of=NOON, now=NOON)
        assert sorted(alerts_of(engine)) == [("admin", 1, "warning"), ("finance", 1, "warning")]

    @pytest.mark.parametrize(
        ("found", "english", "chinese"),
        [
            (
                COMPARED,
                "change the log loss by -0.0123 (-0.0200 to -0.0040)",
                "对数损失变化为 -0.0123",
            ),
            (
                ALONE,
                "cannot be compared with version 1 yet: it serves now",
                "暂时无法与版本 1 比较",
            ),
            (FIRST, "no version serves: the gates refuse it", "目前没有在用的版本"),
            (STOPPED, "Not trained anew", "未重新训练"),
        ],
    )
    def test_reads_it_on_the_page_in_both_languages(
        self, app, engine, signed_in, found, english, chinese
    ):
        retraining._tell(engine, found, as_of=NOON, now=NOON)
        client = signed_in("admin")
        page = client.get("/alerts?lang=en", headers=HTML)
        assert page.status_code == 200
        assert english in page.text
        assert " ".join(found.reasons) in page.text
        assert chinese in client.get("/alerts?lang=zh", headers=HTML).text
