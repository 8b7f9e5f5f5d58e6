"""Alembic's entry: runs the revisions on the connection that ``migrate`` has opened, inside its transaction."""

from __future__ import annotations

from alembic import context

from acpref_merchant.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=False,  # the transaction is the caller's, on both databases
)
context.run_migrations()
