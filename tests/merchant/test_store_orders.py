"""Orders and the outbox: numbers that never collide, events that keep their order."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from acpref_merchant.store import ConstraintViolation, Store, StoreError, Tx, open_store, orders, outbox
from acpref_merchant.store.outbox import Event


def _order(tx: Tx, name: str, *, created_at: int = 1) -> str:
    number = orders.next_number(tx, name)
    orders.insert(
        tx,
        id=name,
        session_id=f"cs_{name}",
        agent_id="agent_a",
        number=number,
        status="created",
        data='{"id":1}',
        created_at=created_at,
    )
    return number


def _append(tx: Tx, event_id: str, order_id: str, now: int = 1) -> None:
    outbox.append(
        tx, id=event_id, order_id=order_id, agent_id="agent_a", type="order_update", body=b"{}", now=now
    )


def _claim(store: Store, now: int, *, limit: int = 10, lease_until: int | None = None) -> list[str]:
    until = lease_until if lease_until is not None else now + 1000
    return [
        event.id
        for event in store.run_sync(lambda tx: outbox.claim(tx, now=now, lease_until=until, limit=limit))
    ]


def test_an_order_comes_back_as_it_was_stored(store: Store) -> None:
    number = store.run_sync(lambda tx: _order(tx, "o_1"))
    stored = orders.Stored("o_1", "cs_o_1", "agent_a", number, "created", '{"id":1}', 1, 1)
    for load in (
        lambda tx: orders.load(tx, "o_1"),
        lambda tx: orders.load(tx, "o_1", agent_id="agent_a"),
        lambda tx: orders.of_session(tx, "cs_o_1"),
    ):
        assert store.read_sync(load) == stored
    assert store.read_sync(lambda tx: orders.load(tx, "o_1", agent_id="agent_b")) is None
    assert store.read_sync(lambda tx: orders.load(tx, "o_1\x00")) is None


def test_a_session_becomes_one_order(store: Store) -> None:
    store.run_sync(lambda tx: _order(tx, "o_1"))

    def again(tx: Tx) -> None:
        orders.insert(
            tx,
            id="o_2",
            session_id="cs_o_1",
            agent_id="agent_a",
            number=orders.next_number(tx, "o_2"),
            status="created",
            data="{}",
            created_at=1,
        )

    with pytest.raises(ConstraintViolation):
        store.run_sync(again)


def test_orders_made_at_once_have_different_numbers_counting_up(store: Store) -> None:
    async def scenario() -> list[str]:
        return await asyncio.gather(*(store.run(lambda tx, n=n: _order(tx, f"o_{n}")) for n in range(40)))  # type: ignore[misc]

    numbers = asyncio.run(scenario())
    assert sorted(map(int, numbers)) == list(range(1001, 1041))


def test_a_number_is_not_handed_out_again_when_its_order_failed(store: Store) -> None:
    """It may stay unused, but no two orders ever get the same."""

    def fail(tx: Tx) -> None:
        _order(tx, "o_1")
        raise LookupError

    with pytest.raises(LookupError):
        store.run_sync(fail)
    first = store.run_sync(lambda tx: _order(tx, "o_2"))
    second = store.run_sync(lambda tx: _order(tx, "o_3"))
    assert int(second) > int(first) >= 1001


def test_a_changed_order_is_saved_and_an_unknown_one_is_not(store: Store) -> None:
    store.run_sync(lambda tx: _order(tx, "o_1"))
    store.run_sync(lambda tx: orders.save(tx, "o_1", status="shipped", data="{}", updated_at=9))
    stored = store.read_sync(lambda tx: orders.load(tx, "o_1", for_update=False))
    assert stored is not None
    assert (stored.status, stored.data, stored.updated_at, stored.created_at) == ("shipped", "{}", 9, 1)
    with pytest.raises(StoreError):
        store.run_sync(lambda tx: orders.save(tx, "o_9", status="shipped", data="{}", updated_at=9))


def test_recent_orders_come_newest_first_page_by_page(store: Store) -> None:
    for n in range(7):
        store.run_sync(lambda tx: _order(tx, f"o_{n}", created_at=n // 2))  # noqa: B023 - run at once
    seen: list[str] = []
    before = None
    while page := store.read_sync(lambda tx: orders.recent(tx, 3, before=before)):  # noqa: B023
        seen += [order.id for order in page]
        before = page[-1]
    assert seen == ["o_6", "o_5", "o_4", "o_3", "o_2", "o_1", "o_0"]


def test_an_event_comes_back_as_it_was_stored(store: Store) -> None:
    body = bytes(range(256))
    store.run_sync(
        lambda tx: outbox.append(
            tx, id="e_1", order_id="o_1", agent_id="agent_a", type="order_create", body=body, now=5
        )
    )
    expected = Event("e_1", "o_1", 1, "agent_a", "order_create", body, "pending", 0, 5, 0, None, 5, None)
    assert store.read_sync(lambda tx: outbox.load(tx, "e_1")) == expected
    assert store.read_sync(lambda tx: outbox.load(tx, "e_2")) is None


def test_events_of_an_order_are_numbered_from_one_however_many_change_it_at_once(store: Store) -> None:
    store.run_sync(lambda tx: _order(tx, "o_1"))

    def change(tx: Tx, n: int) -> None:
        assert orders.load(tx, "o_1", for_update=True) is not None
        _append(tx, f"e_{n}", "o_1")

    async def scenario() -> None:
        await asyncio.gather(*(store.run(lambda tx, n=n: change(tx, n)) for n in range(20)))  # type: ignore[misc]

    asyncio.run(scenario())
    assert [e.sequence for e in store.read_sync(lambda tx: outbox.of_order(tx, "o_1"))] == list(range(1, 21))


def test_only_the_oldest_undelivered_event_of_an_order_is_handed_out(store: Store) -> None:
    def fill(tx: Tx) -> None:
        for event_id, order_id in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")):
            _append(tx, event_id, order_id)

    store.run_sync(fill)
    assert _claim(store, 10) == ["a1", "b1"]
    assert _claim(store, 11) == []  # both are held
    store.run_sync(lambda tx: outbox.delivered(tx, "a1", 12))
    assert _claim(store, 13) == ["a2"]
    store.run_sync(lambda tx: outbox.retry(tx, "b1", 500, "timeout"))
    assert _claim(store, 14) == []  # b2 does not overtake b1
    assert _claim(store, 500) == ["b1"]


def test_an_event_whose_worker_died_is_handed_out_again(store: Store) -> None:
    store.run_sync(lambda tx: _append(tx, "a1", "a"))
    assert _claim(store, 10, lease_until=100) == ["a1"]
    assert _claim(store, 99) == []
    assert _claim(store, 100) == ["a1"]


def test_due_events_come_longest_due_first_up_to_the_limit(store: Store) -> None:
    for n, due in enumerate([30, 10, 20, 90]):
        store.run_sync(lambda tx: _append(tx, f"e{n}", f"o{n}", due))  # noqa: B023 - run at once
    assert _claim(store, 50, limit=2) == ["e1", "e2"]
    assert _claim(store, 50, limit=2) == ["e0"]


def test_workers_that_look_at_once_get_different_events(store: Store) -> None:
    def fill(tx: Tx) -> None:
        for n in range(40):
            _append(tx, f"e{n}", f"o{n % 20}")

    store.run_sync(fill)

    async def scenario() -> list[list[Event]]:
        return await asyncio.gather(
            *(store.run(lambda tx: outbox.claim(tx, now=10, lease_until=99, limit=4)) for _ in range(10))
        )

    taken = [event for batch in asyncio.run(scenario()) for event in batch]
    assert len({event.id for event in taken}) == len({event.order_id for event in taken}) == len(taken)
    assert all(event.sequence == 1 for event in taken)
    rest = _claim(store, 10, limit=100)
    assert len(taken) + len(rest) == 20


def test_a_worker_passes_over_events_that_another_transaction_has_locked(
    postgres_store_url: str,
) -> None:
    """SKIP LOCKED: it does not wait for the other one to finish."""
    store = open_store(postgres_store_url)
    store.run_sync(lambda tx: (_append(tx, "a1", "a"), _append(tx, "b1", "b")))
    with psycopg.connect(postgres_store_url) as other:
        other.execute("SELECT * FROM outbox WHERE id = 'a1' FOR UPDATE")
        assert _claim(store, 10) == ["b1"]
        other.rollback()
    assert _claim(store, 10) == ["a1"]
    store.close()


def test_failed_attempts_are_counted_until_the_event_is_given_up(store: Store) -> None:
    store.run_sync(lambda tx: (_append(tx, "a1", "a"), _append(tx, "a2", "a")))
    store.run_sync(lambda tx: outbox.retry(tx, "a1", 100, "answered 500"))
    store.run_sync(lambda tx: outbox.give_up(tx, "a1", "answered\x00 \ud800410"))
    event = store.read_sync(lambda tx: outbox.load(tx, "a1"))
    assert event is not None
    assert (event.state, event.attempts, event.last_error) == (
        "dead",
        2,
        "answered\N{REPLACEMENT CHARACTER} ?410",
    )
    for late in (
        lambda tx: outbox.retry(tx, "a1", 1, "x"),
        lambda tx: outbox.give_up(tx, "a1", "x"),
        lambda tx: outbox.delivered(tx, "a1", 1),
    ):
        store.run_sync(late)
        assert store.read_sync(lambda tx: outbox.load(tx, "a1")) == event
    assert _claim(store, 200) == ["a2"]  # a dead event does not hold up what comes after it


def test_a_dead_event_can_be_replayed(store: Store) -> None:
    store.run_sync(lambda tx: _append(tx, "a1", "a"))
    assert not store.run_sync(lambda tx: outbox.replay(tx, "a1", 50))
    store.run_sync(lambda tx: outbox.give_up(tx, "a1", "gone"))
    assert _claim(store, 60) == []
    assert store.run_sync(lambda tx: outbox.replay(tx, "a1", 70))
    assert _claim(store, 70) == ["a1"]
    store.run_sync(lambda tx: outbox.delivered(tx, "a1", 80))
    event = store.read_sync(lambda tx: outbox.load(tx, "a1"))
    assert event is not None
    assert (event.state, event.attempts, event.delivered_at, event.last_error) == ("delivered", 0, 80, None)
    assert not store.run_sync(lambda tx: outbox.replay(tx, "a1", 90))
    assert not store.run_sync(lambda tx: outbox.replay(tx, "a1\x00", 90))


def test_events_are_listed_and_counted_by_state(store: Store) -> None:
    def fill(tx: Tx) -> Any:
        for n in range(4):
            _append(tx, f"e{n}", f"o{n}", n)
        outbox.delivered(tx, "e0", 9)
        outbox.give_up(tx, "e1", "gone")

    store.run_sync(fill)
    assert store.read_sync(outbox.counts) == {"pending": 2, "delivered": 1, "dead": 1}
    assert [e.id for e in store.read_sync(lambda tx: outbox.recent(tx, 3))] == ["e3", "e2", "e1"]
    assert [e.id for e in store.read_sync(lambda tx: outbox.recent(tx, 3, state="dead"))] == ["e1"]
