"""A database of one's own is used, or the reason why not is told in one sentence."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text

from crm_core.database import create_engine
from crm_core.postgres import DatabaseUnavailable
from crm_core.settings import BadSetting, Settings, read
from serving.commandline import store


def _use(url: str, home) -> dict[str, str]:
    with store.database_urls(Settings(home=home, database_url=url)) as urls:
        return urls


def test_the_databases_beside_the_named_one_are_created(database_url, tmp_path, postgresql):
    urls = _use(database_url, tmp_path)
    name = make_url(database_url).database
    assert [make_url(url).database for url in urls.values()] == [
        name,
        f"{name}_mlflow",
        f"{name}_feast",
    ]
    assert not (tmp_path / "postgresql").exists()
    assert _use(database_url, tmp_path) == urls
    for url in urls.values():
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(text("select 1")) == 1
        engine.dispose()
    administrative = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with administrative.connect() as connection:
        for suffix in ("_mlflow", "_feast"):
            connection.execute(text(f'drop database "{name}{suffix}"'))
    administrative.dispose()


def test_programs_that_start_at_once_create_the_databases_once(database_url, tmp_path, postgresql):
    begin = threading.Barrier(4)

    def start(_number):
        begin.wait()
        return _use(database_url, tmp_path)

    administrative = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    name = make_url(database_url).database
    try:
        for _again in range(3):
            with ThreadPoolExecutor(4) as pool:
                assert len({tuple(urls) for urls in pool.map(start, range(4))}) == 1
            with administrative.connect() as connection:
                for suffix in ("_mlflow", "_feast"):
                    connection.execute(text(f'drop database "{name}{suffix}" with (force)'))
    finally:
        administrative.dispose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://winward:secret@127.0.0.1:1/winward", r"'winward' at 127.0.0.1:1 cannot be"),
        ("postgresql://winward:secret@127.0.0.1:1", r"names no database; add its name"),
        ("mysql://winward@127.0.0.1/winward", r"names mysql; Winward needs PostgreSQL"),
        ("winward", r"is not a database URL; write it as postgresql://"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(url, words, tmp_path):
    with pytest.raises(DatabaseUnavailable, match=words) as raised:
        _use(url, tmp_path)
    assert "secret" not in raised.value.message
    assert "\n" not in raised.value.message


def test_a_database_that_does_not_exist_is_named(postgresql, tmp_path):
    with pytest.raises(DatabaseUnavailable, match=r'database "not_there" does not exist'):
        _use(postgresql.url("not_there"), tmp_path)


def test_an_old_postgresql_is_refused_by_its_version(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(DatabaseUnavailable, match=r"is PostgreSQL \d+; Winward needs 99 or newer"):
        _use(database_url, tmp_path)


def test_a_user_who_may_not_create_databases_is_told_what_to_create(database_url, tmp_path):
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    name = make_url(database_url).database
    with engine.connect() as connection:
        connection.execute(text("create role limited login"))
    try:
        limited = make_url(database_url).set(username="limited")
        with pytest.raises(DatabaseUnavailable, match=rf"create .*'{name}_mlflow'.* for it"):
            _use(limited.render_as_string(hide_password=False), tmp_path)
    finally:
        with engine.connect() as connection:
            connection.execute(text("drop role limited"))
        engine.dispose()


def test_a_setting_that_cannot_be_meant_is_named(monkeypatch):
    monkeypatch.setenv("WINWARD_PORT", "eight thousand")
    with pytest.raises(BadSetting, match=r"WINWARD_PORT is 'eight thousand': .*integer"):
        read()


def test_children_get_these_very_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("WINWARD_TRIALS", "3")
    monkeypatch.setenv("WINWARD_DATABASE_URL", "postgresql://elsewhere/winward")
    settings = Settings(home=tmp_path, port=8123, database_url=None)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WINWARD_DATABASE_URL")
    assert read() == settings
    assert "WINWARD_DATABASE_URL" not in settings.environment()
