"""``acpref merchant orders | ship | ... | webhooks`` as an operator types them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from tests.merchant.orders_world import LOST, NOW, TOTAL, World, world
from typer.testing import CliRunner, Result

from acpref_merchant import cli_order_views, cli_orders, cli_webhooks
from acpref_merchant.payments.port import ProviderUnavailable
from acpref_merchant.store import orders, outbox, payments, sessions
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store, open_store

LATER = 4_000_000_000_000


class Operator:
    """Types commands against one database; the payment provider is the world's."""

    def __init__(self, shop: World, url: str) -> None:
        self.shop = shop
        self.url = url
        self.app = typer.Typer()
        cli_orders.mount(self.app)
        cli_webhooks.mount(self.app)

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
        ("orders", "--limit", "3", "list"),
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


def test_a_file_that_is_no_database_ends_with_2_and_one_line(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("a shopping list\n" * 500)
    operator.url = f"sqlite:///{tmp_path}/notes.db"
    for words in (("orders",), ("ship", "1001"), ("webhooks", "list"), ("webhooks", "deliver")):
        (line,) = operator.types(*words, expect=2).stderr.strip().splitlines()
        assert "not a database" in line


def test_a_damaged_database_ends_with_2_and_one_line(operator: Operator, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    with closing(sqlite3.connect(str(operator.url).removeprefix("sqlite:///"))) as connection:
        connection.execute("VACUUM INTO ?", (str(damaged),))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    operator.url = f"sqlite:///{damaged}"
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
    assert operator.json("webhooks", "list")["counts"] == {"pending": 2, "delivered": 0, "dead": 0}


def test_what_came_of_a_replay_is_said_in_sentences(operator: Operator) -> None:
    first, second = kill_events(operator)
    said = operator.types("webhooks", "replay", first, second, "evt_none", expect=1).stdout.splitlines()
    assert said[0] == f"{first} will be sent again."
    assert said[1].startswith(f"{second} was not given up: ")
    assert said[2] == "There is no event evt_none."


def test_an_event_made_out_of_date_by_a_later_one_is_replayed_only_by_force(operator: Operator) -> None:
    """WH-07: the older state would replace the newer one at the agent."""
    first, second = kill_events(operator)
    operator.shop.store.run_sync(lambda tx: outbox.delivered(tx, second, NOW))
    assert operator.json("webhooks", "replay", "--all") == {first: "superseded"}
    assert operator.json("webhooks", "replay", first, expect=1) == {first: "superseded"}
    assert operator.json("webhooks", "replay", first, "--force") == {first: "replayed"}


def test_due_events_can_be_delivered_by_hand(operator: Operator) -> None:
    operator.types("ship", "ord_1")
    done = {"delivered": 0, "retried": 0, "dead": 1, "waiting": 0, "next_due_at": None}
    assert operator.json("webhooks", "deliver", expect=1) == done
    assert "has no webhook endpoint" in operator.types("webhooks", "list").stdout
    assert operator.json("webhooks", "deliver") == {**done, "dead": 0}
    assert operator.types("webhooks", "deliver").stdout == "Nothing was due.\n"


def test_events_that_wait_for_a_receiver_are_told_of_and_tried_at_once(operator: Operator) -> None:
    operator.types("ship", "ord_1")
    operator.types("deliver", "ord_1")
    store = operator.shop.store
    first, second = store.read_sync(lambda tx: outbox.of_order(tx, "ord_1"))
    store.run_sync(lambda tx: outbox.retry(tx, first.id, LATER, "ConnectError"))
    listed = operator.types("webhooks", "list").stdout
    assert "Next try" in listed
    for event, words in ((first, "2096-10-02T07:06:40Z"), (second, "after an earlier one")):
        assert words in next(line for line in listed.splitlines() if event.id in line)
    said = operator.types("webhooks", "deliver").stdout
    assert said.startswith("Nothing was due. 2 wait; the next is due at 2096-10-02T07:06:40Z")
    waits = {"delivered": 0, "retried": 0, "dead": 0, "waiting": 2, "next_due_at": "2096-10-02T07:06:40.000Z"}
    assert operator.json("webhooks", "deliver") == waits
    # The agent has no receiver, so that each event that is tried is given up: both are.
    assert operator.json("webhooks", "deliver", "--now", expect=1)["dead"] == 2


# --- Tables for people and for pipes --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("orders",), ("orders", "list")])
def test_no_id_is_cut_however_narrow_the_place_is(
    operator: Operator, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    order_id = "ord_01a20b1608e7e3fb1a2b39eca4f8ba50"
    copy_order(operator, order_id, "1008")
    lines = operator.types(*words).stdout.splitlines()
    (line,) = [line for line in lines if order_id in line]
    assert line.startswith("1008 ")
    assert "Agent" not in lines[0]
    assert len(lines) == 3  # a row is a line where it is not a terminal that wraps it


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_wraps_whole_ids(operator: Operator, width: int) -> None:
    operator.types("ship", "ord_1")
    (event,) = operator.shop.store.read_sync(lambda tx: outbox.of_order(tx, "ord_1"))
    event = replace(event, id="evt_01a20b1608e7e3fb1a2b39eca4f8ba50", last_error="no answer " * 30)
    console = Console(file=StringIO(), force_terminal=True, width=width, color_system=None)
    cli_order_views.print_events(console, [event], set())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert event.id in shown
    assert len(shown.splitlines()) > 2  # the free text is what makes room


def test_an_order_goes_by_its_number_as_well(operator: Operator) -> None:
    assert operator.json("orders", "show", "1001")["order"]["id"] == "ord_1"
    assert operator.json("ship", "1001", "--line", "li_a=1")["id"] == "ord_1"
    assert operator.json("cancel", "1001")["status"] == "shipped"
    assert operator.json("deliver", "1001")["status"] == "completed"
    assert operator.json("refund", "1001", "--amount", "1")["id"] == "ord_1"
    for words in (("orders", "show", "1002"), ("ship", "1002"), ("ship", "\N{SUPERSCRIPT TWO}")):
        assert operator.json(*words, expect=1)["error"]["code"] == "unknown_order"


def copy_order(operator: Operator, order_id: str, number: str) -> None:
    """One more order, like the first."""
    session_id = f"cs_{number}"

    def copy(tx: Tx) -> None:
        row = orders.load(tx, "ord_1")
        stored = sessions.load(tx, "cs_1")
        assert row is not None
        assert stored is not None
        sessions.insert(tx, stored.session.model_copy(update={"id": session_id}))
        payments.intend(
            tx, id=f"pay_{number}", session_id=session_id, agent_id="agent", amount=TOTAL, currency="usd", token="vt",
            provider="books", lease_until=NOW, idempotency_path="/", idempotency_key=number, request="{}", now=NOW,
        )  # fmt: skip
        orders.insert(
            tx, id=order_id, session_id=session_id, agent_id="agent", number=number, status=row.status, data=row.data,
            created_at=NOW,
        )  # fmt: skip

    operator.shop.store.run_sync(copy)


# --- Goods without money --------------------------------------------------------------------------------------------


def test_a_refunded_order_shows_it_and_is_shipped_only_by_force(operator: Operator) -> None:
    operator.types("refund", "ord_1", "--amount", "300")
    assert "3.00 USD" in operator.types("orders").stdout
    assert operator.json("orders")[0]["refunded_amount"] == 300
    operator.types("ship", "ord_1", "--line", "li_a=1")
    operator.types("refund", "ord_1")
    assert "28.00 USD refunded" in operator.types("orders", "show", "ord_1").stdout
    assert "refunded in full" in operator.types("ship", "ord_1", expect=1).stderr
    assert operator.json("ship", "ord_1", expect=1)["error"]["code"] == "nothing_paid"
    operator.types("deliver", "ord_1")  # what has left can arrive
    assert operator.json("ship", "ord_1", "--force")["status"] == "shipped"


def test_a_provider_that_does_not_answer_is_said_once_and_without_code_names(operator: Operator) -> None:
    operator.shop.books.before = [ProviderUnavailable("the payment provider did not answer (ConnectError)")]
    said = operator.types("refund", "ord_1", expect=1).stderr
    assert said.count("did not answer") == 1
    assert "ConnectError" not in said
