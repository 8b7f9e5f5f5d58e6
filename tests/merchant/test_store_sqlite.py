"""The store on SQLite: what waits together commits together, and stands or falls alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event

from acpref_merchant.store import ConstraintViolation, Store, StoreUnavailable, Tx, meta, open_store


@contextmanager
def _statements_of_new_connections() -> Iterator[list[str]]:
    """Collects what SQLite itself is told to do, by every connection opened meanwhile."""
    seen: list[str] = []

    def trace(connection: sqlite3.Connection, _record: Any) -> None:
        connection.set_trace_callback(seen.append)

    event.listen(Engine, "connect", trace)
    try:
        yield seen
    finally:
        event.remove(Engine, "connect", trace)


async def _run_together(store: Store, works: list[Any]) -> list[Any]:
    return await asyncio.gather(*(store.run(work) for work in works), return_exceptions=True)


def _put(key: str) -> Any:
    return lambda tx: meta.put(tx, key, "1")


def test_requests_that_wait_together_share_commits(sqlite_store_url: str) -> None:
    with _statements_of_new_connections() as seen:
        store = open_store(sqlite_store_url, batch_limit=64)
        asyncio.run(_run_together(store, [_put(str(n)) for n in range(150)]))
        store.close()
    assert seen.count("COMMIT") == seen.count("BEGIN IMMEDIATE") == 3  # 64 + 64 + 22
    assert seen.count("SAVEPOINT job") == 150


def test_the_batch_limit_is_the_largest_batch(sqlite_store_url: str) -> None:
    with _statements_of_new_connections() as seen:
        store = open_store(sqlite_store_url, batch_limit=10)
        asyncio.run(_run_together(store, [_put(str(n)) for n in range(30)]))
        store.close()
    assert seen.count("COMMIT") == 3


def test_reads_of_one_turn_of_the_loop_share_a_snapshot_and_later_ones_see_more(sqlite_store: Store) -> None:
    async def scenario() -> None:
        def value(tx: Tx) -> str | None:
            return meta.get(tx, "a")

        first = [sqlite_store.read(value), sqlite_store.read(value)]
        assert await asyncio.gather(*first) == [None, None]
        await sqlite_store.run(_put("a"))
        assert await sqlite_store.read(value) == "1"

    asyncio.run(scenario())


def test_commits_are_durable_before_they_are_answered(sqlite_store_url: str) -> None:
    with _statements_of_new_connections() as seen:
        open_store(sqlite_store_url).close()
    assert "PRAGMA synchronous = FULL" in seen
    assert "PRAGMA journal_mode = WAL" in seen


def test_a_failure_in_a_batch_undoes_only_itself(sqlite_store: Store) -> None:
    def fail(tx: Tx) -> None:
        meta.put(tx, "bad", "1")
        raise LookupError

    results = asyncio.run(_run_together(sqlite_store, [_put("before"), fail, _put("after")]))
    assert results[0] is None
    assert isinstance(results[1], LookupError)
    assert results[2] is None
    found = sqlite_store.read_sync(lambda tx: [meta.get(tx, key) for key in ("before", "bad", "after")])
    assert found == ["1", None, "1"]


def test_when_the_commit_fails_so_does_every_request_of_the_batch(sqlite_store_url: str) -> None:
    """A foreign key checked at the commit makes SQLite itself refuse it."""
    connection = sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///"))
    connection.execute("CREATE TABLE child (x TEXT REFERENCES meta (key) DEFERRABLE INITIALLY DEFERRED)")
    connection.execute(
        "CREATE TRIGGER orphan AFTER INSERT ON meta WHEN new.key = 'poison' BEGIN INSERT INTO child VALUES ('?'); END"
    )
    connection.commit()
    connection.close()
    store = open_store(sqlite_store_url)
    results = asyncio.run(_run_together(store, [_put("a"), _put("poison"), _put("b")]))
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    assert store.read_sync(lambda tx: [meta.get(tx, key) for key in ("a", "poison", "b")]) == [None] * 3
    store.run_sync(_put("a"))
    assert store.read_sync(lambda tx: meta.get(tx, "a")) == "1"
    store.close()


def test_when_sqlite_drops_the_transaction_midway_nothing_of_the_batch_is_half_done(
    sqlite_store_url: str,
) -> None:
    """As it does by itself on a full disk: here a trigger rolls everything back."""
    connection = sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///"))
    connection.execute(
        "CREATE TRIGGER drop_all BEFORE INSERT ON meta WHEN new.key = 'poison' "
        "BEGIN SELECT RAISE(ROLLBACK, 'full'); END"
    )
    connection.commit()
    connection.close()
    store = open_store(sqlite_store_url)

    def stubborn(tx: Tx) -> None:
        with suppress(ConstraintViolation):
            meta.put(tx, "poison", "1")
        meta.put(tx, "outside any transaction", "1")

    results = asyncio.run(_run_together(store, [_put("a"), stubborn, _put("b")]))
    assert [type(result) for result in results] == [StoreUnavailable] * 3
    keys = ("a", "poison", "outside any transaction", "b")
    assert store.read_sync(lambda tx: [meta.get(tx, key) for key in keys]) == [None] * 4
    store.run_sync(_put("a"))
    store.close()


def test_a_writer_that_another_process_keeps_out_is_a_typed_error(
    sqlite_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acpref_merchant.store.engine.LOCK_WAIT_MS", 50)
    store = open_store(sqlite_store_url)
    other = sqlite3.connect(sqlite_store_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.run_sync(_put("a"))
    results = asyncio.run(_run_together(store, [_put("a"), _put("b")]))
    assert [type(result) for result in results] == [StoreUnavailable] * 2
    assert store.read_sync(lambda tx: meta.get(tx, "a")) is None  # readers are not kept out
    other.execute("ROLLBACK")
    other.close()
    store.run_sync(_put("a"))
    store.close()


def test_wrong_sql_is_a_bug_and_not_an_unavailable_database(sqlite_store_url: str) -> None:
    store = open_store(sqlite_store_url)

    def drop(tx: Tx) -> None:
        tx._cursor.execute("DROP TABLE meta")

    store.run_sync(drop)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.run_sync(_put("a"))
    store.close()
