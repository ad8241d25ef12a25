"""The company defines its own numbers over HTTP: who may, what is told, and what parts show."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from crm_core.database import transaction
from crm_core.imports.models import CustomField
from crm_core.kpis import publishing
from crm_core.records.models import CustomFieldVersion
from tests.serving.conftest import NOON

BIG = {
    "id": "x_calls", "name_zh": "东区电话", "name_en": "Calls", "unit": "count", "way": "count",
    "fact": "activities", "filter": "activity_kind = 'call'", "valid_from": "2026-06-01",
    "reason": "we call too little", "owner_id": "leader",
}  # fmt: skip
PIPE = {
    "id": "x_pipe", "name_zh": "大单在谈", "name_en": "Big pipeline", "unit": "money",
    "way": "sum", "fact": "open_deals", "value": "amount", "filter": "amount >= 100",
    "valid_from": "2026-06-01", "reason": "small ones do not matter", "direction": "higher",
}  # fmt: skip
PER_CALL = {
    "id": "x_per_call", "name_zh": "每电话在谈", "name_en": "Pipeline per call", "unit": "money",
    "way": "ratio", "numerator": "x_pipe", "denominator": "x_calls", "valid_from": "2026-06-01",
    "reason": "where a call is worth most",
}  # fmt: skip


@pytest.fixture
def defined(signed_in):
    admin = signed_in("admin")
    for body in (BIG, PIPE, PER_CALL):
        made = admin.post("/api/v1/metrics", json=body)
        assert made.status_code == 201, made.text
    return admin


def draft(body, **changed):
    kept = {name: value for name, value in body.items()
            if name not in ("valid_from", "reason", "owner_id")}  # fmt: skip
    return {**kept, **changed}


class TestDefining:
    def test_is_for_operations_only_and_logged(self, defined, signed_in):
        for user in ("rep", "manager", "leader", "finance"):
            other = signed_in(user)
            assert other.post("/api/v1/metrics", json=BIG).status_code == 403
            assert other.post("/api/v1/metrics/preview", json=draft(BIG)).status_code == 403
            retire = other.post("/api/v1/metrics/x_per_call/retire", json={"reason": "no"})
            assert retire.status_code == 403
        told = defined.get("/api/v1/audit").text
        assert "x_pipe" in told

    def test_makes_a_metric_that_every_read_knows(self, defined, signed_in):
        cards = {each["id"]: each for each in defined.get("/api/v1/metrics").json()}
        assert cards["x_calls"]["owner"] == "Leader"
        assert cards["x_calls"]["dependents"] == ["x_per_call"]
        assert cards["x_pipe"]["lineage"][1:] == ["open_deals.amount"]
        assert "bookings" in cards
        one = defined.get("/api/v1/metrics/x_pipe?lang=zh").json()
        assert one["name"] == "大单在谈"
        assert [each["version"] for each in one["versions"]] == [1]
        rep = signed_in("rep").get("/api/v1/kpis/x_calls/rows").json()
        assert rep["kpi"]["value"] == "1"
        assert [row["user_id"] for row in rep["rows"]] == ["rep"]
        ratio = defined.get("/api/v1/kpis/x_per_call/rows").json()["kpi"]
        assert Decimal(ratio["value"]) > 0
        assert ratio["currency"] == "USD"

    def test_tells_place_and_near_names_of_a_mistake(self, defined):
        wrong = defined.post("/api/v1/metrics/preview", json=draft(PIPE, filter="amuont > 1"))
        assert wrong.status_code == 422
        assert "In the filter: At character 1" in wrong.json()["detail"]
        assert "Did you mean amount" in wrong.json()["detail"]
        circle = defined.post("/api/v1/metrics", json={**PER_CALL, "numerator": "x_per_call"})
        assert circle.status_code == 422
        assert defined.post("/api/v1/metrics", json=PIPE).status_code == 409
        used = defined.post("/api/v1/metrics/x_calls/retire", json={"reason": "no"})
        assert used.status_code == 409
        assert "x_per_call" in used.json()["detail"]
        assert defined.get("/api/v1/metrics/x_none").status_code == 404

    def test_previews_what_would_change_and_writes_nothing(self, defined):
        body = draft(PIPE, filter="amount >= 10000")
        found = defined.post("/api/v1/metrics/preview", json=body).json()
        assert found["version"] == 2
        assert found["changes"]["entering"] == 0
        assert found["changes"]["leaving"] > 0
        assert found["changes"]["leaving"] + found["value"]["rows"] == found["current"]["rows"]
        assert len(found["rows"]) == found["value"]["rows"]
        assert found["dependents"] == ["x_per_call"]
        assert defined.get("/api/v1/metrics/x_pipe").json()["version"] == 1
        half = draft(PIPE, value="amount / 2")
        found = defined.post("/api/v1/metrics/preview", json=half).json()
        assert found["changes"] == {"entering": 0, "leaving": 0,
                                    "revalued": found["current"]["rows"]}  # fmt: skip
        fresh = defined.post("/api/v1/metrics/preview", json=draft(PIPE, id="x_new")).json()
        assert (fresh["current"], fresh["changes"], fresh["version"]) == (None, None, 1)
        ratio = defined.post("/api/v1/metrics/preview", json=draft(PER_CALL)).json()
        assert {**ratio["value"], "version": 1} == ratio["current"]

    def test_counts_a_version_from_its_day(self, defined):
        later = {**PIPE, "filter": "amount >= 10000", "valid_from": "2026-07-15"}
        assert defined.post("/api/v1/metrics", json=later).json()["version"] == 2
        assert defined.get("/api/v1/metrics/x_pipe").json()["version"] == 1
        gone = defined.post("/api/v1/metrics/x_per_call/retire", json={"reason": "unused"})
        assert gone.json()["is_retired"] is True
        ids = [each["id"] for each in defined.get("/api/v1/metrics").json()]
        assert "x_per_call" not in ids

    def test_lists_every_name_a_formula_may_use(self, defined):
        found = defined.get("/api/v1/metrics/names").json()
        fields = {each["id"]: {f["name"] for f in each["fields"]} for each in found["facts"]}
        assert {"amount", "quantity", "region", "team", "day"} <= fields["orders"]
        assert "quantity" not in fields["activities"]
        assert {"quarter", "product", "person"} <= {each["name"] for each in found["dimensions"]}


class TestSlices:
    def test_show_each_viewer_their_own_parts(self, defined, signed_in):
        whole = {}
        for user in ("rep", "manager", "leader", "admin"):
            answer = signed_in(user).get("/api/v1/kpis/pipeline/slices?by=person&by=stage")
            assert answer.status_code == 200, answer.text
            found = answer.json()
            added = sum(Decimal(cell["value"]["numerator"] or 0) for cell in found["cells"])
            assert added == Decimal(found["whole"]["numerator"])
            assert found["additive"] is True
            assert found["newest_fact_at"]
            whole[user] = added
            people = {cell["key"][0] for cell in found["cells"]}
            assert people == {
                "rep": {"rep"}, "manager": {"rep", "colleague", "manager"},
            }.get(user, people)  # fmt: skip
        assert whole["rep"] < whole["manager"] < whole["leader"] < whole["admin"]

    def test_open_their_rows(self, defined, signed_in):
        admin = signed_in("admin")
        found = admin.get("/api/v1/kpis/x_pipe/slices?by=person").json()
        nobody = next(cell for cell in found["cells"] if cell["key"] == [None])
        for cell in (nobody, found["cells"][0]):
            query = {"by": "person", "key": json.dumps(cell["key"])}
            rows = admin.get("/api/v1/kpis/x_pipe/slices/rows", params=query).json()["rows"]
            assert len(rows) == cell["value"]["rows"]
            assert sum(Decimal(row["value"]) for row in rows) == Decimal(cell["value"]["value"])
        stolen = {"by": "person", "key": '["stranger"]'}
        seen = signed_in("rep").get("/api/v1/kpis/x_pipe/slices/rows", params=stolen)
        assert seen.json()["rows"] == []

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("by=regoin", 422), ("", 422), ("by=day&by=day", 422), ("by=day' or 1=1", 422),
            ("by=a&by=b&by=c&by=d", 422),
        ],
    )  # fmt: skip
    def test_refuse_what_makes_no_sense(self, signed_in, query, status):
        admin = signed_in("admin")
        assert admin.get(f"/api/v1/kpis/pipeline/slices?{query}").status_code == status
        assert admin.get("/api/v1/kpis/x_nothing/slices?by=day").status_code == 404
        assert admin.get("/api/v1/kpis/attainment/slices?by=day").status_code == 422
        wrong = admin.get("/api/v1/kpis/pipeline/slices/rows?by=day&key=nonsense")
        assert wrong.status_code == 422

    def test_by_a_field_that_a_role_may_not_view_are_refused(self, engine, signed_in):
        with transaction(engine) as session:
            session.add(CustomField(table_name="accounts", name="x_secret", kind="category"))
            session.add(
                CustomFieldVersion(
                    table_name="accounts", name="x_secret", version=1, kind="category", rules={},
                    view_roles=["admin"], recorded_at=NOON,
                )
            )  # fmt: skip
        path = "/api/v1/kpis/pipeline/slices?by=x_secret"
        assert signed_in("admin").get(path).status_code == 200
        assert signed_in("rep").get(path).status_code == 403
        names = signed_in("rep").get("/api/v1/metrics/names").json()["dimensions"]
        assert "x_secret" not in {each["name"] for each in names}


class TestPublished:
    def test_are_shown_to_who_may_see_them(self, engine, defined, signed_in):
        with transaction(engine) as session:
            publishing.publish(session, as_of=NOON, published_at=NOON, cause="nightly")
        path = "/api/v1/kpis/x_pipe/published"
        found = signed_in("admin").get(path).json()
        assert [each["version"] for each in found] == [1]
        mine = {"subject_kind": "user", "subject_id": "rep"}
        assert len(signed_in("rep").get(path, params=mine).json()) == 1
        assert signed_in("rep").get(path).json() == []
        assert signed_in("colleague").get(path, params=mine).json() == []
        ratio = signed_in("admin").get("/api/v1/kpis/x_per_call/published").json()
        assert ratio[0]["parts"] == {"x_pipe": 1, "x_calls": 1}
