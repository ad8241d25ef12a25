"""The tables hang together: nothing precedes its cause, nothing is paid that was not billed."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.crm_core.simulation.companies import UNTIL, Generated

_TIMES = (
    "occurred_at", "recorded_at", "created_at", "closed_at", "qualified_at", "added_at",
    "opened_at", "approved_at",
)  # fmt: skip
_DAYS = (
    "started_on", "ended_on", "renews_on", "ordered_on", "invoiced_on", "received_on", "day",
    "hired_on", "left_on", "period_start", "period_end", "valid_from", "valid_to",
)  # fmt: skip
_DAY = pd.Timedelta("1D")


class Tables:
    """A company's tables with times and days parsed; days begin at midnight in Berlin."""

    def __init__(self, company: Generated) -> None:
        self._company = company
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            frame = pd.read_csv(self._company.folder / f"{name}.csv", dtype=str)
            for column in frame.columns:
                if column in _TIMES:
                    frame[column] = pd.to_datetime(frame[column], utc=True)
                elif column in _DAYS:
                    local = pd.to_datetime(frame[column]).dt.tz_localize("Europe/Berlin")
                    frame[column] = local.dt.tz_convert("UTC")
            self._read[name] = frame
        return self._read[name]

    def joined(self, name: str, on: str, other: str, *columns: str) -> pd.DataFrame:
        """Return the rows of a table that name a row of another, with columns of that."""
        there = self[other].drop_duplicates("id").set_index("id")[list(columns)]
        there = there.add_prefix(f"{other}.")
        return self[name].dropna(subset=[on]).join(there, on=on, how="inner")


@pytest.fixture(scope="module", params=["small", "demo"])
def tables(request: pytest.FixtureRequest) -> Tables:
    return Tables(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("table", "on", "other", "cause", "effect"),
    [
        ("contacts", "account_id", "accounts", "created_at", "created_at"),
        ("opportunities", "account_id", "accounts", "created_at", "created_at"),
        ("opportunities", "campaign_id", "campaigns", "started_on", "created_at"),
        ("leads", "campaign_id", "campaigns", "started_on", "created_at"),
        ("leads", "converted_opportunity_id", "opportunities", "created_at", "-qualified_at"),
        ("opportunity_events", "opportunity_id", "opportunities", "created_at", "occurred_at"),
        ("opportunity_contacts", "opportunity_id", "opportunities", "created_at", "added_at"),
        ("opportunity_contacts", "contact_id", "contacts", "created_at", "added_at"),
        ("activities", "account_id", "accounts", "created_at", "occurred_at"),
        ("activities", "contact_id", "contacts", "created_at", "occurred_at"),
        ("activities", "opportunity_id", "opportunities", "created_at", "occurred_at"),
        ("orders", "account_id", "accounts", "created_at", "recorded_at"),
        ("orders", "opportunity_id", "opportunities", "closed_at", "recorded_at"),
        ("invoices", "order_id", "orders", "ordered_on", "invoiced_on"),
        ("payments", "invoice_id", "invoices", "invoiced_on", "received_on"),
        ("subscriptions", "account_id", "accounts", "created_at", "started_on"),
        ("tickets", "account_id", "accounts", "created_at", "opened_at"),
    ],
)  # fmt: skip
def test_no_fact_precedes_its_cause(
    tables: Tables, table: str, on: str, other: str, cause: str, effect: str
) -> None:
    rows = tables.joined(table, on, other, cause)
    assert len(rows)
    first, then = rows[f"{other}.{cause}"], rows[effect.removeprefix("-")]
    if effect.startswith("-"):
        first, then = then, first
    assert not (then < first).any(), rows[then < first].head().to_string()


@pytest.mark.parametrize(
    ("table", "first", "then"),
    [
        ("opportunity_events", "occurred_at", "recorded_at"),
        ("activities", "occurred_at", "recorded_at"),
        ("orders", "ordered_on", "recorded_at"),
        ("opportunities", "created_at", "closed_at"),
        ("leads", "created_at", "qualified_at"),
        ("tickets", "opened_at", "closed_at"),
        ("quotas", "approved_at", "period_start"),
        ("quotas", "period_start", "period_end"),
        ("users", "hired_on", "left_on"),
        ("assignments", "valid_from", "valid_to"),
        ("org_units", "valid_from", "valid_to"),
        ("subscriptions", "started_on", "ended_on"),
        ("campaigns", "started_on", "ended_on"),
    ],
)
def test_a_row_runs_forward(tables: Tables, table: str, first: str, then: str) -> None:
    rows = tables[table].dropna(subset=[first, then])
    assert len(rows) or (table, then) == ("org_units", "valid_to")
    assert (rows[then] >= rows[first]).all(), rows[rows[then] < rows[first]].head().to_string()


@pytest.mark.parametrize(
    ("table", "user", "at"),
    [
        ("activities", "user_id", "occurred_at"),
        ("opportunity_events", "user_id", "occurred_at"),
        ("orders", "owner_id", "ordered_on"),
        ("leads", "owner_id", "qualified_at"),
    ],
)
def test_nobody_acts_who_is_not_employed(tables: Tables, table: str, user: str, at: str) -> None:
    rows = tables.joined(table, user, "users", "hired_on", "left_on").dropna(subset=[at])
    assert (rows[at] >= rows["users.hired_on"]).all()
    gone = rows["users.left_on"]
    late = rows[gone.notna() & (rows[at] > gone + _DAY)]
    assert late.empty, late.head().to_string()


def test_placements_follow_each_other_inside_the_time_of_employment(tables: Tables) -> None:
    rows = tables.joined("assignments", "user_id", "users", "hired_on", "left_on")
    rows = rows.sort_values(["user_id", "valid_from"])
    same = rows.user_id.eq(rows.user_id.shift())
    assert (rows.valid_from[same] == rows.valid_to.shift()[same]).all()
    assert (rows.valid_from >= rows["users.hired_on"]).all()
    left = rows[rows["users.left_on"].notna()]
    assert (left.valid_to <= left["users.left_on"]).all()


def test_a_deal_and_its_people_belong_to_one_account(tables: Tables) -> None:
    rows = tables.joined("opportunity_contacts", "contact_id", "contacts", "account_id")
    deals = tables["opportunities"].set_index("id").account_id
    assert (deals[rows.opportunity_id].to_numpy() == rows["contacts.account_id"].to_numpy()).all()


def test_a_lead_and_its_deal_name_the_same_campaign(tables: Tables) -> None:
    rows = tables.joined("leads", "converted_opportunity_id", "opportunities", "campaign_id")
    said, there = rows.campaign_id.fillna(""), rows["opportunities.campaign_id"].fillna("")
    assert (said == there).all()
    assert rows.campaign_id.notna().mean() > 0.5


def test_use_is_measured_while_a_contract_runs(tables: Tables) -> None:
    terms = tables["subscriptions"]
    far = pd.Timestamp("2100-01-01", tz="UTC")
    rows = tables["usage"].merge(terms, on="account_id")
    inside = (rows.day >= rows.started_on) & (rows.day < rows.ended_on.fillna(far))
    assert inside.groupby([rows.account_id, rows.day]).any().all()


def test_money_received_never_exceeds_what_was_billed_by_then(tables: Tables) -> None:
    billed = tables["invoices"].assign(amount=lambda f: f.amount.astype(float))
    paid = tables["payments"].assign(amount=lambda f: f.amount.astype(float))
    notes = billed[billed.amount < 0]
    assert len(notes)
    assert (paid.amount < 0).any()
    # what is owed back after a return is paid back within nine days
    settled = notes[notes.invoiced_on < pd.Timestamp(UNTIL, tz="UTC") - 11 * _DAY].order_id
    net = billed.groupby("order_id").amount.sum()
    received = paid.groupby("order_id").amount.sum().reindex(net.index).fillna(0.0)
    owed = ~net.index.isin(notes.order_id) | net.index.isin(settled)
    assert (received[owed] <= net[owed] + 0.005).all()


def test_quotas_of_reps_sum_to_those_of_their_company(tables: Tables) -> None:
    plan = tables["quotas"].assign(amount=lambda f: f.amount.astype(float))
    reps = plan[plan.subject_kind == "user"].groupby("period_start").amount.sum()
    whole = plan[plan.subject_id == "O-COMPANY"].set_index("period_start").amount
    assert (reps == whole).all()


def test_every_month_has_one_rate_of_each_currency(tables: Tables) -> None:
    rates = tables["fx_rates"]
    assert not rates.duplicated(["base", "quote", "valid_from"]).any()
    assert (rates.rate.astype(float) > 0).all()
    assert rates.groupby("valid_from").base.nunique().nunique() == 1
