"""Finding the files a mapping names: in a folder, in an archive, as sheets of a workbook."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from crm_core.errors import Invalid, NotFound
from crm_core.imports import limits, readers, workbook_reader
from crm_core.imports.mapping import FileSpec, Mapping

_OTHER_ENDINGS = (".csv", ".xlsx", ".parquet", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class Found:
    """A source file: its short name, where its bytes lie, its name for people, how to read it."""

    key: str
    path: Path
    label: str
    options: readers.Options


def resolve(path: Path, mapping: Mapping, scratch: Path) -> list[Found]:
    """Return the mapping's files below ``path``; members of archives are unpacked to ``scratch``.

    Raises NotFound when a file that is not optional is absent.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist; give the folder or file to import.")
    found: list[Found] = []
    for key, spec in mapping.files.items():
        place = _place(path, spec, mapping, scratch, key)
        if place is None:
            if spec.optional:
                continue
            raise NotFound(f"{path} has no file {spec.path}, which mapping {mapping.name} needs.")
        found.append(_found(key, spec, place, scratch))
    if not found:
        raise NotFound(f"{path} holds none of the files of mapping {mapping.name}.")
    return found


def _found(key: str, spec: FileSpec, place: tuple[Path, str, str | None], scratch: Path) -> Found:
    path, label, sheet = place
    if spec.member is not None and readers.kind_of(path) == "zip":
        label = spec.member
        path = _unpack(path, spec.member, scratch, key)
    readers.check(path, label)
    options = readers.Options(
        format=spec.format,
        encoding=spec.encoding,
        delimiter=spec.delimiter,
        sheet=spec.sheet or sheet,
        widths=tuple((name, start, end) for name, (start, end) in spec.widths.items()),
    )
    return Found(key, path, label, options)


def _place(
    path: Path, spec: FileSpec, mapping: Mapping, scratch: Path, key: str
) -> tuple[Path, str, str | None] | None:
    """Return (file, name for people, sheet) or None when it is absent."""
    if path.is_dir():
        file = _in_folder(path, spec)
        return None if file is None else (file, file.name, None)
    if len(mapping.files) == 1:
        return path, path.name, None
    kind = readers.kind_of(path)
    if kind == "zip":
        inside = _unpack_optional(path, spec.path, scratch, key)
        return None if inside is None else (inside, PurePosixPath(spec.path).name, None)
    if kind == "xlsx":
        stem = PurePosixPath(spec.path).stem.casefold()
        for sheet in workbook_reader.sheets(path):
            if sheet.casefold() == stem:
                return path, f"{path.name}, sheet {sheet}", sheet
        return None
    return (path, path.name, None) if path.name == spec.path else None


def _in_folder(folder: Path, spec: FileSpec) -> Path | None:
    exact = folder / spec.path
    if exact.is_file():
        return exact
    for ending in _OTHER_ENDINGS:
        other = exact.with_suffix(ending)
        if other.is_file():
            return other
    return None


def _unpack_optional(path: Path, name: str, scratch: Path, key: str) -> Path | None:
    try:
        return _unpack(path, PurePosixPath(name).name, scratch, key)
    except NotFound:
        return None


def _unpack(path: Path, name: str, scratch: Path, key: str) -> Path:
    """Copy one member of an archive into ``scratch`` under a name of ours."""
    with limits.open_archive(path) as archive:
        members = [
            member
            for member in archive.infolist()
            if PurePosixPath(member.filename).name == PurePosixPath(name).name
            and not member.is_dir()
            and not member.filename.startswith("__MACOSX/")
        ]
        if not members:
            raise NotFound(f"{path.name} holds no file {name}.")
        if len(members) > 1:
            raise Invalid(f"{path.name} holds {name} {len(members)} times; keep one of them.")
        target = scratch / f"{key}.unpacked"
        try:
            with archive.open(members[0]) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, limits.MEBIBYTE)
        except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise limits.Damaged(
                f"{name} in {path.name} cannot be unpacked ({error}); pack it again."
            ) from error
    return target
