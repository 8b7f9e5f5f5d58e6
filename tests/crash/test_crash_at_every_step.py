"""A merchant that dies between any two recorded steps of a completion loses nothing and does nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.crash.world import ITEM_ID, World, world

STEPS = ("before_intent", "after_intent", "after_authorization", "after_order")


@pytest.mark.parametrize("step", STEPS)
def test_a_merchant_killed_at_a_step_of_complete_makes_one_charge_and_one_order(
    step: str, store_url: str, tmp_path: Path
) -> None:
    """IDEM-11, IDEM-14, IDEM-22, CHK-CMP-01."""
    with world(tmp_path, store_url, die_at=step) as alive:
        on_hand, _ = alive.stock()[ITEM_ID]
        purchase = asyncio.run(alive.buy(seed=1, quantity=3))
        assert alive.merchant.deaths == 1
        _assert_bought_once(alive, purchase.session.id, purchase.order.id, purchase.charged, on_hand - 3)


def test_a_merchant_killed_while_its_event_is_delivered_delivers_it_again_under_the_same_identity(
    store_url: str, tmp_path: Path
) -> None:
    """WH-13: the receiver has the event, the merchant has not yet recorded that."""
    with world(tmp_path, store_url) as alive:
        on_hand, _ = alive.stock()[ITEM_ID]
        alive.heard.on_event = lambda: alive.merchant.kill() if len(alive.heard.events) == 1 else None
        purchase = asyncio.run(alive.buy(seed=2, quantity=3))
        with alive.heard.changed:
            again = alive.heard.changed.wait_for(lambda: len(alive.heard.events) >= 2, 90)
        assert again, "the event was not delivered again"
        assert alive.merchant.deaths == 1
        _assert_bought_once(alive, purchase.session.id, purchase.order.id, purchase.charged, on_hand - 3)


def _assert_bought_once(alive: World, session_id: str, order_id: str, charged: int, on_hand: int) -> None:
    charges = [charge for charge in alive.charges() if charge["checkout_session_id"] == session_id]
    assert [charge["amount_captured"] for charge in charges] == [charged]
    assert alive.orders() == {session_id: order_id}
    assert alive.payments() == {(session_id, "captured"): 1}
    assert alive.tokens_kept() == 0
    assert alive.stock()[ITEM_ID] == (on_hand, 0)
    assert len(alive.heard.wait_for_order(order_id)) == 1
