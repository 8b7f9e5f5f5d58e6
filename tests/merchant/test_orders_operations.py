"""The operator's changes in a real database: one transaction each, the agent told of each, money moved exactly once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.merchant.orders_world import LOST, TOTAL, Killed, World, world

from acpref_merchant.domain.order_changes import ship
from acpref_merchant.domain.orders import OrderError, amount_of
from acpref_merchant.operations import orders as operations
from acpref_merchant.operations.order_payments import begin_due_capture, finish_refund
from acpref_merchant.operations.orders import order_event_body
from acpref_merchant.payments.port import ProviderRefused
from acpref_merchant.store import refunds
from acpref_merchant.store.store import Store
from acpref_protocol.models import Order


def run(action: Coroutine[Any, Any, Order]) -> Order:
    return asyncio.run(action)


def refused(code: str, action: Coroutine[Any, Any, Order]) -> None:
    with pytest.raises(OrderError) as error:
        asyncio.run(action)
    assert error.value.code == code


def refund_rows(shop: World) -> list[refunds.Refund]:
    return shop.store.read_sync(lambda tx: refunds.of_order(tx, "ord_1"))


# --- Goods ---------------------------------------------------------------------------------------------------------


def test_every_change_is_told_as_the_complete_order(store: Store) -> None:
    """WH-01, WH-06, WH-07, WH-08, WH-12."""
    shop = world(store)
    run(operations.ship(shop.desk, "ord_1", {"li_a": 1}, carrier="UPS", tracking_number="1Z"))
    run(operations.ship(shop.desk, "ord_1"))
    run(operations.advance(shop.desk, "ord_1", "delivered"))
    run(operations.take_back(shop.desk, "ord_1", {"li_b": 1}, reason="defective"))
    told = shop.events()
    assert [order.status for order in told] == [
        "processing",
        "shipped",
        "completed",
        "completed",
        "completed",
    ]
    assert [(a.type, a.status) for a in told[-2].adjustments or ()] == [
        ("return", "completed"),
        ("refund", "pending"),
    ]
    assert told[-1] == shop.order
    assert len(shop.notified) == len(told)


def test_a_refused_change_changes_and_tells_nothing(sqlite_store: Store) -> None:
    shop = world(sqlite_store)
    before = shop.order
    refused("exceeds_outstanding", operations.ship(shop.desk, "ord_1", {"li_a": 3}))
    refused("nothing_to_return", operations.take_back(shop.desk, "ord_1"))
    refused("illegal_step", operations.advance(shop.desk, "ord_1", "delivered"))
    refused("illegal_step", operations.advance(shop.desk, "ord_1", "delivered", "ful_1"))
    refused("invalid_quantity", operations.cancel(shop.desk, "ord_1", {}))
    refused("exceeds_captured", operations.refund(shop.desk, "ord_1", TOTAL + 1))
    for operation in (operations.ship, operations.cancel, operations.take_back, operations.refund):
        refused("unknown_order", operation(shop.desk, "ord_2"))
    assert shop.order == before
    assert shop.events() == []
    assert not shop.books.calls


def test_canceled_and_returned_units_go_back_on_sale_unless_told_not(sqlite_store: Store) -> None:
    shop = world(sqlite_store)
    run(operations.cancel(shop.desk, "ord_1", {"li_a": 1}))
    assert (shop.stock("a"), shop.stock("b")) == (11, 10)
    run(operations.ship(shop.desk, "ord_1"))
    run(operations.take_back(shop.desk, "ord_1", {"li_a": 1}, restock=False))
    run(operations.take_back(shop.desk, "ord_1"))
    assert (shop.stock("a"), shop.stock("b")) == (11, 11)


# --- Money that was captured ---------------------------------------------------------------------------------------


def test_canceling_refunds_what_was_paid_for_the_units(store: Store) -> None:
    """ORD-12, ORD-13, ORD-14."""
    shop = world(store)
    order = run(operations.cancel(shop.desk, "ord_1", {"li_a": 1}, reason="changed_mind"))
    assert shop.books.refunded == {"pp_1": 1000}
    assert amount_of(order.totals, "amount_refunded") == 1000
    order = run(operations.cancel(shop.desk, "ord_1"))
    assert order.status == "canceled"
    assert shop.books.refunded == {"pp_1": TOTAL}
    assert amount_of(order.totals, "amount_refunded") == TOTAL
    assert amount_of(order.totals, "total") == TOTAL
    assert [(a.type, a.amount) for a in order.adjustments or ()] == [
        ("cancellation", None), ("refund", 1000), ("cancellation", None), ("refund", TOTAL - 1000),
    ]  # fmt: skip
    assert (shop.payment.status, shop.payment.refunded_amount) == ("captured", TOTAL)


def test_a_return_refunds_the_goods_but_not_their_shipping(sqlite_store: Store) -> None:
    shop = world(sqlite_store)
    run(operations.ship(shop.desk, "ord_1"))
    run(operations.take_back(shop.desk, "ord_1"))
    assert shop.books.refunded == {"pp_1": TOTAL - 300}
    run(operations.refund(shop.desk, "ord_1"))
    assert shop.books.refunded == {"pp_1": TOTAL}
    refused("nothing_to_refund", operations.refund(shop.desk, "ord_1"))


def test_a_return_can_be_recorded_without_a_refund(sqlite_store: Store) -> None:
    shop = world(sqlite_store)
    run(operations.ship(shop.desk, "ord_1"))
    order = run(operations.take_back(shop.desk, "ord_1", {"li_a": 2}, refunded=False))
    assert [a.type for a in order.adjustments or ()] == ["return"]
    assert not shop.books.refunded


def test_refunds_never_exceed_what_was_captured_even_at_once(store: Store) -> None:
    """ORD-14: of ten refunds at once only as many succeed as there is money for."""
    shop = world(store)

    async def race() -> list[Order | BaseException]:
        actions: list[Awaitable[Order]] = [
            operations.refund(shop.desk, "ord_1", 700, reference=f"r{n}") for n in range(10)
        ]
        return await asyncio.gather(*actions, return_exceptions=True)

    results = asyncio.run(race())
    assert sum(isinstance(result, Order) for result in results) == 4
    assert {r.code for r in results if isinstance(r, OrderError)} == {"exceeds_captured"}
    assert shop.books.refunded == {"pp_1": 2800}
    assert amount_of(shop.order.totals, "amount_refunded") == 2800
    assert shop.payment.refunded_amount == 2800


def test_one_reference_is_one_refund(store: Store) -> None:
    shop = world(store)
    for _ in range(3):
        order = run(operations.refund(shop.desk, "ord_1", 500, reference="ticket-7"))
        assert amount_of(order.totals, "amount_refunded") == 500
    assert shop.books.refunded == {"pp_1": 500}
    run(operations.refund(shop.desk, "ord_1", 500, reference="ticket-8"))
    assert shop.books.refunded == {"pp_1": 1000}


def test_a_refused_refund_is_recorded_as_failed_and_leaves_its_amount(sqlite_store: Store) -> None:
    """ORD-12."""
    shop = world(sqlite_store)
    shop.books.before = [ProviderRefused("expired", "too long ago")]
    refused("refund_refused", operations.refund(shop.desk, "ord_1"))
    assert [(a.type, a.status) for a in shop.order.adjustments or ()] == [("refund", "failed")]
    assert amount_of(shop.order.totals, "amount_refunded") is None
    assert shop.payment.refunded_amount == 0
    run(operations.refund(shop.desk, "ord_1"))
    assert shop.books.refunded == {"pp_1": TOTAL}


@pytest.mark.parametrize("moved", [False, True], ids=["before the money moved", "after the money moved"])
@pytest.mark.parametrize("finisher", ["the same command", "the recovery loop"])
@pytest.mark.parametrize(
    "command",
    [
        lambda desk: operations.refund(desk, "ord_1", 700, reason="late"),
        lambda desk: operations.refund(desk, "ord_1", lines={"li_a": 1}),
        lambda desk: operations.refund(desk, "ord_1"),
        lambda desk: operations.cancel(desk, "ord_1", {"li_a": 1}),
        lambda desk: operations.cancel(desk, "ord_1"),
    ],
    ids=["refund", "refund of a line", "refund of all", "cancel a unit", "cancel all"],
)
def test_a_refund_whose_process_died_is_made_exactly_once(
    sqlite_store: Store,
    moved: bool,
    finisher: str,
    command: Callable[[operations.Desk], Coroutine[Any, Any, Order]],
) -> None:
    shop = world(sqlite_store)
    (shop.books.after if moved else shop.books.before).append(Killed())
    with pytest.raises(Killed):
        run(command(shop.desk))
    assert [r.status for r in refund_rows(shop)] == ["intended"]
    if finisher == "the same command":
        order = run(command(shop.desk))
    else:
        assert asyncio.run(operations.finish_pending(shop.desk)) == 0  # its lease holds
        shop.later()
        assert asyncio.run(operations.finish_pending(shop.desk)) == 1
        order = shop.order
    shop.later()
    assert asyncio.run(operations.finish_pending(shop.desk)) == 0
    (row,) = refund_rows(shop)
    assert row.status == "completed"
    assert shop.books.refunded == {"pp_1": row.amount}
    assert amount_of(order.totals, "amount_refunded") == row.amount == shop.payment.refunded_amount
    assert [a.type for a in order.adjustments or ()].count("refund") == 1
    assert shop.events()[-1] == order == shop.order


def test_a_refund_finished_twice_at_once_is_recorded_and_told_once(store: Store) -> None:
    shop = world(store)
    shop.books.before = [LOST]
    refused("provider_unavailable", operations.refund(shop.desk, "ord_1", 700))

    async def both() -> None:
        (row,) = await shop.store.read(lambda tx: refunds.of_order(tx, "ord_1"))
        await asyncio.gather(*(finish_refund(shop.desk, row.id) for _ in range(4)))

    asyncio.run(both())
    assert shop.books.refunded == {"pp_1": 700}
    assert [[a.status for a in order.adjustments or ()] for order in shop.events()] == [
        ["pending"],
        ["completed"],
    ]


def test_an_unknown_outcome_is_said_and_finished_later(store: Store) -> None:
    shop = world(store)
    shop.books.after = [LOST]
    refused("provider_unavailable", operations.refund(shop.desk, "ord_1", 700))
    assert asyncio.run(operations.finish_pending(shop.desk)) == 1  # at once: nobody is at it any more
    assert shop.books.refunded == {"pp_1": 700}
    assert [a.status for a in shop.order.adjustments or ()] == ["completed"]


# --- Money that is only held ---------------------------------------------------------------------------------------


def test_held_money_is_captured_before_goods_leave(store: Store) -> None:
    shop = world(store, captured=False)
    order = run(operations.ship(shop.desk, "ord_1", {"li_a": 1}))
    assert order.status == "processing"
    assert shop.books.captured == {"pp_1": TOTAL}
    assert shop.payment.status == "captured"
    run(operations.ship(shop.desk, "ord_1"))
    assert shop.books.calls == [f"capture {TOTAL}"]


def test_a_pickup_is_paid_for_when_it_is_collected(sqlite_store: Store) -> None:
    shop = world(sqlite_store, captured=False, kind="pickup")
    run(operations.advance(shop.desk, "ord_1", "ready_for_pickup"))
    assert shop.payment.status == "authorized"
    run(operations.advance(shop.desk, "ord_1", "delivered"))
    assert shop.payment.status == "captured"


def test_what_was_canceled_before_is_not_captured(store: Store) -> None:
    """ORD-13: the cancellation says what is not charged; ORD-14: it is no refund."""
    shop = world(store, captured=False)
    order = run(operations.cancel(shop.desk, "ord_1", {"li_a": 1}))
    assert [(a.type, a.amount, a.currency) for a in order.adjustments or ()] == [
        ("cancellation", 1000, "usd")
    ]
    assert not shop.books.calls
    order = run(operations.ship(shop.desk, "ord_1"))
    assert shop.books.captured == {"pp_1": TOTAL - 1000}
    assert amount_of(order.totals, "amount_refunded") is None
    refused("exceeds_captured", operations.refund(shop.desk, "ord_1", TOTAL))
    run(operations.refund(shop.desk, "ord_1"))
    assert shop.books.refunded == {"pp_1": TOTAL - 1000}


def test_canceling_everything_releases_the_money(store: Store) -> None:
    shop = world(store, captured=False)
    run(operations.cancel(shop.desk, "ord_1", {"li_a": 1}))
    order = run(operations.cancel(shop.desk, "ord_1"))
    assert order.status == "canceled"
    assert shop.books.voided == {"pp_1"}
    assert shop.payment.status == "voided"
    assert sum(a.amount or 0 for a in order.adjustments or ()) == TOTAL


def test_downloads_are_paid_for_by_the_recovery_loop(sqlite_store: Store) -> None:
    """Goods that are delivered with the purchase leave nobody to capture held money but the server."""
    shop = world(sqlite_store, captured=False)
    sqlite_store.run_sync(lambda tx: begin_due_capture(tx, "pay_1", shop.order, shop.clock[0]))
    assert asyncio.run(operations.finish_pending(shop.desk)) == 0  # nothing has left yet
    sent = ship(shop.order, now=shop.clock[0])
    sqlite_store.run_sync(lambda tx: begin_due_capture(tx, "pay_1", sent, shop.clock[0]))
    assert asyncio.run(operations.finish_pending(shop.desk)) == 1
    assert shop.books.captured == {"pp_1": TOTAL}
    sqlite_store.run_sync(lambda tx: begin_due_capture(tx, "pay_1", sent, shop.clock[0]))
    assert shop.payment.lease_until is None


def test_nothing_ships_when_the_money_cannot_be_had(sqlite_store: Store) -> None:
    shop = world(sqlite_store, captured=False)
    shop.books.before = [ProviderRefused("expired", "the authorisation has expired")]
    refused("capture_refused", operations.ship(shop.desk, "ord_1"))
    assert shop.order.status == "confirmed"
    assert shop.payment.lease_until is None
    assert shop.events() == []
    run(operations.cancel(shop.desk, "ord_1"))
    assert shop.payment.status == "voided"


def test_money_that_is_held_cannot_be_refunded(sqlite_store: Store) -> None:
    refused("not_captured", operations.refund(world(sqlite_store, captured=False).desk, "ord_1", 100))


@pytest.mark.parametrize("moved", [False, True], ids=["before the money moved", "after the money moved"])
@pytest.mark.parametrize("finisher", ["the same command", "the recovery loop"])
def test_a_capture_whose_process_died_is_made_exactly_once(
    sqlite_store: Store, moved: bool, finisher: str
) -> None:
    shop = world(sqlite_store, captured=False)
    (shop.books.after if moved else shop.books.before).append(Killed())
    with pytest.raises(Killed):
        run(operations.ship(shop.desk, "ord_1"))
    assert shop.order.status == "confirmed"
    if finisher == "the recovery loop":
        shop.later()
        assert asyncio.run(operations.finish_pending(shop.desk)) == 1
        assert shop.payment.status == "captured"
    assert run(operations.ship(shop.desk, "ord_1")).status == "shipped"
    assert shop.books.captured == {"pp_1": TOTAL}
    assert shop.payment.status == "captured"
    assert len(shop.events()) == 1


@pytest.mark.parametrize("moved", [False, True], ids=["before the money moved", "after the money moved"])
@pytest.mark.parametrize("finisher", ["the same command", "the recovery loop"])
def test_a_release_whose_process_died_is_made(sqlite_store: Store, moved: bool, finisher: str) -> None:
    shop = world(sqlite_store, captured=False)
    (shop.books.after if moved else shop.books.before).append(Killed())
    with pytest.raises(Killed):
        run(operations.cancel(shop.desk, "ord_1"))
    assert shop.order.status == "canceled"
    if finisher == "the recovery loop":
        shop.later()
        assert asyncio.run(operations.finish_pending(shop.desk)) == 1
    else:
        assert run(operations.cancel(shop.desk, "ord_1")).status == "canceled"
    assert shop.books.voided == {"pp_1"}
    assert shop.payment.status == "voided"
    assert len(shop.events()) == 1


def test_a_cancellation_between_a_capture_and_its_record_refunds_instead(sqlite_store: Store) -> None:
    shop = world(sqlite_store, captured=False)
    shop.books.after = [Killed()]
    with pytest.raises(Killed):
        run(operations.ship(shop.desk, "ord_1"))
    run(operations.cancel(shop.desk, "ord_1", {"li_a": 1}))
    assert shop.books.captured == {"pp_1": TOTAL}
    assert shop.books.refunded == {"pp_1": 1000}


def test_an_event_body_is_the_type_and_the_order_only(sqlite_store: Store) -> None:
    """WH-06, WH-12."""
    order = world(sqlite_store).order
    body = order_event_body("order_create", order.to_json())
    assert json.loads(body) == {"type": "order_create", "data": order.to_object()}
    assert body.startswith(b'{"type":"order_create","data":{"type":"order","id":"ord_1",')
