"""Goods leave for money: an order of which everything was given back keeps what was not handed over."""

from __future__ import annotations

import asyncio

import pytest
from tests.merchant.orders_world import world

from acpref_merchant.domain.orders import OrderError
from acpref_merchant.operations import orders as operations
from acpref_merchant.store import Store


def test_a_refunded_pickup_is_handed_over_only_by_force(sqlite_store: Store) -> None:
    shop = world(sqlite_store, kind="pickup")
    asyncio.run(operations.refund(shop.desk, "ord_1"))
    asyncio.run(operations.advance(shop.desk, "ord_1", "ready_for_pickup"))  # nothing leaves yet
    with pytest.raises(OrderError, match="refunded in full") as refused:
        asyncio.run(operations.advance(shop.desk, "ord_1", "delivered"))
    assert refused.value.code == "nothing_paid"
    order = asyncio.run(operations.advance(shop.desk, "ord_1", "delivered", force=True))
    assert order.status == "completed"


def test_money_that_is_only_held_counts_as_paid(sqlite_store: Store) -> None:
    shop = world(sqlite_store, captured=False)
    assert asyncio.run(operations.ship(shop.desk, "ord_1")).status == "shipped"
    assert shop.payment.status == "captured"
