"""What an operator asks of the outbox: when the next event is due, which wait for others, and not to wait at all."""

from __future__ import annotations

from tests.merchant.orders_world import NOW, world

from acpref_merchant.store import outbox
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store


def append(tx: Tx, *ids: str) -> None:
    for event_id in ids:
        outbox.append(
            tx, id=event_id, order_id="ord_1", agent_id="agent", type="order_update", body=b"{}", now=NOW
        )


def test_the_oldest_pending_event_of_an_order_says_when_the_next_is_due(store: Store) -> None:
    world(store)
    assert store.read_sync(outbox.next_due) is None
    store.run_sync(lambda tx: append(tx, "evt_1", "evt_2"))
    assert store.read_sync(outbox.next_due) == NOW
    store.run_sync(lambda tx: outbox.retry(tx, "evt_1", NOW + 60_000, "no answer"))
    assert store.read_sync(outbox.next_due) == NOW + 60_000
    assert store.read_sync(outbox.behind_others) == {"evt_2"}
    store.run_sync(lambda tx: outbox.give_up(tx, "evt_1", "no answer"))
    assert store.read_sync(outbox.next_due) == NOW
    assert store.read_sync(outbox.behind_others) == set()


def test_an_event_that_another_worker_holds_is_due_when_its_lease_ends(store: Store) -> None:
    world(store)
    store.run_sync(lambda tx: append(tx, "evt_1"))
    store.run_sync(lambda tx: outbox.claim(tx, now=NOW, lease_until=NOW + 20_000, limit=1))
    assert store.read_sync(outbox.next_due) == NOW + 20_000


def test_waiting_events_are_made_due_and_no_others(store: Store) -> None:
    world(store)
    store.run_sync(lambda tx: append(tx, "evt_1", "evt_2"))
    store.run_sync(lambda tx: outbox.retry(tx, "evt_1", NOW + 60_000, "no answer"))
    assert store.run_sync(lambda tx: outbox.make_due(tx, NOW + 5)) == 1
    assert [e.next_attempt_at for e in store.read_sync(lambda tx: outbox.of_order(tx, "ord_1"))] == [
        NOW + 5,
        NOW,
    ]
    store.run_sync(lambda tx: outbox.delivered(tx, "evt_1", NOW + 6))
    assert store.run_sync(lambda tx: outbox.make_due(tx, NOW + 7)) == 0
