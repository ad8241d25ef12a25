"""Amounts of several currencies are converted once or grouped by currency; never added.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_core.kpis import queries
from crm_core.money import from_major, minor_digits
from crm_core.orders.models import FxRate, Invoice, Subscription
from crm_core.people.queries import Visibility, calendar
from crm_core.processes.models import Alert
from crm_core.processes.watching import watch
from crm_core.quotas.models import Quota
from serving.kpi_file import kpi_table
from tests.complaints.conftest import NOON, predicted
from tests.factories import a_company, a_user, an_account, an_opportunity, an_order, moves

QUARTER = "2026-Q2"
EVERYONE = Visibility(everyone=True)


def by_currency(amounts):
    """Return the amounts of an answer as currency → decimal."""
    assert len({each["currency"] for each in amounts}) == len(amounts)
    return {each["currency"]: Decimal(each["amount"]) for each in amounts}


def text_of(page):
    """Return a page's words without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def shown(metric):
    """Return the sum of the rows that an answer shows."""
    return sum((Decimal(row["value"]) for row in metric["rows"] if row["value"]), Decimal(0))


class TestOdoo:
    def test_odoo_30215_usd_50_and_eur_50_are_never_100(self, firm):
        firm.opens()
        firm.deal("d1", "50", "USD")
        firm.deal("d2", "50", "EUR")
        found = firm.gets("ann", "/opportunities")
        assert by_currency(found["amounts"]) == {"USD": 50, "EUR": 50}
        overview = firm.gets("ann", "/accounts/acme/overview")
        assert by_currency(overview["sums"]["open_amount"]) == {"USD": 50, "EUR": 50}
        pipeline = firm.metric("ann", "pipeline", QUARTER)
        assert pipeline["kpi"]["value"] is None
        assert "USD" in pipeline["kpi"]["reason"]
        assert {row["unpriced"] for row in pipeline["rows"]} == {None, "USD"}
        for path in ("/deals", "/accounts", "/customers/acme", "/kpis/pipeline"):
            words = text_of(firm.page("ann", path))
            assert not re.search(r"(US)?[$€]\s?100\b|\b100(\.00)?\s?(€|USD|EUR)", words), path

    def test_odoo_49954_the_list_names_each_currency_it_holds(self, firm):
        firm.opens()
        for number, (amount, currency) in enumerate([("70", "USD"), ("30", "JPY"), ("5", "KWD")]):
            firm.deal(f"d{number}", amount, currency)
        words = text_of(firm.page("ann", "/deals"))
        for sign in ("$70", "¥30", "KWD"):
            assert sign in words
        assert "105" not in words

    def test_oca_crm_640_50_usd_and_50_eur_are_175_brl(self, firm):
        firm.opens(currency="BRL", time_zone="America/Sao_Paulo")
        firm.rates(USD_BRL="1.5", EUR_BRL="2")
        firm.deal("d1", "50.00", "USD")
        firm.deal("d2", "50.00", "EUR")
        pipeline = firm.metric("ann", "pipeline", QUARTER)
        assert (pipeline["kpi"]["value"], pipeline["kpi"]["currency"]) == ("175.00", "BRL")
        rows = {row["row_id"]: Decimal(row["value"]) for row in pipeline["rows"]}
        assert rows == {"d1": 75, "d2": 100}

    def test_odoo_86104_100_euro_100_dollar_and_100_dirham_are_200_20_euro(self, firm):
        firm.opens().rates(USD_EUR="0.9107", MAD_EUR="0.0913")
        for currency in ("EUR", "USD", "MAD"):
            firm.order(f"PO-{currency}", "100", currency)
        bookings = firm.metric("ann", "bookings", QUARTER)
        assert bookings["kpi"]["value"] == "200.20"
        rows = {row["row_id"]: row["value"] for row in bookings["rows"]}
        assert {key: Decimal(value) for key, value in rows.items()} == {
            "PO-EUR": 100, "PO-USD": Decimal("91.07"), "PO-MAD": Decimal("9.13"),
        }  # fmt: skip

    def test_odoo_24050_dashboard_list_and_export_all_say_405(self, firm):
        firm.opens()
        firm.deal("d1", "315.00", "EUR")
        firm.deal("d2", "90.00", "EUR", owner="bob")
        tile = {k["metric"]: k for k in firm.gets("boss", "/kpis", period=QUARTER)["kpis"]}
        listed = firm.gets("boss", "/opportunities")
        records = firm.gets("boss", "/records/opportunities", limit=200)["items"]
        with firm.facts() as session:
            told = kpi_table(session, period=calendar(session).parse(QUARTER), as_of=NOON,
                             locale="en")  # fmt: skip
        exported = told[(told.metric == "pipeline") & (told.subject_kind == "company")].value.item()
        numbers = [
            tile["pipeline"]["value"],
            firm.value("boss", "pipeline", QUARTER),
            shown(firm.metric("boss", "pipeline", QUARTER)),
            listed["amounts"][0]["amount"],
            sum(Decimal(item["amount"]["amount"]) for item in listed["items"]),
            sum(Decimal(item["record"]["amount"]) for item in records),
            exported,
        ]
        assert {Decimal(number) for number in numbers} == {Decimal(405)}
        assert "€405" in text_of(firm.page("boss", "/deals"))
        assert "€405" in text_of(firm.page("boss", "/kpis/pipeline", period=QUARTER))

    def test_odoo_32011_100_at_99_and_200_at_0_percent_weigh_99_not_148_50(self, firm):
        firm.opens()
        firm.deal("d1", "100", "EUR")
        firm.deal("d2", "200", "EUR")
        with firm.facts() as session:
            predicted(session, "d1", 0.99)
            predicted(session, "d2", 0.0)
        assert firm.value("ann", "weighted_pipeline", QUARTER) == 99

    def test_odoo_17233_a_won_deal_is_not_in_expected_closing(self, firm):
        firm.opens()
        firm.deal("open", "100", "EUR")
        firm.deal("won", "900", "EUR", stages={NOON - dt.timedelta(days=9): "Won"})
        due = firm.metric("ann", "pipeline_in_period", QUARTER)
        assert [row["row_id"] for row in due["rows"]] == ["open"]
        assert due["kpi"]["value"] == "100.00"
        assert firm.value("ann", "won_amount", QUARTER) == 900


class TestSuiteCrm:
    def test_suitecrm_6240_another_currency_changes_the_amount_not_only_its_sign(self, firm):
        firm.opens(currency="USD").rates(USD_JPY="149.5")
        firm.deal("d1", "1000.01", "USD")
        before = firm.metric("ann", "pipeline", QUARTER)["kpi"]
        assert (before["value"], before["currency"]) == ("1000.01", "USD")
        firm.changes("company", "company", currency="JPY")
        after = firm.metric("ann", "pipeline", QUARTER)["kpi"]
        assert (Decimal(after["value"]), after["currency"]) == (149_501, "JPY")
        (row,) = firm.metric("ann", "pipeline", QUARTER)["rows"]
        assert Decimal(row["value"]) == 149_501
        deal = firm.gets("ann", "/opportunities/d1")
        assert deal["amount"] == {"amount": "1000.01", "currency": "USD"}

    def test_suitecrm_5956_invoice_985_is_300_pounds_in_its_line_and_in_the_sum(self, firm):
        firm.opens(currency="GBP", time_zone="Europe/London")
        firm.rates(GBP_EUR="1.143966666666666666")  # £300 were issued as €343.19
        firm.order("985", "343.19", "EUR")
        firm.order("986", "100", "GBP")
        sold = firm.metric("ann", "bookings", QUARTER)
        assert {row["row_id"]: Decimal(row["value"]) for row in sold["rows"]} == {
            "985": 300, "986": 100,
        }  # fmt: skip
        assert Decimal(sold["kpi"]["value"]) == shown(sold) == 400
        with firm.facts() as session:
            session.add_all(
                Invoice(id=key, account_id="acme", invoiced_on=dt.date(2026, 5, 12),
                        amount_minor=minor, currency=currency)
                for key, minor, currency in (("985", 34319, "EUR"), ("986", 10000, "GBP"))
            )  # fmt: skip
        sums = firm.gets("ops", "/accounts/acme/overview")["sums"]
        assert by_currency(sums["invoiced"]) == {"EUR": Decimal("343.19"), "GBP": 100}

    def test_suitecrm_7784_a_converted_sum_is_one_line_whatever_the_currencies(self, session):
        company = a_company(session, currency="USD")
        seller = a_user(session, key="ann")
        account = an_account(session)
        session.add(FxRate(base="EUR", quote="USD", valid_from=dt.date(2026, 1, 1),
                           rate=Decimal("1.1")))  # fmt: skip
        for currency in ("USD", "EUR"):
            an_opportunity(session, account=account, owner=seller, amount="100", currency=currency)
        asked = {"scope": EVERYONE, "period": calendar(session).parse(QUARTER), "as_of": NOON}
        lines = queries.by_subject(session, ["pipeline"], grouping="user", **asked)
        assert {who: (each["pipeline"].value, each["pipeline"].currency)
                for who, each in lines.items()} == {"ann": (210, company.currency)}  # fmt: skip

    def test_suitecrm_6427_three_deals_of_a_month_are_summed_not_replaced(self, firm):
        firm.opens()
        for number, amount in enumerate(("1000", "2000", "4000")):
            firm.deal(f"d{number}", amount, "EUR", due=dt.date(2026, 7, 10 + number))
        assert firm.value("ann", "pipeline_in_period", "2026-07") == 7000
        assert firm.value("ann", "pipeline_in_period", "2026-06") == 0


class TestErpNext:
    def test_erpnext_14949_a_total_is_the_sum_of_the_lines_above_it(self, firm):
        firm.opens(currency="KWD", time_zone="Asia/Kuwait")
        firm.rates(USD_KWD="0.3071", JPY_KWD="0.00204")
        for number, (amount, currency) in enumerate(
            [("19.99", "USD"), ("10.005", "KWD"), ("1001", "JPY"), ("0.05", "USD")]
        ):
            firm.order(f"o{number}", amount, currency)
        sold = firm.metric("ann", "bookings", QUARTER)
        lines = {row["row_id"]: Decimal(row["value"]) for row in sold["rows"]}
        assert lines == {"o0": Decimal("6.139"), "o1": Decimal("10.005"), "o2": Decimal("2.042"),
                         "o3": Decimal("0.015")}  # fmt: skip
        assert Decimal(sold["kpi"]["value"]) == sum(lines.values()) == Decimal("18.201")

    def test_erpnext_29253_a_deal_s_amount_is_not_added_to_its_items(self, firm):
        firm.opens()
        firm.deal("d1", "1000", "EUR", stages={NOON - dt.timedelta(days=30): "Won"})
        for key, amount in (("item 1", "600"), ("item 2", "400")):
            firm.order(key, amount, "EUR", opportunity_id="d1")
        assert firm.value("ann", "won_amount", QUARTER) == 1000
        assert firm.value("ann", "bookings", QUARTER) == 1000
        sums = firm.gets("ann", "/accounts/acme/overview")["sums"]
        assert by_currency(sums["won_amount"]) == by_currency(sums["ordered"]) == {"EUR": 1000}
        assert sums["open_amount"] == []


class TestPipedrive:
    def goal(self, firm, amount, currency, owner="ann"):
        with firm.facts() as session:
            session.add(
                Quota(subject_kind="user", subject_id=owner, metric="bookings",
                      period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                      recorded_at=NOON - dt.timedelta(days=80), currency=currency,
                      amount_minor=from_major(amount, currency).minor)
            )  # fmt: skip

    def test_pipedrive_goals_a_goal_in_pounds_counts_the_1000_dollar_deal(self, firm):
        firm.opens(currency="GBP", time_zone="Europe/London").rates(USD_GBP="0.8")
        self.goal(firm, "1620", "GBP")
        firm.order("small", "10", "GBP")
        firm.order("large", "1000", "USD")
        assert firm.value("ann", "bookings", QUARTER) == 810
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.5")
        rows = firm.metric("ann", "attainment", QUARTER)["rows"]
        assert {row["row_id"] for row in rows} == {"small", "large"}

    def test_pipedrive_goals_counts_pounds_and_dollars_where_neither_is_the_company_s(self, firm):
        firm.opens(currency="JPY", time_zone="Asia/Tokyo").rates(GBP_JPY="200", USD_JPY="160")
        self.goal(firm, "1620", "GBP")
        firm.order("small", "10", "GBP")
        firm.order("large", "1000", "USD")
        assert firm.value("ann", "bookings", QUARTER) == 162_000
        assert firm.value("ann", "attainment", QUARTER) == Decimal("0.5")

    def test_pipedrive_goals_says_which_deal_no_rate_converts(self, firm):
        firm.opens(currency="GBP", time_zone="Europe/London")
        self.goal(firm, "1000", "GBP")
        firm.order("small", "10", "GBP")
        firm.order("large", "1000", "USD")
        told = firm.metric("ann", "attainment", QUARTER)
        assert told["kpi"]["value"] is None
        assert "USD" in told["kpi"]["reason"]
        assert {row["row_id"]: row["unpriced"] for row in told["rows"]} == {
            "small": None, "large": "USD",
        }  # fmt: skip

    def test_pipedrive_goals_says_that_no_rate_converts_the_goal_itself(self, firm):
        firm.opens(currency="GBP", time_zone="Europe/London")
        self.goal(firm, "1000", "USD")
        firm.order("small", "10", "GBP")
        told = firm.metric("ann", "attainment", QUARTER)["kpi"]
        assert told["value"] is None
        assert "USD" in told["reason"]

    def test_pipedrive_goals_leaves_no_seller_out_of_the_team_s_in_silence(self, firm):
        firm.opens(currency="GBP", time_zone="Europe/London")
        self.goal(firm, "1000", "USD")
        self.goal(firm, "100", "GBP", owner="bob")
        firm.order("ann's", "900", "GBP")
        firm.order("bob's", "50", "GBP", owner="bob")
        told = firm.metric("boss", "attainment", QUARTER)["kpi"]
        assert told["value"] is None, told["value"]  # it says 0.5, of Bob alone
        assert "USD" in told["reason"]


amounts = st.lists(
    st.tuples(st.sampled_from(["EUR", "JPY", "KWD"]), st.integers(-(10**9), 10**11)), max_size=8
)


class TestTotals:
    def test_of_running_contracts_are_over_all_of_them_not_the_shown_ones(self, firm):
        """As SuiteCRM#6427: a sum over what a page holds is not the sum."""
        firm.opens()
        with firm.facts() as session:
            session.add_all(
                Subscription(id=f"s{number:03}", account_id="acme", started_on=dt.date(2026, 1, 1),
                             monthly_amount_minor=100, currency=("EUR", "JPY", "KWD")[number % 3])
                for number in range(240)
            )  # fmt: skip
        sums = firm.gets("ops", "/accounts/acme/overview")["sums"]
        assert by_currency(sums["monthly"]) == {"EUR": 80, "JPY": 8000, "KWD": 8}

    def test_the_five_deals_an_alert_names_are_the_largest_in_one_currency(self, firm):
        """Minor units of several currencies are no order: 90 000 yen are less than 700 dollars."""
        firm.opens().rates(JPY_EUR="0.006", KWD_EUR="3", CHF_EUR="1.05")
        for key, amount, currency in (
            ("second", "700", "EUR"), ("first", "300", "KWD"), ("fourth", "90000", "JPY"),
            ("third", "660", "CHF"), ("fifth", "500", "EUR"), ("none", None, "EUR"),
            ("unpriced", "9999999", "USD"), ("sixth", "80000", "JPY"),
        ):  # fmt: skip
            firm.deal(key, amount, currency, due=dt.date(2026, 6, 1))
        with firm.facts() as session:
            watch(session, now=NOON)
            (alert,) = session.query(Alert).filter_by(kind="slipped")
        named = [deal["id"] for deal in alert.words["deals"]]
        assert named == ["first", "second", "third", "fourth", "fifth"]
        assert alert.words["count"] == 8

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(amounts, st.sampled_from(["EUR", "JPY", "KWD"]))
    def test_of_any_amounts_are_the_sum_of_the_displayed_rows(self, session, given_amounts, home):
        outer = session.begin_nested()
        a_company(session, currency=home)
        account = an_account(session)
        for code, rate in (("EUR", "1"), ("JPY", "0.0061"), ("KWD", "2.9973")):
            if code != home:
                session.add(FxRate(base=code, quote=home, valid_from=dt.date(2026, 1, 1),
                                   rate=Decimal(rate)))  # fmt: skip
        for currency, minor in given_amounts:
            an_order(session, account=account, ordered_on=dt.date(2026, 5, 12),
                     amount_minor=minor, currency=currency)  # fmt: skip
        asked = {"scope": EVERYONE, "period": calendar(session).parse(QUARTER), "as_of": NOON}
        total = queries.value(session, "bookings", **asked)
        rows = queries.rows(session, "bookings", **asked)
        outer.rollback()
        session.expunge_all()
        assert len(rows) == len(given_amounts)
        if given_amounts:
            assert total.value == sum(row.value for row in rows)
            assert all(-row.value.as_tuple().exponent <= minor_digits(home) for row in rows)

    def test_of_a_deal_that_left_a_currency_s_stage_stay_grouped(self, session):
        """A deal re-opened from won is in one group again, at its own currency's rate."""
        a_company(session, currency="EUR")
        session.add(FxRate(base="KWD", quote="EUR", valid_from=dt.date(2026, 1, 1),
                           rate=Decimal("2.9973")))  # fmt: skip
        deal = an_opportunity(session, account=an_account(session), amount="1.005", currency="KWD",
                              stages={NOON - dt.timedelta(days=9): "Won"})  # fmt: skip
        moves(session, deal, to="Propose", at=NOON - dt.timedelta(days=2))
        asked = {"scope": EVERYONE, "period": calendar(session).parse(QUARTER), "as_of": NOON}
        found = queries.values(session, ["pipeline", "won_amount"], **asked)
        assert found["pipeline"].value == Decimal("3.01")  # 3.0122865, rounded once
        assert found["won_amount"].value == 0
