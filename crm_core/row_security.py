"""Row-level security: the second net under the one door, declared once for every table.

The web runs as the database role ``winward_app``, which owns nothing and is bound by these
policies. ``database.set_scope`` says for one transaction whose records it may see; without a
scope nothing is visible. A table that is not declared here is out of the web's reach. Who owns
the tables (jobs, imports, training) is not bound, so the policies are not forced; the web
refuses to start as an owner (``database.require_bound``).

``apply`` is run after every migration, in its transaction, so that policies always fit the
tables: they are dropped before it and made anew from this declaration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from crm_core.database import WEB_ROLE
from crm_core.errors import NotAllowed

POLICY = "winward_scope"
APPENDING = "winward_append"
_LOCK = 7_246_913_004  # any number of ours: two web processes must not alter the role at once

_EVERYONE = "(select winward_sees_everyone())"
_PEOPLE = "((select winward_visible_people())::text[])"
_UNITS = "((select winward_visible_units())::text[])"
_ME = "(select winward_me())"


class NoWebRole(NotAllowed):
    """The database's web role does not exist and we may not create it."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Everybody signed in may read every row; there is nothing private in it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Scoped:
    """A row is visible when the condition holds, or to who sees everybody's.

    With ``appends`` any row may be added: it is told to somebody else, or to nobody.
    """

    condition: str
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Operated:
    """Rows are for who runs the processes (sales ops, admin), whoever else sees everybody's.

    The columns in ``hidden`` are written and never read by the web, also not by them.
    """

    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Never:
    """The web has no business with it."""

    reason: str


Class = Shared | Scoped | Operated | Never


def _owned(column: str = "owner_id") -> Scoped:
    return Scoped(f"{column} = any {_PEOPLE}")


def _beside(parent: str, column: str, *, key: str = "id") -> str:
    """Return that the parent row is visible: its own policy decides, in one place."""
    return f"exists (select 1 from {parent} parent where parent.{key} = {column})"


def _of(parent: str, column: str) -> Scoped:
    return Scoped(_beside(parent, column))


def _subject(table: str, kind: str = "subject_kind", key: str = "subject_id") -> str:
    """Return that the record which two columns name is visible."""
    return " or ".join(
        f"({table}.{kind} = '{name}' and {_beside(parent, f'{table}.{key}')})"
        for name, parent in _SUBJECTS.items()
    )


_SUBJECTS = {
    "opportunity": "opportunities",
    "account": "accounts",
    "contact": "contacts",
    "lead": "leads",
    "activity": "activities",
    "order": "orders",
    "ticket": "tickets",
}


def _record(table: str, key: str) -> str:
    """Return that the record of a table named in the row is visible."""
    return " or ".join(
        f"({table}.table_name = '{parent}' and {_beside(parent, f'{table}.{key}')})"
        for parent in (*_SUBJECTS.values(), "subscriptions", "invoices", "payments")
    )


_REFERENCE = Shared("the company's own lists: everybody works with them")
_PROCESS = Shared("how the company works; the pages decide who may change it")
_TARGETS = Scoped(
    f"(subject_kind = 'user' and subject_id = any {_PEOPLE})"
    f" or (subject_kind = 'org_unit' and subject_id = any {_UNITS})"
)
"""Who leads a unit sees its target and those below; what is padded above shows nowhere below."""

CLASSES: Mapping[str, Class] = {
    "company": _REFERENCE,
    "org_units": _REFERENCE,
    "users": Shared("read before anybody's scope is known; pages show names only"),
    "assignments": _REFERENCE,
    "reporting_lines": _REFERENCE,
    "login_sessions": Shared("read before anybody's scope is known"),
    "login_attempts": Shared("read before anybody's scope is known"),
    "campaigns": _REFERENCE,
    "products": _REFERENCE,
    "stages": _REFERENCE,
    "fx_rates": _REFERENCE,
    "custom_fields": _REFERENCE,
    "custom_field_versions": _REFERENCE,
    "opportunities": _owned(),
    "opportunity_events": _of("opportunities", "opportunity_id"),
    "opportunity_contacts": _of("opportunities", "opportunity_id"),
    "accounts": Scoped(
        f"owner_id = any {_PEOPLE} or {_beside('opportunities', 'accounts.id', key='account_id')}"
    ),
    "contacts": _of("accounts", "account_id"),
    "leads": _owned(),
    "activities": Scoped(
        f"user_id = any {_PEOPLE} or {_beside('opportunities', 'opportunity_id')}"
        f" or (opportunity_id is null and ({_beside('accounts', 'activities.account_id')}"
        f" or {_beside('contacts', 'contact_id')}))"
    ),
    "orders": Scoped(f"owner_id = any {_PEOPLE} or {_beside('opportunities', 'opportunity_id')}"),
    "credits": Scoped(f"user_id = any {_PEOPLE} or {_beside('orders', 'order_id')}"),
    "invoices": _of("accounts", "account_id"),
    "payments": _of("accounts", "account_id"),
    "subscriptions": _of("accounts", "account_id"),
    "usage": _of("accounts", "account_id"),
    "tickets": _of("accounts", "account_id"),
    "quotas": _TARGETS,
    "leaves": _owned("user_id"),
    "quota_policies": _PROCESS,
    "goals": _TARGETS,
    "goal_versions": _of("goals", "goal_id"),
    "goal_steps": _of("goals", "goal_id"),
    "goal_commits": _of("goals", "goal_id"),
    "goal_decompositions": _of("goals", "goal_id"),
    "leaderboards": Shared("the rule of a ranking is everybody's to read"),
    "leaderboard_results": Scoped(f"subject_id = any {_PEOPLE} or subject_id = any {_UNITS}"),
    "forecast_adjustments": _owned("author_id"),  # what is set above somebody is not theirs to see
    "forecast_submissions": _owned("author_id"),
    "forecast_submission_items": _of("forecast_submissions", "submission_id"),
    "forecast_cadences": _PROCESS,
    "forecast_snapshots": Shared("when snapshots were taken; no deal and nobody is named"),
    "forecast_snapshot_rates": _REFERENCE,
    "forecast_snapshot_deals": _owned(),
    "forecast_snapshot_cells": _owned("audience_id"),
    "forecast_baselines": _owned("subject_id"),
    "forecast_scores": _owned("subject_id"),
    "predictions": _of("opportunities", "opportunity_id"),
    "advice_decisions": _of("opportunities", "opportunity_id"),
    "recommendations": _of("opportunities", "opportunity_id"),
    "recommendation_responses": _of("recommendations", "recommendation_id"),
    "recommendation_outcomes": _of("recommendations", "recommendation_id"),
    "served_models": Shared("which model answered when; every process writes it"),
    "import_batches": Scoped("false"),
    "import_rejections": Scoped("false"),
    "import_changes": Scoped("false"),
    "metric_versions": Shared("what the company's numbers mean"),
    "kpi_publications": Shared("when the numbers were written down, no number in it"),
    "kpi_values": Scoped(f"subject_kind = 'user' and subject_id = any {_PEOPLE}"),
    "kpi_days": _owned("user_id"),
    "health_runs": Shared("how sound the data are; every number may carry the badge"),
    "health_results": Shared("counts by rule, no record named"),
    "health_examples": Scoped("false"),
    "audit_log": Scoped(f"actor = {_ME} or {_record('audit_log', 'record_id')}", appends=True),
    "record_events": Scoped(_record("record_events", "key"), appends=True),
    "merged_records": Scoped(_record("merged_records", "survivor_id"), appends=True),
    "idempotency_keys": Scoped(f"user_id = {_ME}"),
    "notes": Scoped(f"author_id = {_ME} or {_ME} = any (mentions) or {_subject('notes')}"),
    "tasks": Scoped(
        f"assignee_id = any {_PEOPLE} or created_by = {_ME} or {_subject('tasks')}", appends=True
    ),
    "stage_overrides": _of("opportunities", "opportunity_id"),
    "stage_criteria": _PROCESS,
    "rules": _PROCESS,
    "rule_versions": _PROCESS,
    "rule_runs": _of("process_events", "event_id"),
    "process_events": Scoped(f"actor_id = {_ME} or {_subject('process_events')}", appends=True),
    "webhook_endpoints": Operated(),
    "webhook_secrets": Operated(hidden=("secret",)),  # what signs our messages
    "webhook_deliveries": Operated(),
    "approval_policies": _PROCESS,
    "approvals": Scoped(
        f"requested_by = any {_PEOPLE} or {_ME} = any (approvers)"
        " or id = any ((select winward_decided())::bigint[])"
    ),
    "approval_decisions": Scoped(f"user_id = {_ME} or {_beside('approvals', 'approval_id')}"),
    "alerts": Scoped(f"user_id = {_ME}", appends=True),
    "alert_preferences": Scoped(f"user_id = {_ME}"),
    "assignment_policies": _PROCESS,
    "assignment_capacities": _PROCESS,
    "lead_assignments": _PROCESS,
}

READ_AND_APPEND = frozenset(
    {
        "audit_log",
        "metric_versions",
        *(
            f"forecast_{name}"
            for name in (
                "adjustments", "submissions", "submission_items", "cadences", "snapshots",
                "snapshot_rates", "snapshot_deals", "snapshot_cells", "baselines", "scores",
            )
        ),
    }
)  # fmt: skip
"""Tables in which the web may add rows and read them, and nothing else."""

_FUNCTIONS = (
    """create or replace function winward_sees_everyone() returns boolean
    language sql stable parallel safe as
    $$ select coalesce(current_setting('winward.everyone', true) = 'on', false) $$""",
    """create or replace function winward_visible_people() returns text[]
    language sql stable parallel safe as
    $$ select nullif(current_setting('winward.people', true), '')::text[] $$""",
    """create or replace function winward_visible_units() returns text[]
    language sql stable parallel safe as
    $$ select nullif(current_setting('winward.units', true), '')::text[] $$""",
    """create or replace function winward_me() returns text
    language sql stable parallel safe as
    $$ select nullif(current_setting('winward.me', true), '') $$""",
)

_OPERATES = """create or replace function winward_operates() returns boolean
    language sql stable as
    $$ select exists (select from users where id = winward_me()
       and role in ('sales_ops', 'admin')) $$"""

_DECIDED = """create or replace function winward_decided() returns bigint[]
    language sql stable security definer set search_path from current as
    $$ select array_agg(approval_id) from approval_decisions where user_id = winward_me() $$"""
"""What I decided stays mine to see. As the owner: requests and decisions ask for each other."""


def digest() -> str:
    """Return what identifies this declaration."""
    parts = [
        *_FUNCTIONS,
        _OPERATES,
        _DECIDED,
        *(f"{name} {kind!r}" for name, kind in sorted(CLASSES.items())),
    ]
    return hashlib.sha256("\n".join((*parts, *sorted(READ_AND_APPEND))).encode()).hexdigest()[:16]


def applied(connection: Connection) -> str | None:
    """Return the digest of the declaration that the database's policies were made from."""
    found = connection.execute(
        text("select obj_description(to_regproc('winward_sees_everyone'), 'pg_proc')")
    ).scalar()
    return None if found is None else str(found)


def lift(connection: Connection) -> None:
    """Drop our policies, so that a migration may change what they mention; access stays closed."""
    for table, policy in connection.execute(
        text(
            "select tablename, policyname from pg_policies"
            " where schemaname = current_schema() and policyname like 'winward%'"
        )
    ).all():
        connection.exec_driver_sql(f'drop policy "{policy}" on "{table}"')


def apply(connection: Connection) -> None:
    """Make the policies and rights of every declared table that exists. Raises NoWebRole."""
    ensure_role(connection)
    present = set(inspect(connection).get_table_names())
    users = (_OPERATES,) if "users" in present else ()
    decided = (_DECIDED,) if "approval_decisions" in present else ()
    hiding = {t for t, k in CLASSES.items() if isinstance(k, Operated) and k.hidden}
    columns = {t: [c["name"] for c in inspect(connection).get_columns(t)]
               for t in hiding & present}  # fmt: skip
    for statement in (*_FUNCTIONS, *users, *decided, *_entrance(), *_rights(present, columns)):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"comment on function winward_sees_everyone() is '{digest()}'")


def let_in(engine: Engine) -> None:
    """Let the web role log in by itself: on the embedded server, whose socket only we reach."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        may = text("select rolcanlogin from pg_roles where rolname = :name")
        if not connection.execute(may, {"name": WEB_ROLE}).scalar():
            connection.exec_driver_sql(f"alter role {WEB_ROLE} login")


def _entrance() -> Iterator[str]:
    yield (
        "do $$ begin execute 'grant usage on schema ' || quote_ident(current_schema()) ||"
        f" ' to {WEB_ROLE}'; end $$"
    )


def _rights(present: set[str], columns: Mapping[str, list[str]]) -> Iterator[str]:
    for table in sorted(present):
        yield f'revoke all on "{table}" from {WEB_ROLE}'
    if "alembic_version" in present:
        yield f"grant select on alembic_version to {WEB_ROLE}"
    for table, kind in CLASSES.items():
        if table not in present:
            continue
        if isinstance(kind, Never):
            continue
        rights = "select, insert" if table in READ_AND_APPEND else "select, insert, update, delete"
        if isinstance(kind, Operated) and kind.hidden:
            read = ", ".join(name for name in columns[table] if name not in kind.hidden)
            rights = f"select ({read}), insert, update"
        yield f"grant {rights} on {table} to {WEB_ROLE}"
        yield from _sequences(table)
        if isinstance(kind, Scoped):
            yield from _policies(table, kind)
        if isinstance(kind, Operated):
            yield f"alter table {table} enable row level security"
            yield f"create policy {POLICY} on {table} to {WEB_ROLE} using (winward_operates())"


def _sequences(table: str) -> Iterator[str]:
    yield (
        "do $$ declare own text; begin"
        " for own in select d.objid::regclass::text from pg_depend d"
        " join pg_class s on s.oid = d.objid and s.relkind = 'S'"
        f" where d.refobjid = '{table}'::regclass and d.deptype in ('a', 'i')"
        f" loop execute 'grant usage on sequence ' || own || ' to {WEB_ROLE}'; end loop; end $$"
    )


def _policies(table: str, kind: Scoped) -> Iterator[str]:
    yield f"alter table {table} enable row level security"
    visible = f"{_EVERYONE} or {kind.condition}"
    check = "true" if kind.appends else visible
    if kind.appends:
        yield f"create policy {APPENDING} on {table} for insert to {WEB_ROLE} with check ({check})"
        for action in ("select", "update", "delete"):
            yield (
                f"create policy {POLICY}_{action} on {table} for {action} to {WEB_ROLE}"
                f" using ({visible})"
            )
    else:
        yield f"create policy {POLICY} on {table} to {WEB_ROLE} using ({visible})"


def ensure_role(connection: Connection) -> None:
    """Create the web's role unless it exists. Raises NoWebRole where we may not create it."""
    exists = text("select 1 from pg_roles where rolname = :name")
    if connection.execute(exists, {"name": WEB_ROLE}).scalar() is not None:
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(
                f"create role {WEB_ROLE} nologin nosuperuser nobypassrls noinherit"
            )
            connection.exec_driver_sql(f"grant {WEB_ROLE} to current_user")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in ("42710", "23505"):
            return  # another database of this server made it just now
        raise NoWebRole(
            f"The role {WEB_ROLE}, as which the web server works, does not exist and the user of"
            f" WINWARD_DATABASE_URL may not create it; an administrator runs: create role"
            f" {WEB_ROLE} nologin; grant {WEB_ROLE} to that user."
        ) from None
