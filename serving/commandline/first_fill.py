"""The first fill of a store: the demo company or nobody, then features, models and scores.

Every step can be interrupted: what a step has finished is written down (see ``milestones``) or
can be seen, and what it has not finished is done again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from crm_core import clock
from crm_core.database import create_engine, transaction
from crm_core.errors import Conflict
from crm_core.people.models import Company, User
from crm_core.settings import Settings
from serving.commandline import children, first_model, milestones, passwords
from serving.commandline.progress import Steps

DEMO_SEED = 20_260_101
DEMO_LOGINS = ("rep", "manager", "leader", "ops", "admin")
ADMIN_EMAIL = "admin@localhost"


class PreparationFailed(Conflict):
    """A step of the first start failed in a process of its own; the message quotes its log."""


def logins_file(settings: Settings) -> Path:
    """Return the file with the logins of the demo company, readable by its owner only."""
    return settings.home / "demo-logins.txt"


def is_outstanding(settings: Settings, urls: dict[str, str]) -> bool:
    """Return whether the first fill has anything left to do."""
    engine = create_engine(urls["winward"])
    try:
        reached = milestones.reached(engine)
    finally:
        engine.dispose()
    return reached.get("tracking") != _tracking_release() or _unfinished(settings, reached)


def _unfinished(settings: Settings, reached: dict[str, str]) -> bool:
    company = reached.get("company")
    if company == "demo":
        lost = reached.get("model") == "promoted" and not _serves_a_model(settings)
        return "scores" not in reached or lost
    return company not in ("empty", "own")


def _tracking_release() -> str:
    return f"mlflow {metadata.version('mlflow')}, feast {metadata.version('feast')}"


def _serves_a_model(settings: Settings) -> bool:
    return (settings.models_folder / "win_rate" / "current.json").exists()


def run(settings: Settings, *, empty: bool) -> None:
    """Do what is outstanding, each step shown with its time."""
    from serving import job_queue
    from serving.commandline.store import database_urls, facts

    steps = Steps(Console(file=sys.stdout, highlight=False))
    with ExitStack() as stack:
        # what libraries print is kept, out of the way of the steps
        log = stack.enter_context(_log(settings, "first-start").open("a"))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        urls = stack.enter_context(database_urls(settings))
        with steps.step("Migrate the facts"):
            engine = stack.enter_context(facts(urls["winward"]))
            job_queue.prepare(urls["winward"])
        tracking = None
        if milestones.reached(engine).get("tracking") != _tracking_release():
            # it takes one core for ten seconds; the company is made on the other meanwhile
            tracking = _start_tracking(settings)
            stack.callback(children.end, tracking)
        company = _company(engine, settings, steps, empty=empty)
        if tracking is not None:
            with steps.step("Prepare model tracking"):
                _finish_tracking(tracking, settings)
            milestones.reach(engine, "tracking", _tracking_release())
        if company == "demo" and _unfinished(settings, milestones.reached(engine)):
            first_model.make(engine, urls, settings, steps, now=clock.now())


def _start_tracking(settings: Settings) -> subprocess.Popen[bytes]:
    with _log(settings, "tracking").open("wb") as output:
        return subprocess.Popen(
            children.command("migrate", "--only", "tracking"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=settings.environment(),
            process_group=0,
        )


def _log(settings: Settings, name: str) -> Path:
    settings.logs_folder.mkdir(parents=True, exist_ok=True)
    return settings.logs_folder / f"{name}.log"


def _finish_tracking(process: subprocess.Popen[bytes], settings: Settings) -> None:
    if process.wait() != 0:
        log = _log(settings, "tracking")
        raise PreparationFailed(
            f"Model tracking could not be prepared: {children.last_line(log)} (whole log: {log}). "
            "Run the same command again when that is mended."
        )


def _company(engine: Engine, settings: Settings, steps: Steps, *, empty: bool) -> str:
    """See to it that the store has a company, or an administrator; return whose it is."""
    state = milestones.reached(engine).get("company")
    if state in ("demo", "empty", "own"):
        return state
    with Session(engine) as session:
        filled = session.scalar(select(func.count()).select_from(User)) or session.scalar(
            select(func.count()).select_from(Company)
        )
    if state is None and filled:
        state = "own"
    elif empty and not filled:
        _make_administrator(engine, steps)
        state = "empty"
    else:
        milestones.reach(engine, "company", "demo begun")
        if not filled:
            _import_demo(engine, settings, steps)
        _open_demo(engine, settings, steps)
        state = "demo"
    milestones.reach(engine, "company", state)
    return state


def _import_demo(engine: Engine, settings: Settings, steps: Steps) -> None:
    """Simulate a company and bring it in by the import that a customer's files take."""
    from crm_core.imports import operations
    from crm_core.simulation import generate

    folder = settings.home / "demo-company"
    shutil.rmtree(folder, ignore_errors=True)
    moment = clock.now()
    with steps.step("Simulate the demo company"):
        generate(
            folder,
            seed=DEMO_SEED,
            size="demo",
            until=moment.date(),
            truth=settings.home / "demo-truth",
        )
    with steps.step("Import it") as advance:
        operations.import_path(
            engine,
            folder,
            mapping=None,
            recorded_at=moment,
            dry_run=False,
            rejected_folder=settings.home / "rejected",
            progress=advance,
        )
    shutil.rmtree(folder, ignore_errors=True)


def _open_demo(engine: Engine, settings: Settings, steps: Steps) -> None:
    """Label the company as simulated and let the demo users in."""
    from crm_core.people import operations

    with steps.step("Open the demo logins"), transaction(engine) as session:
        session.execute(update(Company).values(is_simulated=True))
        password = passwords.invented()
        lines = ["Demo logins (the company is simulated):"]
        for name in DEMO_LOGINS:
            email = f"{name}@demo.winward"
            operations.set_password(session, email=email, password=password)
            lines.append(f"  {email:22} {password}")
        _write_privately(logins_file(settings), "\n".join(lines) + "\n")


def _write_privately(path: Path, content: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)


def _make_administrator(engine: Engine, steps: Steps) -> None:
    """Let one administrator in; the password is printed once and stored only as a hash."""
    from crm_core.people import operations

    password = passwords.invented()
    with steps.step("Make an administrator"), transaction(engine) as session:
        session.add(User(id="admin", name="Administrator", email=ADMIN_EMAIL, role="admin"))
        session.flush()
        operations.set_password(session, email=ADMIN_EMAIL, password=password)
    steps.console.print(
        f"\nLog in as {ADMIN_EMAIL} with {password}\n(printed this once; "
        f"'winward password {ADMIN_EMAIL}' makes another)\n"
    )
