"""A consistent slice of the files for a trial: some deals, and everything they need and carry.

A slice is closed under reference: every record that a taken row names is taken too. Deals, leads
and accounts are chosen; what hangs on them (activities, orders, invoices …) comes along if all
the accounts, deals and orders it names are chosen; people, products and campaigns follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from crm_core import exchange
from crm_core.imports.choice import ChoiceInvalid, pilot_of
from crm_core.imports.compiling import Compiled
from crm_core.imports.scratch import Scratch, literal, quoted

_WHOLE = ("company", "stages", "fx_rates")
_CHOSEN = ("accounts", "opportunities", "leads")
_HANGING = (
    "contacts", "opportunity_events", "opportunity_contacts", "orders", "activities", "invoices",
    "payments", "subscriptions", "usage", "tickets", "credits",
)  # fmt: skip
_CORE = ("accounts", "contacts", "opportunities", "orders", "invoices")
_WHAT = "The slice of a trial"


def slice_of(scratch: Scratch, compiled: list[Compiled], pilot: str) -> list[Compiled]:
    """Return the compiled tables narrowed to a slice. Raises ChoiceInvalid when it is empty."""
    parts = [_Part.of(scratch, number, item) for number, item in enumerate(compiled)]
    work = _Slice(scratch, parts)
    work.run("create or replace temp table chosen (t varchar, id varchar, primary key (t, id))")
    work.seed(*pilot_of(pilot))
    work.take_hanging()
    work.take_needed()
    return [
        replace(
            part.item,
            query=f"select {part.columns} from {part.name} where _keep order by _row",
        )
        for part in parts
    ]


@dataclass(frozen=True, slots=True)
class _Part:
    """One compiled table, laid down with a mark on each row."""

    item: Compiled
    name: str
    columns: str
    has: frozenset[str]

    @classmethod
    def of(cls, scratch: Scratch, number: int, item: Compiled) -> _Part:
        name = f"slice_{number}"
        whole = "true" if item.table.name in _WHOLE else "false"
        scratch.rows(
            f"create or replace temp table {name} as select row_number() over () as _row, "
            f"{whole} as _keep, q.* from ({item.query}) q",
            _WHAT,
        )
        columns = scratch.columns(name)
        shown = ", ".join(quoted(each) for each in columns if each not in ("_row", "_keep"))
        return cls(item, name, shown, frozenset(columns))


@dataclass(slots=True)
class _Slice:
    """The slice while it grows: ``chosen`` holds the ids of taken records by table."""

    scratch: Scratch
    parts: list[_Part]

    def run(self, sql: str) -> None:
        """Run one statement in the scratch database."""
        self.scratch.rows(sql, _WHAT)

    def count(self) -> int:
        """Return how many records are chosen."""
        return int(self.scratch.rows("select count(*) from chosen", _WHAT)[0][0])

    def of(self, *tables: str) -> list[_Part]:
        """Return the parts of some tables."""
        return [part for part in self.parts if part.item.table.name in tables]

    def choose(self, table: str, query: str) -> None:
        """Choose the ids of a table that a query returns."""
        self.run(
            f"insert or ignore into chosen select distinct {literal(table)}, id from ({query}) "
            "q(id) where id is not null"
        )

    def seed(self, kind: str, value: str) -> None:
        """Choose the deals, leads and accounts that the slice is about."""
        if kind == "deals":
            first = next((t for t in ("opportunities", "accounts", "leads") if self.of(t)), None)
            if first is None:
                raise ChoiceInvalid("The files hold no deals, accounts or leads to try with.")
            self.choose(
                first, f"select id from {self.of(first)[0].name} order by _row limit {int(value)}"
            )
        else:
            self._choose_owned(kind, value)
        for part in self.of("opportunities"):
            if "account_id" in part.has:
                here = _among("id", "opportunities")
                self.choose("accounts", f"select account_id from {part.name} where {here}")
        for part in self.of("leads"):
            if "converted_opportunity_id" in part.has:
                here = _among("converted_opportunity_id", "opportunities")
                self.choose("leads", f"select id from {part.name} where {here}")
        if not self.count():
            raise ChoiceInvalid(f"--pilot {kind}={value} takes nothing; check the value.")

    def _choose_owned(self, kind: str, value: str) -> None:
        self.run("create or replace temp table owners (id varchar)")
        if kind == "owner_id":
            self.run(f"insert into owners values ({literal(value)})")
        else:
            self._members(value)
        for table in _CHOSEN:
            for part in self.of(table):
                if "owner_id" in part.has:
                    self.choose(
                        table,
                        f"select id from {part.name} where owner_id in (select id from owners)",
                    )

    def _members(self, team: str) -> None:
        """Name everybody who belongs to an org unit or one below it, at any time."""
        self.run(f"create or replace temp table units as select {literal(team)} as id")
        for part in self.of("org_units"):
            if "parent_id" in part.has:
                self.run(
                    "create or replace temp table units as with recursive below(id) as ("
                    f"select {literal(team)} union select u.id from {part.name} u "
                    "join below b on u.parent_id = b.id) select id from below"
                )
        for table, column in (("users", "id"), ("assignments", "user_id")):
            for part in self.of(table):
                if "org_unit_id" in part.has:
                    self.run(
                        f"insert into owners select {column} from {part.name} "
                        "where org_unit_id in (select id from units)"
                    )

    def take_hanging(self) -> None:
        """Take what hangs on the chosen, in the order of the tables."""
        for table in exchange.TABLES:
            for part in self.of(table.name):
                if table.name in _CHOSEN:
                    self._keep(part, _among("id", table.name))
                elif table.name in _HANGING:
                    self._keep_hanging(part)

    def _keep_hanging(self, part: _Part) -> None:
        named = [
            (column.name, column.refers_to)
            for column in part.item.table.columns
            if column.refers_to in _CORE and column.name in part.has
        ]
        if not named:
            return
        inside = [_among(name, str(table)) for name, table in named]
        some = " or ".join(inside)
        every = " and ".join(
            f"({quoted(name)} is null or {test})"
            for (name, _), test in zip(named, inside, strict=True)
        )
        self._keep(part, f"({some}) and {every}")
        if "id" in part.has:
            self.choose(part.item.table.name, f"select id from {part.name} where _keep")

    def _keep(self, part: _Part, condition: str) -> None:
        self.run(f"update {part.name} set _keep = true where {condition}")

    def take_needed(self) -> None:
        """Take every record that a taken row names, until none is missing."""
        before = -1
        while before != (before := self.count()):
            for part in self.parts:
                table = part.item.table
                if "id" in part.has and table.key[:1] == ("id",):
                    self._keep(part, _among("id", table.name))
                self._take_named(part)
        for part in self.of("assignments"):
            places = f"{_among('user_id', 'users')} and {_among('org_unit_id', 'org_units')}"
            self._keep(part, places)
        for part in self.of("reporting_lines"):
            manager = f"manager_id is null or {_among('manager_id', 'users')}"
            named = f"({manager})" if "manager_id" in part.has else "true"
            self._keep(part, f"{_among('user_id', 'users')} and {named}")
        for part in self.of("quotas"):
            kinds = " or ".join(
                f"(subject_kind = '{kind}' and {_among('subject_id', table)})"
                for kind, table in (("user", "users"), ("org_unit", "org_units"))
            )
            self._keep(part, kinds)

    def _take_named(self, part: _Part) -> None:
        for column in part.item.table.columns:
            if column.refers_to is not None and column.name in part.has:
                self.choose(
                    column.refers_to,
                    f"select {quoted(column.name)} from {part.name} where _keep",
                )
        if part.item.table.name == "opportunity_events":
            for field, table in (("owner_id", "users"), ("product_id", "products")):
                self.choose(
                    table,
                    f"select new_value from {part.name} where _keep and field = '{field}'",
                )


def _among(column: str, table: str) -> str:
    """Return the SQL that a column names a chosen record of a table."""
    return f"{quoted(column)} in (select id from chosen where t = {literal(table)})"
