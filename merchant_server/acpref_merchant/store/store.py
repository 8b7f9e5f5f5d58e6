"""The store: the unit of work of everything that touches the database.

    store = open_store("sqlite:///shop.db")
    session = await store.run(lambda tx: sessions.load(tx, session_id))

A function of a transaction either commits as a whole or changes nothing (IDEM-22). It must do nothing but use its
transaction: no network, no waiting, no effect outside, because it may run more than once (PostgreSQL) and holds up
everybody else (SQLite).

Functions run in the thread of the event loop that asked for them, and what takes time does not hold it up: SQLite's
flush to the disk has a thread of its own, and the loop does other things until PostgreSQL answers. Threads that run
Python code side by side only take turns, and the turns would cost more than the statements.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from acpref_merchant.store.engine import parse_url
from acpref_merchant.store.statement import DialectName, Tx

__all__ = ["Store", "Tx", "open_store"]

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
        """``run`` for callers without an event loop, such as commands. Waits."""

    @abstractmethod
    def read_sync(self, function: Callable[[Tx], T]) -> T:
        """``read`` for callers without an event loop."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finish the queued work of the running event loop, then ``close``."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection. Waits for what is under way in other threads; may be called twice."""


def open_store(url: str, *, batch_limit: int = 64, pool_size: int = 8) -> Store:
    """Open the database at ``url``, whose schema must be current (``migrate``). Raises ValueError for a bad URL.

    ``batch_limit`` is the most transactions that SQLite commits together; ``pool_size`` the most PostgreSQL connections
    that an event loop has in use.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        from acpref_merchant.store.sqlite import SQLiteStore

        return SQLiteStore(parsed, batch_limit=batch_limit)
    from acpref_merchant.store.postgresql import PostgreSQLStore

    return PostgreSQLStore(parsed, pool_size=pool_size)
