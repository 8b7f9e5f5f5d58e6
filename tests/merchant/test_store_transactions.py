"""The unit of work: all or nothing, on both databases."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from acpref_merchant.store import (
    ConstraintViolation,
    Store,
    StoreClosed,
    StoreUnavailable,
    Tx,
    discount_uses,
    meta,
    open_store,
    orders,
)
from acpref_merchant.store.errors import TransactionOver
from acpref_merchant.store.statement import Statement
from acpref_merchant.store.tables import META


def _get(store: Store, key: str) -> str | None:
    return store.read_sync(lambda tx: meta.get(tx, key))


def _order(tx: Tx, number: str) -> None:
    orders.insert(
        tx,
        id=f"o_{number}",
        session_id="cs_1",
        agent_id="a",
        number=number,
        status="created",
        data="{}",
        created_at=1,
    )


def test_what_a_transaction_writes_is_read_by_the_next_one(store: Store) -> None:
    async def scenario() -> None:
        assert await store.run(lambda tx: meta.put(tx, "a", "1")) is None
        assert await store.read(lambda tx: meta.get(tx, "a")) == "1"
        assert await store.run(lambda tx: meta.get(tx, "a")) == "1"

    asyncio.run(scenario())
    assert store.run_sync(lambda tx: meta.get(tx, "a")) == "1"
    assert _get(store, "a") == "1"


def test_an_exception_undoes_its_own_transaction_and_reaches_the_caller(store: Store) -> None:
    def fail(tx: Tx) -> None:
        meta.put(tx, "bad", "1")
        raise LookupError("no such thing")

    async def scenario() -> list[object]:
        works = [store.run(lambda tx, n=n: meta.put(tx, f"good{n}", "1")) for n in range(4)]  # type: ignore[misc]
        return await asyncio.gather(
            works[0], works[1], store.run(fail), works[2], works[3], return_exceptions=True
        )

    results = asyncio.run(scenario())
    assert [str(result) for result in results] == ["None", "None", "no such thing", "None", "None"]
    assert isinstance(results[2], LookupError)
    assert _get(store, "bad") is None
    assert [_get(store, f"good{n}") for n in range(4)] == ["1"] * 4


def test_a_broken_constraint_is_typed_and_undoes_the_transaction(store: Store) -> None:
    def twice(tx: Tx) -> None:
        meta.put(tx, "a", "1")
        _order(tx, "1")
        _order(tx, "2")

    with pytest.raises(ConstraintViolation):
        store.run_sync(twice)
    assert _get(store, "a") is None
    assert store.read_sync(lambda tx: orders.of_session(tx, "cs_1")) is None


def test_a_failed_transaction_cannot_go_on_and_commit_the_rest(store: Store) -> None:
    def swallow(tx: Tx) -> None:
        _order(tx, "1")
        with pytest.raises(ConstraintViolation):
            _order(tx, "2")
        meta.put(tx, "after", "1")

    with pytest.raises(TransactionOver):
        store.run_sync(swallow)
    assert _get(store, "after") is None


def test_a_transaction_is_of_no_use_after_its_function_returned(store: Store) -> None:
    kept = store.run_sync(lambda tx: tx)
    with pytest.raises(TransactionOver):
        meta.put(kept, "late", "1")


def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        store.read_sync(lambda tx: meta.put(tx, "a", "1"))
    assert _get(store, "a") is None
    store.run_sync(lambda tx: meta.put(tx, "a", "2"))
    assert _get(store, "a") == "2"


def test_a_read_sees_one_state_from_beginning_to_end(store: Store) -> None:
    store.run_sync(lambda tx: meta.put(tx, "a", "old"))

    def look_twice(tx: Tx) -> tuple[str | None, str | None]:
        first = meta.get(tx, "a")
        writer = threading.Thread(target=store.run_sync, args=(lambda tx: meta.put(tx, "a", "new"),))
        writer.start()
        writer.join(10)
        return first, meta.get(tx, "a")

    assert store.read_sync(look_twice) == ("old", "old")
    assert _get(store, "a") == "new"


@contextmanager
def _another_writer(url: str) -> Iterator[Callable[[], None]]:
    """Another process's transaction, which has written ``slow`` and holds up whoever writes it too.

    Yields a function that lets it end; it ends with the block in any case.
    """
    store, begun, go_on = open_store(url), threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        meta.put(tx, "slow", "other")
        begun.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=store.run_sync, args=(hold,))
    thread.start()
    try:
        assert begun.wait(10)
        yield go_on.set
    finally:
        go_on.set()
        thread.join()
        store.close()


def test_the_work_of_a_cancelled_caller_is_done_all_the_same(store_url: str) -> None:
    store = open_store(store_url, pool_size=1)

    async def scenario() -> None:
        await store.run(lambda tx: None)
        with _another_writer(store_url) as let_it_end:
            tasks = [
                asyncio.ensure_future(store.run(lambda tx, key=key: meta.put(tx, key, "done")))  # type: ignore[misc]
                for key in ("slow", "queued")
            ]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            let_it_end()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        await store.run(lambda tx: None)
        await store.aclose()

    asyncio.run(scenario())
    again = open_store(store_url)
    assert (_get(again, "slow"), _get(again, "queued")) == ("done", "done")
    again.close()


def test_closing_finishes_what_is_queued_and_refuses_what_comes_after(store_url: str) -> None:
    store = open_store(store_url, pool_size=1)

    async def scenario() -> None:
        await store.run(lambda tx: None)
        with _another_writer(store_url) as let_it_end:
            queued = [
                asyncio.ensure_future(store.run(lambda tx, key=key: meta.put(tx, key, "1")))  # type: ignore[misc]
                for key in ("slow", *map(str, range(100)))
            ]
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(store.aclose())
            let_it_end()
            await asyncio.gather(closing, *queued)
        with pytest.raises(StoreClosed):
            await store.run(lambda tx: None)
        with pytest.raises(StoreClosed):
            await store.read(lambda tx: None)
        with pytest.raises(StoreClosed):
            store.run_sync(lambda tx: None)
        with pytest.raises(StoreClosed):
            store.read_sync(lambda tx: None)
        await store.aclose()

    asyncio.run(scenario())
    again = open_store(store_url)
    assert [_get(again, str(n)) for n in range(100)] == ["1"] * 100
    again.close()


def test_a_loop_serves_others_while_a_transaction_waits_for_another_process(
    store: Store, store_url: str
) -> None:
    async def scenario() -> None:
        with _another_writer(store_url) as let_it_end:
            waiting = asyncio.ensure_future(store.run(lambda tx: meta.put(tx, "slow", "1")))
            for _ in range(20):
                assert await store.read(lambda tx: meta.get(tx, "slow")) is None
            assert not waiting.done()
            let_it_end()
            await waiting

    asyncio.run(scenario())
    assert _get(store, "slow") == "1"


def test_a_caller_whose_event_loop_is_gone_stops_nobody_else(store: Store, store_url: str) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.run(lambda tx: None))
    with _another_writer(store_url):
        task = loop.create_task(store.run(lambda tx: meta.put(tx, "slow", "done")))
        loop.run_until_complete(asyncio.sleep(0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()
    asyncio.run(_put(store, "slow", "alive"))
    assert _get(store, "slow") == "alive"


async def _put(store: Store, key: str, value: str) -> None:
    await store.run(lambda tx: meta.put(tx, key, value))


def test_a_failure_that_a_function_keeps_to_itself_is_no_success(store: Store) -> None:
    def swallow(tx: Tx) -> str:
        meta.put(tx, "before", "1")
        _order(tx, "1")
        with suppress(ConstraintViolation):
            _order(tx, "2")
            meta.get(tx, "before")  # at the latest here the failure of the statement before shows
        return "fine"

    async def scenario() -> None:
        with pytest.raises(TransactionOver):
            await store.run(swallow)

    asyncio.run(scenario())
    with pytest.raises(TransactionOver):
        store.run_sync(swallow)
    assert _get(store, "before") is None


def test_a_constraint_that_only_the_end_of_a_transaction_breaks_is_typed_as_well(store: Store) -> None:
    def twice(tx: Tx) -> None:
        _order(tx, "1")
        _order(tx, "2")

    async def scenario() -> None:
        with pytest.raises(ConstraintViolation):
            await store.run(twice)
        await store.run(lambda tx: meta.put(tx, "next", "1"))

    asyncio.run(scenario())
    assert store.read_sync(lambda tx: orders.of_session(tx, "cs_1")) is None
    assert _get(store, "next") == "1"


async def _both(store: Store, work: Callable[[Tx], object]) -> list[object]:
    """``work`` in the event loop and in a thread that waits."""
    in_loop, in_thread = await asyncio.gather(
        store.run(work), asyncio.to_thread(store.run_sync, work), return_exceptions=True
    )
    return [in_loop, in_thread]


def test_what_was_announced_is_answered_as_if_it_had_not_been(store: Store) -> None:
    store.run_sync(lambda tx: meta.put(tx, "a", "1"))

    def work(tx: Tx) -> tuple[str | None, ...]:
        tx.announce(meta._GET, the_key="a")
        meta.put(tx, "b", "2")
        first = meta.get(tx, "a")
        tx.announce(meta._GET, the_key="a")  # and then something else is asked for
        meta.put(tx, "c", "3")
        return first, meta.get(tx, "b"), meta.get(tx, "a"), meta.get(tx, "c")

    assert asyncio.run(_both(store, work)) == [("1", "2", "1", "3")] * 2


@pytest.mark.parametrize("others", [0, 2])
def test_a_change_that_has_to_happen_and_does_not_undoes_everything(store: Store, others: int) -> None:
    nothing = Statement(
        sa.update(META).where(META.c.key == sa.bindparam("the_key")).values(value=sa.bindparam("the_value"))
    )

    def work(tx: Tx) -> None:
        meta.put(tx, "before", "1")
        tx.must_change(LookupError("nothing there"), nothing, the_key="absent", the_value="x")
        for n in range(others):
            meta.put(tx, f"after{n}", "1")

    assert [str(result) for result in asyncio.run(_both(store, work))] == ["nothing there"] * 2
    assert _get(store, "before") is None


def test_stop_iteration_reaches_the_caller_as_an_error(store: Store) -> None:
    async def scenario() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await store.run(lambda tx: next(iter(())))

    asyncio.run(scenario())


def test_many_event_loops_and_threads_share_a_store(store: Store) -> None:
    async def put(thread: int) -> None:
        await asyncio.gather(
            *(store.run(lambda tx, n=n: meta.put(tx, f"{thread}.{n}", "1")) for n in range(20))  # type: ignore[misc]
        )

    threads = [threading.Thread(target=lambda thread=thread: asyncio.run(put(thread))) for thread in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(_get(store, f"{thread}.{n}") == "1" for thread in range(4) for n in range(20))


def test_two_stores_of_one_database_take_turns(store_url: str) -> None:
    """Such as a server and a command of its operator."""
    stores = [open_store(store_url), open_store(store_url)]

    async def scenario() -> None:
        await asyncio.gather(
            *(
                store.run(lambda tx, n=n, i=i: meta.put(tx, f"{i}.{n}", "1"))  # type: ignore[misc]
                for n in range(50)
                for i, store in enumerate(stores)
            )
        )

    asyncio.run(scenario())
    assert all(_get(stores[0], f"{i}.{n}") == "1" for n in range(50) for i in range(2))
    for store in stores:
        store.close()


def test_a_database_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        open_store(f"sqlite:///{tmp_path}/missing/shop.db")
    store = open_store(f"postgresql://postgres@/shop?host={tmp_path}")
    with pytest.raises(StoreUnavailable):
        store.run_sync(lambda tx: None)

    async def scenario() -> None:
        with pytest.raises(StoreUnavailable):
            await store.read(lambda tx: None)
        await store.aclose()

    asyncio.run(scenario())


def test_a_discount_code_is_used_by_no_more_sessions_than_allowed(store: Store) -> None:
    async def scenario() -> list[object]:
        uses = (store.run(lambda tx, n=n: discount_uses.use(tx, "TEN", f"cs_{n}", 10)) for n in range(30))  # type: ignore[misc]
        return await asyncio.gather(*uses, return_exceptions=True)

    outcomes = [type(outcome) for outcome in asyncio.run(scenario())]
    assert (outcomes.count(type(None)), outcomes.count(discount_uses.UsedUp)) == (10, 20)
    assert store.read_sync(lambda tx: discount_uses.count(tx, ["TEN", "OTHER"])) == {"TEN": 10, "OTHER": 0}


def test_a_session_uses_a_code_once_and_can_give_it_back(store: Store) -> None:
    def use(session: str, code: str = "ONE", limit: int | None = 1) -> None:
        asyncio.run(store.run(lambda tx: discount_uses.use(tx, code, session, limit)))

    use("cs_1")
    use("cs_1")
    with pytest.raises(discount_uses.UsedUp):
        use("cs_2")
    store.run_sync(lambda tx: discount_uses.give_back(tx, "cs_1"))
    use("cs_2")
    with pytest.raises(discount_uses.UsedUp):
        use("cs_1")
    use("cs_1", "FREE", None)
    use("cs_1", "FREE", None)
    assert store.read_sync(lambda tx: discount_uses.count(tx, ["ONE", "FREE"])) == {"ONE": 1, "FREE": 1}


def test_clearing_empties_every_table(store: Store) -> None:
    def fill(tx: Tx) -> None:
        meta.put(tx, "a", "1")
        _order(tx, orders.next_number(tx, "o_1"))
        discount_uses.use(tx, "TEN", "cs_1", None)

    store.run_sync(fill)
    store.run_sync(meta.clear)
    assert _get(store, "a") is None
    assert store.read_sync(lambda tx: orders.recent(tx, 10)) == []
    assert store.read_sync(lambda tx: discount_uses.count(tx, ["TEN"])) == {"TEN": 0}
