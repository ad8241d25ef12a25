"""Alembic's environment: runs on the connection that ``crm_core.migrations`` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from crm_core import schema

connection = context.config.attributes["connection"]
connection.execute(text("set lock_timeout = '5s'"))
context.configure(
    connection=connection,
    target_metadata=schema.metadata,
    compare_type=True,
    compare_server_default=True,
    include_name=lambda name, kind, _: (
        kind != "table" or name is None or name in schema.metadata.tables
    ),
)
with context.begin_transaction():
    context.run_migrations()
