"""Backup and restore of a whole installation: facts, model tracking, models and artifacts.

One ``.tar`` file with a manifest. What is derived (feature files, Feast's registry and online
store) is not in it: a restore builds it anew from the facts.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, inspect, text

from crm_core import backups, migrations, row_security
from crm_core.database import create_engine
from crm_core.errors import Conflict, Invalid
from crm_core.imports.encodings import digest as sha256
from crm_core.postgres import EmbeddedServer, prepare_home
from crm_core.settings import Settings

FORMAT = 1
_MANIFEST = "manifest.json"
_DATABASES = ("winward", "mlflow")
_FOLDERS = ("models", "mlflow-artifacts")
_ARTIFACT_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow keeps addresses of artifacts, which a restore into another home must move."""

Step = Callable[[str], Any]


class NotABackup(Invalid):
    """The file is not a backup of ours, is damaged, or was written by a newer program."""


class HomeInUse(Conflict):
    """The folder to restore into holds an installation already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a backup holds."""

    path: Path
    bytes: int
    tables: int
    rows: int
    files: int
    taken_at: dt.datetime
    verified: bool

    def as_json(self) -> dict[str, Any]:
        """Return it for a script."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "tables": self.tables,
            "rows": self.rows,
            "files": self.files,
            "taken_at": self.taken_at.isoformat(),
            "verified": self.verified,
        }


def back_up(
    settings: Settings,
    urls: Mapping[str, str],
    target: Path,
    *,
    now: dt.datetime,
    verify: bool,
    step: Step = nullcontext,
) -> Summary:
    """Write a backup while everything goes on running; with ``verify``, restore it and compare.

    The file appears whole or not at all. Raises ClientFailed, NotTheSame and OSError.
    """
    if target.exists():
        raise Conflict(f"{target} exists already; choose another name, nothing was overwritten.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".winward-backup-", dir=target.parent) as scratch:
        folder = Path(scratch)
        manifest = _collect(settings, urls, folder, now=now, step=step)
        partial = folder / "backup.tar"
        with step("Write the file"):
            _pack(folder, manifest, partial)
        if verify:
            with step("Restore it elsewhere and compare"):
                _prove(partial)
        partial.rename(target)
    return _summary(manifest, target, verified=verify)


def _collect(
    settings: Settings, urls: Mapping[str, str], folder: Path, *, now: dt.datetime, step: Step
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "program": metadata.version("winward"),
        "taken_at": now.isoformat(),
        "home": str(settings.home.resolve()),
        "prints": {},
        "files": {},
    }
    # the facts first: every model that they mention is then in the tracking that is dumped later
    for name in _DATABASES:
        with step(f"Dump {name}"), _engine(urls[name]) as engine:
            if name == "winward":
                manifest["migration"] = migrations.applied(engine)
            file = folder / f"{name}.dump"
            manifest["prints"][name] = backups.dump(engine, file, home=settings.home)
    with step("Copy the models"):
        for name in _FOLDERS:
            source = settings.home / name
            if source.is_dir():
                shutil.copytree(source, folder / name, symlinks=True)
    manifest["files"] = {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _pack(folder: Path, manifest: Mapping[str, Any], target: Path) -> None:
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    with tarfile.open(target, "w") as archive:
        archive.add(folder / _MANIFEST, _MANIFEST)
        for name in manifest["files"]:
            archive.add(folder / name, name, recursive=False)
    target.chmod(0o600)  # it holds the whole company


def restore(
    settings: Settings,
    databases: Callable[[Settings], Any],
    source: Path,
    *,
    step: Step = nullcontext,
) -> Summary:
    """Bring a backup into an empty home and empty databases, and compare every table.

    ``databases`` opens the three databases of an installation, as ``store.database_urls`` does.
    What a restore cannot finish it removes again from the home. Raises NotABackup, HomeInUse,
    NotEmpty, ClientFailed and NotTheSame.
    """
    taken = [name for name in ("postgresql", *_FOLDERS) if (settings.home / name).exists()]
    if taken:
        raise HomeInUse(
            f"{settings.home} holds an installation already ({taken[0]}); restore into a new "
            "folder: --home FOLDER."
        )
    prepare_home(settings.home)
    with _scratch(settings.home) as scratch:
        with step("Unpack and check the file"):
            manifest = _unpack(source, scratch)
        try:
            with databases(settings) as urls:
                _load(settings, urls, scratch, manifest, step=step)
            for name in _FOLDERS:
                if (scratch / name).is_dir():
                    (scratch / name).rename(settings.home / name)
        except BaseException:
            _clear(settings.home)
            raise
    return _summary(manifest, source, verified=True)


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".winward-restore-", dir=home) as name:
        yield Path(name)


def _clear(home: Path) -> None:
    """Remove what an unfinished restore has left of its own in a home that was empty before."""
    for name in ("postgresql", *_FOLDERS):
        shutil.rmtree(home / name, ignore_errors=True)


def _unpack(source: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup after checking every file in it. Raises NotABackup."""
    try:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (tarfile.TarError, FileNotFoundError, ValueError, EOFError) as error:
        raise NotABackup(f"{source} is not a backup of Winward, or is cut off ({error}).") from None
    if manifest.get("format") != FORMAT:
        raise NotABackup(f"{source} was written by a newer Winward; restore it with that release.")
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise NotABackup(f"{source} is damaged: {name} is not what was written.")
    if not migrations.knows(manifest["migration"]):
        raise NotABackup(
            f"{source} was written by a newer Winward ({manifest['program']}, migration "
            f"{manifest['migration']}); restore it with that release."
        )
    return manifest


def _load(
    settings: Settings,
    urls: Mapping[str, str],
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    step: Step,
) -> None:
    for name in _DATABASES:
        with step(f"Load {name} and compare"), _engine(urls[name]) as engine:
            if name == "winward":
                with engine.begin() as connection:
                    row_security.ensure_role(connection)
            expected = manifest["prints"][name]
            backups.load(engine, folder / f"{name}.dump", home=settings.home, expected=expected)
            if name == "mlflow":
                _move_artifacts(engine, manifest["home"], str(settings.home.resolve()))
            else:
                migrations.upgrade(engine)


def _move_artifacts(engine: Engine, old: str, new: str) -> None:
    """Let MLflow find the artifacts in their new home."""
    if old == new:
        return
    with engine.begin() as connection:
        inspected = inspect(connection)
        present = {
            (table, column["name"])
            for table in inspected.get_table_names()
            for column in inspected.get_columns(table)
        }
        for table, column in _ARTIFACT_PLACES:
            if (table, column) not in present:
                continue  # nothing was ever trained
            connection.execute(
                text(
                    f"update {table} set {column} = replace({column}, :old, :new)"  # noqa: S608 - constants
                    f" where {column} like :start"
                ),
                {
                    "old": f"{Path(old).as_uri()}/",
                    "new": f"{Path(new).as_uri()}/",
                    "start": f"{Path(old).as_uri()}/%",
                },
            )


def _prove(archive: Path) -> None:
    """Restore a backup into a fresh instance of its own and compare. Raises NotTheSame."""
    with tempfile.TemporaryDirectory(prefix="winward-proof-") as place:
        Path(place).chmod(0o755)  # the server runs as another user when we are root
        proof = Path(place) / "home"

        @contextmanager
        def fresh(settings: Settings) -> Iterator[dict[str, str]]:
            server = EmbeddedServer(settings.home, durable=False)
            with server.running(), _engine(server.url("postgres")) as engine:
                free = engine.execution_options(isolation_level="AUTOCOMMIT")
                with free.connect() as connection:
                    for name in _DATABASES:
                        connection.exec_driver_sql(f"create database {name}")
                yield {name: server.url(name) for name in _DATABASES}

        restore(Settings(home=proof, database_url=None), fresh, archive)


def _summary(manifest: Mapping[str, Any], path: Path, *, verified: bool) -> Summary:
    told = [value for prints in manifest["prints"].values() for value in prints.values()]
    counts = [int(value.split(" rows, ")[0]) for value in told if " rows, " in value]
    return Summary(
        path=path,
        bytes=path.stat().st_size,
        tables=len(counts),
        rows=sum(counts),
        files=len(manifest["files"]),
        taken_at=dt.datetime.fromisoformat(manifest["taken_at"]),
        verified=verified,
    )


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()
