"""Importing files: read, profile, check, then write in one transaction, or say why not."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from crm_core import database
from crm_core.imports import (
    batches,
    cutover,
    encodings,
    identity,
    loader,
    profiling,
    readers,
    rejected,
    resolving,
    slicing,
    verdicts,
)
from crm_core.imports import mapping as mappings
from crm_core.imports.batches import Running
from crm_core.imports.choice import WHOLE, Choice, used_files
from crm_core.imports.company import Company, decide
from crm_core.imports.compiling import Compiled, Compiler
from crm_core.imports.mapping import Mapping, TableSpec
from crm_core.imports.models import CustomField, ImportBatch
from crm_core.imports.report import (
    REJECTIONS_SHOWN,
    FileProfile,
    Finding,
    ImportReport,
    Rejection,
    TableCounts,
)
from crm_core.imports.rows import PROBLEM, Source
from crm_core.imports.scratch import Progress, Scratch, literal, quoted
from crm_core.imports.staging import Stage, counts
from crm_core.imports.tracking import Tracker
from crm_core.imports.workspaces import workspace

LOCK = batches.LOCK
"""Key of the advisory lock that lets one import write at a time."""


def import_path(
    engine: Engine,
    path: Path,
    *,
    mapping: str | Path | None,
    recorded_at: dt.datetime,
    dry_run: bool,
    rejected_folder: Path | None,
    progress: Callable[[str, int, int | None], None] | None,
    choice: Choice = WHOLE,
    batch: int | None = None,
    by: str | None = None,
    verdicts_file: Path | None = None,
) -> ImportReport:
    """Import a folder or file, through a mapping or in the exchange format; return what happened.

    Everything is written in one transaction: all of it or nothing. ``recorded_at`` is when we
    learned of it. With ``dry_run`` every row gets its verdict and nothing is written. Rejected
    rows go to ``rejected_folder`` as files that can be corrected and imported again; the verdict
    on every row goes to ``verdicts_file``.
    ``batch`` is the number of a queued import that this is, ``by`` the user who asked for it.
    Raises CrmError subclasses for anything that stops the whole import.
    """
    verdicts.check_places(path, rejected_folder, verdicts_file)
    options = choice.as_json() | {"dry_run": dry_run}
    shown: AbstractContextManager[Running | None] = nullcontext()
    if batch is not None or not dry_run:
        shown = batches.running(
            engine, batch=batch, source=path.name, path=str(path.absolute()),
            mapping=None if mapping is None else str(mapping), options=options, by=by,
            recorded_at=recorded_at,
        )  # fmt: skip
    with shown as running, workspace(None, "winward-import-") as folder:
        run = _Run(
            path, folder, recorded_at, dry_run, rejected_folder,
            _to_both(progress or _silent, running), choice, running, is_queued=batch is not None,
            verdicts_file=verdicts_file, by=by,
        )  # fmt: skip
        try:
            run.prepare(engine, mapping)
            run.read()
            return _write(engine, run)
        finally:
            run.close()


@contextmanager
def mapped(
    engine: Engine, path: Path, mapping: str | Path
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Compiled]]]:
    """Yield what a mapping makes of files, as queries of a scratch database that holds them."""
    with workspace(None, "winward-count-") as folder:
        at = dt.datetime.fromtimestamp(0, dt.UTC)
        run = _Run(path, folder, at, True, None, _silent, WHOLE, None, is_queued=False)
        try:
            run.prepare(engine, mapping)
            run.read()
            with database.transaction(engine) as session:
                kinds = {
                    (k.table_name, k.name): k.kind for k in session.scalars(select(CustomField))
                }
            present = [spec for spec in run.mapping.tables if run._is_present(spec)]
            yield run.store.connection, [run._compile(spec, kinds) for spec in present]
        finally:
            run.close()


def _write(engine: Engine, run: _Run) -> ImportReport:
    """Write everything in one transaction, or judge everything and roll it back."""
    try:
        with database.transaction(engine) as session:
            report = run.write(session)
            if run.dry_run:
                raise _DryRunEnds
    except _DryRunEnds:
        if run.running is not None:
            with database.transaction(engine) as session:
                batches.check(session, run.running, report, run.mapping_name)
    return report


class _DryRunEnds(Exception):
    """Raised to roll a dry run back."""


def _silent(phase: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


def _to_both(progress: Progress, running: Running | None) -> Progress:
    """Return what reports progress to the caller and, for everybody else, to the batch."""
    if running is None:
        return progress

    def tell(phase: str, done: int, total: int | None) -> None:
        progress(phase, done, total)
        running.tell(phase, done, total)

    return tell


@dataclass(slots=True)
class _Run:
    """One import while it runs: what it knows so far."""

    path: Path
    folder: Path
    recorded_at: dt.datetime
    dry_run: bool
    rejected_folder: Path | None
    progress: Progress
    choice: Choice
    running: Running | None
    is_queued: bool
    verdicts_file: Path | None = None
    by: str | None = None
    mapping: Mapping = field(init=False)
    mapping_name: str | None = None
    company: Company = field(init=False)
    digest: str = ""
    found: list[resolving.Found] = field(default_factory=list)
    scratch: Scratch | None = None
    sources: dict[str, list[str]] = field(default_factory=dict)
    profiles: dict[str, FileProfile] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    edited_here: dict[str, int] = field(default_factory=dict)

    def prepare(self, engine: Engine, name: str | Path | None) -> None:
        """Find the mapping, the files and the company whose calendar and currency hold."""
        content = b""
        if name is None:
            self.mapping, ignored = identity.build(self.path)
            self.findings += [
                Finding("ignored file", None, None, 0, f"{file} is no table; it was not read")
                for file in ignored
            ]
        else:
            self.mapping, content = mappings.load(name)
            self.mapping_name = self.mapping.name
        self.mapping = self.choice.narrow(self.mapping)
        self.found = resolving.resolve(self.path, self.mapping, self.folder)
        if self.choice.only and not self.mapping.views:
            self.found = [file for file in self.found if file.key in used_files(self.mapping)]
        self.digest = self._digest(content)
        with database.transaction(engine) as session:
            self.company = decide(session, self.mapping, self.found)
        self.scratch = Scratch(self.folder, time_zone=self.company.time_zone)

    def _digest(self, content: bytes) -> str:
        whole = hashlib.sha256(content + self.choice.told.encode())
        for file in sorted(self.found, key=lambda item: item.key):
            whole.update(f"{file.key}:{encodings.digest(file.path)}\n".encode())
        return whole.hexdigest()

    def close(self) -> None:
        """Close the scratch database."""
        if self.scratch is not None:
            self.scratch.close()

    @property
    def store(self) -> Scratch:
        """The scratch database; it is open from ``prepare`` on."""
        assert self.scratch is not None
        return self.scratch

    def read(self) -> None:
        """Copy every file into the scratch database, profile it, and derive the views."""
        for file in self.found:
            with readers.open_source(file.path, file.label, file.options) as source:
                rows = self.store.load(file.key, source, self.progress)
            self.sources[file.key] = self.store.columns(file.key)
            self._profile(file, source, rows)
        for name, view in self.mapping.views.items():
            needed = [key for key in self.mapping.files if _names(view.query, key)]
            if all(key in self.sources for key in {*needed, view.file}):
                self.store.view(name, view.query)
                self.sources[name] = self.store.columns(name)
        for wanted in self.mapping.findings:
            if all(key in self.sources for key in self.mapping.files):
                count = self.store.rows(wanted.query, "A finding of the mapping")[0][0]
                if count:
                    self.findings.append(
                        Finding("known", wanted.table, wanted.column, int(count), wanted.text)
                    )

    def _profile(self, file: resolving.Found, source: Source, rows: int) -> None:
        spec = self.mapping.files[file.key]
        used = profiling.uses(self.mapping, file.key, source.names)
        columns = profiling.columns(self.store, file.key, source.names, spec.missing, used)
        malformed = self.store.rows(
            f"select count(*) from {quoted(file.key)} where {PROBLEM} is not null", file.label
        )[0][0]
        self.profiles[file.key] = FileProfile(
            file.label,
            source.format,
            source.encoding,
            source.delimiter,
            rows,
            int(malformed),
            columns,
        )
        profiling.require_all_used(file.label, columns)
        if source.encoding not in (None, "UTF-8"):
            self.findings.append(
                Finding("encoding", None, None, rows, f"{file.label} is {source.encoding} text")
            )
        self._count_missing_words(file, spec.missing, source.names)

    def _count_missing_words(
        self, file: resolving.Found, words: list[str], names: list[str]
    ) -> None:
        for word in words:
            sums = " + ".join(
                f"count(*) filter (trim({quoted(name)}) = {literal(word)})" for name in names
            )
            count = self.store.rows(f"select {sums} from {quoted(file.key)}", file.label)[0][0]
            if count:
                self.findings.append(
                    Finding(
                        "missing",
                        None,
                        None,
                        int(count),
                        f"{file.label}: cells that say {word!r} were read as missing",
                    )
                )

    def write(self, session: Session) -> ImportReport:
        """Judge and write every table, keep the batch, and return the report."""
        session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK})
        batches.bind_roles(session, self.by)
        number = self.running.id if self.running else 0
        tracker = Tracker.start(session, number, recorded_at=self.recorded_at)
        if self.choice.since is not None:
            self.edited_here = cutover.edited_here(session, self.choice.since)
        self.company.ensure(session, tracker)
        derived: dict[str, int] = {}
        if self.mapping.stages:
            derived["stages"] = loader.add_stages(session, self.mapping, tracker)
        already = session.scalar(
            select(ImportBatch.id)
            .where(ImportBatch.digest == self.digest, ImportBatch.status == "committed")
            .limit(1)
        )
        kinds = {
            (row.table_name, row.name): row.kind for row in session.scalars(select(CustomField))
        }
        compiled = [
            self._compile(spec, kinds) for spec in self.mapping.tables if self._is_present(spec)
        ]
        if self.choice.pilot is not None:
            self.progress("choosing the trial slice", 0, None)
            compiled = slicing.slice_of(self.store, compiled, self.choice.pilot)
        stages = loader.load(
            session,
            self.store,
            compiled,
            company=self.company,
            recorded_at=self.recorded_at,
            progress=self.progress,
            derived=derived,
            mapping=self.mapping,
            tracker=tracker,
        )
        self._know_custom_fields(session, compiled, kinds, tracker)
        return self._finish(session, compiled, stages, derived, already is not None)

    def _is_present(self, spec: TableSpec) -> bool:
        needed = {spec.source, *(join.file for join in spec.join)}
        return needed <= set(self.sources)

    def _compile(self, spec: TableSpec, known: dict[tuple[str, str], str]) -> Compiled:
        compiler = Compiler(
            self.mapping,
            self.sources,
            currency=self.company.currency,
            time_zone=self.company.time_zone,
        )
        missing = self.mapping.files[self.mapping.file_of(spec.source)].missing
        kinds = {}
        for name, column in spec.custom.items():
            kind = known.get((spec.table, name)) or column.kind
            if kind is None and column.column in self.sources[spec.source]:
                kind = profiling.guess(self.store, spec.source, column.column, missing)
            kinds[name] = kind or "category"
        return compiler.compile(spec, kinds)

    def _finish(
        self,
        session: Session,
        compiled: list[Compiled],
        stages: list[Stage],
        derived: dict[str, int],
        already: bool,
    ) -> ImportReport:
        tables: dict[str, TableCounts] = {}
        for stage in stages:
            found = counts(session, stage)
            known = tables.get(stage.table.name)
            tables[stage.table.name] = known.plus(found) if known else found
        findings = self.findings + [note for stage in stages for note in stage.findings]
        for item in compiled:
            findings += loader.translations(self.store, item)
        files = []
        if self.rejected_folder is not None:
            files = rejected.write(
                session, self.store, self.rejected_folder, self.mapping.files, stages
            )
        if self.verdicts_file is not None:
            verdicts.write(session, self.verdicts_file, stages, self._label)
        report = ImportReport(
            source=self.path.name,
            mapping=self.mapping_name,
            digest=self.digest,
            dry_run=self.dry_run,
            already_imported=already,
            recorded_at=self.recorded_at,
            tables=tables,
            findings=findings,
            rejections=self._rejections(session, stages),
            profiles=list(self.profiles.values()),
            rejected_files=files,
            derived=derived,
            delta=self._delta(session, stages),
        )
        if self.running is not None:
            if already and report.changed == 0 and not self.is_queued:
                batches.forget(session, self.running)
            else:
                batches.commit(session, self.running, report, self.mapping_name)
                batches.keep_rejections(session, self.running, stages, self._label)
        return report

    def _delta(self, session: Session, stages: list[Stage]) -> cutover.Delta:
        """Return what changed since the earlier import that was named, by table."""
        if self.choice.since is None:
            return {}
        return cutover.delta(session, self.choice.since, stages, self.edited_here)

    def _know_custom_fields(
        self,
        session: Session,
        compiled: list[Compiled],
        known: dict[tuple[str, str], str],
        tracker: Tracker,
    ) -> None:
        """Fix what each new custom field holds, so that later files are read the same way."""
        for item in compiled:
            for custom in item.custom:
                named = {"of_table": item.table.name, "field": custom.name}
                if (item.table.name, custom.name) in known:
                    continue
                known[item.table.name, custom.name] = custom.kind
                session.add(
                    CustomField(table_name=item.table.name, name=custom.name, kind=custom.kind)
                )
                session.flush()
                which = "t.table_name = :of_table and t.name = :field"
                tracker.keep_inserted(session, "custom_fields", which, **named)

    def _label(self, stage: Stage) -> str:
        return self.profiles[stage.file].file

    def _rejections(self, session: Session, stages: list[Stage]) -> list[Rejection]:
        found = []
        for stage in stages:
            rows = session.execute(
                text(
                    f"select _line, _column, _value, _reason from {stage.name} "
                    "where _verdict = 'rejected' order by _line limit :most"
                ),
                {"most": REJECTIONS_SHOWN},
            )
            found += [
                Rejection(stage.table.name, self._label(stage), line, column, value, reason)
                for line, column, value, reason in rows
            ]
        return found


def _names(query: str, key: str) -> bool:
    """Return whether a query names a file."""
    words = query.replace("(", " ").replace(")", " ").replace(",", " ").replace('"', " ").split()
    return any(word.split(".")[0] == key for word in words)
