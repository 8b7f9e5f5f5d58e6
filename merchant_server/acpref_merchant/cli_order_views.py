"""How the operator's commands show orders and events: tables for people, plain values for ``--json``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.orders import amount_of
from acpref_merchant.store import orders, outbox, payments
from acpref_merchant.webhooks.delivery import Summary
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
    refunded: int
    currency: str
    payment_status: str

    def as_json(self) -> dict[str, Any]:
        """The row for ``--json``; the amounts are in minor units."""
        return {
            "id": self.row.id,
            "number": self.row.number,
            "status": self.row.status,
            "payment_status": self.payment_status,
            "agent_id": self.row.agent_id,
            "total": self.total,
            "refunded_amount": self.refunded,
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
    return OrderSummary(
        row,
        amount_of(order.totals, "total") or 0,
        amount_of(order.totals, "amount_refunded") or 0,
        payment.currency,
        payment.status,
    )


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
    table = _table("Number", "Order", "Status", "Payment")
    for name in ("Total", "Refunded"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Created", no_wrap=True)
    for found in summaries:
        table.add_row(
            found.row.number,
            found.row.id,
            _status(found.row.status),
            _status(found.payment_status),
            format_amount(found.total, found.currency),
            format_amount(found.refunded, found.currency) if found.refunded else "",
            _time(found.row.created_at),
        )
    _print(console, table)


def print_details(console: Console, details: OrderDetails) -> None:
    """Everything of ``orders show``."""
    payment = details.payment
    print_order(console, details.order, payment.currency)
    console.print(
        Text.assemble(
            "Payment ", payment.id, " with ", payment.provider, ": ", _status(payment.status), ", ",
            format_amount(payment.amount, payment.currency), _refunds(details),
        ),
        soft_wrap=True,
    )  # fmt: skip
    pending = [event for event in details.events if event.state == "pending"]
    print_events(console, details.events, {event.id for event in pending[1:]})


def _refunds(details: OrderDetails) -> str:
    refunded = details.payment.refunded_amount
    return f", {format_amount(refunded, details.payment.currency)} refunded" if refunded else ""


def print_order(console: Console, order: Order, currency: str) -> None:
    """An order with its lines, fulfillments, adjustments and totals."""
    console.print(
        Text.assemble(
            ("Order ", "bold"), (order.order_number or "", "bold"), f"  {order.id}  ", _status(order.status)
        ),
        soft_wrap=True,
    )
    lines = _table("Line", "Title", "Status", free=("Title",))
    for name in ("Ordered", "Current", "Fulfilled", "Unit price"):
        lines.add_column(name, justify="right", no_wrap=True)
    for line in order.line_items or ():
        quantity = line.quantity
        price = format_amount(line.unit_price, currency) if line.unit_price is not None else ""
        lines.add_row(
            line.id, Text(line.title), _status(line.status), str(quantity.ordered), str(quantity.current),
            str(quantity.fulfilled or 0), price,
        )  # fmt: skip
    _print(console, lines)
    if order.fulfillments:
        fulfillments = _table(
            "Fulfillment", "Type", "Status", "Lines", "Tracking", "Last event", free=("Lines",)
        )
        for fulfillment in order.fulfillments:
            events = fulfillment.events or []
            tracking = " ".join(part for part in (fulfillment.carrier, fulfillment.tracking_number) if part)
            fulfillments.add_row(
                fulfillment.id, fulfillment.type, _status(fulfillment.status), _references(fulfillment.line_items),
                Text(tracking), f"{events[-1].type} {_seconds(events[-1].occurred_at)}" if events else "",
            )  # fmt: skip
        _print(console, fulfillments)
    if order.adjustments:
        adjustments = _table("Adjustment", "Type", "Status", "Lines", "Reason", free=("Lines", "Reason"))
        adjustments.add_column("Amount", justify="right", no_wrap=True)
        for adjustment in order.adjustments:
            amount = (
                format_amount(adjustment.amount, adjustment.currency or currency) if adjustment.amount else ""
            )
            adjustments.add_row(
                adjustment.id, adjustment.type, _status(adjustment.status), _references(adjustment.line_items),
                Text(adjustment.reason or ""), amount,
            )  # fmt: skip
        _print(console, adjustments)
    totals = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    totals.add_column()
    totals.add_column(justify="right")
    for total in order.totals or ():
        totals.add_row(Text(total.display_text), format_amount(total.amount, currency))
    _print(console, totals)


def print_counts(console: Console, counts: Mapping[str, int]) -> None:
    """How many events are in each state."""
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()), highlight=False)


def print_events(console: Console, events: Sequence[outbox.Event], behind: Collection[str]) -> None:
    """Outbox events in the order given; ``behind`` are the ids of those that wait for an earlier one of their order."""
    if not events:
        return
    names = ("Event", "Order", "No.", "Type", "State", "Failures", "Created", "Next try", "Last error")
    table = _table(*names, free=("Last error",))
    for event in events:
        table.add_row(
            event.id, event.order_id, str(event.sequence), event.type, _status(event.state), str(event.attempts),
            _time(event.created_at), _next_try(event, behind), Text(event.last_error or ""),
        )  # fmt: skip
    _print(console, table)


def _next_try(event: outbox.Event, behind: Collection[str]) -> str:
    if event.state != "pending":
        return ""
    return "after an earlier one" if event.id in behind else _time(event.next_attempt_at)


_REPLAY_WORDS = {
    "replayed": "{} will be sent again.",
    "superseded": "{} stays as it is: a later event of its order was delivered, and this one would turn the agent's "
    "view back. --force sends it all the same.",
    "not_dead": "{} was not given up: it was delivered, or it is still being tried, which 'webhooks deliver --now' "
    "does at once.",
    "unknown": "There is no event {}.",
}


def print_replays(console: Console, results: Mapping[str, str]) -> None:
    """What came of each event of ``webhooks replay``."""
    if not results:
        console.print("No dead events.")
    for event_id, result in results.items():
        sentence = _REPLAY_WORDS[result].format(event_id)
        console.print(Text(sentence, style=_COLOURS.get(result, "")), soft_wrap=True)


def delivery_json(done: Summary, waiting: int, next_due: int | None) -> dict[str, Any]:
    """What ``webhooks deliver`` did, how many events wait now, and when the next of them is due."""
    return {
        "delivered": done.delivered,
        "retried": done.retried,
        "dead": done.dead,
        "waiting": waiting,
        "next_due_at": None if next_due is None else rfc3339(next_due),
    }


def print_delivery(console: Console, done: Summary, waiting: int, next_due: int | None) -> None:
    """The same as sentences."""
    if done.delivered or done.retried or done.dead:
        said = f"{done.delivered} delivered, {done.retried} to be tried again, {done.dead} given up."
    else:
        said = "Nothing was due."
    if waiting and next_due is not None:
        said += f" {waiting} {'waits' if waiting == 1 else 'wait'}; the next is due at {_time(next_due)}"
        said += " (--now does not wait)."
    console.print(said, highlight=False, soft_wrap=True)


# --- Tables -------------------------------------------------------------------------------------------------------


def _table(*columns: str, free: Collection[str] = ()) -> Table:
    """A table whose columns keep their words on one line, but for those of ``free`` text."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column not in free, overflow="fold")
    return table


def _print(console: Console, table: Table) -> None:
    """Print a table with every id whole, so that it can be copied.

    Where free text cannot make enough room, lines are longer than the terminal, which wraps them. A file or a pipe
    gets every line whole.
    """
    for column in table.columns:
        cells = [str(cell) for cell in (column.header, *column.cells)]
        words = cells if column.no_wrap else [word for cell in cells for word in cell.split()]
        column.min_width = max(map(cell_len, words), default=0)
    needed = Measurement.get(console, console.options.update(width=100_000), table)
    table.width = (
        min(needed.maximum, max(needed.minimum, console.width)) if console.is_terminal else needed.maximum
    )
    console.print(table, crop=False)


def _time(ms: int) -> str:
    return _seconds(rfc3339(ms))


def _seconds(time: str) -> str:
    """An RFC 3339 time of ours without its milliseconds."""
    return f"{time[:19]}Z"


def _status(status: str | None) -> Text:
    return Text(status or "", style=_COLOURS.get(status or "", ""))


def _references(references: Sequence[LineItemReference] | None) -> str:
    return ", ".join(f"{reference.id} x{reference.quantity}" for reference in references or ())
