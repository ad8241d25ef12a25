"""A rep's and a manager's walk through the pages, in headless Chromium against a real server."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from argon2 import PasswordHasher
from playwright.sync_api import expect, sync_playwright
from sqlalchemy import Engine

from crm_core.database import create_engine, transaction, web_engine
from crm_core.orders.models import Order
from crm_core.people import operations
from crm_core.quotas.models import Quota
from crm_core.settings import Settings
from serving.app import create_app
from serving.web import menu
from tests.serving.conftest import NOON, PASSWORD, a_company, a_deal

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(postgresql, template_database, tmp_path_factory):
    """Address of the application on a small company, in a thread of this process."""
    from tests.conftest import _execute

    _execute(postgresql, f"create database browsed template {template_database}")
    engine: Engine = create_engine(postgresql.url("browsed"))
    real, operations.HASHER = operations.HASHER, PasswordHasher(1, 8, 1)
    with transaction(engine) as session:
        a_company(session)
        for number in range(60):
            a_deal(session, f"extra {number:02}", "rep", number % 9)
        session.add_all(
            Order(id=f"order {month}", account_id="acme", owner_id="rep", currency="USD",
                  ordered_on=dt.date(2026, month, 4), amount_minor=month * 1_234_56,
                  recorded_at=NOON)
            for month in (1, 5)
        )  # fmt: skip
        session.add(
            Quota(subject_kind="user", subject_id="rep", metric="bookings", currency="USD",
                  period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                  recorded_at=NOON - dt.timedelta(days=1), amount_minor=10_000_00)
        )  # fmt: skip
    bound = web_engine(postgresql.url("browsed"))
    app = create_app(Settings(home=tmp_path_factory.mktemp("home")), bound)
    app.state.fixed_time = NOON
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running.started and time.monotonic() < deadline:
        time.sleep(0.05)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(15)
    operations.HASHER = real
    bound.dispose()
    engine.dispose()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium. Absent: loud skip; failure in CI."""
    if not CHROMIUM.exists():
        message = f"NO BROWSER: {CHROMIUM} is missing (apt-get install chromium)."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server):
    """Return a function that logs somebody in; afterwards nothing may have gone wrong."""
    contexts, complaints, requested = [], [], []

    def log_in(user, viewport=DESKTOP, locale="en-GB"):
        context = browser.new_context(viewport=viewport, locale=locale)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"{server}/deals")
        page.fill("[name=email]", f"{user}@acme.example")
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_url(f"{server}/deals")
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert complaints == []
    outside = [url for url in requested if not url.startswith((server, "data:"))]
    assert outside == []


def names(page):
    return page.locator(".c-deal a").all_inner_texts()


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


class TestTheList:
    def test_shows_my_deals_largest_first_and_sorts_by_a_click(self, visit):
        page = visit("rep")
        expect(page.locator("h1")).to_have_text("My deals")
        assert page.locator(".lede").inner_text().startswith("61 open deals")
        expect(page.locator("tbody tr")).to_have_count(50)
        expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Amount"))
        page.click("th >> text=Win probability")
        expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Win prob"))
        shown = [int(t.strip("%")) for t in page.locator(".chance b").all_inner_texts()]
        assert shown == sorted(shown, reverse=True)
        page.click("th >> text=Win probability")
        expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("Win prob"))

    def test_filters_at_once_keeps_it_in_the_link_and_goes_back(self, visit, server):
        page = visit("rep")
        page.keyboard.press("/")
        page.keyboard.type("extra 07")
        page.keyboard.press("Enter")
        expect(page.locator("tbody tr")).to_have_count(1)
        assert "q=extra+07" in page.url
        assert "stage=" not in page.url
        page.click("text=Clear")
        expect(page.locator("tbody tr")).to_have_count(50)
        page.check("input[value=won]", force=True)
        expect(page.locator(".empty h2")).to_have_text("No deals here yet")
        page.go_back()
        expect(page.locator("tbody tr")).to_have_count(50)

    def test_turns_the_page(self, visit):
        page = visit("rep")
        first = names(page)
        page.click("text=Next page")
        expect(page.locator("tbody tr")).to_have_count(11)
        assert not set(first) & set(names(page))
        page.click("text=Back to the first")
        assert names(page) == first

    def test_escapes_what_customers_write(self, visit):
        page = visit("rep")
        assert "<b>Halcyon</b>" in page.locator(".c-deal .soft").first.inner_text()

    def test_offers_a_manager_the_team_s_owners(self, visit):
        page = visit("manager")
        expect(page.locator("h1")).to_have_text("My team's deals")
        options = page.locator("select[name=owner] option").all_inner_texts()
        assert options == ["Everyone", "Colleague", "Manager", "Rep"]
        page.select_option("select[name=owner]", "colleague")
        expect(page.locator("tbody tr")).to_have_count(1)
        assert names(page) == ["Secret deal of colleague"]


class TestOneDeal:
    def test_opens_from_the_list_with_its_history(self, visit):
        page = visit("rep")
        page.click("text=Secret deal of rep")
        expect(page.locator("h1")).to_have_text("Secret deal of rep")
        expect(page.locator(".abstain")).to_be_visible()
        expect(page.locator(".trend-line")).to_have_count(1)
        expect(page.locator(".people")).to_contain_text("Li Wei")
        expect(page.locator("main")).to_contain_text("Call")
        page.click("text=All values")
        expect(page.locator("main")).to_contain_text("25%")

    def test_opens_from_anywhere_in_its_row(self, visit):
        page = visit("manager")
        page.click("tr:has-text('Secret deal of colleague') .c-close")
        expect(page.locator("h1")).to_have_text("Secret deal of colleague")

    def test_of_somebody_else_is_not_there(self, visit, server):
        page = visit("rep")
        answer = page.request.get(
            f"{server}/deals/deal%20of%20stranger", headers={"accept": "text/html"}
        )
        assert answer.status == 404
        assert "There is nothing here" in answer.text()


class TestTheFrame:
    def test_switches_the_language_and_remembers(self, visit, server):
        page = visit("rep")
        page.click("text=中文")
        expect(page.locator("h1")).to_have_text("我的商机")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.locator(".c-close").first).to_contain_text("2026年6月29日")
        page.goto(f"{server}/deals?sort=name")
        expect(page.locator("h1")).to_have_text("我的商机")

    def test_follows_the_browser_s_language(self, visit):
        expect(visit("rep", locale="zh-CN").locator("h1")).to_have_text("我的商机")

    def test_says_that_the_company_is_simulated(self, visit):
        expect(visit("rep").locator(".notice")).to_contain_text("Simulated company")

    def test_logs_out(self, visit, server):
        page = visit("rep")
        page.click(".me summary")
        page.click("text=Log out")
        page.wait_for_url("**/login")
        page.goto(f"{server}/deals")
        page.wait_for_url("**/login?next=/deals")

    @pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
    def test_fits_a_phone(self, visit, server, locale):
        page = visit("manager", viewport=PHONE, locale=locale)
        assert overflow(page) == 0
        page.click(".toggle")
        page.select_option("select[name=sort]", "-p_win")
        expect(page).to_have_url(re.compile("sort=-p_win"))
        assert overflow(page) == 0
        page.locator(".c-deal a").first.click()
        expect(page.locator(".score")).to_be_visible()
        assert overflow(page) == 0
        page.goto(f"{server}/docs")
        assert overflow(page) == 0

    @pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
    def test_has_its_whole_menu_on_a_phone(self, visit, locale):
        page = visit("admin", viewport=PHONE, locale=locale)
        page.click(".menu summary")
        links = page.locator(".menu-list a")
        assert links.count() == len(menu.entries("admin"))
        for link in links.all():
            box = link.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
        page.keyboard.press("Escape")
        expect(links.first).to_be_hidden()
        page.click(".menu summary")
        page.click(".menu-list a[href='/alerts']")
        expect(page).to_have_url(re.compile("/alerts$"))

    def test_is_walked_by_keyboard(self, visit):
        page = visit("rep")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('.c-deal') !== null"):
                break
        page.keyboard.press("Enter")
        expect(page.locator(".score")).to_be_visible()


class TestNumbers:
    def test_tells_exact_values_under_the_pointer_and_opens_the_rows(self, visit, server):
        page = visit("rep")
        page.click(".nav >> text=Numbers")
        expect(page.locator(".goal-value")).to_have_text("61.7%")
        page.hover(".bar-slot.now .hit", position={"x": 5, "y": 5})
        expect(page.locator(".tip")).to_contain_text("2026-Q2: $6,172.80 / $10,000.00 = 61.7%")
        page.mouse.move(0, 0)
        expect(page.locator(".tip")).to_be_hidden()
        page.click(".facts >> text=$6,172.80")
        expect(page.locator(".head-amount")).to_have_text("$6,172.80")
        expect(page.locator("tbody")).to_contain_text("order 5")

    def test_downloads_what_the_page_shows(self, visit):
        page = visit("leader")
        page.click(".nav >> text=Company")
        for form in ("CSV", "XLSX", "PDF"):
            with page.expect_download() as started:
                page.click(f".exports >> text={form}")
            assert started.value.suggested_filename == f"company-2026-Q2.{form.lower()}"
        page.click("text=By region, product and segment")
        expect(page.locator("tr.sum")).to_contain_text("$6,172.80")
        page.click("tr.group a >> nth=0")
        expect(page.locator(".lede")).to_contain_text("Region: (none)")

    def test_defines_a_number_after_a_preview(self, visit):
        page = visit("admin")
        page.goto(page.url.replace("/deals", "/metrics/new"))
        page.fill("[name=id]", "x_small")
        page.fill("[name=name_en]", "Small orders")
        page.fill("[name=name_zh]", "小额订单")
        page.select_option("[name=fact]", "orders")
        page.fill("[name=value]", "amount")
        page.fill("[name=filter]", "amount < 5000")
        page.click("text=Preview")
        expect(page.locator(".goal-value")).to_have_text("$0.00")
        page.fill("[name=reason]", "asked for")
        page.click("text=Keep as a new version")
        expect(page.locator("h1")).to_have_text("Small orders")

    @pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
    def test_fit_a_phone(self, visit, server, locale):
        page = visit("admin", viewport=PHONE, locale=locale)
        for path in (
            "/numbers", "/numbers?person=rep", "/kpis/bookings", "/company",
            "/company?unit=east", "/company/table", "/metrics", "/metrics/new",
        ):  # fmt: skip
            page.goto(server + path)
            expect(page.locator("h1")).to_be_visible()
            assert overflow(page) == 0, path


class TestThePolicy:
    def test_refuses_an_inline_script(self, browser, server):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server}/login")
        page.evaluate(
            "() => { const s = document.createElement('script');"
            " s.textContent = 'window.injected = 1'; document.body.append(s); }"
        )
        assert page.evaluate("window.injected") is None
        context.close()
