"""From an OpenAPI description to the plain values of the reference page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter of a request or a field of a body."""

    name: str
    place: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with the fields of its body."""

    status: str
    phrase: str
    name: str
    fields: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Value, ...]
    answers: tuple[Answer, ...]


def operations(description: Schema) -> dict[str, tuple[Operation, ...]]:
    """Return the operations by tag, in the order of the description."""
    groups: dict[str, list[Operation]] = {}
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append(_operation(description, path, method, operation))
    return {tag: tuple(found) for tag, found in groups.items()}


def _operation(description: Schema, path: str, method: str, operation: Schema) -> Operation:
    parameters = [
        Value(
            name=each["name"],
            place=each["in"],
            kind=_kind(each.get("schema", {})),
            required=each.get("required", False),
            description=each.get("description", ""),
        )
        for each in operation.get("parameters", [])
        if each["in"] != "cookie"
    ]
    body = _content(operation.get("requestBody", {}))
    return Operation(
        method=method.upper(),
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=(*parameters, *_fields(description, body, place="body")),
        answers=tuple(
            _answer(description, status, answer)
            for status, answer in operation.get("responses", {}).items()
        ),
    )


def _answer(description: Schema, status: str, answer: Schema) -> Answer:
    schema = _content(answer)
    return Answer(
        status=status,
        phrase=HTTPStatus(int(status)).phrase if status.isdigit() else "",
        name=_kind(schema) if schema else "",
        fields=_fields(description, schema, place="") if status.startswith("2") else (),
    )


def _content(holder: Schema) -> Schema:
    for content in holder.get("content", {}).values():
        schema: Schema = content.get("schema", {})
        return schema
    return {}


def _fields(description: Schema, schema: Schema, *, place: str) -> tuple[Value, ...]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        schema = description["components"]["schemas"][name]
    required = schema.get("required", [])
    return tuple(
        Value(name, place, _kind(field), name in required, field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    )


def _kind(schema: Schema) -> str:
    """Return a schema's type in a few words: ``date``, ``list of Deal``, ``text or null``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(str(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or {"string": "text"}.get(schema.get("type", ""), "")
               or schema.get("type", "any"))  # fmt: skip
