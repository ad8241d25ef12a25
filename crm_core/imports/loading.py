"""Writing judged rows into the store: insert, update or leave alone, counted by SQL."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.imports.scratch import quoted
from crm_core.imports.staging import Stage, reject

RULES: dict[str, tuple[tuple[tuple[str, ...], str, str], ...]] = {
    "users": (
        (
            ("email",),
            "exists (select 1 from users u where u.email = s.email and u.id <> s.id)"
            " or exists (select 1 from {stage} o where o.email = s.email and o._n < s._n"
            " and o._verdict is null)",
            "email belongs to another user; every user needs an own one",
        ),
        (
            ("role",),
            "current_setting('winward.gives_roles', true) = 'off' and s.role is distinct from"
            " coalesce((select u.role from users u where u.id = s.id),"
            " case when s.role in ('rep', 'manager', 'leader') then s.role end)",
            "only an administrator gives or changes roles; others bring in new reps, managers"
            " and leaders",
        ),
    ),
    "assignments": ((("valid_to",), "s.valid_to < s.valid_from", "valid_to is before valid_from"),),
    "reporting_lines": (
        (("valid_from",), "s.valid_to <= s.valid_from", "valid_to is not after valid_from"),
        (("manager_id",), "s.manager_id = s.user_id", "nobody reports to themselves"),
        (
            ("valid_to",),
            "exists (select 1 from (select user_id, valid_from, valid_to from reporting_lines"
            " where (user_id, valid_to) not in (select user_id, valid_to from {stage}"
            " where user_id is not null and valid_to is not null)"
            " union all select user_id, valid_from, valid_to from {stage} o where o._n < s._n"
            " and o._verdict is null) r where r.user_id = s.user_id"
            " and coalesce(r.valid_from, '-infinity') < s.valid_to"
            " and coalesce(s.valid_from, '-infinity') < r.valid_to)",
            "somebody reports to one person at a time; this overlaps another line of theirs",
        ),
    ),
    "tickets": ((("closed_at",), "s.closed_at < s.opened_at", "closed_at is before opened_at"),),
    "quotas": (
        (
            ("period_end",),
            "s.period_end <= s.period_start",
            "period_end must be after period_start",
        ),
        (
            ("planned_days",),
            "s.planned_days < 0.01 or s.planned_days > 99999",
            "planned_days must be between 0.01 and 99999",
        ),
        (
            ("subject_id",),
            "(s.subject_kind = 'user' and not exists"
            " (select 1 from users u where u.id = s.subject_id)) or (s.subject_kind = 'org_unit'"
            " and not exists (select 1 from org_units u where u.id = s.subject_id))",
            "subject_id is neither a user nor an org unit; import them first",
        ),
    ),
    "credits": (
        (("share",), "s.share < 0 or s.share > 1", "share must be between 0 and 1"),
        (
            ("share",),
            "coalesce(s.kind, 'revenue') = 'revenue' and s.order_id in (select order_id from"
            " {stage} where coalesce(kind, 'revenue') = 'revenue' group by 1"
            " having sum(share) <> 1)",
            "revenue shares of the order do not sum to 1",
        ),
    ),
    "fx_rates": ((("rate",), "s.rate <= 0", "rate must be above 0"),),
    "stages": (
        (("position",), "s.position not between -32768 and 32767", "position is too large"),
    ),
}
"""Per table: (columns it needs, SQL of a bad row, what is wrong with it)."""

_DEFAULTS = {"kind": "'revenue'", "status": "'signed'"}


def stored(stage: Stage, name: str) -> str:
    """Return a column's name in the store: money lies there in minor units."""
    return f"{name}_minor" if stage.columns[name] == "money" else name


def check_rules(session: Session, stage: Stage) -> None:
    """Reject rows that break a rule between columns or with the store."""
    for columns, condition, problem in RULES.get(stage.table.name, ()):
        if all(stage.has(column) for column in columns):
            condition = condition.format(stage=stage.name)
            if stage.table.name == "credits" and not stage.has("kind"):
                condition = condition.replace("s.kind", "null").replace("(kind,", "(null,")
            reject(session, stage, condition, columns[0], f"'{problem}'")


def upsert(session: Session, stage: Stage) -> None:
    """Insert new rows, update those that differ in a given column, leave the others alone."""
    target = quoted(stage.table.name)
    key = list(stage.table.key)
    match = " and ".join(f"t.{quoted(name)} = {_given(stage, name)}" for name in key)
    changed = " or ".join(_differs(stage, name) for name in _plain(stage))
    run(
        session,
        f"update {stage.name} s set _verdict = case when j.found then 'updated' "
        f"else 'inserted' end from (select s._n, t.{quoted(key[0])} is not null as found "
        f"from {stage.name} s left join {target} t on {match} where s._verdict is null "
        f"and (t.{quoted(key[0])} is null or {changed or 'false'})) j where j._n = s._n",
    )
    run(session, f"update {stage.name} set _verdict = 'unchanged' where _verdict is null")
    insert(session, stage)
    sets = ", ".join(_assignment(stage, name) for name in _plain(stage))
    if sets:
        stage.tracker.update(
            session,
            stage.table.name,
            sets=sets,
            source=f"{stage.name} s",
            where=f"s._verdict = 'updated' and {match}",
        )


def insert(session: Session, stage: Stage) -> None:
    """Insert the rows whose verdict says so, in the order of the source."""
    names = [name for name in stage.columns if name != "custom_created"]
    if stage.table.name == "credits" and not stage.has("kind"):
        names.append("kind")
    columns = ", ".join(quoted(stored(stage, name)) if stage.has(name) else name for name in names)
    values = ", ".join(_given(stage, name) for name in names)
    stage.tracker.insert(
        session,
        stage.table.name,
        f"insert into {quoted(stage.table.name)} ({columns}) select {values} "
        f"from {stage.name} s where s._verdict = 'inserted' order by s._n",
    )


def _plain(stage: Stage) -> list[str]:
    """Return the given columns that are not part of the key."""
    return [
        name for name in stage.columns if name not in stage.table.key and name != "custom_created"
    ]


def _given(stage: Stage, name: str) -> str:
    if not stage.has(name):
        return _DEFAULTS[name]
    if name in _DEFAULTS and stage.table.name in ("credits", "orders"):
        return f"coalesce(s.{quoted(name)}, {_DEFAULTS[name]})"
    if stage.columns[name] == "json":
        return f"jsonb_strip_nulls(s.{quoted(name)})"
    if stage.columns[name] == "decimal":
        return f"trim_scale(s.{quoted(name)})"
    return f"s.{quoted(name)}"


def _differs(stage: Stage, name: str) -> str:
    if stage.columns[name] == "json":
        return "jsonb_strip_nulls(t.custom || s.custom) is distinct from t.custom"
    return f"t.{quoted(stored(stage, name))} is distinct from {_given(stage, name)}"


def _assignment(stage: Stage, name: str) -> str:
    if stage.columns[name] == "json":
        return "custom = jsonb_strip_nulls(t.custom || s.custom)"
    return f"{quoted(stored(stage, name))} = {_given(stage, name)}"


_OF_A_COMPANY = {"locale": "'en'", "fiscal_year_start_month": "1", "is_simulated": "false"}


def upsert_company(session: Session, stage: Stage) -> None:
    """Write the one company row."""
    names = list(stage.columns)
    changed = " or ".join(f"t.{quoted(n)} <> s.{quoted(n)}" for n in names)
    run(
        session,
        f"update {stage.name} s set _verdict = case when not exists (select 1 from company) "
        f"then 'inserted' when exists (select 1 from company t where {changed}) then 'updated' "
        "else 'unchanged' end where s._verdict is null",
    )
    columns = ", ".join(quoted(n) for n in names)
    stage.tracker.insert(
        session,
        "company",
        f"insert into company (id, {columns}) select 1, "
        + ", ".join(f"coalesce(s.{quoted(n)}, {_OF_A_COMPANY.get(n, 'null')})" for n in names)
        + f" from {stage.name} s where s._verdict = 'inserted'",
    )
    sets = ", ".join(f"{quoted(n)} = coalesce(s.{quoted(n)}, t.{quoted(n)})" for n in names)
    stage.tracker.update(
        session, "company", sets=sets, source=f"{stage.name} s", where="s._verdict = 'updated'"
    )


_RECORDED = {
    "orders": "(s.ordered_on::timestamp at time zone :zone)",
    "activities": "s.occurred_at",
    "quotas": "(s.period_start::timestamp at time zone :zone)",
    "fx_rates": "(s.valid_from::timestamp at time zone :zone)",
}
BUSINESS_KEY = {
    "orders": ("id",),
    "activities": ("id",),
    "quotas": ("subject_kind", "subject_id", "metric", "period_start", "period_end"),
    "fx_rates": ("base", "quote", "valid_from"),
}
"""What identifies a record of which several versions are kept, told apart by ``recorded_at``."""


def append_versions(
    session: Session, stage: Stage, *, recorded_at: dt.datetime, time_zone: str
) -> None:
    """Write orders, activities, quotas or rates: a row that differs becomes a later version.

    A row without ``recorded_at`` counts as known when it happened if it is new, and as a
    correction made now if the store knows its id with other values.
    """
    name = stage.table.name
    key = BUSINESS_KEY[name]
    given = "s.recorded_at" if stage.has("recorded_at") else "null::timestamptz"
    default = _RECORDED[name]
    if name == "quotas" and stage.has("approved_at"):
        default = f"coalesce(s.approved_at, {default})"
    content = [column for column in stage.columns if column not in (*key, "recorded_at")]
    differs = " or ".join(_differs(stage, column) for column in content) or "false"
    match = " and ".join(f"t.{column} = s.{column}" for column in key)
    run(
        session,
        f"create temporary table {stage.name}_v on commit drop as "
        f"select s._n, {given} as given, coalesce({given}, {default}) as recorded, "
        f"e.recorded_at as exact_at, coalesce(e.differs, false) as exact_differs, "
        f"l.recorded_at as latest_at, coalesce(l.differs, false) as latest_differs "
        f"from {stage.name} s "
        f"left join lateral (select t.recorded_at, ({differs}) as differs from {name} t "
        f"where {match} and t.recorded_at = coalesce({given}, {default})) e on true "
        f"left join lateral (select t.recorded_at, ({differs}) as differs from {name} t "
        f"where {match} order by t.recorded_at desc limit 1) l on true where s._verdict is null",
        **({"zone": time_zone} if ":zone" in default else {}),
    )
    _judge_versions(session, stage, recorded_at)
    _insert_versions(session, stage, key)


def _judge_versions(session: Session, stage: Stage, recorded_at: dt.datetime) -> None:
    run(
        session,
        f"update {stage.name} s set _verdict = case when v.latest_at is null then 'inserted' "
        "when v.given is null and not v.latest_differs then 'unchanged' "
        "when v.given is not null and v.exact_at is not null and not v.exact_differs "
        f"then 'unchanged' else 'updated' end from {stage.name}_v v where v._n = s._n",
    )
    run(
        session,
        f"update {stage.name}_v v set recorded = greatest(:now, v.latest_at + interval '1 us') "
        "where v.latest_at is not null and (v.given is null or v.exact_at is not null)",
        now=recorded_at,
    )


def _insert_versions(session: Session, stage: Stage, key: tuple[str, ...]) -> None:
    """Append the new versions; a column that the source does not give keeps its last value."""
    name = stage.table.name
    match = " and ".join(f"t.{column} = s.{column}" for column in key)
    given = [column for column in stage.columns if column != "recorded_at"]
    columns = [stored(stage, column) for column in given]
    values = [
        "jsonb_strip_nulls(coalesce(l.custom, '{}') || s.custom)"
        if stage.columns[column] == "json"
        else _given(stage, column)
        for column in given
    ]
    for column in _kept(stage):
        columns.append(column)
        values.append(_CARRIED.get(column, f"l.{column}"))
    shown = ", ".join(map(quoted, columns))
    stage.tracker.insert(
        session,
        name,
        f"insert into {name} (recorded_at, {shown}) "
        f"select v.recorded, {', '.join(values)} from {stage.name} s "
        f"join {stage.name}_v v on v._n = s._n left join lateral (select t.* from {name} t "
        f"where s._verdict = 'updated' and {match} order by t.recorded_at desc limit 1) l on true "
        f"where s._verdict in ('inserted', 'updated') order by s._n",
    )
    run(session, f"drop table {stage.name}_v")


_CARRIED = {"status": "coalesce(l.status, 'signed')", "custom": "coalesce(l.custom, '{}')"}


def _kept(stage: Stage) -> list[str]:
    """Return the stored names of columns that the source does not give."""
    missing = [
        column
        for column in stage.table.columns
        if not stage.has(column.name) and column.name != "recorded_at"
    ]
    names = [
        f"{column.name}_minor" if column.kind == "money" else column.name for column in missing
    ]
    if stage.table.custom_fields and not stage.has("custom"):
        names.append("custom")
    return names
