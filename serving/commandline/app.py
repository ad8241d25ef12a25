"""The ``winward`` command: assembles the groups of commands and turns errors into one sentence."""

from __future__ import annotations

import sys

import typer

from crm_core.errors import CrmError

EXIT_CODES = {"invalid": 2, "not_found": 3, "conflict": 4, "not_allowed": 5}

app = typer.Typer(
    name="winward",
    help="Forecasting and coaching for sales teams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a CrmError becomes one sentence on stderr and an exit code."""
    try:
        app()
    except CrmError as error:
        print(f"winward: {error.message}", file=sys.stderr)
        sys.exit(EXIT_CODES[error.kind])
