"""Small random companies written straight into the tables, for twins to compare numbers on.

Everything that makes a number hard is in them: currencies of no, two and three decimals, one
without a rate at times, a zone of its own for each company and for each person, corrections
recorded later, hand-overs, re-opened deals, split credits, moves between teams.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from zoneinfo import ZoneInfo

from crm_core.accounts.models import Account
from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.money import from_major
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.opportunities.projection import project
from crm_core.orders.models import Credit, FxRate, Order
from crm_core.people.models import Assignment, Company, OrgUnit, User
from crm_core.quotas.models import Quota

ZONES = (
    "Asia/Shanghai",
    "America/New_York",
    "Pacific/Kiritimati",
    "Europe/Berlin",
    "Etc/GMT+12",
    "Australia/Lord_Howe",  # changes its clocks by half an hour
)
PEOPLES_ZONES = ("Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns", None)
FIRST = dt.datetime(2025, 7, 1, 3, tzinfo=dt.UTC)
DAYS = 420
STAGES = (
    ("qualify", 1, "open"),
    ("propose", 2, "open"),
    ("negotiate", 3, "open"),
    ("hold", 4, "on_hold"),
    ("won", 5, "won"),
    ("delivered", 6, "won"),
    ("lost", 7, "lost"),
)
KINDS = ("call", "email", "meeting", "visit", "demo", "proposal", "note", "other")


class _Draws(random.Random):
    """Random numbers that know the company's zone."""

    zone: ZoneInfo


def _time(rng: _Draws, low: float = 0, high: float = DAYS) -> dt.datetime:
    """Return a time; one in ten is a midnight of the company on which months and quarters turn."""
    if rng.random() < 0.1:
        month = rng.randrange(1, 13)
        start = dt.datetime(2025 + (month < 7), month, 1, tzinfo=rng.zone).astimezone(dt.UTC)
        return start - dt.timedelta(microseconds=rng.choice([0, 1]))
    return FIRST + dt.timedelta(seconds=rng.randrange(int(low * 86400), int(high * 86400)))


def write(session, seed: int, *, deals: int = 40, orders: int = 40) -> None:
    """Write one company; the same seed writes the same company."""
    rng = _Draws(seed)
    rng.zone = ZoneInfo(ZONES[seed % len(ZONES)])
    currency = ("CNY", "USD", "JPY", "KWD")[seed % 4]
    session.add(
        Company(
            id=1,
            name="Random",
            currency=currency,
            time_zone=rng.zone.key,
            fiscal_year_start_month=4,
        )
    )
    people = _people(session, rng)
    others = [code for code in ("JPY", "KWD") if code != currency]
    rates = [("EUR", currency, "1.2345"), (currency, "GBP", "0.777")]
    rates += [(code, currency, "0.0613" if code == "JPY" else "23.7") for code in others]
    for base, quote, rate in rates:
        for day in (dt.date(2024, 1, 1), dt.date(2026, 1, 5)):
            step = Decimal(rate) + Decimal(day.month) / 100
            session.add(FxRate(base=base, quote=quote, valid_from=day, rate=step))
    if rng.random() < 0.3:
        session.add(
            FxRate(base="BHD", quote=currency, valid_from=dt.date(2026, 3, 1), rate=Decimal("2.5"))
        )
    currencies = [currency, currency, "EUR", "GBP", *others]
    currencies += ["BHD"] if rng.random() < 0.2 else []
    session.add(Account(id="acc", name="Account"))
    session.add_all(
        Stage(pipeline="default", stage=name, position=position, kind=kind)
        for name, position, kind in STAGES
    )
    session.flush()
    for number in range(deals):
        _deal(session, rng, f"d{number}", people, rng.choice(currencies))
    if rng.random() < 0.9:
        for number in range(orders):
            _order(session, rng, f"o{number}", people, rng.choice(currencies))
    _quotas(session, rng, people, currency)
    session.flush()
    project(session, "opportunities")


def _people(session, rng: _Draws) -> list[str]:
    session.add(OrgUnit(id="root", name="Root", kind="company"))
    session.flush()
    session.add_all(
        OrgUnit(id=f"t{i}", name=f"T{i}", kind="team", parent_id="root") for i in (1, 2)
    )
    session.add(User(id="boss", name="Boss", email="boss@x", role="manager", org_unit_id="root"))
    session.flush()
    people = [f"u{i}" for i in range(5)]
    for person in people:
        hired = dt.date(2025, 7, 1) + dt.timedelta(days=rng.randrange(300))
        left = hired + dt.timedelta(days=rng.randrange(60, 400)) if rng.random() < 0.3 else None
        session.add(
            User(
                id=person,
                name=person,
                email=f"{person}@x",
                role="rep",
                manager_id="boss",
                org_unit_id="t1",
                hired_on=hired if rng.random() < 0.6 else None,
                left_on=left,
                time_zone=rng.choice(PEOPLES_ZONES),
            )
        )
    session.flush()
    for person in people[:3]:
        moved = dt.date(2025, 10, 1) + dt.timedelta(days=rng.randrange(200))
        session.add(
            Assignment(
                user_id=person, org_unit_id="t1", valid_from=dt.date(2025, 1, 1), valid_to=moved
            )
        )
        session.add(Assignment(user_id=person, org_unit_id="t2", valid_from=moved))
    return [*people, "boss"]


def _event(session, deal, field, value, occurred, recorded) -> None:
    session.add(
        OpportunityEvent(
            opportunity_id=deal,
            field=field,
            occurred_at=occurred,
            recorded_at=max(recorded, occurred),
            new_value=value,
        )
    )


def _deal(session, rng, deal, people, currency) -> None:
    created = _time(rng, 0, DAYS - 60)
    learned = created + dt.timedelta(days=rng.choice([0, 0, 0, 5]))
    session.add(
        Opportunity(
            id=deal,
            account_id="acc",
            created_at=created,
            recorded_at=learned,
            currency=currency,
            stage="qualify",
            name=rng.choice([None, f"Deal {deal}"]),
        )
    )
    session.flush()
    when = created
    _event(session, deal, "owner_id", rng.choice(people), created, learned)
    _event(session, deal, "stage", "qualify", created, learned)
    for _ in range(rng.randrange(1, 9)):
        when += dt.timedelta(seconds=rng.randrange(0, 40 * 86400))
        recorded = when + dt.timedelta(days=rng.choice([0, 0, 0, 1, 20]))
        field = rng.choice(
            ["stage", "stage", "stage", "amount", "expected_close_on", "owner_id", "custom"]
        )
        _event(session, deal, field, _value(rng, field, people, when, currency), when, recorded)
        if rng.random() < 0.2:
            later = recorded + dt.timedelta(days=rng.randrange(1, 30))
            _event(session, deal, field, _value(rng, field, people, when, currency), when, later)
    if rng.random() < 0.7:
        _event(
            session,
            deal,
            "amount",
            _value(rng, "amount", people, created, currency),
            created,
            learned,
        )
    for _ in range(rng.randrange(0, 3)):
        at = _time(rng)
        p = rng.random()
        session.add(
            Prediction(
                opportunity_id=deal,
                model="win_rate",
                model_version="1",
                as_of=at,
                scored_at=at,
                kind="model",
                p_win=p,
            )
        )
    for number in range(rng.randrange(0, 4)):
        _activity(session, rng, f"{deal}-{number}", deal, people)


def _activity(session, rng, name, deal, people) -> None:
    occurred = _time(rng)
    recorded = occurred + dt.timedelta(days=rng.choice([0, 0, 3]))
    for version in range(rng.choice([1, 1, 2])):
        session.add(
            Activity(
                id=name,
                recorded_at=recorded + dt.timedelta(days=version * 7),
                occurred_at=occurred + dt.timedelta(days=version),
                kind=rng.choice(KINDS),
                user_id=rng.choice([None, *people]),
                opportunity_id=deal,
                account_id="acc",
            )
        )


def _value(rng, field, people, when, currency) -> str | None:
    if field == "stage":
        return rng.choice([name for name, _, _ in STAGES])
    if field == "amount":
        amounts = [None, "0", f"{rng.randrange(1, 10**7) / 100:.2f}", "1000.005", "12.5"]
        given = rng.choice(amounts)  # no door lets in more decimals than the currency has
        return None if given is None else str(from_major(given, currency).major)
    if field == "expected_close_on":
        return (when.date() + dt.timedelta(days=rng.randrange(0, 120))).isoformat()
    if field == "owner_id":
        return rng.choice(people)
    return json.dumps({"x_a": rng.random()})


def _order(session, rng, name, people, currency) -> None:
    edges = [dt.date(2026, 1, 1), dt.date(2026, 4, 1), dt.date(2026, 7, 1), dt.date(2025, 12, 1)]
    day = rng.choice([*edges, *(_time(rng).date() for _ in range(8))])
    recorded = dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=rng.choice([0, 30]))
    owner = rng.choice([None, *people])
    for version in range(rng.choice([1, 1, 1, 2])):
        session.add(
            Order(
                id=name,
                recorded_at=recorded + dt.timedelta(days=version * 40),
                account_id="acc",
                ordered_on=day,
                owner_id=owner,
                amount_minor=rng.choice([0, rng.randrange(1, 10**8), -rng.randrange(1, 10**5), 1]),
                currency=currency,
                status="cancelled" if version and rng.random() < 0.5 else "signed",
            )
        )
    shares = rng.choice(
        [[], [], ["1"], ["0.5", "0.5"], ["0.3333", "0.3333", "0.3334"], ["0.25"], ["0.9", "0.6"]]
    )
    for person, share in zip(rng.sample(people, len(shares)), shares, strict=True):
        session.add(Credit(order_id=name, user_id=person, share=Decimal(share)))
    if rng.random() < 0.2:
        session.add(Credit(order_id=name, user_id=people[0], share=Decimal(1), kind="overlay"))


def _quotas(session, rng, people, currency) -> None:
    quarters = [(2025, 7), (2025, 10), (2026, 1), (2026, 4), (2026, 7)]
    for person in people:
        if rng.random() < 0.25:
            continue
        for year, month in quarters:
            start = dt.date(year, month, 1)
            end = dt.date(year + (month == 10), (month + 2) % 12 + 1, 1)
            for version in range(rng.choice([1, 1, 2])):
                session.add(
                    Quota(
                        subject_kind="user",
                        subject_id=person,
                        metric="bookings",
                        period_start=start,
                        period_end=end,
                        recorded_at=FIRST + dt.timedelta(days=90 * version),
                        amount_minor=rng.randrange(10**6, 10**8),
                        currency=rng.choice([currency, "EUR", "JPY"]),
                        approved_at=rng.choice([None, FIRST, FIRST + dt.timedelta(days=200)]),
                    )
                )
    session.add(
        Quota(
            subject_kind="org_unit",
            subject_id="t1",
            metric="bookings",
            period_start=dt.date(2026, 4, 1),
            period_end=dt.date(2026, 7, 1),
            recorded_at=FIRST,
            amount_minor=5 * 10**7,
            currency=currency,
        )
    )
