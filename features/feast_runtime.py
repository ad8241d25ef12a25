"""Import Feast, quickly and quietly: every other module gets its names from here.

Feast decorates its classes with ``typeguard.typechecked``, which parses whole modules again at
import and takes most of it; replacing the decorator by one that does nothing removes argument
checks only. Feast's and ibis's deprecation notices are about Feast's own code.
"""

from __future__ import annotations

import warnings
from typing import Any

import typeguard


def _unchecked(target: Any = None, **_: object) -> Any:  # noqa: ANN401 - a decorator of anything
    """Return what is decorated, unchanged."""
    return target if target is not None else _unchecked


_checked = typeguard.typechecked
typeguard.typechecked = _unchecked
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
        from feast.data_source import DataSource
        from feast.infra.key_encoding_utils import serialize_entity_key
        from feast.infra.offline_stores.offline_store import (
            OfflineStore,
            RetrievalJob,
            RetrievalMetadata,
        )
        from feast.infra.online_stores.helpers import compute_table_id
        from feast.infra.online_stores.postgres_online_store.postgres import (
            PostgreSQLOnlineStore,
            PostgreSQLOnlineStoreConfig,
        )
        from feast.infra.utils.postgres.connection_utils import _get_conn as open_connection
        from feast.repo_config import FeastConfigBaseModel, RegistryConfig, RepoConfig
        from feast.types import Float64, String
        from feast.value_type import ValueType
finally:
    typeguard.typechecked = _checked


def entity_key_bytes(config: RepoConfig, key: Any) -> bytes:  # noqa: ANN401 - a protobuf
    """Return an entity's key as the online tables hold it."""
    version = config.entity_key_serialization_version
    serialized: bytes = serialize_entity_key(key, entity_key_serialization_version=version)
    return serialized


def table_name(config: RepoConfig, view: FeatureView) -> str:
    """Return the name of a view's online table."""
    versioned = config.registry.enable_online_feature_view_versioning
    name: str = compute_table_id(config.project, view, versioned)
    return name


__all__ = [
    "DataSource",
    "Entity",
    "FeastConfigBaseModel",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "Float64",
    "OfflineStore",
    "PostgreSQLOnlineStore",
    "PostgreSQLOnlineStoreConfig",
    "RegistryConfig",
    "RepoConfig",
    "RetrievalJob",
    "RetrievalMetadata",
    "String",
    "ValueType",
    "entity_key_bytes",
    "open_connection",
    "table_name",
]
