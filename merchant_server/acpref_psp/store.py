"""The only place that commits: one writer thread, one connection, one commit for everything that waits (group commit).

Operations are synchronous functions of a ``Transaction``. Each runs in its own savepoint, so that one that fails undoes
only itself; callers hear of their result after the commit has reached the disk (``synchronous=FULL``), never before.
Tables are SQLModel classes and statements are SQLAlchemy Core, compiled once and run by the driver itself: the
service charges hundreds of times a second on one core.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Table as CoreTable
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement
from sqlmodel import SQLModel

from acpref_psp.tables import Table

T = TypeVar("T")

SCHEMA_VERSION = 1
_BATCH = 64
_DIALECT = sqlite.dialect(paramstyle="named")


def columns(model: type[SQLModel]) -> CoreTable:
    """The Core table of a SQLModel class."""
    return cast("CoreTable", model.__table__)  # type: ignore[attr-defined]


class Statement:
    """A Core statement as SQL text; parameters are passed by name when it runs."""

    __slots__ = ("_constants", "sql")

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def bind(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """``parameters`` with the constants of the statement."""
        return {**self._constants, **parameters} if self._constants else parameters


class Transaction:
    """What an operation sees of the database while it runs."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def one(self, statement: Statement, **parameters: Any) -> sqlite3.Row | None:
        """The first row, or ``None``."""
        row: sqlite3.Row | None = self._connection.execute(
            statement.sql, statement.bind(parameters)
        ).fetchone()
        return row

    def all(self, statement: Statement, **parameters: Any) -> list[sqlite3.Row]:
        """Every row."""
        return self._connection.execute(statement.sql, statement.bind(parameters)).fetchall()

    def change(self, statement: Statement, **parameters: Any) -> int:
        """Run a change; returns how many rows it touched."""
        return self._connection.execute(statement.sql, statement.bind(parameters)).rowcount

    def attempt(self, operation: Callable[[], T]) -> T:
        """Run ``operation``; what it wrote is undone when it raises."""
        self._connection.execute("SAVEPOINT attempt")
        try:
            return operation()
        except BaseException:
            self._connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            self._connection.execute("RELEASE attempt")


class StoreClosedError(Exception):
    """The store was closed before the operation ran."""


class _Job:
    __slots__ = ("error", "future", "loop", "operation", "result")

    def __init__(self, operation: Callable[[Transaction], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.operation = operation
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():  # the caller was cancelled
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Store:
    """The database file and its writer thread. ``open`` before use, ``close`` after.

    ``busy_seconds`` is how long to wait for another process that is writing.
    """

    def __init__(self, path: Path, busy_seconds: float = 5.0) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, make the tables when absent and start the writer. Raises RuntimeError for a newer schema.

        A file that is not there is made for its owner's eyes alone, and SQLite gives its companions the same mode.
        """
        with suppress(OSError):  # what is wrong with the path, SQLite says below
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=self._busy_seconds
        )
        try:
            connection.row_factory = sqlite3.Row
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                "secure_delete=ON",
                "temp_store=MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}")
            _make_tables(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._thread = threading.Thread(target=self._write, name="psp-writer", daemon=True)
        self._thread.start()

    async def run(self, operation: Callable[[Transaction], T]) -> T:
        """Run ``operation`` in a transaction; returns when its effects are durable, or raises what it raised."""
        if self._thread is None:
            raise StoreClosedError
        job = _Job(operation, asyncio.get_running_loop())
        self._jobs.put(job)
        return cast("T", await job.future)

    def close(self) -> None:
        """Finish what waits and close the file."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self) -> None:
        assert self._connection is not None  # noqa: S101 - open() has set it
        open_ = True
        while open_:
            batch: list[_Job] = []
            entry = self._jobs.get()
            while entry is not None:
                batch.append(entry)
                if len(batch) == _BATCH:
                    break
                try:
                    entry = self._jobs.get_nowait()
                except queue.Empty:
                    break
            open_ = entry is not None
            if batch:
                self._commit(self._connection, batch)

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[_Job]) -> None:
        transaction = Transaction(connection)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                connection.execute("SAVEPOINT job")
                try:
                    job.result = job.operation(transaction)
                except Exception as error:  # noqa: BLE001 - handed to the caller that waits for it
                    connection.execute("ROLLBACK TO job")
                    job.error = error
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - nothing of the batch is durable: every caller must know
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for job in batch:
                job.error = error
        for loop in {job.loop for job in batch}:
            # One wake-up of the event loop settles the whole batch.
            jobs = [job for job in batch if job.loop is loop]
            with suppress(RuntimeError):  # that loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.settle()


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        connection.execute("ROLLBACK")
        raise RuntimeError(
            f"the database has schema {version}, newer than {SCHEMA_VERSION}, which this program knows"
        )
    if version < SCHEMA_VERSION:
        for table in Table.metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=_DIALECT)))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(str(CreateIndex(index).compile(dialect=_DIALECT)))
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")
