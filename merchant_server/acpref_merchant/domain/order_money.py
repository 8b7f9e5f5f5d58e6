"""The money of an order after the purchase: what units are worth, what may be given back, and refunds.

Amounts are minor units of the order's currency, tax included (ORD-13). A refund is an adjustment that begins
``pending`` and becomes ``completed`` or ``failed`` with the provider's answer; pending ones count against what can
still be refunded, so that no two refunds together exceed what was captured.
"""

from __future__ import annotations

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.order_changes import Quantities, append_adjustment, next_adjustment_id, references
from acpref_merchant.domain.orders import OrderError, amount_of, line_of, settled
from acpref_protocol.models import Adjustment, Order
from acpref_protocol.money import allocate, format_amount


def order_total(order: Order) -> int:
    """What was charged at checkout (ORD-14)."""
    return amount_of(order.totals, "total") or 0


def credited(order: Order) -> int:
    """What the buyer gets or got back: cancellations that were never charged, and refunds that did not fail."""
    return sum(
        adjustment.amount or 0
        for adjustment in order.adjustments or ()
        if adjustment.type in {"refund", "cancellation"} and adjustment.status != "failed"
    )


def amount_due(order: Order) -> int:
    """What is to be captured for an order whose money is still only authorised."""
    return max(0, order_total(order) - credited(order))


def require_paid(before: Order, after: Order) -> None:
    """Raise OrderError ``nothing_paid`` when more goods leave in ``after`` and all that was paid has been given back.

    Refunds under way count as given back; an order that cost nothing is never refused.
    """
    if (
        _units_handed_over(after) > _units_handed_over(before)
        and order_total(before)
        and not amount_due(before)
    ):
        raise OrderError(
            "nothing_paid",
            f"order {before.order_number or before.id} has been refunded in full: cancel what was not sent, or "
            "give --force to hand it over all the same",
        )


def _units_handed_over(order: Order) -> int:
    return sum(line.quantity.fulfilled or 0 for line in order.line_items or ())


def line_values(order: Order) -> dict[str, int]:
    """What each line contributes to the order's total, by line id.

    A line is worth its own total. When these exceed what was charged for goods, because a discount on the whole
    order is not part of them, what was charged for goods is divided in their proportion.
    """
    lines = order.line_items or []
    worth = []
    for line in lines:
        own = amount_of(line.totals, "total")
        if own is None:
            own = (
                line.subtotal if line.subtotal is not None else (line.unit_price or 0) * line.quantity.ordered
            )
        worth.append(max(0, own))
    charged = max(0, order_total(order) - (amount_of(order.totals, "fulfillment") or 0))
    if sum(worth) > charged:
        worth = allocate(charged, worth)
    return dict(zip((line.id for line in lines), worth, strict=True))


def value_of_removal(order: Order, lines: Quantities) -> int:
    """What the buyer paid for these units, which are about to be canceled or returned.

    Units of a line are worth the same but for rounding, which is arranged so that all of them together are worth
    exactly the line. When nothing was or will be fulfilled after this, everything charged goes back, shipping too.
    Never more than has not been credited yet. Raises OrderError ``unknown_line``.
    """
    values = line_values(order)
    total = 0
    for line_id, quantity in lines.items():
        line = line_of(order, line_id)
        gone = line.quantity.ordered - line.quantity.current
        total += _first_units(values[line_id], line.quantity.ordered, gone + quantity)
        total -= _first_units(values[line_id], line.quantity.ordered, gone)
    nothing_left = all(
        line.quantity.current == lines.get(line.id, 0) and not line.quantity.fulfilled
        for line in order.line_items or ()
    )
    left = max(0, order_total(order) - credited(order))
    return left if nothing_left else min(total, left)


def value_of_units(order: Order, lines: Quantities) -> int:
    """What the buyer paid for this many units of each line, at most what has not been credited yet."""
    values = line_values(order)
    total = 0
    for line_id, quantity in lines.items():
        ordered = line_of(order, line_id).quantity.ordered
        if not 1 <= quantity <= ordered:
            raise OrderError("invalid_quantity", f"line {line_id}: {quantity} of {ordered} units")
        total += _first_units(values[line_id], ordered, quantity)
    return min(total, max(0, order_total(order) - credited(order)))


def request_refund(
    order: Order,
    amount: int,
    currency: str,
    *,
    captured: int,
    lines: Quantities | None = None,
    reason: str | None = None,
    now: int,
) -> Order:
    """Add a pending ``refund`` adjustment, the last of the order (ORD-12, ORD-13).

    ``captured`` is what the provider took for the order. Raises OrderError ``invalid_amount`` for an amount that is
    not positive and ``exceeds_captured`` for one that, with the other refunds, is more than was captured.
    """
    if amount < 1:
        raise OrderError("invalid_amount", "a refund is at least one minor unit")
    refundable = captured - sum(
        adjustment.amount or 0
        for adjustment in order.adjustments or ()
        if adjustment.type == "refund" and adjustment.status != "failed"
    )
    if amount > refundable:
        raise OrderError(
            "exceeds_captured",
            f"{format_amount(amount, currency)} asked for, "
            f"{format_amount(max(0, refundable), currency)} can be refunded",
        )
    for line_id, quantity in (lines or {}).items():
        if not 1 <= quantity <= line_of(order, line_id).quantity.ordered:
            raise OrderError("invalid_quantity", f"line {line_id}: {quantity} is not a number of its units")
    return append_adjustment(
        order,
        Adjustment(
            id=next_adjustment_id(order),
            type="refund",
            occurred_at=rfc3339(now),
            status="pending",
            line_items=references(lines) if lines else None,
            amount=amount,
            currency=currency,
            reason=reason,
        ),
    )


def settle_refund(order: Order, adjustment_id: str, *, succeeded: bool) -> Order:
    """Record the provider's answer; ``amount_refunded`` follows (ORD-14). A settled refund stays as it is.

    Raises OrderError ``unknown_adjustment``.
    """
    refund = next((a for a in order.adjustments or () if a.id == adjustment_id and a.type == "refund"), None)
    if refund is None:
        raise OrderError("unknown_adjustment", f"order {order.id} has no refund {adjustment_id!r}")
    if refund.status != "pending":
        return order
    answered = refund.model_copy(update={"status": "completed" if succeeded else "failed"})
    adjustments = [answered if a is refund else a for a in order.adjustments or ()]
    return settled(order.model_copy(update={"adjustments": adjustments}))


def _first_units(value: int, ordered: int, count: int) -> int:
    """What the first ``count`` of ``ordered`` units are worth; all of them exactly ``value``."""
    return value * count // ordered
