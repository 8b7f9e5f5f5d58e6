"""Database URLs and the SQLAlchemy engines made from them, with each database's settings."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy import create_engine as _create_engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.pool import NullPool

# How long a statement waits for another process (SQLite) or another transaction (PostgreSQL) before it gives up.
LOCK_WAIT_MS = 5_000


def parse_url(url: str) -> URL:
    """``sqlite:///file`` or ``postgresql://user@host/name``; raises ValueError, naming what to write instead."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ValueError(
            "not a database URL; write sqlite:///file.db or postgresql://user@host/name"
        ) from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ValueError(
            f"no support for {parsed.drivername!r}; use sqlite:///file.db or postgresql://user@host/name"
        )
    database = parsed.database or ""
    if database in ("", ":memory:") or database.startswith("file:"):
        # Writer, readers and other processes each have a connection: in memory, each would have its own database.
        raise ValueError("SQLite needs a file: write sqlite:///file.db")
    return parsed.set(drivername="sqlite+pysqlite")


def create_engine(url: URL) -> Engine:
    """An engine for a URL from ``parse_url``. SQLite connections are in autocommit mode: BEGIN is written out."""
    if url.get_backend_name() != "sqlite":
        return _create_engine(url, poolclass=NullPool, connect_args=_postgresql_settings(url))
    # cached_statements is larger than the number of our statements, so that none is ever prepared twice.
    arguments = {"isolation_level": None, "check_same_thread": False, "cached_statements": 256}
    engine = _create_engine(url, poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def connect_postgresql(url: URL) -> psycopg.Connection[Any]:
    """A connection in autocommit mode: BEGIN is written out. Raises psycopg.Error."""
    _, parameters = PGDialect_psycopg().create_connect_args(url)  # type: ignore[no-untyped-call]
    return psycopg.connect(**parameters, **_postgresql_settings(url), autocommit=True)


def _postgresql_settings(url: URL) -> dict[str, Any]:
    """What a URL leaves open."""
    defaults = {
        "application_name": "acpref",
        "connect_timeout": 5,
        "options": f"-c lock_timeout={LOCK_WAIT_MS} -c idle_in_transaction_session_timeout=60000",
    }
    return {name: value for name, value in defaults.items() if name not in url.query}


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_MS}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16000")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to write-ahead logging. That ignores busy_timeout, so the wait for others is written here."""
    deadline = time.monotonic() + LOCK_WAIT_MS / 1000
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"write-ahead logging is not possible here (journal mode {mode})")
        return


def is_retriable(error: BaseException | None) -> bool:
    """Whether PostgreSQL undid the transaction only because of another one, so that it can simply be run again."""
    return isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected)
