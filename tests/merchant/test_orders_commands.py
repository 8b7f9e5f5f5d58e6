"""``acpref merchant orders | ship | ... | webhooks`` as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.merchant.orders_world import LOST, NOW, TOTAL, World, world
from typer.testing import CliRunner, Result

from acpref_merchant import cli_orders
from acpref_merchant.store import outbox
from acpref_merchant.store.store import Store, open_store


class Operator:
    """Types commands against one database; the payment provider is the world's."""

    def __init__(self, shop: World, url: str) -> None:
        self.shop = shop
        self.url = url
        self.app = typer.Typer()
        cli_orders.mount(self.app)

    def types(self, *words: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(self.app, [*words, "--database", self.url])
        assert result.exit_code == expect, result.output + repr(result.exception)
        return result

    def json(self, *words: str, expect: int = 0) -> Any:
        return json.loads(self.types(*words, "--json", expect=expect).stdout)


@pytest.fixture
def operator(sqlite_store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    store: Store = open_store(sqlite_store_url)
    shop = world(store)
    monkeypatch.setattr(cli_orders, "provider_from_settings", lambda _: shop.books)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("ACPREF_DATABASE_URL", "ACPREF_AGENTS", "ACPREF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield Operator(shop, sqlite_store_url)
    store.close()


def test_orders_are_listed_and_shown(operator: Operator) -> None:
    listed = operator.types("orders", "list").stdout
    assert "ord_1" in listed
    assert "38.00 USD" not in listed
    assert "28.00 USD" in listed
    (row,) = operator.json("orders", "list")
    assert (row["id"], row["number"], row["total"], row["payment_status"]) == (
        "ord_1",
        "1001",
        TOTAL,
        "captured",
    )
    shown = operator.types("orders", "show", "ord_1").stdout
    for part in ("Order 1001", "Item li_a", "ful_1", "confirmed", "28.00 USD"):
        assert part in shown
    assert operator.json("orders", "show", "ord_1")["order"] == operator.shop.order.to_object()


def test_a_purchase_goes_through_the_operators_hands(operator: Operator) -> None:
    """ORD-06, ORD-11, ORD-12, ORD-14, WH-07."""
    shop = operator.shop
    shipped = operator.json("ship", "ord_1", "--line", "li_a=2", "--carrier", "UPS", "--tracking", "1Z")
    assert shipped["status"] == "processing"
    operator.types("progress", "ord_1", "out_for_delivery", "--location", "Reno, NV")
    operator.types("deliver", "ord_1", "--note", "Left at the door")
    operator.types("cancel", "ord_1", "--reason", "out_of_stock", "--no-restock")
    operator.types("return", "ord_1", "--line", "li_a=1", "--reason", "defective")
    order = operator.json("refund", "ord_1", "--amount", "100", "--reference", "ticket-7")
    assert order == operator.json("refund", "ord_1", "--amount", "100", "--reference", "ticket-7")
    assert order["totals"][-1] == {
        "type": "amount_refunded",
        "display_text": "Refunded",
        "amount": 500 + 1000 + 100,
    }
    assert shop.books.refunded == {"pp_1": 1600}
    assert shop.events()[-1].to_object() == order
    assert (shop.stock("a"), shop.stock("b")) == (11, 10)
    text = operator.types("orders", "show", "ord_1").stdout
    for part in ("UPS 1Z", "cancellation", "defective", "Refunded", "16.00 USD", "order_update"):
        assert part in text


def test_what_an_order_does_not_allow_ends_with_1_and_says_why(operator: Operator) -> None:
    assert "there is no order 'ord_9'" in operator.types("orders", "show", "ord_9", expect=1).stderr
    assert operator.json("deliver", "ord_1", expect=1)["error"]["code"] == "illegal_step"
    assert "possible" in operator.types("ship", "ord_1", "--line", "li_a=3", expect=1).stderr
    operator.shop.books.before = [LOST]
    assert operator.json("refund", "ord_1", expect=1)["error"]["code"] == "provider_unavailable"
    operator.types("refund", "ord_1")
    assert operator.shop.books.refunded == {"pp_1": TOTAL}


@pytest.mark.parametrize(
    "words",
    [
        ("ship", "ord_1", "--line", "li_a"),
        ("ship", "ord_1", "--line", "li_a=x"),
        ("ship", "ord_1", "--line", "=1"),
        ("ship", "ord_1", "--line", "li_a=1", "--line", "li_a=1"),
        ("ship", "ord_1", "--tracking-url", "javascript:alert(1)"),
        ("progress", "ord_1", "teleported"),
        ("refund", "ord_1", "--amount", "0"),
        ("refund", "ord_1", "--amount", "1", "--line", "li_a=1"),
        ("webhooks", "replay"),
        ("webhooks", "replay", "evt_1", "--all"),
        ("webhooks", "list", "--state", "lost"),
        ("orders",),
    ],
)
def test_wrong_usage_ends_with_2_and_changes_nothing(operator: Operator, words: tuple[str, ...]) -> None:
    before = operator.shop.order
    operator.types(*words, expect=2)
    assert operator.shop.order == before


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all.db", "postgresql://127.0.0.1:1/x", "mysql://x", "nonsense"]
)
def test_a_database_that_cannot_be_opened_ends_with_2_and_one_line(operator: Operator, url: str) -> None:
    operator.url = url
    assert len(operator.types("orders", "list", expect=2).stderr.strip().splitlines()) == 1


def test_a_mistyped_path_makes_no_new_database(operator: Operator, tmp_path: Path) -> None:
    operator.url = f"sqlite:///{tmp_path}/typo.db"
    assert "there is no file" in operator.types("orders", "list", expect=2).stderr
    assert not (tmp_path / "typo.db").exists()


def kill_events(operator: Operator) -> list[str]:
    """Two events of the order, of which the first is dead."""
    operator.types("ship", "ord_1")
    operator.types("deliver", "ord_1")
    first, second = operator.shop.store.read_sync(lambda tx: outbox.of_order(tx, "ord_1"))
    operator.shop.store.run_sync(lambda tx: outbox.give_up(tx, first.id, "answered [bold]410[/bold]"))
    return [first.id, second.id]


def test_dead_letters_are_listed_and_replayed(operator: Operator) -> None:
    first, second = kill_events(operator)
    listed = operator.types("webhooks", "list").stdout
    assert "1 pending, 0 delivered, 1 dead" in listed
    assert "answered [bold]410[/bold]" in listed
    (event,) = operator.json("webhooks", "list", "--state", "dead")["events"]
    assert (event["id"], event["attempts"], event["next_attempt_at"]) == (first, 1, None)
    results = operator.json("webhooks", "replay", first, second, "evt_none", expect=1)
    assert results == {first: "replayed", second: "not_dead", "evt_none": "unknown"}
    assert operator.json("webhooks", "list")["counts"] == {"pending": 2}


def test_an_event_made_out_of_date_by_a_later_one_is_replayed_only_by_force(operator: Operator) -> None:
    """WH-07: the older state would replace the newer one at the agent."""
    first, second = kill_events(operator)
    operator.shop.store.run_sync(lambda tx: outbox.delivered(tx, second, NOW))
    assert operator.json("webhooks", "replay", "--all") == {first: "superseded"}
    assert operator.json("webhooks", "replay", first, expect=1) == {first: "superseded"}
    assert operator.json("webhooks", "replay", first, "--force") == {first: "replayed"}


def test_due_events_can_be_delivered_by_hand(operator: Operator) -> None:
    operator.types("ship", "ord_1")
    assert operator.json("webhooks", "deliver", expect=1) == {"delivered": 0, "retried": 0, "dead": 1}
    assert "has no webhook endpoint" in operator.types("webhooks", "list").stdout
    assert operator.json("webhooks", "deliver") == {"delivered": 0, "retried": 0, "dead": 0}
