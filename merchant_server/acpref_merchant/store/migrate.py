"""Bring a database to the current schema.

The usual case, a database that is current already, costs one query: alembic is imported only when there is something to
do. Then the whole migration runs in one transaction under an exclusive lock, so that of several processes that start
together one migrates and the others find nothing left to do.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import URL, Connection

from acpref_merchant.store.engine import create_engine, parse_url
from acpref_merchant.store.errors import SchemaTooNew, StoreUnavailable

HEAD = "0001"
"""The newest revision in ``migrations/versions``."""

_ADVISORY_LOCK = 0x61637072  # any number that nobody else uses in this database
_VERSION = sa.text("SELECT version_num FROM alembic_version")


def migrate(url: str) -> None:
    """Create or upgrade the schema of the database at ``url``; an SQLite file is created when it is missing.

    Raises StoreUnavailable when the database cannot be reached or written, SchemaTooNew when a newer release has
    upgraded it, and ValueError for a bad URL.
    """
    parsed = parse_url(url)
    engine = create_engine(parsed)
    try:
        _make_private(parsed)
        with engine.connect() as connection:
            if _is_current(connection):
                return
            _lock(connection)
            if not _is_current(connection):  # another process may have done it while this one waited
                _upgrade(connection)
            connection.commit()
    except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError) as error:
        raise StoreUnavailable(f"cannot migrate: {error.orig or error}") from error
    except (sqlalchemy.exc.DatabaseError, sqlite3.DatabaseError, OSError) as error:
        cause = getattr(error, "orig", error)
        if type(cause) is not sqlite3.DatabaseError and not isinstance(cause, OSError):
            raise
        raise StoreUnavailable(f"cannot use {parsed.database}: {cause}") from error
    finally:
        engine.dispose()


def _make_private(url: URL) -> None:
    """Create a missing SQLite file such that only its owner can read it: there are names and addresses in it."""
    if url.get_backend_name() == "sqlite" and url.database is not None:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(url.database, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _is_current(connection: Connection) -> bool:
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return connection.execute(_VERSION).scalars().all() == [HEAD]


def _lock(connection: Connection) -> None:
    """Keep other migrations out until the transaction ends, on PostgreSQL; on SQLite all other writers."""
    connection.rollback()  # the first look must not decide what the second one sees
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaTooNew("the database was upgraded by a newer release; run that release") from error
