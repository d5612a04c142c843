"""Alembic runs this file for every command; the connection and its transaction are the caller's."""

from alembic import context

from service.stores.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
