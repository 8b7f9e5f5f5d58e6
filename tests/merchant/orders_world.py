"""A shop with paid orders in a real database, and a payment provider that keeps books, fails and dies on command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from acpref_merchant.domain.item import Item
from acpref_merchant.domain.session import Line, Session
from acpref_merchant.operations.orders import Desk
from acpref_merchant.payments.port import (
    Authorized,
    ChargeRequest,
    Declined,
    ProviderRefused,
    ProviderUnavailable,
)
from acpref_merchant.store import items, orders, outbox, payments, sessions
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store
from acpref_protocol.lifecycle import Status
from acpref_protocol.models import (
    Fulfillment,
    LineItemReference,
    Order,
    OrderLineItem,
    OrderLineItemQuantity,
    Total,
)

NOW = 1_770_000_000_000


class Killed(BaseException):
    """Stands for the process ending here: nothing that follows runs."""


@dataclass
class Books:
    """A provider that moves each payment's money in memory, once per idempotency key, as real ones do."""

    name: str = "books"
    authorized: dict[str, int] = field(default_factory=dict)
    captured: dict[str, int] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    refunded: dict[str, int] = field(default_factory=dict)
    answers: dict[str, tuple[str, object]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: list[BaseException] = field(default_factory=list)
    """Raised, in turn, by the next calls before they move anything."""
    after: list[BaseException] = field(default_factory=list)
    """Raised, in turn, by the next calls after they moved the money: the answer is lost."""

    async def authorize(self, charge: ChargeRequest) -> Authorized | Declined:
        raise NotImplementedError

    async def capture(
        self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str
    ) -> None:
        def move() -> None:
            if provider_payment_id in self.voided or provider_payment_id in self.captured:
                raise ProviderRefused("not_capturable", "the payment is not held")
            if amount > self.authorized[provider_payment_id]:
                raise ProviderRefused("amount_too_large", "more than is held")
            self.captured[provider_payment_id] = amount

        self._once(f"capture {amount}", idempotency_key, move)

    async def void(self, provider_payment_id: str, idempotency_key: str) -> None:
        def move() -> None:
            if provider_payment_id in self.captured:
                raise ProviderRefused("not_voidable", "the payment is captured")
            self.voided.add(provider_payment_id)

        self._once("void", idempotency_key, move)

    async def refund(self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str) -> str:
        def move() -> str:
            total = self.refunded.get(provider_payment_id, 0) + amount
            if total > self.captured.get(provider_payment_id, 0):
                raise ProviderRefused("amount_too_large", "more than was captured")
            self.refunded[provider_payment_id] = total
            return f"re_{total}"

        return str(self._once(f"refund {amount}", idempotency_key, move))

    async def aclose(self) -> None:
        """Nothing to release."""

    def _once(self, call: str, key: str, move: Callable[[], object]) -> object:
        self.calls.append(call)
        if self.before:
            raise self.before.pop(0)
        if key not in self.answers:
            self.answers[key] = (call, move())
        first, answer = self.answers[key]
        if first != call:
            raise ProviderRefused("idempotency_conflict", f"{key} was {first}, not {call}")
        if self.after:
            raise self.after.pop(0)
        return answer


LOST = ProviderUnavailable("no answer in time")


@dataclass
class World:
    """One order (2 of ``a`` at 1000, 1 of ``b`` at 500, shipping 300) and all that surrounds it."""

    store: Store
    books: Books
    desk: Desk
    clock: list[int]
    notified: list[int]

    @property
    def order(self) -> Order:
        row = self.store.read_sync(lambda tx: orders.load(tx, "ord_1"))
        assert row is not None
        order = Order.model_validate_json(row.data)
        assert row.status == order.status
        return order

    @property
    def payment(self) -> payments.Payment:
        return self.store.read_sync(lambda tx: payments.of_session(tx, "cs_1"))[-1]

    def events(self) -> list[Order]:
        """The orders that ``order_update`` events tell of, after checking their form (WH-06, WH-12)."""
        told = []
        for number, event in enumerate(
            self.store.read_sync(lambda tx: outbox.of_order(tx, "ord_1")), start=1
        ):
            assert (event.sequence, event.type, event.agent_id) == (number, "order_update", "agent")
            body = json.loads(event.body)
            assert list(body) == ["type", "data"]
            assert next(iter(body["data"])) == "type"
            told.append(Order.model_validate(body["data"]))
        return told

    def stock(self, item: str) -> int:
        return self.store.read_sync(lambda tx: items.load(tx, [item]))[item].available or 0

    def later(self, ms: int = 3_600_000) -> None:
        """Let time pass: leases of processes that died run out."""
        self.clock[0] += ms


TOTAL = 2 * 1000 + 500 + 300


def world(store: Store, *, captured: bool = True, kind: Literal["shipping", "pickup"] = "shipping") -> World:
    """A world in ``store``; ``captured`` says whether the money was taken or is only held."""
    numbers = count(1)
    clock = [NOW]
    notified: list[int] = []
    books = Books(authorized={"pp_1": TOTAL}, captured={"pp_1": TOTAL} if captured else {})
    desk = Desk(
        store,
        books,
        lambda: clock[0],
        lambda prefix: f"{prefix}_{next(numbers):04}",
        lambda: notified.append(1),
    )
    units = {"li_a": 2, "li_b": 1}
    prices = {"li_a": 1000, "li_b": 500}
    order = Order(
        type="order",
        id="ord_1",
        checkout_session_id="cs_1",
        order_number="1001",
        permalink_url="https://shop.example/orders/ord_1",
        status="confirmed",
        line_items=[
            OrderLineItem(
                id=line,
                title=f"Item {line}",
                quantity=OrderLineItemQuantity(ordered=n, current=n, fulfilled=0),
                unit_price=prices[line],
                subtotal=prices[line] * n,
                totals=[Total(type="total", display_text="Total", amount=prices[line] * n)],
                status="processing",
            )
            for line, n in units.items()
        ],
        fulfillments=[
            Fulfillment(
                id="ful_1",
                type=kind,
                status="pending",
                line_items=[LineItemReference(id=line, quantity=n) for line, n in units.items()],
                events=[],
            )
        ],
        adjustments=[],
        totals=[
            Total(type="fulfillment", display_text="Shipping", amount=300),
            Total(type="total", display_text="Total", amount=TOTAL),
        ],
    )
    session = Session(
        id="cs_1", agent_id="agent", status=Status.COMPLETED, currency="usd", created_at=NOW, updated_at=NOW,
        expires_at=NOW, lines=(Line(id="li_a", item_id="a", quantity=2), Line(id="li_b", item_id="b", quantity=1)),
    )  # fmt: skip
    shelf = [Item(id=i, product_id=i, title=i, unit_amount=1, available=10) for i in ("a", "b")]

    def fill(tx: Tx) -> None:
        items.replace_all(tx, shelf)
        sessions.insert(tx, session)
        payments.intend(
            tx, id="pay_1", session_id="cs_1", agent_id="agent", amount=TOTAL, currency="usd", token="vt",
            provider="books", lease_until=NOW, idempotency_path="/", idempotency_key="k", request="{}", now=NOW,
        )  # fmt: skip
        payments.record_authorized(tx, "pay_1", "pp_1", NOW, captured=captured)
        orders.insert(
            tx, id="ord_1", session_id="cs_1", agent_id="agent", number="1001", status="confirmed",
            data=order.to_json().decode(), created_at=NOW,
        )  # fmt: skip

    store.run_sync(fill)
    return World(store, books, desk, clock, notified)
