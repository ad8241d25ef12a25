"""Small random histories as plain facts, and the same facts with everything after t deleted."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pandas as pd

from features.fact_tables import DAY, MISSING, Calendar, Facts, microseconds

START = microseconds(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
CALENDAR = Calendar("Europe/Berlin", 1, "EUR")
STAGES = (("Qualify", "open"), ("Propose", "open"), ("Won", "won"), ("Lost", "lost"))
_COLUMNS = {
    "opportunities": "id account_id pipeline created_at recorded_at source campaign_id "
    "currency history",
    "events": "opportunity_id field occurred_at recorded_at sequence new_value",
    "activities": "id opportunity_id kind occurred_at recorded_at user_id contact_id direction "
    "duration_minutes outcome",
    "opportunity_contacts": "opportunity_id contact_id role added_at",
    "contacts": "id seniority",
    "accounts": "id created_at industry region country tier employees annual_revenue custom",
    "orders": "id account_id ordered_at recorded_at status",
    "users": "id hired_at",
    "products": "id family",
    "stages": "pipeline stage position kind",
    "fx_rates": "base quote valid_at recorded_at rate",
    "custom_fields": "table_name name kind label_en label_zh",
    "account_changes": "account_id occurred_at recorded_at sequence changes",
}  # fmt: skip
_WHOLE = ("_at", "position", "sequence")
_REAL = ("duration_minutes", "employees", "annual_revenue", "rate")


def frame(table: str, rows: list[dict]) -> pd.DataFrame:
    """Rows of a table with its columns in their types; what a row does not say is missing."""
    columns = {}
    for name in _COLUMNS[table].split():
        values = [row.get(name) for row in rows]
        if name.endswith(_WHOLE):
            columns[name] = np.array([MISSING if v is None else v for v in values], np.int64)
        elif name in _REAL:
            columns[name] = np.array([np.nan if v is None else v for v in values], np.float64)
        else:
            columns[name] = np.array(values, object)
    return pd.DataFrame(columns)


def facts(**tables: list[dict]) -> Facts:
    """Facts of the given rows; tables not named are empty, the pipeline is always there."""
    stages = [
        {"pipeline": "default", "stage": name, "position": i, "kind": kind}
        for i, (name, kind) in enumerate(STAGES)
    ]
    given = {"stages": stages, **tables}
    return Facts(calendar=CALENDAR, **{name: frame(name, given.get(name, [])) for name in _COLUMNS})


def a_history(seed: int, *, deals: int = 8, days: int = 60) -> Facts:
    """A random small company: late recordings, corrections, reopened and born-closed deals."""
    random = np.random.default_rng(seed)

    def moment(low: int = 0) -> int:
        return int(START + low * DAY + random.integers(0, days * 24) * (DAY // 24))

    def late(occurred: int) -> int:
        return occurred + int(random.integers(0, 20)) * DAY * int(random.random() < 0.3)

    users, accounts = ["u1", "u2"], ["a1", "a2", "a3"]
    tables: dict[str, list[dict]] = {name: [] for name in _COLUMNS if name != "stages"}
    tables["users"] = [{"id": user, "hired_at": START - 100 * DAY} for user in users]
    tables["contacts"] = [
        {"id": f"c{i}", "seniority": str(random.choice(["vp", "staff"]))} for i in range(4)
    ]
    tables["accounts"] = [
        {
            "id": each, "created_at": START - 9 * DAY, "industry": str(random.choice(["x", "y"])),
            "employees": float(random.integers(1, 99)), "custom": json.dumps({"x_score": 1.5}),
        }
        for each in accounts
    ]  # fmt: skip
    for number in range(4):
        _a_change(tables, random.choice(accounts), number, random, moment, late)
    sequence = iter(range(10**6))
    for number in range(deals):
        _a_deal(tables, f"d{number}", random, moment, late, sequence, users, accounts)
    tables["fx_rates"] = _some_rates(seed, days)
    return facts(**tables)


def _some_rates(seed: int, days: int) -> list[dict]:
    """Rates of the dollar, announced ahead, late, and corrected."""
    random = np.random.default_rng(seed + 1)
    found = []
    for day in range(-10, days, 7):
        valid = START + day * DAY
        for recorded in (valid - 2 * DAY, valid + int(random.integers(1, 20)) * DAY):
            if random.random() < 0.7:
                found.append({"base": "USD", "quote": "EUR", "valid_at": valid,
                              "recorded_at": recorded, "rate": 0.5 + random.random()})  # fmt: skip
    return found


def _a_change(tables, account, number, random, moment, late) -> None:
    """Let an account change its attributes, as the store keeps it: former values first."""
    row = next(each for each in tables["accounts"] if each["id"] == account)
    stored = {name: row[name] for name in ("industry", "employees") if name in row}
    began = {"account_id": account, "occurred_at": row["created_at"], "sequence": number * 2}
    if not any(each["account_id"] == account for each in tables["account_changes"]):
        first = json.dumps({**stored, "custom": json.loads(row["custom"])})
        tables["account_changes"].append(
            {**began, "recorded_at": row["created_at"], "changes": first}
        )
    at = moment()
    new = {"industry": str(random.choice(["x", "y", "z"])), "employees": int(number) * 10}
    tables["account_changes"].append(
        {
            "account_id": account, "occurred_at": at, "recorded_at": late(at),
            "sequence": number * 2 + 1, "changes": json.dumps({**new, "custom": {"x_score": 9}}),
        }
    )  # fmt: skip
    row.update(new, custom=json.dumps({"x_score": 9}))


def _a_deal(tables, deal, random, moment, late, sequence, users, accounts) -> None:
    created = moment()
    tables["opportunities"].append(
        {
            "id": deal, "account_id": random.choice([*accounts, None]), "pipeline": "default",
            "created_at": created, "recorded_at": late(created),
            "source": random.choice(["web", "fair", None]), "history": "full",
            "currency": "USD" if deal.endswith(("1", "4")) else "EUR",
        }
    )  # fmt: skip

    def event(field: str, value: str | None, at: int) -> None:
        tables["events"].append(
            {
                "opportunity_id": deal, "field": field, "occurred_at": at,
                "recorded_at": late(at), "sequence": next(sequence), "new_value": value,
            }
        )  # fmt: skip

    event("stage", str(random.choice(["Qualify", "Qualify", "Propose", "Won"])), created)
    event("owner_id", str(random.choice(users)), created)
    event("amount", str(int(random.integers(1, 99)) * 100), created)
    event("custom", json.dumps({"x_size": int(random.integers(1, 9)), "x_kind": "k"}), created)
    for _ in range(int(random.integers(0, 7))):
        at = max(created, moment())
        field = str(random.choice(["stage", "stage", "amount", "expected_close_on", "owner_id"]))
        value = {
            "stage": str(random.choice([name for name, _ in STAGES])),
            "amount": str(int(random.integers(1, 99)) * 100),
            "expected_close_on": f"2026-0{random.integers(1, 7)}-1{random.integers(0, 9)}",
            "owner_id": str(random.choice(users)),
        }[field]
        event(field, value, at)
    for number in range(int(random.integers(0, 5))):
        at = max(created, moment())
        row = {
            "id": f"{deal}-{number}", "opportunity_id": deal, "occurred_at": at,
            "recorded_at": late(at), "kind": str(random.choice(["call", "email", "meeting"])),
            "user_id": str(random.choice(users)), "contact_id": random.choice(["c0", "c1", None]),
            "direction": random.choice(["in", "out", None]),
        }  # fmt: skip
        tables["activities"].append(row)
        if random.random() < 0.3:  # a correction of the same activity, recorded later
            tables["activities"].append({**row, "recorded_at": row["recorded_at"] + 5 * DAY})
    if random.random() < 0.5:
        at = max(created, moment())
        tables["opportunity_contacts"].append(
            {"opportunity_id": deal, "contact_id": "c2", "role": "champion", "added_at": at}
        )
    at = moment()
    tables["orders"].append(
        {
            "id": f"o-{deal}", "account_id": str(random.choice(accounts)), "ordered_at": at,
            "recorded_at": late(at), "status": str(random.choice(["signed", "cancelled"])),
        }
    )  # fmt: skip


def known_at(given: Facts, moment: int) -> Facts:
    """The same facts with every one deleted that happened or was recorded after the moment."""

    def kept(table: pd.DataFrame, *clocks: str) -> pd.DataFrame:
        visible = np.all([table[clock].to_numpy() <= moment for clock in clocks], axis=0)
        return table[visible].reset_index(drop=True)

    changes = given.account_changes
    early = kept(changes, "occurred_at", "recorded_at")
    first = changes[~changes["account_id"].duplicated()]  # written before the first change
    both = pd.concat([first, early]).drop_duplicates(["account_id", "sequence"])
    return replace(
        given,
        account_changes=both.reset_index(drop=True),
        accounts=_accounts_at(given.accounts, both),
        opportunities=kept(given.opportunities, "created_at", "recorded_at"),
        events=kept(given.events, "occurred_at", "recorded_at"),
        activities=kept(given.activities, "occurred_at", "recorded_at"),
        opportunity_contacts=kept(given.opportunity_contacts, "added_at"),
        orders=kept(given.orders, "ordered_at", "recorded_at"),
        fx_rates=kept(given.fx_rates, "recorded_at"),
    )


def _accounts_at(accounts: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    """The accounts' rows as the store held them when it knew only these changes."""
    held = accounts.copy()
    order = changes.sort_values(["occurred_at", "recorded_at", "sequence"])
    for change in order.itertuples():
        row = held.index[held["id"] == change.account_id]
        for name, value in json.loads(change.changes).items():
            held.loc[row, name] = json.dumps(value) if name == "custom" else value
    return held
