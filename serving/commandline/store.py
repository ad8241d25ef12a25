"""Opening the store for a command: the embedded PostgreSQL or the one the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, make_url

from crm_core import migrations
from crm_core.database import create_engine
from crm_core.postgres import DatabaseUnavailable, EmbeddedServer
from crm_core.settings import Settings

DATABASE = "winward"
TRACKING_DATABASE = "winward_mlflow"
ONLINE_DATABASE = "winward_feast"


@contextmanager
def database_urls(settings: Settings) -> Iterator[dict[str, str]]:
    """Yield the URLs of our three databases while their server runs, creating missing ones.

    Keys: ``winward`` (facts), ``mlflow`` (tracking and registry), ``feast`` (feature registry
    and online store). With ``WINWARD_DATABASE_URL`` the other two live beside the named one.
    """
    if settings.database_url is not None:
        urls = _beside(settings.database_url)
        _create_missing(settings.database_url, urls)
        yield urls
        return
    server = EmbeddedServer(settings.home)
    with server.running():
        urls = {
            "winward": server.url(DATABASE),
            "mlflow": server.url(TRACKING_DATABASE),
            "feast": server.url(ONLINE_DATABASE),
        }
        _create_missing(server.url("postgres"), urls)
        yield urls


@contextmanager
def store(settings: Settings) -> Iterator[Engine]:
    """Yield an engine on the facts, migrated to the newest version."""
    with database_urls(settings) as urls:
        engine = create_engine(urls["winward"])
        try:
            if migrations.applied(engine) != migrations.newest():
                migrations.upgrade(engine)
            yield engine
        finally:
            engine.dispose()


def _beside(url: str) -> dict[str, str]:
    named = make_url(url)
    if not named.database:
        raise DatabaseUnavailable("WINWARD_DATABASE_URL names no database; add its name: …/winward")

    def sibling(suffix: str) -> str:
        other = named.set(database=f"{named.database}{suffix}")
        return other.render_as_string(hide_password=False)

    return {"winward": sibling(""), "mlflow": sibling("_mlflow"), "feast": sibling("_feast")}


def _create_missing(administrative_url: str, urls: dict[str, str]) -> None:
    engine = create_engine(administrative_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            version = connection.dialect.server_version_info or (0,)
            if version < (15,):
                raise DatabaseUnavailable(
                    f"The database is PostgreSQL {version[0]}; Winward needs 15 or newer."
                )
            present = set(
                connection.exec_driver_sql("select datname from pg_database").scalars().all()
            )
            for url in urls.values():
                name = make_url(url).database
                if name is not None and name not in present:
                    quoted = name.replace('"', '""')
                    connection.exec_driver_sql(f'create database "{quoted}"')
    finally:
        engine.dispose()
