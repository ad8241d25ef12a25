"""No endpoint or page adds amounts of two currencies; new routes are walked without being named.

The facts are chosen so that every sum over two currencies is a number that nothing else is.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
import re
from decimal import Decimal, InvalidOperation

import pytest
from fastapi.routing import iter_route_contexts

from crm_core.kpis.catalogue import CATALOGUE
from crm_core.money import from_major, minor_digits
from crm_core.orders.models import Credit, FxRate, Invoice, Order, Payment, Subscription
from crm_core.people.models import User
from crm_core.quotas.models import Quota
from serving.security import policy_of
from tests.complaints.conftest import HTML, NOON, predicted

QUARTER = "2026-Q2"
HOME = "EUR"
RATES = {"JPY": "0.006113", "KWD": "2.99731"}
CURRENCIES = (HOME, *RATES)
WON = NOON - dt.timedelta(days=20)
DAY = dt.date(2026, 5, 12)
KINDS = ("open", "won", "order", "invoice", "payment", "subscription", "quota")
_PLACE = re.compile(r"\{(\w+)(?::path)?\}")
FILLED = {"opportunity_id": "open-EUR-0", "account_id": "acme", "table": "opportunities",
          "key": "open-EUR-0", "form": "csv", "metric": "pipeline"}  # fmt: skip
WALKED = ("pipeline", "bookings", "attainment")
TELLS_NUMBERS = re.compile(
    "^/(deals|accounts|customers|kpis|forecast|goals|leaderboards|company)"
    "|/(kpis|forecasts|goals|leaderboards|opportunities|overview)(/|$)"
)
ASKED = {"period": QUARTER, "limit": 200, "by": "person", "key": '["ann"]', "metric": "bookings"}
NOT_READ = ("/openapi.json", "/docs", "/healthz", "/readyz", "/api/v1/data-health/report.pdf")


def amounts():
    """Return two amounts per kind of fact and currency, of six or seven digits each."""
    rng = random.Random(20260630)
    return {
        (kind, currency, place): Decimal(rng.randrange(10**5, 10**6) * 10 + rng.randrange(1, 10))
        .scaleb(-minor_digits(currency))
        for kind in KINDS
        for currency in CURRENCIES
        for place in (0, 1)
    }  # fmt: skip


AMOUNTS = amounts()


def mixed_sums():
    """Return every sum over amounts of one kind that adds two currencies, major and minor units."""
    found = {}
    for kind in KINDS:
        own = [(currency, value) for (k, currency, _), value in AMOUNTS.items() if k == kind]
        for size in range(2, len(own) + 1):
            for chosen in itertools.combinations(own, size):
                if len({currency for currency, _ in chosen}) > 1:
                    found[sum(value for _, value in chosen)] = (kind, chosen)
                    minor = sum(from_major(value, code).minor for code, value in chosen)
                    found[Decimal(minor)] = (kind, chosen)
    return found


MIXED = mixed_sums()


def converted(kind, *, places=(0, 1)):
    """Return the sum of a kind's amounts, each converted and rounded by itself."""
    total = Decimal(0)
    for currency in CURRENCIES:
        rate = Decimal(RATES.get(currency, 1))
        for place in places:
            total += from_major(AMOUNTS[kind, currency, place] * rate, HOME).major
    return total


@pytest.fixture
def world(firm):
    """A firm whose every fact is there in three currencies, Ann's and Bob's one each."""
    firm.opens(currency=HOME)
    firm.rates(**{f"{code}_{HOME}": rate for code, rate in RATES.items()})
    owners = ("ann", "bob")
    for currency, place in itertools.product(CURRENCIES, (0, 1)):
        name, owner = f"{currency}-{place}", owners[place]
        firm.deal(f"open-{name}", AMOUNTS["open", currency, place], currency, owner=owner)
        firm.deal(f"won-{name}", AMOUNTS["won", currency, place], currency, owner=owner,
                  stages={WON: "Won"})  # fmt: skip
        firm.order(f"order-{name}", AMOUNTS["order", currency, place], currency, owner=owner,
                   opportunity_id=f"won-{name}", cost_minor=1)  # fmt: skip
    with firm.facts() as session:
        for currency, place in itertools.product(CURRENCIES, (0, 1)):
            name = f"{currency}-{place}"
            minor = {kind: from_major(AMOUNTS[kind, currency, place], currency).minor
                     for kind in KINDS}  # fmt: skip
            own = {"account_id": "acme", "currency": currency}
            predicted(session, f"open-{name}", 0.5)
            session.add(Invoice(id=f"i-{name}", order_id=f"order-{name}", invoiced_on=DAY,
                                amount_minor=minor["invoice"], **own))  # fmt: skip
            session.flush()
            session.add_all([
                Payment(id=f"p-{name}", order_id=f"order-{name}", invoice_id=f"i-{name}",
                        received_on=DAY, amount_minor=minor["payment"], **own),
                Subscription(id=f"s-{name}", started_on=dt.date(2026, 1, 1),
                             monthly_amount_minor=minor["subscription"], **own),
            ])  # fmt: skip
        for place, owner in enumerate(owners):
            session.add_all(
                Quota(subject_kind="user", subject_id=owner, metric=metric,
                      period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                      recorded_at=NOON - dt.timedelta(days=80), currency=currency,
                      amount_minor=from_major(AMOUNTS["quota", currency, place], currency).minor)
                for metric, currency in (("bookings", "JPY"), ("invoiced", "KWD"))
            )  # fmt: skip
    goal = {"subject_kind": "user", "subject_id": "bob", "metric": "cash_received",
            "period": QUARTER, "currency": "KWD",
            "amount": str(AMOUNTS["quota", "KWD", 0])}  # fmt: skip
    rule = {"title": "Bookings", "metric": "bookings", "names": "all", "starts_on": "2026-04-01",
            "ends_on": "2026-07-01"}  # fmt: skip
    firm.known = {
        "goal_id": made(firm, "boss", "/goals", goal),
        "leaderboard_id": made(firm, "ops", "/leaderboards", rule),
    }
    return firm


def made(firm, who, path, given):
    """Return the number of what somebody made through the API."""
    answer = firm.sends(who, "POST", path, json=given)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def addresses(app, more):
    """Return every address that only reads, its parameters filled in."""
    found = set()
    for context in iter_route_contexts(app.routes):
        endpoint = getattr(context.original_route, "endpoint", None)
        if endpoint is None or "GET" not in (context.methods or ()):
            continue
        if context.path in NOT_READ or policy_of(endpoint).public:
            continue
        metrics = WALKED if "{metric}" in context.path else [None]
        for metric in metrics:
            known = FILLED | more | ({"metric": metric} if metric else {})
            found.add(_PLACE.sub(lambda m, known=known: known.get(m[1], "1"), context.path))
    return sorted(found)


def numbers(words):
    """Return every number that a text holds, as exact decimals."""
    for match in re.findall(r"\d[\d,\u202f\xa0]*(?:\.\d+)?", words):
        try:
            yield Decimal(re.sub(r"[,\u202f\xa0]", "", match))
        except InvalidOperation:
            continue


class TestEveryRoute:
    def test_knows_what_a_sum_of_two_currencies_is(self):
        both = AMOUNTS["open", "EUR", 0] + AMOUNTS["open", "JPY", 0]
        assert both in MIXED
        assert len(MIXED) > 500
        single = {sum(AMOUNTS[kind, code, place] for place in (0, 1))
                  for kind in KINDS for code in CURRENCIES}  # fmt: skip
        assert not single & MIXED.keys()
        assert set(numbers(f"<b>€{both:,}</b> and {both}")) & MIXED.keys()

    def test_adds_no_two_currencies(self, world):
        walked, who = 0, "root"  # who may read the most
        for address in addresses(world.app, world.known):
            answer = world.person(who).get(address, params=ASKED, headers=HTML)
            if answer.status_code == 422:  # it takes no such query
                answer = world.person(who).get(address, headers=HTML)
            assert answer.status_code < 500, address
            if answer.status_code != 200 or "pdf" in answer.headers["content-type"]:
                continue
            walked += 1
            wrong = MIXED.keys() & set(numbers(re.sub(r"<[^>]+>", " ", answer.text)))
            assert not wrong, (address, [MIXED[each] for each in wrong])
        assert walked > 80

    def test_says_the_same_whatever_clock_the_viewer_keeps(self, world):
        paths = [each for each in addresses(world.app, world.known) if TELLS_NUMBERS.search(each)]
        for path in paths:
            if "open-EUR-0" in path:  # the first look writes down a score
                world.person("boss").get(path, headers=HTML)
        read = []
        for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
            with world.facts() as session:
                for name in ("boss", "ann", "bob"):
                    session.get(User, name).time_zone = zone
            answers = {path: world.person("boss").get(path, headers=HTML) for path in paths}
            read.append({path: (each.status_code, each.content) for path, each in answers.items()})
        differing = [path for path in paths if read[0][path] != read[1][path]]
        assert differing == []
        assert sum(status == 200 for status, _ in read[0].values()) > 20


MONEY = tuple(item.id for item in CATALOGUE if item.unit == "money")
AGAINST_QUOTA = ("gap", "gap_invoiced")


def silent_without_rates(firm, metrics):
    """Return the metrics that still tell a number, or no reason, once no rate is known."""
    before = {each: firm.metric("root", each, QUARTER)["kpi"] for each in metrics}
    with firm.facts() as session:
        session.query(FxRate).delete()
    after = {each: firm.metric("root", each, QUARTER)["kpi"] for each in metrics}
    assert sum(told["value"] is not None for told in before.values()) >= min(len(metrics), 8)
    return {
        each: (told["value"], told["reason"])
        for each, told in after.items()
        if before[each]["value"] is not None
        and (told["value"] is not None or not re.search("JPY|KWD", told["reason"]))
    }


class TestEveryMetricOfMoney:
    def test_converts_each_row_once_and_adds_what_it_shows(self, world):
        for metric, kind in (("pipeline", "open"), ("pipeline_in_period", "open"),
                             ("won_amount", "won"), ("bookings", "order"), ("invoiced", "invoice"),
                             ("cash_received", "payment")):  # fmt: skip
            told = world.metric("boss", metric, QUARTER)
            total = (Decimal(told["kpi"]["value"]), told["kpi"]["currency"])
            assert total == (converted(kind), HOME), metric
            assert sum(Decimal(row["value"]) for row in told["rows"]) == converted(kind), metric
            assert world.value("ann", metric, QUARTER) == converted(kind, places=(0,)), metric

    def test_is_none_with_the_reason_where_an_amount_has_no_rate(self, world):
        metrics = [each for each in MONEY if each not in AGAINST_QUOTA]
        assert silent_without_rates(world, metrics) == {}

    def test_is_none_with_the_reason_where_a_quota_has_no_rate(self, world):
        assert silent_without_rates(world, AGAINST_QUOTA) == {}

    def test_shows_a_total_on_its_page_that_is_the_sum_of_its_rows(self, world):
        for metric in ("pipeline", "won_amount", "bookings"):
            page = world.page("boss", f"/kpis/{metric}", period=QUARTER)
            cells = re.findall(r'<td class="end num">([^<]*)</td>', page)
            assert len(cells) == 6
            rows = [next(numbers(cell)) for cell in cells]
            (head,) = re.findall(r'<p class="head-amount num">\s*(.*?)\s*</p>', page, re.DOTALL)
            assert next(numbers(head)) == sum(rows), metric

    def test_of_days_are_shown_in_words_that_fit_their_number(self, world):
        """A median is no whole number of itself: 156.5 days, rounded as it is shown."""
        world.deal("slow", "1", "EUR", stages={WON: "Won"}, created_at=WON - dt.timedelta(days=1))
        world.deal("slower", "1", "EUR", stages={WON: "Won"}, created_at=WON - dt.timedelta(days=2))
        for created in range(4):
            world.deal(f"quick {created}", "1", "EUR", stages={WON: "Won"}, created_at=WON)
        for path in ("/deals", "/numbers"):
            assert re.search(r"\b1 day\b|\b2 days\b", world.page("ann", path)), path

    def test_splits_credit_of_every_currency_without_a_remainder(self, world):
        with world.facts() as session:
            for order in session.query(Order):
                session.add_all(
                    Credit(order_id=order.id, user_id=who, share=Decimal(share))
                    for who, share in (("ann", "0.3333"), ("bob", "0.3333"), ("boss", "0.3334"))
                )
        parts = [world.value("ann", "bookings", QUARTER)]
        rows = world.metric("boss", "bookings", QUARTER)["rows"]
        for who in ("bob", "boss"):
            own = [Decimal(row["value"]) for row in rows if row["user_id"] == who]
            assert len(own) == 6
            parts.append(sum(own))
        assert sum(parts) == converted("order") == world.value("boss", "bookings", QUARTER)
