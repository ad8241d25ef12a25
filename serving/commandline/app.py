"""The ``winward`` command: assembles the groups of commands and turns errors into one sentence."""

from __future__ import annotations

import errno
import sys

import typer

from crm_core.errors import CrmError
from serving.commandline import (
    advise,
    backup,
    batches,
    children,
    forecast,
    health,
    imports,
    jobs,
    models,
    oversight,
    passwords,
    publish,
    retrain,
    simulate,
    status,
    transfer,
    up,
    web,
    worker,
)

EXIT_CODES = {"invalid": 2, "not_found": 3, "conflict": 4, "not_allowed": 5}
FULL_DISK = 6

app = typer.Typer(
    name="winward",
    help="Forecasting and coaching for sales teams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _every_command(
    context: typer.Context,
    with_parent: int = typer.Option(
        0, hidden=True, help="End when this process ends (set by programs that start us)."
    ),
    for_job: str = typer.Option("", hidden=True, help="The job and attempt (set by workers)."),
) -> None:
    if with_parent:
        children.end_with(with_parent)
    if for_job:
        from serving import leases

        context.with_resource(leases.held(leases.Lease.from_text(for_job)))


for group in (
    up,
    status,
    imports,
    batches,
    models,
    retrain,
    web,
    worker,
    jobs,
    passwords,
    simulate,
    advise,
    forecast,
    publish,
    backup,
    oversight,
    transfer,
    health,
):
    group.register(app)


UNUSABLE_PATHS = (
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)


def main() -> None:
    """Run the command line; a CrmError becomes one sentence on stderr and an exit code."""
    try:
        app()
    except UNUSABLE_PATHS as error:
        where = error.filename or "a file"
        _leave(f"{where} cannot be used ({error.strerror}); name another.", EXIT_CODES["invalid"])
    except OverflowError:
        _leave("A time or period lies outside the calendar; name another.", EXIT_CODES["invalid"])
    except CrmError as error:
        _leave(error.message, EXIT_CODES[error.kind])
    except Exception as error:
        if not _is_full_disk(error):
            raise
        _leave(
            "The disk is full; nothing half-written was kept. Free some space and run the same "
            "command again.",
            FULL_DISK,
        )


def _leave(sentence: str, code: int) -> None:
    print(f"winward: {sentence}", file=sys.stderr)
    sys.exit(code)


def _is_full_disk(error: BaseException | None) -> bool:
    """Return whether a full disk is behind an error, ours or the database's (SQLSTATE 53100)."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlstate", None) == "53100":
            return True
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return False
