"""Random sequences of everything that can happen to an order, with the rules checked after every step."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acpref_merchant.domain.order_changes import (
    STEPS,
    advance,
    cancel_lines,
    deliver,
    ready_for_pickup,
    return_lines,
    ship,
)
from acpref_merchant.domain.order_money import (
    amount_due,
    credited,
    line_values,
    order_total,
    request_refund,
    settle_refund,
    value_of_removal,
)
from acpref_merchant.domain.orders import OrderError, amount_of, outstanding, returnable, returned
from acpref_protocol.models import (
    Fulfillment,
    LineItemReference,
    Order,
    OrderLineItem,
    OrderLineItemQuantity,
    Total,
    TotalType,
)

NOW = 1_770_000_000_000
GOODS = 12_340
SHIPPING = 799


def total(kind: TotalType, amount: int) -> Total:
    return Total(type=kind, display_text=kind, amount=amount)


def order_of(ships: dict[str, int], collects: dict[str, int] | None = None) -> Order:
    """A paid order whose lines ship in one parcel or are collected in one visit; lines are worth their tax, too."""
    units = {**ships, **(collects or {})}
    fulfillments: list[Fulfillment] = []
    kinds: list[tuple[Literal["shipping", "pickup"], dict[str, int]]] = [
        ("shipping", ships),
        ("pickup", collects or {}),
    ]
    for kind, lines in kinds:
        if lines:
            fulfillments.append(
                Fulfillment(
                    id=f"ful_{len(fulfillments) + 1}",
                    type=kind,
                    status="pending",
                    line_items=[LineItemReference(id=line, quantity=count) for line, count in lines.items()],
                    events=[],
                )
            )
    goods = GOODS * len(units)
    return Order(
        type="order",
        id="ord_1",
        checkout_session_id="cs_1",
        permalink_url="https://shop.example/orders/ord_1",
        status="confirmed",
        line_items=[
            OrderLineItem(
                id=line,
                title=line,
                quantity=OrderLineItemQuantity(ordered=count, current=count, fulfilled=0),
                unit_price=GOODS // count,
                totals=[total("total", GOODS)],
                status="processing",
            )
            for line, count in units.items()
        ],
        fulfillments=fulfillments,
        adjustments=[],
        totals=[total("subtotal", goods), total("fulfillment", SHIPPING), total("total", goods + SHIPPING)],
    )


def line(order: Order, name: str) -> tuple[int, int, int, str | None]:
    found = next(line for line in order.line_items or () if line.id == name)
    return found.quantity.ordered, found.quantity.current, found.quantity.fulfilled or 0, found.status


# --- Examples ------------------------------------------------------------------------------------------------------


def test_shipping_everything_ships_the_order_and_delivery_completes_it() -> None:
    """ORD-06, ORD-07, ORD-08, ORD-10, ORD-11."""
    order = ship(order_of({"a": 2, "b": 1}), carrier="UPS", tracking_number="1Z", now=NOW)
    (parcel,) = order.fulfillments or []
    assert (order.status, parcel.status, parcel.carrier, parcel.tracking_number) == (
        "shipped", "shipped", "UPS", "1Z",
    )  # fmt: skip
    assert [event.type for event in parcel.events or ()] == ["shipped"]
    assert line(order, "a") == (2, 2, 2, "fulfilled")
    order = advance(order, parcel.id, "out_for_delivery", now=NOW + 1)
    order = deliver(order, parcel.id, now=NOW + 2, description="Left at the door")
    (parcel,) = order.fulfillments or []
    assert order.status == "completed"
    assert [(e.type, e.description) for e in parcel.events or ()] == [
        ("shipped", None), ("out_for_delivery", None), ("delivered", "Left at the door"),
    ]  # fmt: skip


def test_a_partial_shipment_splits_the_fulfillment() -> None:
    """ORD-07, ORD-08, ORD-09."""
    order = ship(order_of({"a": 3, "b": 1}), {"a": 1}, tracking_number="1Z", now=NOW)
    assert order.status == "processing"
    assert line(order, "a") == (3, 3, 1, "partial")
    assert line(order, "b") == (1, 1, 0, "processing")
    rest, parcel = order.fulfillments or []
    assert (rest.status, rest.tracking_number) == ("pending", None)
    assert (parcel.id, parcel.status, parcel.tracking_number) == ("ful_2", "shipped", "1Z")
    assert outstanding(order) == {"a": 2, "b": 1}


def test_a_collected_pickup_is_fulfilled_only_when_it_is_collected() -> None:
    """ORD-10."""
    order = ready_for_pickup(order_of({}, {"a": 1}), "ful_1", now=NOW)
    assert (order.status, line(order, "a")) == ("processing", (1, 1, 0, "processing"))
    order = deliver(order, "ful_1", now=NOW)
    assert (order.status, line(order, "a")) == ("completed", (1, 1, 1, "fulfilled"))


def test_canceling_everything_cancels_order_and_fulfillment() -> None:
    """ORD-07, ORD-08, ORD-12."""
    order = cancel_lines(order_of({"a": 2}), reason="buyer_request", now=NOW)
    assert (order.status, line(order, "a")) == ("canceled", (2, 0, 0, "removed"))
    (adjustment,) = order.adjustments or []
    assert (adjustment.type, adjustment.status, adjustment.reason) == (
        "cancellation", "completed", "buyer_request",
    )  # fmt: skip
    assert [f.status for f in order.fulfillments or ()] == ["canceled"]


def test_a_return_keeps_what_was_fulfilled_and_lowers_what_is_current() -> None:
    """ORD-06: fulfilled may exceed current after a return, and the line still counts as fulfilled."""
    order = return_lines(ship(order_of({"a": 3}), {"a": 3}, now=NOW), {"a": 1}, reason="defective", now=NOW)
    assert line(order, "a") == (3, 2, 3, "fulfilled")
    assert returnable(order) == {"a": 2}


def test_a_return_does_not_make_outstanding_units_disappear() -> None:
    order = return_lines(ship(order_of({"a": 3}), {"a": 2}, now=NOW), {"a": 1}, now=NOW)
    assert outstanding(order) == {"a": 1}
    assert order.status == "processing"
    assert line(ship(order, now=NOW), "a") == (3, 2, 3, "fulfilled")


def test_a_refund_counts_when_it_is_completed_and_total_stays() -> None:
    """ORD-12, ORD-13, ORD-14."""
    order = order_of({"a": 1})
    charged = order_total(order)
    order = request_refund(order, 500, "usd", captured=charged, lines={"a": 1}, reason="late", now=NOW)
    (adjustment,) = order.adjustments or []
    assert (adjustment.status, adjustment.amount, adjustment.currency) == ("pending", 500, "usd")
    assert amount_of(order.totals, "amount_refunded") is None
    order = settle_refund(order, adjustment.id, succeeded=True)
    assert amount_of(order.totals, "amount_refunded") == 500
    assert order_total(order) == charged
    assert settle_refund(order, adjustment.id, succeeded=False) == order


def test_a_failed_refund_frees_its_amount() -> None:
    order = request_refund(order_of({"a": 1}), 1000, "usd", captured=1000, now=NOW)
    with pytest.raises(OrderError) as refused:
        request_refund(order, 1, "usd", captured=1000, now=NOW)
    assert refused.value.code == "exceeds_captured"
    order = settle_refund(order, "adj_1", succeeded=False)
    assert request_refund(order, 1000, "usd", captured=1000, now=NOW).adjustments is not None


def test_the_units_of_a_line_are_together_worth_the_line_however_they_go() -> None:
    """ORD-13: three units of 123.40 never give back a cent more or less."""
    order = order_of({"a": 3, "b": 1})
    amounts = []
    for _ in range(3):
        amounts.append(value_of_removal(order, {"a": 1}))
        order = cancel_lines(order, {"a": 1}, now=NOW)
    assert sum(amounts) == GOODS
    assert max(amounts) - min(amounts) <= 1


def test_canceling_the_last_unit_gives_shipping_back_too() -> None:
    order = order_of({"a": 2})
    first = value_of_removal(order, {"a": 1})
    order = cancel_lines(order, {"a": 1}, credit=(first, "usd"), now=NOW)
    last = value_of_removal(order, {"a": 1})
    assert first == GOODS // 2
    assert first + last == GOODS + SHIPPING
    assert amount_due(cancel_lines(order, {"a": 1}, credit=(last, "usd"), now=NOW)) == 0


def test_a_discount_on_the_whole_order_is_shared_by_its_lines() -> None:
    order = order_of({"a": 1, "b": 2})
    order = order.model_copy(update={"totals": [total("fulfillment", 0), total("total", 10_001)]})
    assert line_values(order) == {"a": 5001, "b": 5000}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda o: ship(o, {"a": 3}, now=NOW), "exceeds_outstanding"),
        (lambda o: ship(o, {"p": 1}, now=NOW), "exceeds_outstanding"),
        (lambda o: ship(o, {"a": 0}, now=NOW), "invalid_quantity"),
        (lambda o: ship(o, {}, now=NOW), "invalid_quantity"),
        (lambda o: ship(o, {"zzz": 1}, now=NOW), "unknown_line"),
        (lambda o: ship(ship(o, now=NOW), now=NOW), "nothing_to_ship"),
        (lambda o: cancel_lines(ship(o, now=NOW), {"a": 1}, now=NOW), "exceeds_outstanding"),
        (lambda o: cancel_lines(cancel_lines(o, now=NOW), now=NOW), "nothing_to_cancel"),
        (lambda o: return_lines(o, now=NOW), "nothing_to_return"),
        (lambda o: return_lines(ship(o, {"a": 1}, now=NOW), {"a": 2}, now=NOW), "exceeds_fulfilled"),
        (lambda o: deliver(o, "ful_1", now=NOW), "illegal_step"),
        (lambda o: deliver(o, "ful_9", now=NOW), "unknown_fulfillment"),
        (lambda o: ready_for_pickup(o, "ful_1", now=NOW), "illegal_step"),
        (lambda o: advance(o, "ful_1", "teleported", now=NOW), "unknown_event"),
        (lambda o: advance(o, "ful_2", "in_transit", now=NOW), "illegal_step"),
        (lambda o: request_refund(o, 0, "usd", captured=10, now=NOW), "invalid_amount"),
        (lambda o: request_refund(o, 11, "usd", captured=10, now=NOW), "exceeds_captured"),
        (lambda o: request_refund(o, 1, "usd", captured=10, lines={"a": 3}, now=NOW), "invalid_quantity"),
        (lambda o: settle_refund(o, "adj_1", succeeded=True), "unknown_adjustment"),
    ],
)
def test_impossible_changes_are_refused_with_a_code(change: object, code: str) -> None:
    order = order_of({"a": 2, "b": 1}, {"p": 1})
    with pytest.raises(OrderError) as refused:
        change(order)  # type: ignore[operator]
    assert refused.value.code == code
    assert refused.value.message


# --- The state machine ---------------------------------------------------------------------------------------------


class OrderMachine(RuleBasedStateMachine):
    """Changes drawn at random; ``self.before`` is the order one step ago."""

    order: Order
    before: Order

    @initialize(
        ships=st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1),
        collects=st.dictionaries(st.sampled_from("pq"), st.integers(1, 3)),
    )
    def begin(self, ships: dict[str, int], collects: dict[str, int]) -> None:
        self.order = self.before = order_of(ships, collects)
        self.captured = order_total(self.order)
        self.now = NOW

    def change(self, function: object, *arguments: object, **named: object) -> None:
        """Apply a change that is either legal or refused, and then has no effect."""
        self.now += 1
        try:
            changed = function(self.order, *arguments, **named, now=self.now)  # type: ignore[operator]
        except OrderError:
            return
        self.before, self.order = self.order, changed

    lines = st.none() | st.dictionaries(st.sampled_from("abcpq"), st.integers(0, 4), max_size=3)

    @rule(lines=lines)
    def ships(self, lines: dict[str, int] | None) -> None:
        self.change(ship, lines)

    @rule(lines=lines)
    def cancels(self, lines: dict[str, int] | None) -> None:
        self.change(cancel_lines, lines)

    @rule(lines=lines)
    def takes_back(self, lines: dict[str, int] | None) -> None:
        self.change(return_lines, lines)

    @rule(number=st.integers(1, 6), event=st.sampled_from(sorted(STEPS)))
    def advances(self, number: int, event: str) -> None:
        self.change(advance, f"ful_{number}", event)

    @rule(amount=st.integers(-5, 2 * GOODS))
    def refunds(self, amount: int) -> None:
        self.change(request_refund, amount, "usd", captured=self.captured)

    @precondition(lambda self: any(a.type == "refund" for a in self.order.adjustments or ()))
    @rule(data=st.data(), succeeded=st.booleans())
    def settles(self, data: st.DataObject, succeeded: bool) -> None:
        ids = [a.id for a in self.order.adjustments or () if a.type == "refund"]
        self.before = self.order
        self.order = settle_refund(self.order, data.draw(st.sampled_from(ids)), succeeded=succeeded)

    @rule()
    def survives_storage(self) -> None:
        self.before = self.order
        self.order = Order.model_validate_json(self.order.to_json())
        assert self.order == self.before

    @invariant()
    def every_unit_is_somewhere(self) -> None:
        waiting, back = outstanding(self.order), returned(self.order)
        canceled = Counter[str]()
        for adjustment in self.order.adjustments or ():
            if adjustment.type == "cancellation":
                for reference in adjustment.line_items or ():
                    canceled[reference.id] += reference.quantity
        for item in self.order.line_items or ():
            quantity = item.quantity
            fulfilled = quantity.fulfilled or 0
            assert quantity.ordered == waiting[item.id] + fulfilled + canceled[item.id]
            assert quantity.current == waiting[item.id] + fulfilled - back[item.id]
            assert 0 <= quantity.current <= quantity.ordered
            assert back[item.id] <= fulfilled

    @invariant()
    def quantities_move_one_way(self) -> None:
        """ORD-06."""
        for old, new in zip(self.before.line_items or (), self.order.line_items or (), strict=True):
            assert new.quantity.ordered == old.quantity.ordered
            assert new.quantity.current <= old.quantity.current
            assert (new.quantity.fulfilled or 0) >= (old.quantity.fulfilled or 0)

    @invariant()
    def histories_only_grow(self) -> None:
        """ORD-11: events and adjustments are never removed or reordered."""
        new = {f.id: f for f in self.order.fulfillments or ()}
        assert len(new) == len(self.order.fulfillments or ())
        for old in self.before.fulfillments or ():
            events = new[old.id].events or []
            assert events[: len(old.events or ())] == old.events
            assert len({event.id for event in events}) == len(events)
        old_ids = [a.id for a in self.before.adjustments or ()]
        assert [a.id for a in self.order.adjustments or ()][: len(old_ids)] == old_ids

    @invariant()
    def money_adds_up(self) -> None:
        """ORD-14."""
        refunds = [a for a in self.order.adjustments or () if a.type == "refund"]
        completed = sum(a.amount or 0 for a in refunds if a.status == "completed")
        assert (amount_of(self.order.totals, "amount_refunded") or 0) == completed
        assert completed <= credited(self.order) <= self.captured
        assert order_total(self.order) == self.captured

    @invariant()
    def statuses_follow_from_quantities(self) -> None:
        """ORD-07, ORD-08, restated independently of the code."""
        for item in self.order.line_items or ():
            current, fulfilled = item.quantity.current, item.quantity.fulfilled or 0
            if current == 0:
                assert item.status == "removed"
            elif fulfilled == 0:
                assert item.status == "processing"
            elif fulfilled < current:
                assert item.status == "partial"
            else:
                assert item.status == "fulfilled"
        if all(item.quantity.current == 0 for item in self.order.line_items or ()):
            assert self.order.status == "canceled"
        elif self.order.status == "completed":
            assert {f.status for f in self.order.fulfillments or ()} <= {"delivered", "canceled"}
        elif self.order.status == "shipped":
            assert not outstanding(self.order)


OrderMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOrderMachine = OrderMachine.TestCase
