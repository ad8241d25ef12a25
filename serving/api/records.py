"""Every table of the exchange format for programs: list, read, create, change, many at once.

The routes of all tables are made here from one declaration; each has its own schemas.
"""

# no deferred annotations: each route's types are made while this module is read

import datetime as dt
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from crm_core.errors import CrmError
from crm_core.records import filters, idempotency, operations, queries, upkeep
from crm_core.records.access import Asker
from crm_core.records.checking import Writer
from crm_core.records.idempotency import Answer
from crm_core.records.queries import Found, Question
from crm_core.records.tables import SHAPES, Shape
from crm_core.records.writing import Verdict
from serving import errors
from serving.api import records_schemas as schemas
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1/records", responses=PROBLEMS)

Key = Annotated[str, Path(max_length=2_000, description="The record's key.")]
Filters = Annotated[
    list[str],
    Query(
        alias="filter",
        max_length=filters.MOST_FILTERS,
        description="field:operator:value, such as name:contains:acme; all must hold. Operators: "
        + ", ".join(filters.OPERATORS)
        + " (in: values by commas; empty: true or false).",
    ),
]
Sort = Annotated[
    str | None, Query(max_length=80, description="A field; '-' before it turns the order round.")
]
Wanted = Annotated[
    str | None, Query(alias="fields", max_length=2_000, description="Fields by commas; all.")
]
Cursor = Annotated[str | None, Query(max_length=8_000, description="next_cursor of the last page.")]
Limit = Annotated[int, Query(ge=1, le=queries.LARGEST_PAGE)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description="The ETag you read; the change is refused (409) if the record is no longer "
        "so. * changes whatever is there.",
    ),
]
AllowDuplicate = Annotated[
    bool,
    Query(description="Write an account, contact or lead that looks like one that exists."),
]
Repeatable = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Repeat a request with the same key: it takes effect once, and is answered "
        "as the first time.",
    ),
]


class Sender:
    """Who sends a write, and whether they may send it again."""

    def __init__(
        self,
        request: Request,
        session: SessionOfRequest,
        viewer: SignedIn,
        may: May,
        now: Now,
        idempotency_key: Repeatable = None,
    ) -> None:
        address = request.client.host if request.client else None
        self.request = request
        self.session: Session = session
        self.now: dt.datetime = now
        self.writer = Writer(Asker(viewer, may), now, "api", address)
        self.key = idempotency_key

    def once(self, given: object, act: Callable[[], Answer]) -> Response:
        """Answer the request; one that carries a key takes effect once."""
        if self.key is None:
            return _response(act())
        whole = json.dumps(given, sort_keys=True, default=str)
        request = idempotency.digest(self.request.method, self.request.url.path, whole)
        return _response(
            idempotency.once(
                self.session,
                user_id=self.writer.asker.viewer.id,
                key=self.key,
                request=request,
                now=self.now,
                act=act,
                refusal=self._refusal,
            )
        )

    def _refusal(self, error: CrmError) -> Answer:
        response = errors.refusal(self.request, error)
        headers = {"content-type": "application/problem+json"}
        return Answer(response.status_code, bytes(response.body).decode(), headers)


From = Annotated[Sender, Depends(Sender)]


def _response(answer: Answer) -> Response:
    headers = {"content-type": "application/json", **answer.headers}
    if answer.is_replayed:
        headers["idempotent-replayed"] = "true"
    return Response(answer.body, status_code=answer.status, headers=headers)


def json_answer(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer with a JSON body."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)
    return Answer(status, text, headers or {})


def _shown(found: Found) -> dict[str, Any]:
    return {"key": found.key, "etag": found.etag, "record": found.record}


def given_fields(body: BaseModel) -> dict[str, Any]:
    """Return the fields that a body gives, the null ones too."""
    extra = body.__pydantic_extra__ or {}
    return {
        name: extra[name] if name in extra else getattr(body, name)
        for name in sorted(body.model_fields_set | extra.keys())
    }


def _add(table: Shape) -> None:
    """Add the routes of one table."""
    new = schemas.new_record(table.table)
    changed = schemas.changed_record(table.table)
    found = schemas.shown_record(table.table)
    path, tags = f"/{table.name}", [table.name]
    _add_reading(table, path, tags, found, schemas.page_of(found, table.table))
    _add_creating(table, path, tags, new, found)
    if not table.is_append_only:
        _add_changing(table, path, tags, changed, found)
        _add_many(table, path, tags, schemas.many(table.table, operations.MOST_ROWS))


def _add_reading(
    table: Shape, path: str, tags: list[Any], found: type[BaseModel], page: type[BaseModel]
) -> None:
    @router.get(path, tags=tags, response_model=page, name=f"list_{table.name}")
    @allow(SIGNED_IN)
    def list_records(
        session: SessionOfRequest, viewer: SignedIn, may: May, filter_by: Filters = [],  # noqa: B006 - never changed
        sort: Sort = None, wanted: Wanted = None, cursor: Cursor = None, limit: Limit = 50,
    ) -> Response:  # fmt: skip
        """Return a page of the records you may see; rows added meanwhile shift no page."""
        question = Question(
            filters=tuple(filters.parse(text) for text in filter_by),
            sort=sort or None,
            fields=tuple(name for name in (wanted or "").split(",") if name),
            cursor=cursor or None,
            limit=limit,
        )
        answer = queries.page(session, table, question, asker=Asker(viewer, may))
        items = [_shown(item) for item in answer.items]
        return _response(json_answer(200, {"items": items, "next_cursor": answer.next_cursor}))

    @router.get(f"{path}/{{key:path}}", tags=tags, response_model=found, name=f"read_{table.name}")
    @allow(SIGNED_IN)
    def read_record(key: Key, session: SessionOfRequest, viewer: SignedIn, may: May) -> Response:
        """Return one record with its version as ETag; a merged one is its survivor."""
        one = queries.one(session, table, key, asker=Asker(viewer, may))
        return _response(json_answer(200, _shown(one), {"etag": one.etag}))


def _add_creating(
    table: Shape, path: str, tags: list[Any], new: type[BaseModel], found: type[BaseModel]
) -> None:
    @router.post(
        path, tags=tags, response_model=found, status_code=201, name=f"create_{table.name}"
    )
    @allow(SIGNED_IN)
    def create_record(
        body: new, sender: From, allow_duplicate: AllowDuplicate = False  # type: ignore[valid-type]
    ) -> Response:  # fmt: skip
        """Write a new record; the import's own rules judge it."""
        given = given_fields(body)

        def act() -> Answer:
            if not allow_duplicate:
                upkeep.require_new(sender.session, table, given, asker=sender.writer.asker)
            one = operations.create(sender.session, table, given, writer=sender.writer)
            return json_answer(201, _shown(one), {"etag": one.etag})

        return sender.once([given, allow_duplicate], act)


def _add_changing(
    table: Shape, path: str, tags: list[Any], changed: type[BaseModel], found: type[BaseModel]
) -> None:
    @router.patch(
        f"{path}/{{key:path}}", tags=tags, response_model=found, name=f"change_{table.name}",
        responses={428: {"model": errors.Problem, "description": "If-Match is missing"}},
    )  # fmt: skip
    @allow(SIGNED_IN)
    def change_record(
        key: Key, body: changed, sender: From, if_match: IfMatch = None  # type: ignore[valid-type]
    ) -> Response:  # fmt: skip
        """Change the given fields of a record, unless somebody else changed it since you read."""
        given = given_fields(body)

        def act() -> Answer:
            one = operations.change(
                sender.session, table, key, given, if_match=if_match, writer=sender.writer
            )
            return json_answer(200, _shown(one), {"etag": one.etag})

        return sender.once([given, if_match], act)


def _add_many(table: Shape, path: str, tags: list[Any], many: type[BaseModel]) -> None:
    @router.put(
        path, tags=tags, response_model=schemas.Verdicts, name=f"upsert_{table.name}",
    )  # fmt: skip
    @allow(SIGNED_IN)
    def upsert_records(body: many, sender: From) -> Response:  # type: ignore[valid-type]
        """Create what is new and change what is known, with a verdict on every row.

        Without ``partial`` one rejected row keeps all from being written.
        """
        rows = [given_fields(row) for row in body.rows]  # type: ignore[attr-defined]
        partial = bool(body.partial)  # type: ignore[attr-defined]

        def act() -> Answer:
            done = operations.upsert(
                sender.session, table, rows, partial=partial, writer=sender.writer
            )
            return json_answer(200, _verdicts(done))

        return sender.once([rows, partial], act)


def _verdicts(done: list[tuple[str, Verdict]]) -> dict[str, Any]:
    counts = dict.fromkeys(schemas.VERDICTS, 0)
    rows = []
    for number, (key, verdict) in enumerate(done):
        counts[verdict.verdict] += 1
        rows.append(
            {
                "row": number, "key": key, "verdict": verdict.verdict, "field": verdict.column,
                "value": verdict.value, "reason": verdict.reason,
            }
        )  # fmt: skip
    return {**counts, "rows": rows}


for _table in SHAPES.values():
    _add(_table)
