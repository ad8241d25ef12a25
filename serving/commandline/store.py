"""Opening the store for a command: the embedded PostgreSQL or the one the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError

from crm_core import migrations, row_security
from crm_core.database import WEB_ROLE, create_engine, web_engine
from crm_core.postgres import DatabaseUnavailable, EmbeddedServer
from crm_core.settings import Settings
from serving import leases

DATABASE = "winward"
TRACKING_DATABASE = "winward_mlflow"
ONLINE_DATABASE = "winward_feast"
OLDEST_POSTGRESQL = 15
_CONNECT_SECONDS = 10
_CREATING = 7_246_913_002  # any number of ours, beside the migrations' lock


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
    with database_urls(settings) as urls, facts(urls["winward"]) as engine:
        yield engine


@contextmanager
def facts(url: str) -> Iterator[Engine]:
    """Yield an engine on the facts of a server that runs, migrated to the newest version."""
    engine = create_engine(url)
    try:
        if not migrations.is_current(engine):
            migrations.upgrade(engine)
        with leases.watched(engine):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def web_store(settings: Settings) -> Iterator[Engine]:
    """Yield an engine for web requests on the migrated facts, bound by row-level security.

    It works as the role ``winward_app``: by a login of its own on the embedded server, by the
    user of WINWARD_APP_DATABASE_URL, or else from the start of each connection of
    WINWARD_DATABASE_URL. Raises UnboundRole.
    """
    with database_urls(settings) as urls:
        with facts(urls["winward"]) as engine:
            if settings.database_url is None:
                row_security.let_in(engine)
        url = settings.app_database_url or _as_web_role(settings, urls["winward"])
        bound = web_engine(url)
        try:
            yield bound
        finally:
            bound.dispose()


def _as_web_role(settings: Settings, url: str) -> str:
    """Return the URL of the web's own login on the embedded server; another's as it is."""
    if settings.database_url is not None:
        return url
    return make_url(url).set(username=WEB_ROLE).render_as_string(hide_password=False)


def _beside(url: str) -> dict[str, str]:
    try:
        named = make_url(url)
    except ArgumentError:
        raise DatabaseUnavailable(
            "WINWARD_DATABASE_URL is not a database URL; write it as "
            "postgresql://user:password@host:5432/winward."
        ) from None
    if named.get_backend_name() not in ("postgresql", "postgres"):
        raise DatabaseUnavailable(
            f"WINWARD_DATABASE_URL names {named.get_backend_name()}; Winward needs PostgreSQL: "
            "postgresql://user:password@host:5432/winward."
        )
    if not named.database:
        raise DatabaseUnavailable("WINWARD_DATABASE_URL names no database; add its name: …/winward")

    def sibling(suffix: str) -> str:
        other = named.set(drivername="postgresql+psycopg", database=f"{named.database}{suffix}")
        return other.render_as_string(hide_password=False)

    return {"winward": sibling(""), "mlflow": sibling("_mlflow"), "feast": sibling("_feast")}


def _create_missing(administrative_url: str, urls: dict[str, str]) -> None:
    engine = create_engine(
        administrative_url,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": _CONNECT_SECONDS},
    )
    try:
        with engine.connect() as connection:
            version = connection.dialect.server_version_info or (0,)
            if version < (OLDEST_POSTGRESQL,):
                raise DatabaseUnavailable(
                    f"The database is PostgreSQL {version[0]}; Winward needs "
                    f"{OLDEST_POSTGRESQL} or newer."
                )
            # two programs that start at once: the second waits and finds the first one's work
            connection.exec_driver_sql(f"select pg_advisory_lock({_CREATING})")
            present = set(
                connection.exec_driver_sql("select datname from pg_database").scalars().all()
            )
            for url in urls.values():
                name = make_url(url).database
                if name is not None and name not in present:
                    quoted = name.replace('"', '""')
                    connection.exec_driver_sql(f'create database "{quoted}"')
    except OperationalError as error:
        raise _unreachable(administrative_url, error) from None
    except ProgrammingError as error:
        raise _not_permitted(urls, error) from None
    finally:
        engine.dispose()


def _unreachable(url: str, error: DBAPIError) -> Exception:
    if getattr(error.orig, "sqlstate", None) == "53100":
        return error  # a full disk has its own sentence
    shown = make_url(url)
    said = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    reason = said[-1].rpartition("FATAL:")[2].strip() if said else "no reason was given"
    place = f"{shown.host or 'this machine'}:{shown.port or 5432}"
    return DatabaseUnavailable(
        f"The database '{shown.database}' at {place} cannot be used ({reason}); check that the "
        "server runs and that WINWARD_DATABASE_URL names its host, port, user and password."
    )


def _not_permitted(urls: dict[str, str], error: DBAPIError) -> Exception:
    if getattr(error.orig, "sqlstate", None) == "42P04":  # somebody created it just now
        return error
    if getattr(error.orig, "sqlstate", None) != "42501":
        return error
    names = " and ".join(f"'{make_url(url).database}'" for url in urls.values())
    return DatabaseUnavailable(
        f"The user of WINWARD_DATABASE_URL may not create databases; create {names} for it, or "
        "give it the right: alter role … createdb."
    )
