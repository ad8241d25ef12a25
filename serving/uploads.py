"""Files of a request: read from the multipart form after the policy check, kept on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from crm_core.imports.choice import Choice

MOST_FILES = 40

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "mapping": {"type": "string"},
                        "dry_run": {"type": "boolean"},
                        "only": {"type": "string"},
                        "pilot": {"type": "string"},
                    },
                }
            }
        },
    }
}
"""What the form looks like, for the API's description: FastAPI must not read it before us."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Files with their names, and what is to be done with them."""

    files: list[tuple[str, BinaryIO]]
    mapping: str | None
    dry_run: bool
    choice: Choice


async def read_upload(request: Request) -> AsyncIterator[Upload]:
    """Yield the uploaded files; they lie in temporary files, not in memory. Raises Invalid."""
    form = await request.form(max_files=MOST_FILES, max_fields=20)
    try:
        yield _upload(form)
    finally:
        await form.close()


def _upload(form: FormData) -> Upload:

    def text(name: str) -> str | None:
        value = form.get(name)
        return value.strip() or None if isinstance(value, str) else None

    files = [
        (each.filename or "", each.file)
        for each in form.getlist("files")
        if isinstance(each, UploadFile) and each.filename
    ]
    return Upload(
        files=files,
        mapping=text("mapping"),
        dry_run=(text("dry_run") or "").lower() in ("1", "true", "on", "yes"),
        choice=Choice.of(only=text("only"), pilot=text("pilot"), since=None),
    )


Uploaded = Annotated[Upload, Depends(read_upload)]
