"""Upkeep of records for programs: history, hand-overs, duplicates, merges, custom fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from crm_core.records import custom_fields, upkeep
from crm_core.records.access import Asker
from crm_core.records.custom_fields import Definition, Rules, Version
from crm_core.records.duplicates import Candidate
from crm_core.records.merging import Rule
from crm_core.records.tables import shape
from crm_core.records.transfer import Wanted
from serving import errors, performance
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1", tags=["upkeep of records"], responses=_PROBLEMS)
TableName = Annotated[str, Path(max_length=40, description="A table of the exchange format.")]
Key = Annotated[str, Path(max_length=2_000, description="The record's key.")]
Id = Annotated[str, Field(min_length=1, max_length=1_000)]
Asked = Annotated[
    AwareDatetime | None,
    Query(description="Replay: only what had happened and was known then. Default: now."),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangeShown(BaseModel):
    """Values that a record took on: when that was, and when it became known."""

    occurred_at: dt.datetime
    recorded_at: dt.datetime
    user_id: str | None
    values: dict[str, Any]


class History(BaseModel):
    """What a record was at a time, and how it became so."""

    table: str
    key: str
    as_of: dt.datetime
    state: dict[str, Any] | None = Field(description="Null: it was not known then.")
    changes: list[ChangeShown]


@router.get("/history/{table}/{key:path}")
@allow(SIGNED_IN)
def read_history(
    table: TableName, key: Key, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    as_of: Asked = None,
) -> History:  # fmt: skip
    """Return what a record was known to be at a time, and every change known then."""
    asked = performance.not_in_the_future(as_of, now=now)
    found = upkeep.history_of(session, shape(table), key, asker=Asker(viewer, may), as_of=asked)
    changes = [
        ChangeShown(
            occurred_at=each.occurred_at, recorded_at=each.recorded_at, user_id=each.user_id,
            values=each.values,
        )
        for each in found.changes
    ]  # fmt: skip
    return History(table=table, key=key, as_of=asked, state=found.state, changes=changes)


class Transfer(_Body):
    """Whose records, or which ones, go to whom, from which day on."""

    to_user: Id
    effective_on: dt.date = Field(description="A day of the company's calendar, today or before.")
    from_user: Id | None = Field(None, description="Everything this person owns; or give records.")
    records: dict[Literal["accounts", "leads", "opportunities"], list[Id]] | None = None
    tables: list[Literal["accounts", "leads", "opportunities"]] = Field(
        ["accounts", "leads", "opportunities"], description="Which kinds of records."
    )
    dry_run: bool = False


class TransferredTable(BaseModel):
    """What became of one table's records."""

    table: str
    moved: list[str]
    left: dict[str, str] = Field(description="Records that stayed, with the reason.")


@router.post("/transfers")
@allow(only("manager", "leader", "sales_ops", "admin"))
def transfer_records(
    body: Transfer, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> list[TransferredTable]:
    """Hand records over from a day on; what was before stays with whom it was."""
    records: dict[str, Sequence[str]] | None = None
    if body.records is not None:
        records = {str(table): ids for table, ids in body.records.items()}
    wanted = Wanted(
        to_user=body.to_user, effective_on=body.effective_on, from_user=body.from_user,
        records=records, tables=body.tables,
    )  # fmt: skip
    done = upkeep.hand_over(
        session, wanted, asker=Asker(viewer, may), recorded_at=now, dry_run=body.dry_run
    )
    return [
        TransferredTable(table=each.table, moved=list(each.moved), left=dict(each.left))
        for each in done
    ]


class CandidateShown(BaseModel):
    """A record that may be the same: how sure (0–1), and why."""

    key: str
    name: str | None
    score: float
    reasons: list[str]

    @classmethod
    def of(cls, found: Candidate) -> CandidateShown:
        """Return the JSON of a candidate."""
        return cls(key=found.key, name=found.name, score=found.score, reasons=list(found.reasons))


class PairShown(BaseModel):
    """Two records that may be one."""

    key: str
    candidate: CandidateShown


@router.get("/duplicates/{table}")
@allow(SIGNED_IN)
def list_duplicates(
    table: Literal["accounts", "contacts", "leads"], session: SessionOfRequest, viewer: SignedIn,
    may: May, after: Annotated[str | None, Query(max_length=1_000)] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Records to look at.")] = 50,
) -> list[PairShown]:  # fmt: skip
    """Return pairs of records that may be one, going on behind the record ``after``."""
    found = upkeep.duplicate_pairs(
        session, shape(table), asker=Asker(viewer, may), after=after, limit=limit
    )
    return [PairShown(key=key, candidate=CandidateShown.of(each)) for key, each in found]


@router.get("/duplicates/{table}/{key:path}")
@allow(SIGNED_IN)
def read_duplicates(
    table: Literal["accounts", "contacts", "leads"], key: Key, session: SessionOfRequest,
    viewer: SignedIn, may: May,
) -> list[CandidateShown]:  # fmt: skip
    """Return the records that may be the same as this one."""
    found = upkeep.duplicates_of(session, shape(table), key, asker=Asker(viewer, may))
    return [CandidateShown.of(each) for each in found]


class Merge(_Body):
    """Two records that are one, and which value of each field to keep."""

    table: Literal["accounts", "contacts", "leads"]
    survivor: Id
    loser: Id
    rules: dict[str, Rule] = Field(
        default_factory=dict,
        max_length=200,
        description="By field; without one non_empty: the survivor's unless it is empty.",
    )
    dry_run: bool = False


class MergeShown(BaseModel):
    """What a merge does."""

    changes: dict[str, list[Any]] = Field(description="The survivor's fields: old and new.")
    moves: dict[str, int] = Field(description="How many rows go to the survivor, by place.")


class UndoMerge(_Body):
    """A merged record to bring back."""

    table: Literal["accounts", "contacts", "leads"]
    loser: Id


class Undone(BaseModel):
    """The record from which the other was separated again."""

    survivor: str


@router.post("/merges")
@allow(only("manager", "leader", "sales_ops", "admin"))
def merge_records(
    body: Merge, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> MergeShown:
    """Merge two records, or say what that would do."""
    done = upkeep.merge(
        session, table=body.table, survivor=body.survivor, loser=body.loser, rules=body.rules,
        asker=Asker(viewer, may), recorded_at=now, dry_run=body.dry_run,
    )  # fmt: skip
    return MergeShown(changes={k: list(v) for k, v in done.changes.items()}, moves=dict(done.moves))


@router.post("/merges/undo")
@allow(only("sales_ops", "admin"))
def undo_merge(body: UndoMerge, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Undone:
    """Bring a merged record and what was its own back."""
    survivor = upkeep.undo_merge(
        session, table=body.table, loser=body.loser, user_id=viewer.id, recorded_at=now
    )
    return Undone(survivor=survivor)


class FieldRules(_Body):
    """What a value must be."""

    minimum: str | None = Field(None, max_length=40, description="Of a number or date, as text.")
    maximum: str | None = Field(None, max_length=40)
    pattern: str | None = Field(None, max_length=200, description="A text matches it as a whole.")
    options: list[Annotated[str, Field(max_length=200)]] | None = Field(None, max_length=500)
    required: bool = False


class FieldDefinition(_Body):
    """A custom field: what it holds, what it is called, who may view and edit it."""

    kind: Literal["number", "date", "boolean", "category", "text"]
    label_en: str | None = Field(None, max_length=200)
    label_zh: str | None = Field(None, max_length=200)
    rules: FieldRules = Field(default_factory=lambda: FieldRules.model_validate({}))
    view_roles: list[str] | None = Field(None, description="Null: who may view the table.")
    edit_roles: list[str] | None = Field(None, description="Null: who may edit the table.")


class FieldShown(FieldDefinition):
    """A version of a custom field."""

    table: str
    name: str
    version: int
    recorded_at: dt.datetime
    user_id: str | None

    @classmethod
    def of(cls, found: Version) -> FieldShown:
        """Return the JSON of a version."""
        return cls(
            table=found.table_name, name=found.name, version=found.version, kind=found.kind,  # type: ignore[arg-type]
            label_en=found.label_en, label_zh=found.label_zh,
            rules=FieldRules.model_validate(found.rules),
            view_roles=found.view_roles, edit_roles=found.edit_roles,
            recorded_at=found.recorded_at, user_id=found.user_id,
        )  # fmt: skip


@router.get("/custom-fields/{table}")
@allow(SIGNED_IN)
def list_custom_fields(
    table: TableName, session: SessionOfRequest, viewer: SignedIn, may: May,
    history: Annotated[bool, Query(description="Earlier versions too.")] = False,
) -> list[FieldShown]:  # fmt: skip
    """Return the custom fields of a table that you may view."""
    found = custom_fields.versions(session, shape(table), asker=Asker(viewer, may), history=history)
    return [FieldShown.of(each) for each in found]


@router.put("/custom-fields/{table}/{name}")
@allow(only("sales_ops", "admin"))
def define_custom_field(
    table: TableName, name: Annotated[str, Path(max_length=62)], body: FieldDefinition,
    session: SessionOfRequest, viewer: SignedIn, now: Now,
) -> FieldShown:  # fmt: skip
    """Define a custom field, or give it a new version."""
    rules = body.rules.model_dump()
    options = rules.pop("options")
    version = custom_fields.define(
        session,
        Definition(
            table=table, name=name, kind=body.kind, label_en=body.label_en,
            label_zh=body.label_zh,
            rules=Rules(**rules, options=tuple(options) if options is not None else None),
            view_roles=tuple(body.view_roles) if body.view_roles is not None else None,
            edit_roles=tuple(body.edit_roles) if body.edit_roles is not None else None,
        ),
        user_id=viewer.id,
        recorded_at=now,
    )  # fmt: skip
    return FieldShown.of(version)
