"""History, hand-overs, duplicates, merges and custom fields through the API."""

from __future__ import annotations

import datetime as dt

from tests.serving.conftest import NOON
from tests.serving.test_records_api import URL, changed, made, rows

API = "/api/v1"


class TestCustomFields:
    def test_are_described_typed_and_kept_to(self, signed_in):
        ops, rep = signed_in("admin"), signed_in("rep")
        size = {"kind": "number", "label_en": "Size", "label_zh": "规模",
                "rules": {"minimum": "1", "maximum": "9"}}  # fmt: skip
        colour = {"kind": "category", "rules": {"options": ["red", "蓝"]}}
        code = {"kind": "text", "rules": {"pattern": "[A-Z]{2}[0-9]+"}}
        for name, body in (("x_size", size), ("x_colour", colour), ("x_code", code)):
            answer = ops.put(f"{API}/custom-fields/accounts/{name}", json=body)
            assert answer.status_code == 200, answer.text
        assert rep.put(f"{API}/custom-fields/accounts/x_own", json=size).status_code == 403
        one = made(ops, "accounts", id="a", name="A", x_size=5, x_colour="蓝", x_code="AB1")
        assert one["record"]["x_size"] == 5
        for field, value in (
            ("x_size", 10), ("x_size", 0), ("x_size", "many"), ("x_colour", "green"),
            ("x_code", "ab"), ("x_unheard", 1),
        ):  # fmt: skip
            answer = changed(ops, "accounts", "a", {field: value})
            assert answer.status_code == 422, (field, value)
            assert answer.json()["errors"][0]["field"] == field
        found = ops.get(f"{URL}/accounts?filter=x_colour:eq:蓝&fields=id,x_size").json()["items"]
        assert [item["record"] for item in found] == [{"id": "a", "x_size": 5}]

    def test_hide_from_roles_and_keep_every_version(self, signed_in):
        ops, rep = signed_in("admin"), signed_in("rep")
        open_to_all = {"kind": "text", "view_roles": None}
        ops.put(f"{API}/custom-fields/accounts/x_note", json=open_to_all)
        made(rep, "accounts", id="mine", name="Mine", x_note="seen")
        ops.put(f"{API}/custom-fields/accounts/x_note",
                json={**open_to_all, "view_roles": ["admin"]})  # fmt: skip
        assert "x_note" not in rep.get(f"{URL}/accounts/mine").json()["record"]
        assert ops.get(f"{URL}/accounts/mine").json()["record"]["x_note"] == "seen"
        assert rep.get(f"{URL}/accounts?filter=x_note:eq:seen").status_code == 422
        assert changed(rep, "accounts", "mine", {"x_note": "mine"}).status_code == 422
        assert rep.get(f"{API}/custom-fields/accounts").json() == []
        versions = ops.get(f"{API}/custom-fields/accounts?history=true").json()
        assert [each["version"] for each in versions] == [2, 1]

    def test_cannot_be_defined_otherwise_than_they_can_hold(self, signed_in):
        ops = signed_in("admin")
        for name, body, status in (
            ("size", {"kind": "number"}, 422),
            ("x_A b", {"kind": "number"}, 422),
            ("x_a", {"kind": "number", "rules": {"minimum": "9", "maximum": "1"}}, 422),
            ("x_a", {"kind": "text", "rules": {"pattern": "("}}, 422),
            ("x_a", {"kind": "text", "rules": {"pattern": "(a+)+"}}, 422),
            ("x_a", {"kind": "text", "view_roles": ["king"]}, 422),
            ("x_a", {"kind": "text"}, 200),
            ("x_a", {"kind": "number"}, 409),
        ):
            answer = ops.put(f"{API}/custom-fields/leads/{name}", json=body)
            assert answer.status_code == status, (name, body, answer.text)
        assert ops.put(f"{API}/custom-fields/quotas/x_a", json={"kind": "text"}).status_code == 422
        required = {"kind": "text", "rules": {"required": True}}
        ops.put(f"{API}/custom-fields/leads/x_must", json=required)
        assert ops.post(f"{URL}/leads", json={"source": "web"}).status_code == 422
        assert ops.post(f"{URL}/leads", json={"x_must": "yes"}).status_code == 201


class TestDuplicates:
    def test_are_refused_with_their_candidates(self, signed_in):
        ops = signed_in("admin")
        made(ops, "accounts", id="star", name="Star Ltd.")
        answer = ops.post(f"{URL}/accounts", json={"name": "STAR GmbH"})
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["field"] == "star"
        assert "allow_duplicate=true" in answer.json()["detail"]
        made(ops, "accounts", id="star2", name="STAR GmbH")
        pairs = ops.get(f"{API}/duplicates/accounts").json()
        assert [(each["key"], each["candidate"]["key"]) for each in pairs] == [("star", "star2")]
        one = ops.get(f"{API}/duplicates/accounts/star").json()
        assert [each["key"] for each in one] == ["star2"]

    def test_tell_nothing_of_hidden_records(self, signed_in):
        made(signed_in("admin"), "accounts", id="hidden", name="Hidden Ltd.")
        rep = signed_in("rep")
        assert rep.post(f"{URL}/accounts", json={"name": "Hidden"}).status_code == 201
        assert rep.get(f"{API}/duplicates/accounts/hidden").status_code == 404
        assert rep.get(f"{API}/duplicates/accounts").json() == []


class TestMerging:
    def test_previews_merges_redirects_and_undoes(self, signed_in, engine):
        ops = signed_in("admin")
        made(ops, "accounts", id="one", name="One", tier="gold")
        made(ops, "accounts", id="two", name="One and a half", industry="steel")
        made(ops, "contacts", id="c9", account_id="two", name="Li")
        body = {"table": "accounts", "survivor": "one", "loser": "two",
                "rules": {"name": "longest"}}  # fmt: skip
        preview = ops.post(f"{API}/merges", json={**body, "dry_run": True}).json()
        assert preview == {
            "changes": {"name": ["One", "One and a half"], "industry": [None, "steel"]},
            "moves": {"contacts.account_id": 1},
        }
        assert ops.post(f"{API}/merges", json=body).status_code == 200
        found = ops.get(f"{URL}/accounts/two").json()
        assert found["key"] == "one"
        assert changed(ops, "accounts", "two", {"tier": "tin"}).json()["key"] == "one"
        made(ops, "contacts", id="d", account_id="two", name="Wang")
        assert rows(engine, "select distinct account_id from contacts where id in ('c9', 'd')") == [
            ("one",)
        ]
        undone = ops.post(f"{API}/merges/undo", json={"table": "accounts", "loser": "two"})
        assert undone.json() == {"survivor": "one"}
        two = ops.get(f"{URL}/accounts/two").json()
        assert (two["key"], two["record"]["industry"]) == ("two", "steel")

    def test_is_not_for_everybody(self, signed_in):
        ops = signed_in("admin")
        made(ops, "accounts", id="one", name="One", owner_id="rep")
        made(ops, "accounts", id="two", name="Two", owner_id="stranger")
        body = {"table": "accounts", "survivor": "one", "loser": "two"}
        assert signed_in("rep").post(f"{API}/merges", json=body).status_code == 403
        assert signed_in("manager").post(f"{API}/merges", json=body).status_code == 404
        assert signed_in("leader").post(f"{API}/merges", json=body).status_code == 200


class TestTransfers:
    BODY = {"from_user": "rep", "to_user": "colleague", "effective_on": "2026-06-30"}

    def test_hand_over_within_ones_team(self, signed_in, engine):
        manager = signed_in("manager")
        assert signed_in("rep").post(f"{API}/transfers", json=self.BODY).status_code == 403
        planned = manager.post(f"{API}/transfers", json={**self.BODY, "dry_run": True}).json()
        assert rows(engine, "select owner_id from opportunities where id = 'deal of rep'") == [
            ("rep",)
        ]
        done = manager.post(f"{API}/transfers", json=self.BODY)
        assert done.json() == planned
        assert done.json()[2]["moved"] == ["deal of rep"]
        assert signed_in("rep").get(f"{URL}/opportunities/deal of rep").status_code == 404
        assert signed_in("colleague").get(f"{URL}/opportunities/deal of rep").status_code == 200
        elsewhere = {**self.BODY, "to_user": "stranger"}
        assert manager.post(f"{API}/transfers", json=elsewhere).status_code == 404
        theirs = {**self.BODY, "from_user": "stranger"}
        assert manager.post(f"{API}/transfers", json=theirs).json()[2]["moved"] == []
        later = {**self.BODY, "effective_on": "2026-07-02"}
        assert manager.post(f"{API}/transfers", json=later).status_code == 422


class TestHistory:
    def test_tells_what_was_known_when(self, app, signed_in):
        ops = signed_in("admin")
        one = made(ops, "accounts", id="a", name="Old", created_at="2026-01-01T00:00:00Z")
        app.state.fixed_time = NOON + dt.timedelta(hours=1)
        changed(ops, "accounts", "a", {"name": "New"}, etag=one["etag"])

        def name(at):
            answer = ops.get(f"{API}/history/accounts/a", params={"as_of": at.isoformat()})
            assert answer.status_code == 200, answer.text
            return (answer.json()["state"] or {}).get("name")

        assert name(NOON) == "Old"
        assert name(NOON - dt.timedelta(seconds=1)) is None
        assert name(NOON + dt.timedelta(hours=1)) == "New"
        future = {"as_of": (NOON + dt.timedelta(hours=2)).isoformat()}
        assert ops.get(f"{API}/history/accounts/a", params=future).status_code == 422
        deal = ops.get(f"{API}/history/opportunities/deal of rep").json()
        assert deal["state"]["stage"] == "Qualify"
        assert ops.get(f"{API}/history/tickets/none").status_code == 404
        assert ops.get(f"{API}/history/secrets/a").status_code == 404
        assert signed_in("rep").get(f"{API}/history/accounts/a").status_code == 404

    def test_shows_no_field_that_one_may_not_view(self, signed_in):
        made(signed_in("admin"), "products", id="p", name="P", cost="5", list_price="9")
        answer = signed_in("rep").get(f"{API}/history/products/p").json()
        assert "cost_minor" not in str(answer)
        assert answer["state"]["list_price_minor"] == 900


def test_an_event_is_corrected_by_one_more(signed_in):
    ops = signed_in("admin")
    body = {"opportunity_id": "deal of rep", "field": "amount", "new_value": "77",
            "occurred_at": "2026-06-20T00:00:00Z"}  # fmt: skip
    assert signed_in("manager").post(f"{URL}/opportunity_events", json=body).status_code == 403
    event = made(ops, "opportunity_events", **body)
    assert event["record"]["recorded_at"] == "2026-06-30T12:00:00Z"
    assert ops.get(f"{URL}/opportunities/deal of rep").json()["record"]["amount"] == "77.00"
    one = ops.get(f"{URL}/opportunity_events/{event['key']}").json()
    assert one == event
    wrong = {**body, "field": "stage", "new_value": "Nowhere"}
    assert ops.post(f"{URL}/opportunity_events", json=wrong).status_code == 422
