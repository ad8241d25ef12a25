"""User-defined metrics: equal to their twins, versioned, dated, checked, and never in a circle."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text

from crm_core.audit.operations import Origin, set_origin
from crm_core.kpis import definitions, operations, queries, slices
from crm_core.kpis.catalogue import CATALOGUE, UnknownMetric
from crm_core.kpis.checking import DraftInvalid, cycle
from crm_core.kpis.drafts import Draft
from crm_core.leads.models import Lead
from crm_core.money import minor_digits
from crm_core.people.permissions import MayNot
from crm_core.people.queries import Viewer, Visibility, calendar, company
from tests.oracles import companies, customers_and_products, defined_kpis

EVERYONE = Visibility(everyone=True)
SOME = Visibility(False, frozenset({"u0", "u3"}))
OPS = Viewer("ops", "Ops", "ops@x", "sales_ops", None, "")
FIRST = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
BEFORE, AFTER = (dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (4, 7))


def a_draft(**changed):
    given = {
        "id": "x_big", "name_zh": "大单", "name_en": "Big orders", "unit": "money",
        "direction": "higher", "way": "sum", "fact": "orders", "value": "amount",
        "filter": "amount > 1000",
    }  # fmt: skip
    return Draft(**{**given, **changed})


def a_ratio(metric_id, numerator, denominator, unit="ratio"):
    return a_draft(
        id=metric_id, way="ratio", fact=None, value=None, filter=None, unit=unit,
        numerator=numerator, denominator=denominator,
    )  # fmt: skip


def define(session, draft, *, at=FIRST, valid_from=dt.date(2025, 6, 1), viewer=OPS, reason="why"):
    return operations.define(
        session, draft, valid_from=valid_from, reason=reason, owner_id=None, viewer=viewer, now=at
    )


DRAFTS = [
    a_draft(id="x_big"),
    a_draft(id="x_all", filter=None),
    a_draft(id="x_third", value="amount / 3", filter="region = 'North' or tier in ('A', 'C')"),
    a_draft(id="x_pieces", unit="count", value="quantity", filter="product is not null"),
    a_draft(id="x_price", way="mean", filter="product_family <> 'Soft'"),
    a_draft(id="x_middle", way="median", filter="coalesce(region, 'none') <> 'it''s'"),
    a_draft(id="x_half", way="median", value="amount * 0.5", unit="money", filter=None),
    a_draft(id="x_many", way="count", unit="count", value=None, filter="x_segment = 'big'"),
    a_draft(id="x_buyers", way="count_distinct", unit="count", value="account", filter=None),
    a_draft(id="x_score_sum", unit="count", value="x_score", filter="not account_x_both"),
    a_draft(id="x_dear", way="share", unit="ratio", value="amount > 50000", filter=None),
    a_draft(id="x_won", way="share", unit="ratio", fact="closed_deals", value="is_won",
            filter="source = 'web' or source is null"),
    a_draft(id="x_slow", way="mean", unit="days", fact="won_cycles", value="days",
            filter="stage <> 'lost'"),
    a_draft(id="x_open", fact="open_deals", value="amount", filter="opportunity_x_both"),
    a_draft(id="x_due", fact="open_deals_due", value="amount",
            filter="day >= '2026-04-15' and x_since is null"),
    a_draft(id="x_busy", way="count", unit="count", fact="activities", value=None,
            filter="activity_kind = 'call' and team = 't1'"),
]  # fmt: skip
ADDITIVE = [draft.id for draft in DRAFTS if draft.way in ("sum", "count")]


@pytest.fixture(params=range(3))
def made(request, session):
    return write(session, request.param)


@pytest.fixture
def one(session):
    return write(session, 1)


def write(session, seed):
    companies.write(session, seed)
    customers_and_products.add(session, seed)
    session.execute(
        text("insert into users (id, name, email, role) values ('ops', 'O', 'ops@x', 'sales_ops')")
    )
    for draft in DRAFTS:
        define(session, draft)
    return session


class TestValues:
    @pytest.mark.parametrize(
        ("name", "as_of", "scope"), [("2026", BEFORE, EVERYONE), ("2027-Q1", AFTER, SOME)]
    )
    def test_equal_their_twins(self, made, name, as_of, scope):
        period = calendar(made).parse(name)
        asked = queries.question(made, scope=scope, period=period, as_of=as_of)
        ids = [draft.id for draft in DRAFTS if draft.fact != "activities"]
        found = queries.values(made, ids, scope=scope, period=period, as_of=as_of)
        digits = minor_digits(company(made).currency)
        assert sum(bool(value.value) for value in found.values()) >= 4
        for draft in DRAFTS:
            if draft.id not in found:
                continue
            number = defined_kpis.number(draft, defined_kpis.rows(made, draft, asked))
            value = found[draft.id]
            if number == "unpriced":
                assert "exchange rate" in value.reason_if_none, draft.id
            elif number is None or value.value is None:
                recorded = "ever been given" in (value.reason_if_none or "")
                recorded = recorded or "recorded at all" in (value.reason_if_none or "")
                assert (number is None and value.value is None) or recorded, (draft.id, value)
            elif draft.unit == "money":
                exact = number if draft.way == "sum" else number.quantize(Decimal(1))
                assert value.value == Decimal(exact).scaleb(-digits), draft.id
            else:
                assert abs(value.value - number) < Decimal("1e-12"), draft.id

    def test_are_the_sums_of_their_rows_and_of_their_parts(self, made):
        asked = {"period": calendar(made).parse("2026"), "as_of": AFTER}
        digits = minor_digits(company(made).currency)
        found = queries.values(made, ADDITIVE, scope=EVERYONE, **asked)
        parts = queries.by_subject(made, ADDITIVE, grouping="user", scope=EVERYONE, **asked)
        for metric_id in ADDITIVE:
            rows = queries.rows(made, metric_id, scope=EVERYONE, **asked)
            shift = digits if found[metric_id].unit == "money" else 0
            added = sum((row.value for row in rows if row.value is not None), Decimal(0))
            assert added.scaleb(shift) == (found[metric_id].numerator or 0), metric_id
            nobodys = [r.value for r in rows if r.user_id is None and r.value is not None]
            people = sum((part[metric_id].numerator or 0) for part in parts.values())
            whole = people + sum(nobodys, Decimal(0)).scaleb(shift)
            assert whole == (found[metric_id].numerator or 0), metric_id

    def test_of_leads_are_told_apart_by_their_source(self, one):
        """A lead's source is its own, converted or not."""
        at = dt.datetime(2026, 5, 10, tzinfo=dt.UTC)
        for number, source in enumerate(["web", "web", "fair", None]):
            one.add(Lead(id=f"l{number}", created_at=at, source=source, owner_id="u0"))
        define(one, a_draft(id="x_web", way="count", unit="count", fact="new_leads", value=None,
                            filter="lead_source = 'web'"))  # fmt: skip
        asked = {"scope": EVERYONE, "period": calendar(one).parse("2026-05"), "as_of": AFTER}
        assert queries.value(one, "x_web", **asked).value == 2
        found = slices.slices(one, "new_leads", by=["lead_source"], **asked)
        assert {cell.key[0]: cell.value.value for cell in found.cells} == {
            "web": 2, "fair": 1, None: 1,
        }  # fmt: skip

    def test_of_a_past_time_stay_what_they_were(self, one):
        """Customers moved and changed their tier on 10 April; on 1 April nobody knew."""
        asked = {"scope": EVERYONE, "period": calendar(one).parse("2026"), "as_of": BEFORE}
        ids = [draft.id for draft in DRAFTS]
        before = queries.values(one, ids, **asked)
        one.execute(text("update accounts set region = 'South', tier = 'B', custom = '{}'"))
        one.execute(text("update products set family = 'Soft'"))
        assert queries.values(one, ids, **asked) == before


class TestRatios:
    def test_are_one_metric_over_another(self, one):
        define(one, a_ratio("x_part", "x_big", "bookings"))
        define(one, a_ratio("x_each", "x_big", "x_many", unit="money"))
        define(one, a_ratio("x_deep", "x_part", "x_won"))
        asked = {"scope": EVERYONE, "period": calendar(one).parse("2026"), "as_of": AFTER}
        ids = ["x_deep", "x_part", "x_each"]
        found = queries.values(one, [*ids, "x_big", "bookings", "x_many", "x_won"], **asked)
        assert list(queries.values(one, ids, **asked)) == ids
        for whole, above, below in (
            ("x_part", "x_big", "bookings"), ("x_deep", "x_part", "x_won"),
        ):  # fmt: skip
            if found[above].value is None or not found[below].value:
                assert found[whole].value is None
                assert found[whole].reason_if_none
            else:
                assert found[whole].value == found[above].value / found[below].value
        if found["x_each"].value is not None:
            exact = found["x_big"].value / found["x_many"].value
            unit = Decimal(1).scaleb(-minor_digits(company(one).currency))
            assert abs(found["x_each"].value - exact) <= unit / 2
        rows = queries.rows(one, "x_deep", **asked)
        assert rows == queries.rows(one, "x_big", **asked)

    @pytest.mark.parametrize(
        ("draft", "words"),
        [
            (a_ratio("x_self", "x_self", "bookings"), "x_self → x_self"),
            (a_ratio("x_a", "x_none", "bookings"), "no metric 'x_none'"),
            (a_ratio("x_a", "bookigs", "bookings"), "Did you mean bookings"),
            (a_ratio("x_a", "bookings", "x_many"), "is in money, not ratio"),
            (a_ratio("x_a", "bookings", None), "needs a numerator and a denominator"),
        ],
    )
    def test_are_refused_with_the_reason(self, one, draft, words):
        with pytest.raises(DraftInvalid, match=words):
            define(one, draft)

    def test_never_go_round(self, one):
        define(one, a_ratio("x_a", "x_won", "x_dear"))
        define(one, a_ratio("x_b", "x_a", "x_dear"))
        with pytest.raises(DraftInvalid, match="x_a → x_b → x_a"):
            define(one, a_ratio("x_a", "x_won", "x_b"))
        with pytest.raises(operations.StillUsed, match="x_a, x_b"):
            operations.retire(one, "x_won", reason="no", viewer=OPS, now=AFTER)
        assert definitions.dependents(one, "x_won") == ("x_a", "x_b")

    def test_cycles_are_found_however_long(self):
        chain = {f"x{i}": {f"x{i + 1}"} for i in range(50)}
        assert cycle(chain, "x0") == ()
        assert len(cycle({**chain, "x50": {"x0"}}, "x7")) == 52


class TestVersions:
    def test_count_from_their_day_and_stay(self, one):
        second = replace(DRAFTS[0], filter="amount > 10")
        define(one, second, at=BEFORE, valid_from=dt.date(2026, 5, 1), reason="smaller is big")
        asked = {"scope": EVERYONE, "period": calendar(one).parse("2026")}
        at = {"as_of": dt.datetime(2026, 4, 20, tzinfo=dt.UTC)}
        assert queries.value(one, "x_big", **asked, **at).version == 1
        assert queries.value(one, "x_big", **asked, as_of=AFTER).version == 2
        newest, oldest = definitions.history(one, "x_big")
        assert (newest.version, newest.reason, newest.user_id) == (2, "smaller is big", "ops")
        assert oldest.draft == DRAFTS[0]
        assert newest.metric().since == ("2026-05-01 v2: smaller is big",)

    def test_stand_beside_the_shipped_in_the_same_form(self, one):
        every = definitions.all_metrics(one, as_of=AFTER)
        assert every[: len(CATALOGUE)] == CATALOGUE
        own = {item.id: item for item in every[len(CATALOGUE) :]}
        assert own.keys() == {draft.id for draft in DRAFTS}
        for item in own.values():
            assert all(item.names)
            assert all(item.formulas)
            assert all(item.none_when)
        early = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
        assert definitions.all_metrics(one, as_of=early) == CATALOGUE

    def test_that_are_retired_are_asked_for_no_longer(self, one):
        operations.retire(one, "x_big", reason="nobody reads it", viewer=OPS, now=BEFORE)
        asked = {"scope": EVERYONE, "period": calendar(one).parse("2026")}
        with pytest.raises(UnknownMetric, match="x_big"):
            queries.value(one, "x_big", **asked, as_of=AFTER)
        assert queries.value(one, "x_big", **asked, as_of=FIRST).version == 1
        again = define(one, DRAFTS[0], at=AFTER)
        assert again.version == 3

    def test_are_written_by_operations_only_and_logged(self, one):
        rep = Viewer("u0", "u0", "u0@x", "rep", None, "")
        with pytest.raises(MayNot):
            define(one, a_draft(id="x_new"), viewer=rep)
        with pytest.raises(MayNot):
            operations.retire(one, "x_big", reason="no", viewer=rep, now=AFTER)
        set_origin(one, Origin(actor="ops", at=AFTER, channel="api"))
        define(one, a_draft(id="x_new"))
        with pytest.raises(operations.NothingNew):
            define(one, a_draft(id="x_new"))
        logged = one.execute(
            text("select action, record_id, changes from audit_log where actor = 'ops'")
        ).one()
        assert (logged.action, logged.record_id) == ("define", "x_new")
        assert logged.changes["filter"] == [None, "amount > 1000"]

    @pytest.mark.parametrize(
        ("changed", "field", "words"),
        [
            ({"id": "bookings"}, "id", "x_ and then"),
            ({"id": "x_" + "a" * 60}, "id", "38"),
            ({"name_zh": " "}, "name_zh", "missing"),
            ({"fact": "users"}, "fact", "There is no fact 'users'"),
            ({"way": "count"}, "value", "A count has no value"),
            ({"value": None}, "value", "needs a value"),
            ({"value": "quantity"}, "value", "gives a number, but a money is needed"),
            ({"unit": "count"}, "value", "gives a money, but a number is needed"),
            ({"filter": "amount"}, "filter", "boolean is needed"),
            ({"filter": "amuont > 1"}, "filter", "At character 1: .* Did you mean amount"),
            ({"filter": "password_hash = 'x'"}, "filter", "no field password_hash"),
            ({"filter": "x_both"}, "filter", "Did you mean .*account_x_both"),
            ({"numerator": "bookings"}, "numerator", "has no numerator"),
            ({"way": "share", "value": "amount > 1"}, "unit", "is ratio"),
        ],
    )
    def test_that_do_not_hold_together_are_refused_by_field(self, one, changed, field, words):
        with pytest.raises(DraftInvalid, match=words) as caught:
            define(one, a_draft(**changed))
        assert caught.value.field == field
