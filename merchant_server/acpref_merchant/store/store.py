"""The store: the unit of work of everything that touches the database.

    store = open_store("sqlite:///shop.db")
    session = await store.run(lambda tx: sessions.load(tx, session_id))

A function of a transaction either commits as a whole or changes nothing (IDEM-22). It runs in a thread of the store and
must do nothing but use its transaction: no network, no waiting, no effect outside, because it may run more than once
(PostgreSQL) and holds up those behind it (SQLite).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from typing_extensions import override

from acpref_merchant.store.engine import create_engine, parse_url
from acpref_merchant.store.errors import StoreUnavailable
from acpref_merchant.store.group_commit import Lane
from acpref_merchant.store.pooled import Pool
from acpref_merchant.store.statement import DialectName, Tx

__all__ = ["PostgreSQLStore", "SQLiteStore", "Store", "StoreUnavailable", "Tx", "open_store"]

T = TypeVar("T")


class Store(ABC):
    """Transactions on one database. All methods may be called from any thread and any event loop.

    Every method raises what the function raises (the transaction is then rolled back), StoreUnavailable when the
    database cannot do the work, and StoreClosed after the store was closed. When the waiting task is cancelled, the
    work is still done, and only its result is dropped.
    """

    dialect: DialectName

    @abstractmethod
    async def run(self, function: Callable[[Tx], T]) -> T:
        """Run ``function`` in a transaction, commit durably, and return its result."""

    @abstractmethod
    async def read(self, function: Callable[[Tx], T]) -> T:
        """Run ``function``, which must not write, on a snapshot that has every transaction finished before."""

    @abstractmethod
    def run_sync(self, function: Callable[[Tx], T]) -> T:
        """``run`` for callers without an event loop, such as commands."""

    @abstractmethod
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        """``read`` for callers without an event loop."""

    @abstractmethod
    def close(self) -> None:
        """Finish all queued work and close the database. Waits; may be called twice."""

    async def aclose(self) -> None:
        """``close`` without holding up the event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)


class SQLiteStore(Store):
    """One database file; group commit on a single writer thread (see ``group_commit``)."""

    dialect: DialectName = "sqlite"

    def __init__(self, url: str, *, batch_limit: int) -> None:
        self._engine = create_engine(parse_url(url))
        self._writer = Lane(self._engine, name="store-writer", batch_limit=batch_limit, read_only=False)
        self._reader = Lane(self._engine, name="store-reader", batch_limit=batch_limit, read_only=True)

    @override
    async def run(self, function: Callable[[Tx], T]) -> T:
        return await self._writer.submit(function)

    @override
    async def read(self, function: Callable[[Tx], T]) -> T:
        return await self._reader.submit(function)

    @override
    def run_sync(self, function: Callable[[Tx], T]) -> T:
        return self._writer.submit_sync(function).result()

    @override
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        return self._reader.submit_sync(function).result()

    @override
    def close(self) -> None:
        self._writer.close()
        self._reader.close()
        self._engine.dispose()


class PostgreSQLStore(Store):
    """A PostgreSQL database shared with other processes; a pool of worker threads (see ``pooled``)."""

    dialect: DialectName = "postgresql"

    def __init__(self, url: str, *, pool_size: int) -> None:
        self._pool = Pool(create_engine(parse_url(url), pool_size=pool_size), size=pool_size)

    @override
    async def run(self, function: Callable[[Tx], T]) -> T:
        return await self._pool.submit(function, read_only=False)

    @override
    async def read(self, function: Callable[[Tx], T]) -> T:
        return await self._pool.submit(function, read_only=True)

    @override
    def run_sync(self, function: Callable[[Tx], T]) -> T:
        return self._pool.transact(function, read_only=False)

    @override
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        return self._pool.transact(function, read_only=True)

    @override
    def close(self) -> None:
        self._pool.close()


def open_store(url: str, *, batch_limit: int = 64, pool_size: int = 8) -> Store:
    """Open the database at ``url``, whose schema must be current (``migrate``). Raises ValueError for a bad URL.

    ``batch_limit`` is the most transactions that SQLite commits together; ``pool_size`` the number of PostgreSQL
    connections.
    """
    if parse_url(url).get_backend_name() == "sqlite":
        return SQLiteStore(url, batch_limit=batch_limit)
    return PostgreSQLStore(url, pool_size=pool_size)
