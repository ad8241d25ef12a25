"""The exchange tables of deals: opportunities, their events and people, activities."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation import world as w
from crm_core.simulation.activities import DIRECTIONS, KINDS, OUTCOMES, contact_of
from crm_core.simulation.bookkeeping import (
    BUDGET,
    COMPETITOR,
    COMPETITORS,
    DECISION_DATE,
    FORECASTS,
    NEW_DEAL,
    Field,
)
from crm_core.simulation.closing import REASONS
from crm_core.simulation.company_tables import PIPELINE, STAGES
from crm_core.simulation.customer_tables import contact_ids, seniority_of
from crm_core.simulation.draws import Integers, Stream, choose, sigmoid
from crm_core.simulation.emission import Cell, Sheet, days, instants, major, named, numbered
from crm_core.simulation.geography import CURRENCIES, DIGITS, PRODUCTS
from crm_core.simulation.leads import campaign_of
from crm_core.simulation.observation import LOST_STAGE, WON_STAGE, Events
from crm_core.simulation.record import Run
from crm_core.simulation.weeks import within_week
from crm_core.simulation.world import SOURCES

FIELDS = (
    "stage",
    "owner_id",
    "amount",
    "expected_close_on",
    "product_id",
    "forecast_category",
    "custom",
)
DEAL_TYPES = (None, "new_business", "expansion")
ROLES = ("champion", "economic_buyer", "user", "blocker", "other")


def _custom(code: int) -> str:
    """Return the fields that a custom event sets, as JSON."""
    fields: dict[str, str | bool] = {}
    if code >= NEW_DEAL:
        kind = DEAL_TYPES[code - NEW_DEAL]
        fields = {"x_deal_type": kind} if kind else {}
        fields |= {"x_budget_confirmed": False, "x_decision_date_agreed": False}
    elif COMPETITOR <= code < COMPETITOR + len(COMPETITORS):
        fields = {"x_competitor": COMPETITORS[code - COMPETITOR]}
    elif code in (BUDGET, DECISION_DATE):
        name = "x_budget_confirmed" if code == BUDGET else "x_decision_date_agreed"
        fields = {name: True}
    return json.dumps(fields)


def _values(run: Run, made: Events) -> NDArray[np.object_]:
    """Return each event's new value as canonical text."""
    firms, deals = run.setting.firms, run.setting.deals
    values = np.empty(len(made.deal), dtype=object)

    def fill(field: Field, cells: list[Cell]) -> None:
        values[made.field == field] = np.asarray(cells, dtype=object)

    def of(field: Field) -> Integers:
        numbers: Integers = made.number[made.field == field]
        return numbers

    fill(Field.STAGE, named(STAGES, of(Field.STAGE)))
    fill(Field.OWNER, named([m.id for m in run.setting.org.members], of(Field.OWNER)))
    amounts = made.field == Field.AMOUNT
    digits = np.asarray(DIGITS)[firms.currency[deals.account[made.deal[amounts]]]]
    pairs = zip(made.number[amounts].tolist(), digits.tolist(), strict=True)
    fill(Field.AMOUNT, [major(minor, places) for minor, places in pairs])
    fill(Field.CLOSE_DATE, days(of(Field.CLOSE_DATE)))
    fill(Field.PRODUCT, named([p.id for p in PRODUCTS], of(Field.PRODUCT)))
    fill(Field.FORECAST, named(FORECASTS, of(Field.FORECAST)))
    texts = [_custom(code) for code in range(NEW_DEAL + len(DEAL_TYPES))]
    fill(Field.CUSTOM, named(texts, of(Field.CUSTOM)))
    return values


def opportunity_events(run: Run) -> Sheet:
    """Return every change on record in the order in which it happened."""
    made = run.events
    values = _values(run, made)
    same = (made.deal[1:] == made.deal[:-1]) & (made.field[1:] == made.field[:-1])
    # a custom event adds fields beside those of the last one; it replaces nothing
    same &= made.field[1:] != Field.CUSTOM
    old = np.full(len(values), None, dtype=object)
    old[1:][same] = values[:-1][same]
    order = np.lexsort((made.field, made.deal, made.occurred))
    return {
        "opportunity_id": named(run.deal_ids, made.deal[order]),
        "occurred_at": instants(made.occurred[order]),
        "recorded_at": instants(made.recorded[order]),
        "field": named(FIELDS, made.field[order]),
        "old_value": old[order].tolist(),
        "new_value": values[order].tolist(),
        "user_id": named([m.id for m in run.setting.org.members], made.user[order]),
    }


def _current(run: Run) -> dict[Field, NDArray[np.object_]]:
    """Return by field the latest value of every deal."""
    made = run.events
    values = _values(run, made)
    result = {}
    for field in Field:
        mine = made.field == field
        # rows lie in the order of time, so the last one written stays
        latest = np.full(run.setting.deals.count, None, dtype=object)
        latest[made.deal[mine]] = values[mine]
        result[field] = latest
    return result


def opportunities(run: Run) -> Sheet:
    """Return the deals as they stand; ``x_deal_type`` was known when they were entered."""
    deals, firms, known = run.setting.deals, run.setting.firms, run.known
    account = deals.account[known]
    current = _current(run)
    closed_at = np.full(deals.count, None, dtype=object)
    ended = (run.events.field == Field.STAGE) & (run.events.number >= WON_STAGE)
    closed_at[run.events.deal[ended]] = instants(run.events.occurred[ended])
    lost = np.zeros(deals.count, dtype=np.bool_)
    lost[run.events.deal[ended & (run.events.number == LOST_STAGE)]] = True
    reasons = named(REASONS, np.where(lost, run.ends.reason, -1)[known])
    product = deals.product[known]
    return {
        "id": named(run.deal_ids, known),
        "account_id": named(run.account_ids, account),
        "owner_id": current[Field.OWNER][known].tolist(),
        "name": [
            f"{PRODUCTS[p].name} – {firms.name[a]}"
            for p, a in zip(product.tolist(), account.tolist(), strict=True)
        ],
        "pipeline": [PIPELINE] * len(known),
        "created_at": instants(run.ends.created[known]),
        "source": named(SOURCES, deals.source[known]),
        "campaign_id": campaign_of(run, known),
        "product_id": current[Field.PRODUCT][known].tolist(),
        "amount": current[Field.AMOUNT][known].tolist(),
        "currency": named(CURRENCIES, firms.currency[account]),
        "stage": current[Field.STAGE][known].tolist(),
        "expected_close_on": current[Field.CLOSE_DATE][known].tolist(),
        "closed_at": closed_at[known].tolist(),
        "lost_reason": reasons,
        "x_deal_type": _deal_types(run, known),
    }


def _deal_types(run: Run, known: Integers) -> list[Cell]:
    made = run.events
    first = (made.field == Field.CUSTOM) & (made.number >= NEW_DEAL)
    kind = np.zeros(run.setting.deals.count, dtype=np.int64)
    kind[made.deal[first]] = made.number[first] - NEW_DEAL
    return named([kind or "" for kind in DEAL_TYPES], kind[known])


def opportunity_contacts(run: Run) -> Sheet:
    """Return who takes part in which deal since when; some people are never entered."""
    deals, happened, firms = run.setting.deals, run.happened, run.setting.firms
    deal = np.repeat(np.arange(deals.count), deals.contacts)
    place = np.arange(len(deal)) - np.repeat(
        np.cumsum(deals.contacts) - deals.contacts, deals.contacts
    )
    added = run.ends.created[deal] + 120
    met = (happened.action == w.STAKEHOLDER) & (
        happened.contacts < firms.contacts[deals.account[happened.deal]]
    )
    later, week = happened.deal[met], happened.week[met]
    u = run.draws.uniform(Stream.CONTACT, deals.key[later], week + 16, 2)
    diligence = run.setting.org.diligence[run.setting.org.holder[deals.seat[later], week]]
    entered = u[0] < sigmoid(0.9 + 0.7 * diligence)
    at = within_week(
        run.setting.weeks.monday[week], 0.97 + 0.02 * u[1], firms.utc_offset[deals.account[later]]
    )
    at = np.minimum(at, run.ends.true_at[later] - 60)
    deal = np.concatenate([deal, later[entered]])
    place = np.concatenate([place, happened.contacts[met][entered]])
    added = np.concatenate([added, at[entered]])
    rows = np.flatnonzero(
        (added < run.setting.weeks.end) & (run.ends.created[deal] < run.setting.weeks.end)
    )
    rows = rows[np.lexsort((place[rows], deal[rows]))]
    contact = contact_of(run.setting, deal[rows], place[rows])
    return {
        "opportunity_id": named(run.deal_ids, deal[rows]),
        "contact_id": named(contact_ids(run), contact),
        "role": named(ROLES, _roles(run, deal[rows], contact)),
        "added_at": instants(added[rows]),
    }


def _roles(run: Run, deal: Integers, contact: Integers) -> Integers:
    """Return roles: the senior decide, the others champion, use or block; some are not said."""
    u = run.draws.uniform(Stream.CONTACT, contact, run.setting.deals.key[deal] + 64, 2)
    senior = seniority_of(run, contact) <= 1
    others = choose(u[0], (0.35, 0.05, 0.4, 0.08, 0.12))
    role = np.where(senior, np.where(u[0] < 0.75, 1, 4), others)
    return np.where(u[1] < 0.2, -1, role)


def activities(run: Run) -> Sheet:
    """Return the activities on record."""
    made = run.activities
    minutes: list[Cell] = [m or None for m in made.minutes.tolist()]
    return {
        "id": list(numbered(run.letter("V"), 6, len(made.kind))),
        "kind": named(KINDS, made.kind),
        "occurred_at": instants(made.occurred),
        "recorded_at": instants(made.recorded),
        "user_id": named([m.id for m in run.setting.org.members], made.user),
        "account_id": named(run.account_ids, made.account),
        "opportunity_id": named(run.deal_ids, made.deal),
        "contact_id": named(contact_ids(run), made.contact),
        "direction": named(DIRECTIONS, made.direction),
        "duration_minutes": minutes,
        "outcome": named(OUTCOMES, made.outcome),
    }
