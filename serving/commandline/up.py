"""``winward up``: starts everything, fills an empty store, serves until it is told to stop."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console

from crm_core import settings as configuration
from crm_core.errors import Conflict
from crm_core.settings import Settings
from serving.commandline import children, home
from serving.commandline.children import Children
from serving.commandline.progress import Steps

READY_SECONDS = 60
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotReady(Conflict):
    """The web server did not become ready; the message quotes its log."""


class Stopped(BaseException):
    """Somebody asked us to stop; not an error."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command(hidden=True)(fill)


def up(
    host: str | None = typer.Option(None, help="Address to listen on; 0.0.0.0 for all."),
    port: int | None = typer.Option(None, help="Port to listen on."),
    data: Path | None = typer.Option(None, "--home", help="Folder for database, models, logs."),
    empty: bool = typer.Option(False, "--empty", help="Start without the demo company."),
) -> None:
    """Start everything and serve until Ctrl-C.

    The first start migrates the database, fills an empty store with a simulated company,
    builds features, trains and scores; a later one resumes in seconds and loses nothing.
    """
    settings = configuration.read(host=host, port=port, home=data)
    console = Console(highlight=False)
    signals = _Signals()
    try:
        _up(settings, empty=empty, console=console)
    except Stopped:
        console.print("Stopped; nothing is lost. Start again with the same command.")
    finally:
        signals.mask()


class _Signals:
    """Turns the first request to stop into Stopped; ignores the others while we stop."""

    def __init__(self) -> None:
        self.masked = False
        for number in _STOPPING:
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if not self.masked:
            self.masked = True
            raise Stopped

    def mask(self) -> None:
        """Ignore requests to stop from now on."""
        self.masked = True


def _up(settings: Settings, *, empty: bool, console: Console) -> None:
    from serving.commandline import first_fill
    from serving.commandline.store import database_urls

    began = time.perf_counter()
    steps = Steps(console)
    with ExitStack() as stack:
        stack.enter_context(home.claimed(settings.home))
        home.check_space(settings.home)
        listener = stack.enter_context(home.bound(settings.host, settings.port))
        console.print(f"Winward keeps its data in {settings.home}")
        with steps.step("Start PostgreSQL"):
            urls = stack.enter_context(database_urls(settings))
        with steps.step("Look at what is stored"):
            unfinished = first_fill.is_outstanding(settings, urls)
        if unfinished:
            _run_fill(settings, empty=empty)
        processes = Children(settings)
        stack.callback(processes.end_all)
        with steps.step("Start the web server and the worker"):
            _start(processes, settings, listener)
        _greet(settings, console, seconds=time.perf_counter() - began)
        while True:
            processes.mend()
            time.sleep(1)


def _run_fill(settings: Settings, *, empty: bool) -> None:
    """Run the first fill in a process of its own, whose memory is then given back."""
    arguments = ["fill", "--empty"] if empty else ["fill"]
    process = subprocess.Popen(
        children.command(*arguments),
        stdin=subprocess.DEVNULL,
        env=settings.environment(),
        process_group=0,
    )
    try:
        code = process.wait()
    finally:
        children.end(process)
    if code != 0:
        sys.exit(code if code > 0 else 1)  # it has said why


def fill(empty: bool = typer.Option(False, "--empty")) -> None:
    """Do what is outstanding of the first start (run by 'winward up').

    SIGTERM ends it at once, wherever it is: what is not committed is done again next time.
    """
    from serving.commandline import first_fill

    first_fill.run(configuration.load(), empty=empty)


def _start(processes: Children, settings: Settings, listener: socket.socket) -> None:
    processes.start("worker", "worker")
    for number in range(1, settings.web_processes + 1):
        fd = listener.fileno()
        processes.start(f"web-{number}", "web", "--fd", str(fd), pass_fds=(fd,))
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(settings):
        processes.mend(most=1)
        if time.monotonic() > deadline:
            log = settings.logs_folder / "web-1.log"
            raise NotReady(
                f"The web server did not become ready in {READY_SECONDS} seconds: "
                f"{children.last_line(log)} (whole log: {log})."
            )
        time.sleep(0.1)


def _reachable_host(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def _is_ready(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(
        _reachable_host(settings.host), settings.port, timeout=READY_SECONDS
    )
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _greet(settings: Settings, console: Console, *, seconds: float) -> None:
    from serving.commandline.first_fill import logins_file

    host = _reachable_host(settings.host)
    shown = f"[{host}]" if ":" in host else host
    console.print(f"\nReady after {seconds:.1f} s:  http://{shown}:{settings.port}", style="bold")
    logins = logins_file(settings)
    if logins.exists():
        console.print(f"\n{logins.read_text().rstrip()}\n(from {logins})", markup=False)
    console.print("\nCtrl-C stops it.")
