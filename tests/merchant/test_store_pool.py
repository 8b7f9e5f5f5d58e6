"""The pool on PostgreSQL: conflicts are run again, lost connections are replaced or reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
import sqlalchemy as sa
import uvloop
from tests.postgres import PostgreSQLServer

from acpref_merchant.domain.item import Item
from acpref_merchant.store import Store, StoreUnavailable, Tx, items, meta, open_store
from acpref_merchant.store.statement import Statement
from acpref_merchant.store.tables import META


@pytest.fixture
def postgres_store(postgres_store_url: str) -> Iterator[Store]:
    store = open_store(postgres_store_url, pool_size=4)
    yield store
    store.close()


def _terminate_others(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_deadlock_is_run_again(postgres_store: Store) -> None:
    """Two transactions take two rows in opposite order: PostgreSQL undoes one of them, and both get through."""
    postgres_store.run_sync(lambda tx: (meta.put(tx, "a", "0"), meta.put(tx, "b", "0")))
    barrier = threading.Barrier(2)
    runs = {"ab": 0, "ba": 0}

    def cross(first: str, second: str) -> None:
        def work(tx: Tx) -> None:
            runs[first + second] += 1
            meta.put(tx, first, first + second)
            if runs[first + second] == 1:
                barrier.wait(10)
            meta.put(tx, second, first + second)

        postgres_store.run_sync(work)

    threads = [threading.Thread(target=cross, args=rows) for rows in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(runs.values()) == [1, 2]
    found = postgres_store.read_sync(lambda tx: (meta.get(tx, "a"), meta.get(tx, "b")))
    assert found[0] == found[1]


def test_a_deadlock_within_one_event_loop_is_run_again_as_well(postgres_store: Store) -> None:
    postgres_store.run_sync(lambda tx: (meta.put(tx, "a", "0"), meta.put(tx, "b", "0")))
    met: list[str] = []

    def cross(first: str, second: str, tx: Tx) -> None:
        meta.put(tx, first, first + second)
        met.append(first)
        while len(met) < 2:  # each statement gives the other transaction a turn
            meta.get(tx, "nothing")
        meta.put(tx, second, first + second)

    async def scenario() -> None:
        await asyncio.gather(
            postgres_store.run(lambda tx: cross("a", "b", tx)),
            postgres_store.run(lambda tx: cross("b", "a", tx)),
        )

    asyncio.run(scenario())
    assert len(met) == 3
    found = postgres_store.read_sync(lambda tx: (meta.get(tx, "a"), meta.get(tx, "b")))
    assert found[0] == found[1]


def test_a_deadlock_of_statements_that_nobody_waits_for_is_run_again(postgres_store: Store) -> None:
    """It shows at the commit only."""
    update = Statement(
        sa.update(META).where(META.c.key == sa.bindparam("the_key")).values(value=sa.bindparam("new_value"))
    )
    postgres_store.run_sync(lambda tx: (meta.put(tx, "a", "0"), meta.put(tx, "b", "0")))
    met: list[str] = []

    def cross(first: str, second: str, tx: Tx) -> None:
        tx.execute(update, the_key=first, new_value=first + second)
        met.append(first)
        while len(met) < 2:  # each statement gives the other transaction a turn
            meta.get(tx, "nothing")
        tx.write(update, the_key=second, new_value=first + second)

    async def scenario() -> None:
        await asyncio.gather(
            postgres_store.run(lambda tx: cross("a", "b", tx)),
            postgres_store.run(lambda tx: cross("b", "a", tx)),
        )

    asyncio.run(scenario())
    assert len(met) == 3
    found = postgres_store.read_sync(lambda tx: (meta.get(tx, "a"), meta.get(tx, "b")))
    assert found[0] == found[1]


def test_a_connection_lost_in_the_event_loop_is_replaced_and_the_transaction_run_again(
    postgres_store: Store, postgres_store_url: str
) -> None:
    runs = 0

    def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        meta.put(tx, f"run{runs}", "1")
        if runs == 1:
            _terminate_others(postgres_store_url)
        meta.put(tx, "done", "1")

    async def scenario() -> list[str | None]:
        await postgres_store.run(work)
        return await postgres_store.read(lambda tx: [meta.get(tx, key) for key in ("run1", "run2", "done")])

    assert asyncio.run(scenario()) == [None, "1", "1"]


def test_a_statement_larger_than_the_sockets_buffers_is_sent_piece_by_piece(postgres_store: Store) -> None:
    large = "x" * 20_000_000

    async def scenario() -> str | None:
        await postgres_store.run(lambda tx: meta.put(tx, "large", large))
        return await postgres_store.read(lambda tx: meta.get(tx, "large"))

    assert asyncio.run(scenario()) == large


def test_idle_connections_that_the_server_closed_are_replaced(
    postgres_store: Store, postgres_store_url: str
) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(postgres_store.run(lambda tx: meta.get(tx, "a")) for _ in range(8)))
        await asyncio.to_thread(_terminate_others, postgres_store_url)
        await asyncio.gather(*(postgres_store.run(lambda tx: meta.put(tx, "a", "1")) for _ in range(8)))

    asyncio.run(scenario())
    assert postgres_store.read_sync(lambda tx: meta.get(tx, "a")) == "1"


def test_a_transaction_whose_connection_is_lost_before_its_commit_is_run_again(
    postgres_store: Store, postgres_store_url: str
) -> None:
    runs = 0

    def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        meta.put(tx, f"run{runs}", "1")
        if runs == 1:
            _terminate_others(postgres_store_url)
        meta.put(tx, "done", "1")

    postgres_store.run_sync(work)
    found = postgres_store.read_sync(lambda tx: [meta.get(tx, key) for key in ("run1", "run2", "done")])
    assert found == [None, "1", "1"]


def test_a_connection_lost_every_time_is_a_typed_error(
    postgres_store: Store, postgres_store_url: str
) -> None:
    def work(tx: Tx) -> None:
        _terminate_others(postgres_store_url)
        meta.put(tx, "a", "1")

    with pytest.raises(StoreUnavailable):
        postgres_store.run_sync(work)
    assert postgres_store.read_sync(lambda tx: meta.get(tx, "a")) is None


def test_a_connection_lost_during_the_commit_is_not_run_again(
    postgres_store: Store, postgres_store_url: str
) -> None:
    """Whether it committed is unknown, so running it again could do it twice."""
    runs = 0

    def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        meta.put(tx, "a", "1")
        _terminate_others(postgres_store_url)

    with pytest.raises(StoreUnavailable, match="outcome unknown"):
        postgres_store.run_sync(work)
    assert runs == 1


def test_connections_that_are_cut_under_load_hang_nobody_and_lose_nothing_that_was_answered(
    postgres_store_url: str,
) -> None:
    """On the event loop that serves, with statements that are long on their way."""
    store = open_store(postgres_store_url, pool_size=6)

    async def put(n: int) -> str:
        key = f"{n:03}"
        with suppress(StoreUnavailable):
            await store.run(lambda tx: meta.put(tx, key, key * (10 if n % 3 else 1_000_000)))
            return key
        return ""

    async def scenario() -> list[str]:
        answered: list[str] = []
        async with asyncio.timeout(60):
            for first in range(0, 72, 12):
                work = asyncio.gather(*(put(n) for n in range(first, first + 12)))
                await asyncio.to_thread(_terminate_others, postgres_store_url)
                answered += await work
        found = await store.read(lambda tx: [meta.get(tx, key) for key in answered if key])
        assert [value and value[:3] for value in found] == [key for key in answered if key]
        await store.aclose()
        return answered

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answered = runner.run(scenario())
    assert len(answered) == 72
    assert any(answered)


def test_a_server_that_is_gone_is_a_typed_error_and_its_return_is_noticed(
    postgres_server: PostgreSQLServer, postgres_store: Store, postgres_store_url: str
) -> None:
    name = postgres_store_url.split("@/")[1].split("?")[0]
    postgres_store.run_sync(lambda tx: meta.put(tx, "a", "1"))
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        _terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        admin.execute(_terminate, (name,))
        with pytest.raises(StoreUnavailable):
            postgres_store.run_sync(lambda tx: meta.put(tx, "a", "2"))
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert postgres_store.read_sync(lambda tx: meta.get(tx, "a")) == "1"


def test_a_lock_that_is_never_released_is_a_typed_error(
    postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acpref_merchant.store.engine.LOCK_WAIT_MS", 50)
    store = open_store(postgres_store_url)
    store.run_sync(
        lambda tx: items.replace_all(
            tx, [Item(id="i", product_id="p", title="T", unit_amount=1, available=5)]
        )
    )
    with psycopg.connect(postgres_store_url) as other:
        other.execute("SELECT * FROM item FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.run_sync(lambda tx: items.reserve(tx, {"i": 1}))
        other.rollback()
    store.run_sync(lambda tx: items.reserve(tx, {"i": 1}))
    store.close()
