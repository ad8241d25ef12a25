"""What the customers of a random company do: accounts, costs, bills, contracts, leads.

Written over :mod:`tests.oracles.companies`, whose deals and orders are all of one account and
whose orders have no cost. The same seed writes the same customers.
"""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

from sqlalchemy import text

from crm_core.accounts.models import Account
from crm_core.health.models import HealthResult, HealthRun
from crm_core.leads.models import Lead
from crm_core.orders.models import Invoice, Order, Payment, Subscription
from crm_core.products.models import Product
from crm_core.quotas.models import Quota
from tests.oracles import companies

ACCOUNTS = [f"acc{i}" for i in range(9)]
OTHER_GOALS = ("invoiced", "cash_received", "gross_margin", "new_customers")


def write(session, seed: int, **sizes: int) -> None:
    """Write a company whose customers differ."""
    companies.write(session, seed, **sizes)
    rng = random.Random(seed * 7 + 1)
    people = [row.id for row in session.execute(text("select id from users order by id"))]
    session.add_all(
        Account(id=name, name=name.upper(), owner_id=rng.choice([None, *people]))
        for name in ACCOUNTS
    )
    session.add_all(Product(id=f"p{i}", name=f"P{i}") for i in range(3))
    session.flush()
    _spread(session, rng)
    _bills(session, rng)
    _other_quotas(session, rng, people)
    _leads(session, rng, people)
    _outcomes(session, rng)
    _contracts(session, rng, session.execute(text("select currency from company")).scalar_one())
    _checks(session, rng)
    session.flush()
    session.expire_all()


def _spread(session, rng) -> None:
    """Give deals and orders an account each, and orders products and costs."""
    for row in session.execute(text("select id from opportunities order by id")).all():
        account = rng.choice([None, *ACCOUNTS, *ACCOUNTS])
        session.execute(
            text("update opportunities set account_id = :a where id = :d"),
            {"a": account, "d": row.id},
        )
    deals = [row.id for row in session.execute(text("select id from opportunities order by id"))]
    names = session.execute(text("select distinct id from orders order by id")).all()
    for row in names:
        session.execute(
            text("update orders set account_id = :a, product_id = :p, opportunity_id = :d,"
                 " cost_minor = cast(amount_minor * cast(:c as numeric) as bigint)"
                 " where id = :o"),
            {"a": rng.choice(ACCOUNTS), "p": rng.choice([None, "p0", "p1", "p2"]), "o": row.id,
             "d": rng.choice([None, *deals]) if deals else None,
             "c": rng.choice([None, "0.6", "0.3333", "1.2", "0"])},
        )  # fmt: skip


def _bills(session, rng) -> None:
    """Write invoices, credit notes, part payments and refunds, some without an order."""
    session.expire_all()
    orders = session.query(Order).order_by(Order.id, Order.recorded_at).all()
    if not orders:
        return
    for number in range(45):
        order = rng.choice(orders)
        day = order.ordered_on + dt.timedelta(days=rng.randrange(-5, 60))
        is_note = rng.random() < 0.2
        session.add(
            Invoice(
                id=f"i{number}",
                order_id=rng.choice([order.id, order.id, order.id, None, "gone"]),
                account_id=order.account_id,
                invoiced_on=day,
                amount_minor=-rng.randrange(1, 10**5) if is_note else rng.randrange(1, 10**7),
                currency=rng.choice([order.currency, order.currency, "EUR"]),
            )
        )
        session.flush()
        if rng.random() < 0.7:
            named = rng.choice([order.id, None, None])
            session.add(
                Payment(
                    id=f"r{number}",
                    order_id=named,
                    invoice_id=rng.choice([f"i{number}", f"i{number}", None]),
                    account_id=order.account_id,
                    received_on=day + dt.timedelta(days=rng.randrange(0, 40)),
                    amount_minor=rng.choice([-1, 1, 1, 1]) * rng.randrange(1, 10**6),
                    currency=order.currency,
                )
            )


def _other_quotas(session, rng, people) -> None:
    """Write quotas of everything else that a quota may be for, in major units as imports do."""
    known = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
    currency, digits = session.execute(
        text("select currency, case currency when 'JPY' then 0 when 'KWD' then 3 else 2 end"
             " from company")
    ).one()  # fmt: skip
    for goal in OTHER_GOALS:
        for person in people[:4]:
            amount = Decimal(rng.randrange(1, 20) if goal == "new_customers" else 10**6)
            session.add(
                Quota(
                    subject_kind="user",
                    subject_id=person,
                    metric=goal,
                    period_start=dt.date(2026, 4, 1),
                    period_end=dt.date(2026, 7, 1),
                    recorded_at=known,
                    amount_minor=int(amount.scaleb(digits)),
                    currency=currency,
                )
            )


def _leads(session, rng, people) -> None:
    """Write leads: some qualified, some converted, some into deals that are not in the store."""
    deals = session.execute(text("select id, created_at from opportunities order by id")).all()
    for number in range(40):
        deal = rng.choice(deals) if deals and rng.random() < 0.5 else None
        created = companies.FIRST + dt.timedelta(seconds=rng.randrange(companies.DAYS * 86400))
        if deal is not None:
            created = deal.created_at - dt.timedelta(seconds=rng.randrange(20 * 86400))
        qualified = created + dt.timedelta(seconds=rng.randrange(30 * 86400))
        lost_track = rng.random() < 0.1
        session.add(
            Lead(
                id=f"lead{number}",
                created_at=created,
                owner_id=rng.choice([None, *people]),
                source=rng.choice([None, "web", "fair"]),
                qualified_at=rng.choice([None, qualified]),
                converted_opportunity_id="gone" if lost_track else deal and deal.id,
            )
        )


def _outcomes(session, rng) -> None:
    """Give some activities an outcome or a duration, and some events the person who did them."""
    people = [row.id for row in session.execute(text("select id from users order by id"))]
    for row in session.execute(text("select distinct id from activities order by id")).all():
        session.execute(
            text("update activities set outcome = :o, duration_minutes = :m where id = :a"),
            {"o": rng.choice([None, None, "", "held", "no show", "No_answer"]), "a": row.id,
             "m": rng.choice([None, None, 0, 5])},
        )  # fmt: skip
    session.execute(
        text("update opportunity_events set user_id = :u where field = 'stage'"
             " and length(opportunity_id) = 2"),
        {"u": rng.choice(people)},
    )  # fmt: skip


def _contracts(session, rng, currency) -> None:
    """Write contracts that begin, end, overlap and come back on the edges of periods."""
    edges = [dt.date(2025, 9, 1), dt.date(2026, 1, 1), dt.date(2026, 4, 1), dt.date(2026, 3, 31)]
    for number in range(36):
        start = rng.choice([dt.date(2024, 5, 1), *edges, dt.date(2025, 11, 10)])
        end = rng.choice([None, None, *edges, start + dt.timedelta(days=rng.randrange(1, 500))])
        session.add(
            Subscription(
                id=f"s{number}",
                account_id=rng.choice(ACCOUNTS),
                started_on=start,
                ended_on=end if end is None or end >= start else None,
                monthly_amount_minor=rng.choice([0, rng.randrange(1, 10**6)]),
                currency=rng.choice([currency, currency, "EUR", "GBP"]),
            )
        )


def _checks(session, rng) -> None:
    """Write two checks of data health, one unknown to the earlier questions."""
    for at in (dt.datetime(2025, 12, 1, tzinfo=dt.UTC), dt.datetime(2026, 5, 1, tzinfo=dt.UTC)):
        run = HealthRun(as_of=at, ran_at=at, cause="nightly")
        session.add(run)
        session.flush()
        for number, dimension in enumerate(("completeness", "validity", "freshness") * 2):
            checked = rng.choice([0, rng.randrange(1, 50)])
            session.add(
                HealthResult(
                    run_id=run.id,
                    rule=f"rule{number}",
                    dimension=dimension,
                    checked=checked,
                    failing=rng.randrange(0, checked + 1),
                    status="ok" if checked else "nothing",
                )
            )
