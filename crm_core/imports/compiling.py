"""Compiling a mapping's table into one query: text in, typed values and reasons out.

Every value passes three layers: ``raw`` (which cell, trimmed, translated), ``typed`` (null when
it cannot be read) and the verdict (why not). The SQL is DuckDB's; the rows never pass Python.
"""

from __future__ import annotations

from dataclasses import dataclass

from babel.numbers import list_currencies

from crm_core import exchange
from crm_core.errors import Invalid
from crm_core.imports.mapping import (
    STAGE_AT_CREATION,
    ColumnSpec,
    CustomSpec,
    FileSpec,
    Mapping,
    NumberFormat,
    TableSpec,
)
from crm_core.imports.rows import LINE, PROBLEM
from crm_core.imports.scratch import literal, quoted

_SPACES = literal(" \t\r\n\u00a0\u3000")
_ISO = r"^\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:.*)?$"
_WHOLE = (
    r"regexp_replace(regexp_replace({r}, '([T ]\d{1,2}:\d{2})(Z|[+-]\d{2}(:?\d{2})?)?$',"
    r" '\1:00\2'), '(:\d{2}(?:\.\d+)?[+-]\d{2})(\d{2})$', '\1:\2')"
)
"""A time with its seconds and the colon of its offset, which ISO 8601 lets a writer leave out."""

_BOOLEAN = (
    "case when lower({r}) in ('true','yes','y','t','1') then true"
    " when lower({r}) in ('false','no','n','f','0') then false end"
)
_YEARS = "between 1900 and 2200"


@dataclass(frozen=True, slots=True)
class Target:
    """One compiled value: its name, kind, how it is told to people, its SQL layers."""

    name: str
    kind: str
    told_as: str
    raw: str
    typed: str
    expected: str
    required: bool
    spec: ColumnSpec


@dataclass(frozen=True, slots=True)
class Compiled:
    """One table of a mapping: its query and the columns it returns after the verdict columns."""

    table: exchange.Table
    spec: TableSpec
    query: str
    columns: tuple[tuple[str, str], ...]
    targets: tuple[Target, ...]
    custom: tuple[Target, ...]


MAY_BE_EMPTY = {("opportunity_events", "new_value")}
"""Columns that must be there although a value may be empty: an event can empty its field."""

VERDICT_COLUMNS = ("_line", "_column", "_value", "_reason")


class Compiler:
    """Compiles the tables of one mapping against the columns its files really have."""

    def __init__(
        self,
        mapping: Mapping,
        columns: dict[str, list[str]],
        *,
        currency: str,
        time_zone: str,
    ) -> None:
        self.mapping = mapping
        self.columns = columns
        self.currency = currency
        self.time_zone = time_zone

    def compile(self, spec: TableSpec, kinds: dict[str, str]) -> Compiled:
        """Return the query of one table; ``kinds`` says what its custom fields hold."""
        table = exchange.table(spec.table)
        file = self.mapping.files[self.mapping.file_of(spec.source)]
        targets = []
        for name, column in spec.columns.items():
            declared = exchange.Column(name) if name == STAGE_AT_CREATION else table.column(name)
            targets.append(self._target(declared, column, spec, file))
        custom = [
            self._custom(name, column, kinds[name], spec, file)
            for name, column in spec.custom.items()
        ]
        query, columns = self._query(table, spec, targets, custom)
        return Compiled(table, spec, query, columns, tuple(targets), tuple(custom))

    def raw(self, column: ColumnSpec, spec: TableSpec, file: FileSpec, *, trim: bool) -> str:
        """Return the SQL of a value as cleaned text: trimmed, emptied, translated."""
        if column.constant is not None:
            return literal(column.constant)
        if column.expression is not None:
            value = f"cast(({column.expression}) as varchar)"
        else:
            value = self._reference(str(column.column), spec)
        stripped = f"trim({value}, {_SPACES})"
        empty = ", ".join(literal(word) for word in ("", *file.missing))
        kept = stripped if trim else value
        cleaned = f"case when {stripped} in ({empty}) then null else {kept} end"
        if not column.values:
            return cleaned
        cases = " ".join(
            f"when {literal(old)} then {'null' if new is None else literal(new)}"
            for old, new in column.values.items()
        )
        return f"case {cleaned} {cases} else {cleaned} end"

    def _reference(self, name: str, spec: TableSpec) -> str:
        """Return the SQL of a source column, which may be one of a joined file."""
        if name in self.columns[spec.source]:
            plain = f"src.{quoted(name)}"  # a view may have made it a number or a date
            return f"cast({plain} as varchar)" if spec.source in self.mapping.views else plain
        prefix, _, rest = name.partition(".")
        if rest and any(join.file == prefix for join in spec.join):
            if rest in self.columns[prefix]:
                return f"{quoted(prefix)}.{quoted(rest)}"
            name = rest
        file = self.mapping.files[self.mapping.file_of(prefix if rest else spec.source)]
        raise Invalid(
            f"{file.path} has no column {name!r}, which {spec.table} needs; "
            f"it has {', '.join(self._visible(spec))}."
        )

    def _visible(self, spec: TableSpec) -> list[str]:
        return [name for name in self.columns[spec.source] if not name.startswith("_")]

    def _target(
        self, declared: exchange.Column, column: ColumnSpec, spec: TableSpec, file: FileSpec
    ) -> Target:
        kind = declared.kind
        raw = self.raw(column, spec, file, trim=file.trim or kind not in ("text", "id"))
        number = column.number or file.number
        dates = column.dates or file.dates
        typed, expected = self._typed(kind, declared, number, dates, column.scale)
        return Target(
            declared.name,
            kind,
            column.column or declared.name,
            raw,
            typed,
            expected,
            declared.required and (spec.table, declared.name) not in MAY_BE_EMPTY,
            column,
        )

    def _custom(
        self, name: str, column: CustomSpec, kind: str, spec: TableSpec, file: FileSpec
    ) -> Target:
        raw = self.raw(column, spec, file, trim=file.trim or kind != "text")
        typed, expected = _custom_typed(kind, column.number or file.number, column, file)
        return Target(name, kind, column.column or name, raw, typed, expected, False, column)

    def _typed(
        self,
        kind: str,
        declared: exchange.Column,
        number: NumberFormat,
        dates: list[str],
        scale: int,
    ) -> tuple[str, str]:
        """Return the SQL that reads ``{r}`` (null when it cannot) and what was expected."""
        if kind == "choice":
            choices = ", ".join(literal(choice) for choice in declared.choices)
            typed = f"case when lower({{r}}) in ({choices}) then lower({{r}}) end"
            return typed, f"is not one of {', '.join(declared.choices)}"
        if kind == "currency":
            codes = ", ".join(literal(code) for code in sorted(list_currencies()))
            return (
                f"case when upper({{r}}) in ({codes}) then upper({{r}}) end",
                "is not an ISO 4217 currency code such as EUR",
            )
        if kind == "date":
            return _date(dates), _expected_date("a date", dates)
        if kind == "instant":
            return self._instant(dates), _expected_date("a time", dates)
        if kind == "month":
            return (
                "case when {r} in ('1','2','3','4','5','6','7','8','9','10','11','12')"
                " then cast({r} as integer) end",
                "is not a month number from 1 to 12",
            )
        if kind == "boolean":
            return _BOOLEAN, "is not true or false"
        if kind in ("integer", "decimal", "money"):
            return _number(kind, number, scale), _expected_number(kind, number)
        return "{r}", ""

    def _instant(self, dates: list[str]) -> str:
        tries = []
        if dates:
            formats = ", ".join(literal(form) for form in dates)
            zone = literal(self.time_zone)
            tries.append(f"timezone({zone}, try_strptime({{r}}, [{formats}]))")
        tries.append(
            f"case when regexp_matches({{r}}, {literal(_ISO)})"
            f" then try_cast({_WHOLE} as timestamptz) end"
        )
        value = f"timezone('UTC', coalesce({', '.join(tries)}))"
        return f"case when year({value}) {_YEARS} then {value} end"

    def _query(
        self,
        table: exchange.Table,
        spec: TableSpec,
        targets: list[Target],
        custom: list[Target],
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Assemble the three layers."""
        everything = [*targets, *custom]
        problem = f"src.{PROBLEM}" if PROBLEM in self.columns[spec.source] else "null::varchar"
        raws = ", ".join(f"{item.raw} as r{i}" for i, item in enumerate(everything))
        where = f" where {problem} is not null or ({spec.where})" if spec.where else ""
        layer_raw = (
            f"select src.{LINE} as _line, {problem} as _problem, {raws}"
            f" from {quoted(spec.source)} as src{self._joins(spec)}{where}"
        )
        typed = ", ".join(
            f"{item.typed.replace('{r}', f'r{i}')} as t{i}" for i, item in enumerate(everything)
        )
        errors = ", ".join(f"{_error(i, item)} as e{i}" for i, item in enumerate(everything))
        outputs, columns = self._outputs(table, targets, custom)
        query = (
            f"with raw as ({layer_raw}), typed as (select *, {typed} from raw), "
            f"judged as (select *, {errors} from typed) "
            f"select _line, {_verdict(everything)}, {outputs} from judged"
        )
        return query, columns

    def _joins(self, spec: TableSpec) -> str:
        parts = []
        for join in spec.join:
            keys = ", ".join(quoted(other) for other in join.on.values())
            condition = " and ".join(
                f"src.{quoted(own)} = {quoted(join.file)}.{quoted(other)}"
                for own, other in join.on.items()
            )
            parts.append(
                f" left join (select distinct on ({keys}) * from {quoted(join.file)}"
                f" where {PROBLEM} is null order by {keys}, {LINE}) as {quoted(join.file)}"
                f" on {condition}"
            )
        return "".join(parts)

    def _outputs(
        self, table: exchange.Table, targets: list[Target], custom: list[Target]
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Return the output expressions and (name, kind) of each."""
        outputs = [f"t{i} as {quoted(item.name)}" for i, item in enumerate(targets)]
        columns = [(item.name, item.kind) for item in targets]
        names = {item.name for item in targets}
        if any(column.name == "currency" for column in table.columns) and table.name != "company":
            standard = literal(self.currency)
            if "currency" in names:
                position = [item.name for item in targets].index("currency")
                outputs[position] = f"coalesce(t{position}, {standard}) as currency"
            else:
                outputs.append(f"{standard} as currency")
                columns.append(("currency", "currency"))
        for name, wanted in (("custom", None), ("custom_created", "created")):
            fields = [
                (item.name, f"t{i}")
                for i, item in enumerate([*targets, *custom])
                if i >= len(targets) and item.spec.known_at == wanted
            ]
            if fields:
                pairs = ", ".join(f"{literal(field)}, {value}" for field, value in fields)
                outputs.append(f"cast(json_object({pairs}) as varchar) as {name}")
                columns.append((name, "json"))
        return ", ".join(outputs), tuple(columns)


def _error(i: int, item: Target) -> str:
    missing = "'is missing'" if item.required else "null"
    if not item.expected:
        return f"case when r{i} is null then {missing} end"
    return (
        f"case when r{i} is null then {missing} when t{i} is null then {literal(item.expected)} end"
    )


def _verdict(everything: list[Target]) -> str:
    """Return the SQL of the first bad column, its value, and all reasons in one text."""
    columns = " ".join(
        f"when e{i} is not null then {literal(item.told_as)}" for i, item in enumerate(everything)
    )
    values = " ".join(f"when e{i} is not null then r{i}" for i in range(len(everything)))
    reasons = ", ".join(
        f"{literal(item.told_as)} || coalesce(' ''' || left(r{i}, 60) || '''', '') || ' ' || e{i}"
        for i, item in enumerate(everything)
    )
    any_error = ", ".join(f"e{i}" for i in range(len(everything)))
    sound = f"coalesce({any_error}, null) is null"  # the texts are built for bad rows only
    return (
        f"case when _problem is not null then null {columns} end as _column, "
        f"case when _problem is not null then null {values} end as _value, "
        f"case when _problem is not null then _problem when {sound} then null "
        f"else concat_ws('; ', {reasons}) end as _reason"
    )


def plain_number(number: NumberFormat, r: str = "{r}") -> str:
    """Return the SQL of a number as plain decimal text, null when it is not written as agreed."""
    text = r
    if number.strip:
        text = f"trim(replace(translate({text}, {literal(number.strip)}, ''), chr(160), ''))"
    digits = r"\d+"
    if number.thousands:
        mark = "\\" + number.thousands if number.thousands == "." else number.thousands
        digits = rf"(\d+|\d{{1,3}}({mark}\d{{3}})+)"
    point = r"\." if number.decimal == "." else ","
    pattern = rf"[+-]?({digits}({point}\d*)?|{point}\d+)([eE][+-]?\d{{1,3}})?"
    plain = text
    if number.thousands:
        plain = f"replace({plain}, {literal(number.thousands)}, '')"
    if number.decimal == ",":
        plain = f"replace({plain}, ',', '.')"
    return f"case when regexp_full_match({text}, {literal(pattern)}) then {plain} end"


def _number(kind: str, number: NumberFormat, scale: int) -> str:
    plain = plain_number(number)
    value = f"coalesce(try_cast({plain} as decimal(38, 12)), "
    value += f"try_cast(try_cast({plain} as double) as decimal(38, 12)))"
    if scale != 1:
        value = f"({value} * {scale})"
    if kind == "integer":
        return f"case when {value} = trunc({value}) then try_cast({value} as bigint) end"
    if kind == "money":
        return f"case when abs({value}) < 1000000000000000 then cast({value} as varchar) end"
    return f"cast({value} as varchar)"


def _date(dates: list[str]) -> str:
    tries = []
    if dates:
        formats = ", ".join(literal(form) for form in dates)
        tries.append(f"cast(try_strptime({{r}}, [{formats}]) as date)")
    tries.append(
        f"case when regexp_matches({{r}}, {literal(_ISO)})"
        f" then cast(try_cast({_WHOLE} as timestamptz) as date) end"
    )
    value = f"coalesce({', '.join(tries)})"
    return f"case when year({value}) {_YEARS} then {value} end"


def _expected_date(what: str, dates: list[str]) -> str:
    forms = " or ".join([*dates, "ISO 8601 (2026-11-30)"])
    return f"is not {what} that exists, written as {forms}"


def _expected_number(kind: str, number: NumberFormat) -> str:
    if kind == "integer":
        return "is not a whole number"
    example = "1234,50" if number.decimal == "," else "1234.50"
    return (
        f"is not a number written like {example}; "
        "another decimal or thousands mark is set in a mapping (number: …)"
    )


def _custom_typed(
    kind: str, number: NumberFormat, column: CustomSpec, file: FileSpec
) -> tuple[str, str]:
    if kind == "number":
        plain = plain_number(number)
        scale = "" if column.scale == 1 else f" * {column.scale}"
        return f"(try_cast({plain} as double){scale})", _expected_number("decimal", number)
    if kind == "date":
        dates = column.dates or file.dates
        return f"cast({_date(dates)} as varchar)", _expected_date("a date", dates)
    if kind == "boolean":
        return _BOOLEAN, "is not true or false"
    return "{r}", ""
