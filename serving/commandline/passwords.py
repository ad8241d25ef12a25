"""``winward password``: a new password for a user, for the first login and when one is lost."""

from __future__ import annotations

import secrets

import typer

from crm_core import settings as configuration

_WITHOUT_LOOKALIKES = "abcdefghjkmnpqrstuvwxyz23456789"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(password)


def invented() -> str:
    """Return a random password that can be read aloud: 79 bits in four groups."""
    groups = ("".join(secrets.choice(_WITHOUT_LOOKALIKES) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def password(email: str = typer.Argument(help="The user's e-mail.")) -> None:
    """Give a user a new random password, print it once and end all their logins."""
    from crm_core import clock
    from crm_core.audit.operations import Origin, set_origin
    from crm_core.database import transaction
    from crm_core.people import operations
    from serving.commandline.store import store

    new = invented()
    with store(configuration.load()) as engine, transaction(engine) as session:
        set_origin(session, Origin(actor=None, at=clock.now(), channel="cli"))
        operations.set_password(session, email=email, password=new)
    print(f"{email}  {new}")
