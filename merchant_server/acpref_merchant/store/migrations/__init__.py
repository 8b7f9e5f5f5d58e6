"""The history of the schema, as alembic revisions. Run by ``acpref_merchant.store.migrate``."""
