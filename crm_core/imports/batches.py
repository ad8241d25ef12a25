"""A batch from its start to its end: visible while it runs, never "running" once it is dead.

The row of a batch is written at once, so that everybody sees it; what it imports is written in
one transaction, which also says "committed". Whoever runs a batch holds an advisory lock as long
as it lives: a batch that says "running" and whose lock is free was killed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import transaction
from crm_core.errors import CrmError
from crm_core.imports import tracking
from crm_core.imports.models import ImportBatch, ImportRejection
from crm_core.imports.report import ImportReport
from crm_core.imports.staging import Stage
from crm_core.imports.states import KILLED, RUNNING, NoBatch, WrongState
from crm_core.people import permissions
from crm_core.people.models import User

LOCK = 7_230_001
"""Key of the advisory lock that lets one import or rollback write at a time."""

ROLLING_BACK = "rolling back"
_EVERY_SECONDS = 1.0

_BEGIN = text(
    """
    insert into import_batches (id, source, path, mapping, options, status, started_by,
                                started_at, counts, findings)
    values (:id, :source, :path, :mapping, :options, 'running', :by, :at, '{}', '[]')
    on conflict (id) do update set status = 'running', started_at = excluded.started_at,
      error = null, progress = null
    """
).bindparams(bindparam("options", type_=JSONB))
_TELL = text("update import_batches set progress = :progress where id = :id").bindparams(
    bindparam("progress", type_=JSONB)
)
_ABANDONED = text(
    "update import_batches set status = 'failed', error = :error, progress = null "
    "where status = 'running' and pg_try_advisory_xact_lock(:key, id::int)"
)


@dataclass(slots=True)
class Running:
    """A batch while it runs: its number, and how to say what it is doing."""

    id: int
    connection: Connection
    began: float
    told: float = field(default=-1.0)

    @property
    def seconds(self) -> Decimal:
        """How long it has been running."""
        return Decimal(f"{perf_counter() - self.began:.3f}")

    def tell(self, phase: str, done: int, total: int | None) -> None:
        """Write down what is being done, at most once a second."""
        now = perf_counter()
        if now - self.told < _EVERY_SECONDS:
            return
        self.told = now
        progress = {"phase": phase, "done": done, "total": total}
        self.connection.execute(_TELL, {"progress": progress, "id": self.id})


@contextmanager
def running(
    engine: Engine,
    *,
    batch: int | None,
    source: str,
    path: str,
    mapping: str | None,
    options: dict[str, Any],
    by: str | None,
    recorded_at: dt.datetime,
) -> Iterator[Running]:
    """Yield a batch that says "running" until the block ends; an error makes it "failed".

    ``batch`` is the number of one that was queued; None begins a new one.
    """
    fail_abandoned(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        number = batch or connection.scalar(
            text("select nextval(pg_get_serial_sequence('import_batches', 'id'))")
        )
        assert number is not None
        lock = {"key": RUNNING, "id": number}
        if not connection.scalar(text("select pg_try_advisory_lock(:key, :id)"), lock):
            raise WrongState(f"Import {number} is running already.")
        try:
            values = {"id": number, "source": source, "path": path, "mapping": mapping}
            values |= {"options": options, "by": by, "at": recorded_at}
            connection.execute(_BEGIN, values)
            ours = Running(number, connection, perf_counter())
            try:
                yield ours
            except BaseException as error:
                fail(engine, number, error, seconds=ours.seconds)
                raise
        finally:
            connection.execute(text("select pg_advisory_unlock(:key, :id)"), lock)


def fail(engine: Engine, number: int, error: BaseException, *, seconds: Decimal) -> None:
    """Say that a batch failed, and why."""
    with transaction(engine) as session:
        batch = session.get(ImportBatch, number)
        if batch is not None and batch.status == "running":
            batch.status = "failed"
            batch.error = error.message if isinstance(error, CrmError) else _named(error)
            batch.seconds = seconds
            batch.progress = None


def _tell_report(
    session: Session, running: Running, report: ImportReport, mapping: str | None, status: str
) -> ImportBatch:
    batch = find(session, running.id)
    batch.status = status
    batch.mapping = mapping
    batch.digest = report.digest
    batch.seconds = running.seconds
    batch.finished_at = batch.started_at + dt.timedelta(seconds=float(running.seconds))
    batch.progress = None
    batch.counts = {name: asdict(value) for name, value in report.tables.items()}
    batch.findings = [asdict(finding) for finding in report.findings]
    batch.delta = report.delta or None
    return batch


def commit(
    session: Session,
    running: Running,
    report: ImportReport,
    mapping: str | None,
) -> None:
    """Say "committed", in the transaction that writes what the batch imports. It is audited."""
    batch = _tell_report(session, running, report, mapping, "committed")
    batch.tracked = tracking.columns(session)
    session.flush()
    audit.record(
        session, actor=batch.started_by, action="commit", table="import_batches",
        record_id=str(batch.id), occurred_at=report.recorded_at, channel="import", address=None,
        changes={"status": ("running", "committed"), "source": (None, report.source),
                 "digest": (None, report.digest), "changed": (None, report.changed)},
    )  # fmt: skip


def check(session: Session, running: Running, report: ImportReport, mapping: str | None) -> None:
    """Say that a dry run ended, with its verdicts."""
    _tell_report(session, running, report, mapping, "checked")
    session.query(ImportRejection).filter_by(batch_id=running.id).delete()
    session.add_all(
        ImportRejection(
            batch_id=running.id, table_name=each.table, file=each.file, line=each.line,
            column=each.column, value=each.value and each.value[:500], reason=each.reason,
        )
        for each in report.rejections
    )  # fmt: skip


def keep_rejections(
    session: Session, running: Running, stages: list[Stage], label: Callable[[Stage], str]
) -> None:
    """Write down every rejected row, beside the facts."""
    columns = 'import_rejections (batch_id, table_name, file, line, "column", value, reason)'
    session.query(ImportRejection).filter_by(batch_id=running.id).delete()
    for stage in stages:
        session.execute(
            text(
                f"insert into {columns} select :batch, :table, :file, _line, _column, "
                f"left(_value, 500), _reason from {stage.name} where _verdict = 'rejected'"
            ),
            {"batch": running.id, "table": stage.table.name, "file": label(stage)},
        )


def forget(session: Session, running: Running) -> None:
    """Leave no trace of an import that changed nothing."""
    session.execute(text("delete from import_batches where id = :id"), {"id": running.id})


def _named(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The import was interrupted; nothing was written. Import again."
    return f"The program ended with {type(error).__name__}; nothing was written."


def fail_abandoned(engine: Engine) -> int:
    """Say "failed" of every batch whose program was killed; return how many."""
    with transaction(engine) as session:
        done: Any = session.execute(_ABANDONED, {"error": KILLED, "key": RUNNING})
        return int(done.rowcount)


def find(session: Session, number: int) -> ImportBatch:
    """Return a batch. Raises NoBatch."""
    batch = session.get(ImportBatch, number)
    if batch is None:
        raise NoBatch(f"There is no import {number}; winward imports list names them.")
    return batch


def queue_import(
    session: Session,
    *,
    source: str,
    mapping: str | None,
    options: dict[str, Any],
    by: str | None,
    at: dt.datetime,
) -> int:
    """Write down that somebody asks for an import; return its number. Its files come later."""
    batch = ImportBatch(
        source=source, mapping=mapping, options=options, status="queued", started_by=by,
        started_at=at,
    )  # fmt: skip
    session.add(batch)
    session.flush()
    return batch.id


def queue_again(session: Session, number: int, *, by: str | None) -> None:
    """Ask that what a dry run judged be written. Raises NoBatch, WrongState."""
    batch = find(session, number)
    session.refresh(batch, with_for_update=True)
    if batch.status != "checked":
        raise WrongState(f"Import {number} is {batch.status}; only a dry run can be carried out.")
    if batch.path is None:
        raise WrongState(f"The files of import {number} are no longer kept; upload them again.")
    batch.status = "queued"
    batch.started_by = by
    batch.options = batch.options | {"dry_run": False}


def bind_roles(session: Session, by: str | None) -> None:
    """Let this import give roles only if who asked for it may; the command line (None) may."""
    asker = None if by is None else session.get(User, by)
    may = by is None or (asker is not None and permissions.allowed(asker, "edit", "users", "role"))
    setting = text("select set_config('winward.gives_roles', :may, true)")
    session.execute(setting, {"may": "on" if may else "off"})


def release_files(session: Session, number: int, *, uploads: bool) -> bool:
    """Return whether an import's files may be removed; ``uploads``: note that those are gone."""
    batch = session.get(ImportBatch, number, with_for_update=True)
    if batch is None:
        return True
    if batch.status in ("queued", "running") or batch.progress is not None:
        return False
    if uploads:
        batch.path = None
    return True


def ask_rollback(session: Session, number: int, *, by: str | None) -> None:
    """Ask that an import be rolled back, soon and by the worker. Raises NoBatch, WrongState."""
    batch = find(session, number)
    session.refresh(batch, with_for_update=True)
    if batch.progress is not None:
        raise WrongState(f"Import {number} is being worked on; wait until that is done.")
    if batch.status not in ("committed", "rolled_back"):
        raise WrongState(f"Import {number} is {batch.status}; there is nothing to roll back.")
    batch.progress = {"phase": ROLLING_BACK, "done": 0, "total": None, "by": by}


def waiting(session: Session) -> tuple[list[int], list[int]]:
    """Return the numbers of queued imports whose files are there, and of rollbacks asked for."""
    rows = session.execute(
        text(
            "select id, status = 'queued' from import_batches where "
            "(status = 'queued' and path is not null) or (status in ('committed', 'rolled_back') "
            "and progress ->> 'phase' = :phase) order by id"
        ),
        {"phase": ROLLING_BACK},
    ).all()
    return [n for n, queued in rows if queued], [n for n, queued in rows if not queued]
