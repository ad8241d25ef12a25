"""The exchange format, declared once: which tables and columns move a company's data in and out.

Import, export, the shipped mappings, the simulator and the API read these records; none of
them names a column of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal[
    "id", "text", "choice", "integer", "decimal", "money", "currency", "date", "instant", "month",
    "boolean",
]  # fmt: skip
"""``money`` is a decimal in major units; ``instant`` a time; ``month`` a number 1–12."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it holds, whether it must be present, what it refers to."""

    name: str
    kind: ColumnKind = "text"
    required: bool = False
    refers_to: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns, the columns that identify a row, whether ``x_…`` is kept."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    custom_fields: bool = False

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


def _id(name: str, refers_to: str | None = None, *, required: bool = False) -> Column:
    return Column(name, "id", required, refers_to)


def _must(name: str, kind: ColumnKind = "text") -> Column:
    return Column(name, kind, required=True)


def _one_of(name: str, *choices: str, required: bool = False) -> Column:
    return Column(name, "choice", required, None, choices)


USER_ROLES = ("rep", "manager", "leader", "sales_ops", "finance", "data_scientist", "admin")
QUOTA_METRICS = ("bookings", "invoiced", "cash_received", "gross_margin", "new_customers")
FORECAST_CATEGORIES = ("pipeline", "best_case", "most_likely", "commit", "closed", "omitted")

TABLES: tuple[Table, ...] = (
    Table(
        "company",
        (),
        (
            _must("name"),
            _must("currency", "currency"),
            _must("time_zone"),
            Column("locale"),
            Column("fiscal_year_start_month", "month"),
            Column("is_simulated", "boolean"),
        ),
    ),
    Table(
        "org_units",
        ("id",),
        (
            _id("id", required=True),
            _must("name"),
            _one_of("kind", "company", "region", "team"),
            _id("parent_id", "org_units"),
            Column("valid_from", "date"),
            Column("valid_to", "date"),
        ),
    ),
    Table(
        "users",
        ("id",),
        (
            _id("id", required=True),
            _must("name"),
            _must("email"),
            _one_of("role", *USER_ROLES, required=True),
            _id("org_unit_id", "org_units"),
            _id("manager_id", "users"),
            Column("hired_on", "date"),
            Column("left_on", "date"),
            Column("time_zone"),
            Column("locale"),
        ),
        custom_fields=True,
    ),
    Table(
        "assignments",
        ("user_id", "org_unit_id", "valid_from"),
        (
            _id("user_id", "users", required=True),
            _id("org_unit_id", "org_units", required=True),
            _must("valid_from", "date"),
            Column("valid_to", "date"),
        ),
    ),
    Table(
        "reporting_lines",
        ("user_id", "valid_to"),
        (
            _id("user_id", "users", required=True),
            _id("manager_id", "users"),
            Column("valid_from", "date"),
            _must("valid_to", "date"),
        ),
    ),
    Table(
        "accounts",
        ("id",),
        (
            _id("id", required=True),
            _must("name"),
            Column("created_at", "instant"),
            _id("owner_id", "users"),
            _id("parent_id", "accounts"),
            Column("industry"),
            Column("region"),
            Column("country"),
            Column("tier"),
            Column("employees", "integer"),
            Column("annual_revenue", "money"),
            Column("currency", "currency"),
        ),
        custom_fields=True,
    ),
    Table(
        "contacts",
        ("id",),
        (
            _id("id", required=True),
            _id("account_id", "accounts", required=True),
            _must("name"),
            Column("title"),
            _one_of("seniority", "c_level", "vp", "director", "manager", "staff"),
            Column("email"),
            Column("phone"),
            Column("created_at", "instant"),
        ),
        custom_fields=True,
    ),
    Table(
        "campaigns",
        ("id",),
        (
            _id("id", required=True),
            _must("name"),
            Column("channel"),
            Column("started_on", "date"),
            Column("ended_on", "date"),
            Column("cost", "money"),
            Column("currency", "currency"),
        ),
    ),
    Table(
        "leads",
        ("id",),
        (
            _id("id", required=True),
            _must("created_at", "instant"),
            _id("owner_id", "users"),
            Column("source"),
            _id("campaign_id", "campaigns"),
            _one_of("status", "new", "working", "qualified", "disqualified", "converted"),
            Column("qualified_at", "instant"),
            _id("converted_opportunity_id"),
        ),
        custom_fields=True,
    ),
    Table(
        "products",
        ("id",),
        (
            _id("id", required=True),
            _must("name"),
            Column("family"),
            Column("list_price", "money"),
            Column("cost", "money"),
            Column("currency", "currency"),
        ),
        custom_fields=True,
    ),
    Table(
        "stages",
        ("pipeline", "stage"),
        (
            _must("pipeline"),
            _must("stage"),
            _must("position", "integer"),
            _one_of("kind", "open", "on_hold", "won", "lost", required=True),
            _one_of("forecast_category", *FORECAST_CATEGORIES),
        ),
    ),
    Table(
        "opportunities",
        ("id",),
        (
            _id("id", required=True),
            _id("account_id", "accounts"),
            _id("owner_id", "users"),
            Column("name"),
            Column("pipeline"),
            _must("created_at", "instant"),
            Column("source"),
            _id("campaign_id", "campaigns"),
            _id("product_id", "products"),
            Column("amount", "money"),
            Column("currency", "currency"),
            _must("stage"),
            Column("expected_close_on", "date"),
            Column("closed_at", "instant"),
            Column("lost_reason"),
            Column("recorded_at", "instant"),
            _one_of("history", "full", "none"),
        ),
        custom_fields=True,
    ),
    Table(
        "opportunity_events",
        ("opportunity_id", "field", "occurred_at", "recorded_at", "new_value"),
        (
            _id("opportunity_id", "opportunities", required=True),
            _must("occurred_at", "instant"),
            Column("recorded_at", "instant"),
            _one_of(
                "field",
                "stage",
                "amount",
                "expected_close_on",
                "owner_id",
                "forecast_category",
                "product_id",
                "custom",
                required=True,
            ),
            Column("old_value"),
            Column("new_value", "text", required=True),
            _id("user_id", "users"),
        ),
    ),
    Table(
        "opportunity_contacts",
        ("opportunity_id", "contact_id"),
        (
            _id("opportunity_id", "opportunities", required=True),
            _id("contact_id", "contacts", required=True),
            _one_of("role", "champion", "economic_buyer", "user", "blocker", "other"),
            _must("added_at", "instant"),
        ),
    ),
    Table(
        "activities",
        ("id", "recorded_at"),
        (
            _id("id", required=True),
            _one_of(
                "kind",
                "call",
                "email",
                "meeting",
                "visit",
                "demo",
                "proposal",
                "note",
                "other",
                required=True,
            ),
            _must("occurred_at", "instant"),
            Column("recorded_at", "instant"),
            _id("user_id", "users"),
            _id("account_id", "accounts"),
            _id("opportunity_id", "opportunities"),
            _id("contact_id", "contacts"),
            _one_of("direction", "in", "out"),
            Column("duration_minutes", "decimal"),
            Column("outcome"),
        ),
    ),
    Table(
        "orders",
        ("id", "recorded_at"),
        (
            _id("id", required=True),
            _id("account_id", "accounts", required=True),
            _must("ordered_on", "date"),
            Column("recorded_at", "instant"),
            _id("owner_id", "users"),
            _id("opportunity_id", "opportunities"),
            _id("product_id", "products"),
            Column("quantity", "decimal"),
            _must("amount", "money"),
            Column("cost", "money"),
            Column("currency", "currency"),
            _one_of("status", "signed", "cancelled"),
        ),
        custom_fields=True,
    ),
    Table(
        "invoices",
        ("id",),
        (
            _id("id", required=True),
            _id("order_id", "orders"),
            _id("account_id", "accounts", required=True),
            _must("invoiced_on", "date"),
            _must("amount", "money"),
            Column("currency", "currency"),
        ),
    ),
    Table(
        "payments",
        ("id",),
        (
            _id("id", required=True),
            _id("order_id", "orders"),
            _id("invoice_id", "invoices"),
            _id("account_id", "accounts", required=True),
            _must("received_on", "date"),
            _must("amount", "money"),
            Column("currency", "currency"),
        ),
    ),
    Table(
        "subscriptions",
        ("id",),
        (
            _id("id", required=True),
            _id("account_id", "accounts", required=True),
            _id("product_id", "products"),
            _must("started_on", "date"),
            Column("ended_on", "date"),
            Column("renews_on", "date"),
            _must("monthly_amount", "money"),
            Column("currency", "currency"),
        ),
    ),
    Table(
        "usage",
        ("account_id", "day", "measure"),
        (
            _id("account_id", "accounts", required=True),
            _must("day", "date"),
            _must("measure"),
            _must("value", "decimal"),
        ),
    ),
    Table(
        "tickets",
        ("id",),
        (
            _id("id", required=True),
            _id("account_id", "accounts", required=True),
            _must("opened_at", "instant"),
            Column("closed_at", "instant"),
            Column("severity"),
            Column("satisfaction", "decimal"),
        ),
    ),
    Table(
        "quotas",
        ("subject_kind", "subject_id", "metric", "period_start", "period_end", "recorded_at"),
        (
            _one_of("subject_kind", "user", "org_unit", required=True),
            _id("subject_id", required=True),
            _one_of("metric", *QUOTA_METRICS, required=True),
            _must("period_start", "date"),
            _must("period_end", "date"),
            _must("amount", "money"),
            Column("currency", "currency"),
            Column("approved_at", "instant"),
            Column("recorded_at", "instant"),
            Column("effective_on", "date"),
            Column("planned_days", "decimal"),
        ),
    ),
    Table(
        "credits",
        ("order_id", "user_id", "kind"),
        (
            _id("order_id", "orders", required=True),
            _id("user_id", "users", required=True),
            _must("share", "decimal"),
            _one_of("kind", "revenue", "overlay"),
        ),
    ),
    Table(
        "fx_rates",
        ("base", "quote", "valid_from", "recorded_at"),
        (
            _must("base", "currency"),
            _must("quote", "currency"),
            _must("valid_from", "date"),
            _must("rate", "decimal"),
            Column("recorded_at", "instant"),
        ),
    ),
)
"""In the order in which they are imported: a table refers only to itself and earlier ones."""


def table(name: str) -> Table:
    """Return the table of that name. Raises KeyError."""
    for candidate in TABLES:
        if candidate.name == name:
            return candidate
    raise KeyError(f"the exchange format has no table {name}")
