"""A merchant that is killed at random moments while many agents buy loses no purchase and makes none twice."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from tests.crash.world import ITEM_ID, OTHER_ITEM_ID, World, world

from acpref_agent.buyer import Purchase

AGENTS = 6


def test_nothing_is_lost_when_the_merchant_is_killed_at_random_moments(
    store_url: str, tmp_path: Path
) -> None:
    """IDEM-14, IDEM-22, CHK-CMP-01, WH-01."""
    _kill_at_random(store_url, tmp_path, kills=3, seed=7)


@pytest.mark.soak
def test_nothing_is_lost_in_two_hundred_kills(store_url: str, tmp_path: Path) -> None:
    """IDEM-14, IDEM-22, CHK-CMP-01, WH-01."""
    _kill_at_random(store_url, tmp_path, kills=200, seed=11)


def _kill_at_random(store_url: str, tmp_path: Path, *, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    finished = threading.Event()
    with world(tmp_path, store_url) as alive:
        before = alive.stock()

        def kill() -> None:
            pause = threading.Event()
            try:
                for _ in range(kills):
                    alive.wait_until_up()
                    # The moment is what is being tried out here, so it is chosen by the clock and a seed.
                    pause.wait(moments.uniform(0.05, 1.2))
                    alive.merchant.kill()
            finally:
                finished.set()

        killer = threading.Thread(target=kill)
        killer.start()
        purchases = asyncio.run(_buy_until(alive, finished))
        killer.join()
        alive.wait_until_up()
        assert alive.merchant.deaths == kills
        _assert_books_agree(alive, purchases, before)


async def _buy_until(alive: World, finished: threading.Event) -> list[Purchase]:
    """Agents that buy one thing after the other until ``finished``, each at least once."""
    bought: list[Purchase] = []

    async def agent(number: int) -> None:
        item = ITEM_ID if number % 2 else OTHER_ITEM_ID
        while True:
            bought.append(await alive.buy(seed=number, item=item, quantity=2))
            if finished.is_set():
                return

    async with asyncio.TaskGroup() as agents:
        for number in range(AGENTS):
            agents.create_task(agent(number))
    return bought


def _assert_books_agree(alive: World, purchases: list[Purchase], before: dict[str, tuple[int, int]]) -> None:
    """Buyers, provider, merchant, warehouse and receiver tell the same story."""
    agreed = {purchase.session.id: purchase.charged for purchase in purchases}
    charges = alive.charges()
    assert Counter(charge["checkout_session_id"] for charge in charges) == Counter(agreed.keys())
    assert {charge["checkout_session_id"]: charge["amount_captured"] for charge in charges} == agreed
    assert alive.orders() == {purchase.session.id: purchase.order.id for purchase in purchases}
    assert alive.payments() == {(session, "captured"): 1 for session in agreed}
    assert alive.tokens_kept() == 0
    sold = Counter(line.item.id for purchase in purchases for line in purchase.session.line_items)
    after = alive.stock()
    for item in (ITEM_ID, OTHER_ITEM_ID):
        assert after[item] == (before[item][0] - 2 * sold[item], 0)
    for purchase in purchases:
        assert len(alive.heard.wait_for_order(purchase.order.id)) == 1
