"""``winward web``: one process of the web server."""

from __future__ import annotations

import socket

import typer

from crm_core import settings as configuration
from serving.commandline import children, home


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(web)


def web(
    host: str | None = typer.Option(None, help="Address to listen on."),
    port: int | None = typer.Option(None, help="Port to listen on."),
    fd: int | None = typer.Option(None, hidden=True, help="A socket that already listens."),
) -> None:
    """Serve the pages and the API with one process, and nothing else.

    'winward up' starts several that share one socket. Use this under a supervisor of your own.
    """
    import uvicorn

    from serving.app import create_app
    from serving.commandline.store import web_store

    children.leave_on_request()
    settings = configuration.read(host=host, port=port)
    given = fd is not None
    listener = socket.socket(fileno=fd) if given else home.bound(settings.host, settings.port)
    with web_store(settings) as engine:
        config = uvicorn.Config(
            create_app(settings, engine),
            log_level="info",
            access_log=False,
            timeout_graceful_shutdown=5,
            server_header=False,
            # an address that a client may write itself must not count log-in failures
            proxy_headers=False,
        )
        uvicorn.Server(config).run(sockets=[listener])
