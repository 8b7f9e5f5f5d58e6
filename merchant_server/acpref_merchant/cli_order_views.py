"""How the operator's commands show orders and events: tables for people, plain values for ``--json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.orders import amount_of
from acpref_merchant.store import orders, outbox, payments
from acpref_protocol.models import LineItemReference, Order
from acpref_protocol.money import format_amount

_COLOURS = {
    "canceled": "red", "removed": "red", "dead": "red", "failed": "red",
    "completed": "green", "delivered": "green", "fulfilled": "green", "replayed": "green",
    "shipped": "cyan", "partial": "yellow", "processing": "yellow", "pending": "yellow", "superseded": "yellow",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """A row of ``orders list``."""

    row: orders.Stored
    total: int
    currency: str
    payment_status: str

    def as_json(self) -> dict[str, Any]:
        """The row for ``--json``; the amount is in minor units."""
        return {
            "id": self.row.id,
            "number": self.row.number,
            "status": self.row.status,
            "payment_status": self.payment_status,
            "agent_id": self.row.agent_id,
            "total": self.total,
            "currency": self.currency,
            "created_at": rfc3339(self.row.created_at),
        }


@dataclass(frozen=True, slots=True)
class OrderDetails:
    """All of ``orders show``."""

    row: orders.Stored
    order: Order
    payment: payments.Payment
    events: list[outbox.Event]

    def as_json(self) -> dict[str, Any]:
        """Everything for ``--json``."""
        return {
            "order": self.order.to_object(),
            "agent_id": self.row.agent_id,
            "payment": {
                "id": self.payment.id,
                "provider": self.payment.provider,
                "provider_payment_id": self.payment.provider_payment_id,
                "status": self.payment.status,
                "amount": self.payment.amount,
                "refunded_amount": self.payment.refunded_amount,
                "currency": self.payment.currency,
            },
            "webhooks": [event_json(event) for event in self.events],
        }


def summary(row: orders.Stored, payment: payments.Payment) -> OrderSummary:
    """The summary of a stored order and its payment."""
    order = Order.model_validate_json(row.data)
    return OrderSummary(row, amount_of(order.totals, "total") or 0, payment.currency, payment.status)


def event_json(event: outbox.Event) -> dict[str, Any]:
    """An outbox event without its body."""
    return {
        "id": event.id,
        "order_id": event.order_id,
        "sequence": event.sequence,
        "type": event.type,
        "state": event.state,
        "attempts": event.attempts,
        "next_attempt_at": rfc3339(event.next_attempt_at) if event.state == "pending" else None,
        "last_error": event.last_error,
        "created_at": rfc3339(event.created_at),
        "delivered_at": rfc3339(event.delivered_at) if event.delivered_at is not None else None,
    }


def print_orders(console: Console, summaries: Sequence[OrderSummary]) -> None:
    """The table of ``orders list``."""
    if not summaries:
        console.print("No orders yet.")
        return
    table = _table("Number", "Order", "Status", "Payment", "Agent", "Created")
    table.add_column("Total", justify="right")
    for found in summaries:
        table.add_row(
            found.row.number,
            found.row.id,
            _status(found.row.status),
            _status(found.payment_status),
            found.row.agent_id,
            rfc3339(found.row.created_at),
            format_amount(found.total, found.currency),
        )
    console.print(table)


def print_details(console: Console, details: OrderDetails) -> None:
    """Everything of ``orders show``."""
    payment = details.payment
    print_order(console, details.order, payment.currency)
    console.print(
        Text.assemble(
            "Payment ", payment.id, " with ", payment.provider, ": ", _status(payment.status), ", ",
            format_amount(payment.amount, payment.currency),
        )
    )  # fmt: skip
    print_events(console, details.events, None)


def print_order(console: Console, order: Order, currency: str) -> None:
    """An order with its lines, fulfillments, adjustments and totals."""
    console.print(
        Text.assemble(
            ("Order ", "bold"), (order.order_number or "", "bold"), f"  {order.id}  ", _status(order.status)
        )
    )
    lines = _table("Line", "Title", "Status")
    for name in ("Ordered", "Current", "Fulfilled", "Unit price"):
        lines.add_column(name, justify="right")
    for line in order.line_items or ():
        quantity = line.quantity
        price = format_amount(line.unit_price, currency) if line.unit_price is not None else ""
        lines.add_row(
            line.id, Text(line.title), _status(line.status), str(quantity.ordered), str(quantity.current),
            str(quantity.fulfilled or 0), price,
        )  # fmt: skip
    console.print(lines)
    if order.fulfillments:
        fulfillments = _table("Fulfillment", "Type", "Status", "Lines", "Tracking", "Last event")
        for fulfillment in order.fulfillments:
            events = fulfillment.events or []
            tracking = " ".join(part for part in (fulfillment.carrier, fulfillment.tracking_number) if part)
            fulfillments.add_row(
                fulfillment.id, fulfillment.type, _status(fulfillment.status), _references(fulfillment.line_items),
                Text(tracking), f"{events[-1].type} {events[-1].occurred_at}" if events else "",
            )  # fmt: skip
        console.print(fulfillments)
    if order.adjustments:
        adjustments = _table("Adjustment", "Type", "Status", "Lines", "Reason")
        adjustments.add_column("Amount", justify="right")
        for adjustment in order.adjustments:
            amount = (
                format_amount(adjustment.amount, adjustment.currency or currency) if adjustment.amount else ""
            )
            adjustments.add_row(
                adjustment.id, adjustment.type, _status(adjustment.status), _references(adjustment.line_items),
                Text(adjustment.reason or ""), amount,
            )  # fmt: skip
        console.print(adjustments)
    totals = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    totals.add_column()
    totals.add_column(justify="right")
    for total in order.totals or ():
        totals.add_row(Text(total.display_text), format_amount(total.amount, currency))
    console.print(totals)


def print_events(console: Console, events: Sequence[outbox.Event], counts: Mapping[str, int] | None) -> None:
    """Outbox events, newest or first in the order given, and how many there are in each state."""
    if counts is not None:
        states = ("pending", "delivered", "dead")
        console.print(", ".join(f"{counts.get(state, 0)} {state}" for state in states), highlight=False)
    if not events:
        return
    table = _table("Event", "Order", "No.", "Type", "State", "Failures", "Created", "Last error")
    for event in events:
        table.add_row(
            event.id, event.order_id, str(event.sequence), event.type, _status(event.state), str(event.attempts),
            rfc3339(event.created_at), Text(event.last_error or ""),
        )  # fmt: skip
    console.print(table)


_REPLAY_WORDS = {
    "replayed": "will be sent again",
    "superseded": "a later event of its order was delivered: sending it would turn the agent's view back (--force)",
    "not_dead": "is not dead",
    "unknown": "there is no such event",
}


def print_replays(console: Console, results: Mapping[str, str]) -> None:
    """What came of each event of ``webhooks replay``."""
    if not results:
        console.print("No dead events.")
    for event_id, result in results.items():
        console.print(Text.assemble(event_id, ": ", _status(result), " ", _REPLAY_WORDS[result]))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _status(status: str | None) -> Text:
    return Text(status or "", style=_COLOURS.get(status or "", ""))


def _references(references: Sequence[LineItemReference] | None) -> str:
    return ", ".join(f"{reference.id} x{reference.quantity}" for reference in references or ())
