"""``winward worker``: runs the queued jobs until it is told to stop."""

from __future__ import annotations

import logging

import typer

from crm_core import settings as configuration
from serving.commandline import children


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


def worker(
    once: bool = typer.Option(False, help="Run what is queued now, then end."),
) -> None:
    """Run the scheduled jobs: nightly features, scores and advice, and outcomes of advice.

    'winward up' starts one. More may run beside it, on other machines too: a job is run by one
    worker, and taken over when that worker dies. SIGTERM ends it; what it interrupts is retried.
    """
    from serving import attending, job_queue, jobs
    from serving.commandline.store import store

    children.leave_on_request()
    settings = configuration.load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    with store(settings) as engine:
        url = engine.url.render_as_string(hide_password=False)
        job_queue.prepare(url)
        app = jobs.application(url)
        with app.replace_connector(app.connector):
            _run(app, attending.Context(settings, engine), once=once)


def _run(app: object, context: object, *, once: bool) -> None:
    from serving import attending

    app.run_worker(  # type: ignore[attr-defined] # procrastinate is imported with the command
        name="winward",
        wait=not once,
        concurrency=4,
        shutdown_graceful_timeout=3,
        worker_middleware=[attending.attend],
        additional_context={"winward": context},
    )
