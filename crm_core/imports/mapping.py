"""A mapping: which foreign columns become which facts. Read from YAML; unknown keys are errors."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from crm_core import exchange
from crm_core.errors import Invalid, NotFound

CustomKind = Literal["number", "date", "boolean", "category", "text"]


class MappingInvalid(Invalid):
    """A mapping file is not what docs/imports.md describes."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _text(value: object) -> object:
    """Read an unquoted YAML number or boolean as the text it stands for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]


class NumberFormat(_Strict):
    """How numbers are written in a file."""

    decimal: Literal[".", ","] = Field(default=".", description="The decimal mark.")
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        default=None, description="The mark between thousands, if there is one."
    )
    strip: str = Field(default="", description="Characters to take away first, such as `$€`.")


class FileSpec(_Strict):
    """One source file."""

    path: str = Field(description="Its name in the folder or archive given to the import.")
    member: str | None = Field(
        default=None, description="The file inside it, where it is an archive."
    )
    optional: bool = Field(default=False, description="Whether the import goes on without it.")
    format: Literal["auto", "csv", "spaces", "fixed", "xlsx", "parquet"] = Field(
        default="auto", description="Only `spaces` and `fixed` need saying; the rest is found out."
    )
    encoding: str | None = Field(default=None, description="Found out unless given.")
    delimiter: str | None = Field(default=None, description="Found out unless given.")
    sheet: str | None = Field(default=None, description="The sheet of a workbook.")
    widths: dict[str, tuple[int, int]] = Field(
        default_factory=dict,
        description="For `fixed`: each column's first position and the one after its last, from 0.",
    )
    missing: list[Text] = Field(
        default_factory=list, description="Values that mean nothing was given: `Select`, `NULL`."
    )
    dates: list[str] = Field(
        default_factory=list,
        description="Date formats in strptime notation, tried in order. ISO 8601 always works.",
    )
    number: NumberFormat = Field(
        default=NumberFormat(), description="How numbers are written: decimal, thousands, strip."
    )
    trim: bool = Field(default=True, description="Whether spaces around a value are taken away.")
    dropped: list[str] = Field(
        default_factory=list, description="Columns that are left out on purpose."
    )


class ViewSpec(_Strict):
    """Rows derived from files by a query (DuckDB SQL, sandboxed; every source column is text)."""

    file: str = Field(description="The file whose lines the view's `_line` column means.")
    query: str = Field(description="A SELECT over the files; it must return `_line`.")


class JoinSpec(_Strict):
    """A left join to another file; its columns are then named `file.column`."""

    file: str = Field(description="The other file; of several rows that match, the first counts.")
    on: dict[str, str] = Field(description="Own column: the other file's column.")


class ColumnSpec(_Strict):
    """Where one value comes from: a column, a constant or an expression, and how it is read."""

    column: str | None = Field(default=None, description="The source column.")
    constant: Text | None = Field(default=None, description="The same value in every row.")
    expression: str | None = Field(
        default=None, description="A DuckDB expression over the source columns (all text)."
    )
    values: dict[Text, Text | None] = Field(
        default_factory=dict, description="Values to translate; null means missing."
    )
    dates: list[str] = Field(default_factory=list, description="Instead of the file's formats.")
    number: NumberFormat | None = Field(default=None, description="Instead of the file's format.")
    scale: int = Field(default=1, ge=1, description="A number is multiplied by it: 1000, 1000000.")
    known_at: Literal["created"] | None = Field(
        default=None, description="`created`: the value was known when the deal began."
    )
    unknown: Annotated[
        Literal["reject", "null"],
        BeforeValidator(lambda value: "null" if value is None else value),
    ] = Field(
        default="reject",
        description="What to do with a reference to a record that does not exist.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> ColumnSpec:
        given = [self.column, self.constant, self.expression]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of column, constant, expression")
        return self


class CustomSpec(ColumnSpec):
    """A custom field: as a column, with its kind."""

    kind: CustomKind | None = Field(default=None, description="Found out from the data if absent.")


def _short_form(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class TableSpec(_Strict):
    """What one table of the exchange format is filled with."""

    table: str = Field(description="A table of the exchange format.")
    source: str = Field(alias="from", description="A file or view of this mapping.")
    join: list[JoinSpec] = Field(default_factory=list, description="Joins to other files.")
    where: str | None = Field(default=None, description="A condition; other rows are not offered.")
    columns: dict[str, Annotated[ColumnSpec, BeforeValidator(_short_form)]] = Field(
        default_factory=dict, description="Target column: source column, or a record of how."
    )
    custom: dict[str, Annotated[CustomSpec, BeforeValidator(_short_form)]] = Field(
        default_factory=dict, description="Custom fields by name (`x_…`)."
    )

    @model_validator(mode="after")
    def _known_columns(self) -> TableSpec:
        try:
            table = exchange.table(self.table)
        except KeyError as error:
            raise ValueError(f"{self.table} is not a table of the exchange format") from error
        known = {column.name for column in table.columns}
        if self.table == "opportunities":
            known.add(STAGE_AT_CREATION)
        for name in self.columns:
            if name not in known:
                raise ValueError(f"{self.table} has no column {name}; a custom field is x_{name}")
        for column in table.columns:
            if column.required and column.name not in self.columns:
                raise ValueError(f"{self.table} needs the column {column.name}")
        if self.custom and not table.custom_fields:
            raise ValueError(f"{self.table} takes no custom fields")
        for name in self.custom:
            if not name.startswith("x_"):
                raise ValueError(f"custom field {name} must begin with x_")
        return self


STAGE_AT_CREATION = "stage_at_creation"
"""A mapping may say in which stage a deal began; without it, the pipeline's first open one."""


class StageSpec(_Strict):
    """A stage of a pipeline that the source does not describe itself."""

    pipeline: str = "default"
    stage: str
    position: int
    kind: Literal["open", "on_hold", "won", "lost"]
    forecast_category: str | None = None


class CompanySpec(_Strict):
    """The company, used only when the store has none."""

    name: str
    currency: str
    time_zone: str
    locale: str = "en"
    fiscal_year_start_month: int = Field(default=1, ge=1, le=12)


class FindingSpec(_Strict):
    """Something known about the source that a reader of the report should learn."""

    text: str = Field(description="A sentence.")
    query: str = Field(description="A SELECT that returns how many rows it is about.")
    table: str | None = None
    column: str | None = None


class Mapping(_Strict):
    """A whole mapping."""

    name: str = Field(description="Its name.")
    description: str = Field(default="", description="What the source is.")
    company: CompanySpec | None = Field(
        default=None, description="The company, used only when the store has none."
    )
    files: dict[str, FileSpec] = Field(description="The source files by a short name.")
    views: dict[str, ViewSpec] = Field(default_factory=dict, description="Derived rows.")
    stages: list[StageSpec] = Field(default_factory=list, description="Stages of pipelines.")
    tables: list[TableSpec] = Field(description="What fills which table.")
    findings: list[FindingSpec] = Field(default_factory=list, description="Facts worth telling.")

    @field_validator("files", "views")
    @classmethod
    def _plain_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"{name!r} must be letters, digits and underscores")
        return value

    @model_validator(mode="after")
    def _sources_exist(self) -> Mapping:
        for spec in self.tables:
            if spec.source not in self.files and spec.source not in self.views:
                raise ValueError(f"{spec.table} is from {spec.source}, which is no file or view")
            for join in spec.join:
                if join.file not in self.files:
                    raise ValueError(f"{spec.table} joins {join.file}, which is no file")
        for name, view in self.views.items():
            if view.file not in self.files:
                raise ValueError(f"view {name} is about {view.file}, which is no file")
            if name in self.files:
                raise ValueError(f"{name} is both a file and a view")
        return self

    def file_of(self, source: str) -> str:
        """Return the file whose lines a file or view counts."""
        return self.views[source].file if source in self.views else source


def shipped() -> list[str]:
    """Return the names of the mappings that come with the program."""
    folder = resources.files("crm_core.imports") / "mappings"
    return sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )


def load(name: str | Path) -> tuple[Mapping, bytes]:
    """Return a shipped mapping by name or one from a YAML file, and its bytes.

    Raises NotFound for an unknown name, MappingInvalid with the key and the remedy.
    """
    text = str(name)
    if text in shipped():
        content = (resources.files("crm_core.imports") / "mappings" / f"{text}.yaml").read_bytes()
    else:
        path = Path(name)
        if not path.is_file():
            raise NotFound(
                f"There is no mapping {text!r}; give a YAML file or one of {', '.join(shipped())}."
            )
        content = path.read_bytes()
    return parse(content, text), content


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans: ``on``, ``yes`` and ``no`` are words."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
    for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def parse(content: bytes, label: str) -> Mapping:
    """Return the mapping that YAML text describes. Raises MappingInvalid."""
    try:
        value = _Loader(content).get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MappingInvalid(
            f"Mapping {label} is not YAML: {' '.join(str(error).split())}."
        ) from error
    if not isinstance(value, dict):
        raise MappingInvalid(f"Mapping {label} must be a YAML mapping with files and tables.")
    try:
        return Mapping.model_validate(value)
    except ValidationError as error:
        problems = "; ".join(_problem(dict(item)) for item in error.errors()[:5])
        raise MappingInvalid(f"Mapping {label}: {problems}. See docs/imports.md.") from error


def _problem(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {where}"
    if item["type"] == "missing":
        return f"key {where} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
