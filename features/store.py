"""The only door to Feast: registration, the training frame, the online rows.

The registry and the online store are in PostgreSQL, the files of a build are the offline store.
Every retrieval filters by when a value was known.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd
from sqlalchemy import make_url, text

from crm_core.settings import Settings
from features.builds import CREATED, JOIN_KEY, MOMENT, Build, latest_build
from features.checks import check
from features.definitions import GROUP_COLUMNS, KEYS, SERVICE, WEIGHT, feature
from features.feast_runtime import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    Float64,
    RepoConfig,
    ValueType,
    table_name,
)

PROJECT = "winward"


def entities() -> list[Entity]:
    """Return the things features are about."""
    names = (
        ("opportunity", JOIN_KEY, "A deal"),
        ("account", GROUP_COLUMNS[0], "A customer"),
        ("user", GROUP_COLUMNS[1], "The owner of a deal"),
    )
    return [
        Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=words)
        for name, key, words in names
    ]


def feature_views(build: Build) -> list[FeatureView]:
    """Return the views of a build, reading its Parquet files."""
    return [_feature_view(build, name, columns) for name, columns in build.views.items()]


def _feature_view(build: Build, name: str, columns: Sequence[str]) -> FeatureView:
    source = FileSource(
        name=name,
        path=str(build.folder / f"{name.removeprefix('opportunity_')}.parquet"),
        timestamp_field=MOMENT,
        created_timestamp_column=CREATED,
    )
    schema = [
        Field(name=each, dtype=Float64, description=feature(each).label("en")) for each in columns
    ]
    return FeatureView(
        name=name, entities=[entities()[0]], ttl=dt.timedelta(0), schema=schema, source=source,
        tags={"as_of": build.as_of.isoformat(), "fingerprint": build.fingerprint},
    )  # fmt: skip


@contextmanager
def opened(feast_url: str, settings: Settings) -> Iterator[FeatureStore]:
    """Yield Feast configured in code; its connections are closed when the block ends."""
    store = FeatureStore(config=_configuration(feast_url, settings))
    try:
        yield store
    finally:
        store._get_provider().online_store.close()
        for engine in {store.registry.write_engine, store.registry.read_engine}:
            engine.dispose()


def _configuration(feast_url: str, settings: Settings) -> RepoConfig:
    """Return the configuration: SQL registry and online store in one database."""
    url = make_url(feast_url)
    host = url.query.get("host") or url.host or "localhost"
    port = url.query.get("port") or url.port or 5432
    return RepoConfig(
        project=PROJECT,
        provider="local",
        registry={"registry_type": "sql", "path": feast_url, "cache_ttl_seconds": 3600},
        offline_store={
            "type": "features.offline.AsofOfflineStore",
            "threads": settings.threads,
        },
        online_store={
            "type": "features.online.CopyOnlineStore",
            "host": str(host),
            "port": int(str(port)),
            "database": str(url.database),
            "user": url.username or "postgres",
            "password": url.password or "",
            "sslmode": str(url.query.get("sslmode", "prefer")),
        },
        entity_key_serialization_version=3,
    )


def apply(store: FeatureStore, build: Build) -> None:
    """Register the entities, the build's views and the service of the win-rate model."""
    views = feature_views(build)
    service = FeatureService(name=SERVICE, features=views, tags={"fingerprint": build.fingerprint})
    store.apply([*entities(), *views, service])


def training_frame(*, as_of: dt.datetime, settings: Settings, feast_url: str) -> pd.DataFrame:
    """Return the frame a model trains on, as known at ``as_of``.

    One row per landmark: ``entity_id``, ``as_of``, ``account_id``, ``owner_id``, ``weight`` and
    the features of the service, retrieved point in time with the known-time filter on. From the
    newest build up to ``as_of``. Raises NoFeatures.
    """
    build = latest_build(settings, as_of=as_of)
    landmarks = pd.read_parquet(build.folder / "landmarks.parquet")
    with opened(feast_url, settings) as store:
        _register(store, build)
        frame = historical(store, landmarks)
    frame = frame.rename(columns={JOIN_KEY: KEYS[0], MOMENT: KEYS[1]})
    frame = frame[[*KEYS, *GROUP_COLUMNS, WEIGHT, *build.columns]]
    return check(frame, columns=build.columns, as_of=as_of)


def _register(store: FeatureStore, build: Build) -> None:
    """Make sure that the registry's views are those of the build."""
    registered = {view.name: view for view in store.list_feature_views()}
    if any(
        name not in registered or registered[name].batch_source.path != view.batch_source.path
        for name, view in ((view.name, view) for view in feature_views(build))
    ):
        apply(store, build)


def historical(store: FeatureStore, entity_rows: pd.DataFrame) -> pd.DataFrame:
    """Return the service's features as known at each row's timestamp, rows in their order."""
    job = store.get_historical_features(
        entity_df=entity_rows,
        features=store.get_feature_service(SERVICE),
        filter_by_created_timestamp=True,
    )
    frame: pd.DataFrame = job.to_df()
    return frame


def materialize(store: FeatureStore, build: Build) -> None:
    """Put the rows as of the build's cut (the open deals') online and drop all others."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # Feast prints
        store.materialize(
            start_date=build.as_of, end_date=build.as_of, feature_views=list(build.views)
        )
    with store.registry.write_engine.begin() as connection:
        for view in feature_views(build):
            table = table_name(store.config, view)
            connection.execute(
                text(f'delete from "{table}" where event_ts <> :cut'),  # noqa: S608 - our names
                {"cut": build.as_of},
            )


def online_rows(store: FeatureStore, ids: Sequence[str], *, columns: Sequence[str]) -> pd.DataFrame:
    """Return the online features of deals, NaN where there is none, columns in their order."""
    answer = store.get_online_features(
        features=store.get_feature_service(SERVICE),
        entity_rows=[{JOIN_KEY: each} for each in ids],
    ).to_dict()
    frame = pd.DataFrame(answer).rename(columns={JOIN_KEY: KEYS[0]})
    values = frame.reindex(columns=list(columns)).astype(np.float64)
    return pd.concat([frame[[KEYS[0]]], values], axis=1)
