"""Imports that people upload: the files on disk, the work on them by the worker, the report.

An upload is streamed into a folder of its own below ``WINWARD_HOME``; the worker then runs the
same import as the command line, compares the store with the files, and removes the files.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import transaction
from crm_core.errors import CrmError, Invalid
from crm_core.imports import batches, reconciliation, rollback
from crm_core.imports import mapping as mappings
from crm_core.imports.choice import Choice
from crm_core.imports.operations import import_path
from crm_core.settings import Settings
from serving import data_health
from serving.uploads import Upload

LOG = logging.getLogger(__name__)
ENDINGS = (".csv", ".parquet", ".xlsx", ".tsv", ".txt", ".zip")
_BLOCK = 1 << 20
_UPLOAD = re.compile(r"([0-9]{1,18})(-rejected)?")


class UploadInvalid(Invalid):
    """An upload holds no file that can be imported."""


def folder_of(settings: Settings, number: int) -> Path:
    """Return the folder of an upload's files."""
    return settings.home / "uploads" / str(number)


def rejected_of(settings: Settings, number: int) -> Path:
    """Return the folder of the files of an upload's rejected rows."""
    return settings.home / "uploads" / f"{number}-rejected"


def accept(
    session: Session,
    given: Upload,
    *,
    by: str,
    at: dt.datetime,
    settings: Settings,
    channel: audit.Channel,
) -> int:
    """Keep uploaded files and queue their import; return its number. Raises UploadInvalid."""
    files, mapping = given.files, given.mapping
    if not files:
        raise UploadInvalid("Choose at least one file to import.")
    names = [_safe(name) for name, _ in files]
    if len(set(names)) < len(names):
        raise UploadInvalid("Two of the files have the same name; rename one.")
    if mapping is not None and mapping not in mappings.shipped():
        raise UploadInvalid(
            f"There is no mapping {mapping!r}; choose one of {', '.join(mappings.shipped())}."
        )
    number = batches.queue_import(
        session, source=names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1}",
        mapping=mapping, options=given.choice.as_json() | {"dry_run": given.dry_run}, by=by, at=at,
    )  # fmt: skip
    folder = folder_of(settings, number)
    try:
        folder.mkdir(parents=True, mode=0o700)
        for name, (_, stream) in zip(names, files, strict=True):
            with (folder / name).open("wb") as target:
                shutil.copyfileobj(stream, target, _BLOCK)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    # a lone file is read as such: a mapping of one file takes it under any name
    batches.find(session, number).path = str(folder / names[0] if len(names) == 1 else folder)
    _note(session, number, "import", by=by, at=at, channel=channel, source=", ".join(names))
    return number


def _safe(name: str) -> str:
    """Return a file's own name without any folder. Raises UploadInvalid."""
    own = PurePosixPath(name.replace("\\", "/")).name.replace("\0", "")
    if not own or own.startswith(".") or len(own) > 150:
        raise UploadInvalid("A file has no usable name; rename it.")
    if Path(own).suffix.lower() not in ENDINGS:
        raise UploadInvalid(f"{own} is none of {', '.join(ENDINGS)}.")
    return own


def _note(
    session: Session, number: int, action: str, *, by: str, at: dt.datetime,
    channel: audit.Channel, source: str,
) -> None:  # fmt: skip
    audit.record(
        session, actor=by, action=action, table="import_batches", record_id=str(number),
        changes={"source": (None, source)}, occurred_at=at, channel=channel, address=None,
    )  # fmt: skip


def carry_out(
    session: Session, number: int, *, by: str, at: dt.datetime, channel: audit.Channel
) -> None:
    """Queue what a dry run judged, to be written this time. Raises NoBatch, WrongState."""
    batches.queue_again(session, number, by=by)
    _note(session, number, "import", by=by, at=at, channel=channel, source="dry run")


def ask_rollback(
    session: Session, number: int, *, by: str, at: dt.datetime, channel: audit.Channel
) -> None:
    """Queue a rollback. Raises NoBatch, WrongState."""
    batches.ask_rollback(session, number, by=by)
    _note(session, number, "ask for roll back", by=by, at=at, channel=channel, source=str(number))


def forget_uploads(engine: Engine, settings: Settings, *, now: dt.datetime) -> int:
    """Remove uploaded files and rejected rows kept longer than ``upload_days``; return how many.

    The files of an import that waits or runs stay, whatever their age.
    """
    oldest = (now - dt.timedelta(days=settings.upload_days)).timestamp()
    removed = 0
    for folder in sorted((settings.home / "uploads").glob("*")):
        named = _UPLOAD.fullmatch(folder.name)
        if named is None or folder.is_symlink() or folder.stat().st_mtime >= oldest:
            continue
        with transaction(engine) as session:
            if not batches.release_files(session, int(named[1]), uploads=named[2] is None):
                continue
            shutil.rmtree(folder, ignore_errors=True)
        removed += 1
    return removed


def is_waiting(engine: Engine) -> bool:
    """Return whether an import or rollback waits for the worker; imports that died count."""
    batches.fail_abandoned(engine)
    with transaction(engine) as session:
        return any(batches.waiting(session))


def work(engine: Engine, settings: Settings, *, now: Callable[[], dt.datetime]) -> None:
    """Do everything that waits, one after the other; an import that fails says so itself.

    ``now`` reads the clock: each piece of work is recorded at the time it began.
    """
    batches.fail_abandoned(engine)
    with transaction(engine) as session:
        imports, rollbacks = batches.waiting(session)
    for number in imports:
        with contextlib.suppress(CrmError):  # kept with the batch, in its own words
            _import(engine, settings, number, now)
    for number in rollbacks:
        _roll_back(engine, number, at=now())


def _import(
    engine: Engine, settings: Settings, number: int, now: Callable[[], dt.datetime]
) -> None:
    with transaction(engine) as session:
        batch = batches.find(session, number)
        path, mapping, options = Path(batch.path or ""), batch.mapping, batch.options
        by = batch.started_by
    dry_run = bool(options.get("dry_run"))
    report = import_path(
        engine, path, mapping=mapping, recorded_at=now(), dry_run=dry_run,
        rejected_folder=rejected_of(settings, number), progress=None,
        choice=Choice.from_json(options), batch=number, by=by,
    )  # fmt: skip
    if not dry_run:
        with contextlib.suppress(CrmError):
            reconciliation.reconcile_batch(engine, number, at=now())
        shutil.rmtree(folder_of(settings, number), ignore_errors=True)
        if report.changed:
            LOG.warning("import %s: %s", number, data_health.after_import(engine, now=now()))


def _roll_back(engine: Engine, number: int, *, at: dt.datetime) -> None:
    with transaction(engine) as session:
        by = (batches.find(session, number).progress or {}).get("by")
    try:
        with transaction(engine) as session:
            rollback.roll_back(session, number, at=at, by=by, channel="job")
    except CrmError as error:
        LOG.warning("import %s was not rolled back: %s", number, error.message)
        with transaction(engine) as session:
            batch = batches.find(session, number)
            batch.progress, batch.error = None, error.message
