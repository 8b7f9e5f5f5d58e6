"""What happens to goods after the purchase: shipping, delivery, cancellation and return, as pure functions.

Each takes an order and returns the changed one with every derived member up to date, or raises OrderError and has
changed nothing. Ids of new parts are counted within the order, so that a change can be replayed. ``now`` is
milliseconds since 1970 UTC; quantities by line are ``{line id: units}``, and ``None`` means all that is possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.orders import (
    OPEN_STATUSES,
    OrderError,
    fulfillment_of,
    line_of,
    outstanding,
    returnable,
    settled,
)
from acpref_protocol.models import Adjustment, Fulfillment, FulfillmentEvent, LineItemReference, Order

Quantities = Mapping[str, int]

_ON_ITS_WAY = frozenset({"shipped", "in_transit", "out_for_delivery"})


class Step(NamedTuple):
    """When an event may happen to a fulfillment, and the status that it leads to (``None``: unchanged)."""

    types: frozenset[str]
    before: frozenset[str]
    after: str | None


_SHIPPING = frozenset({"shipping"})
_PICKUP = frozenset({"pickup"})
_ANY = frozenset({"shipping", "pickup", "digital"})
_COLLECTABLE = frozenset({"pending", "processing", "ready_for_pickup"})

STEPS: dict[str, tuple[Step, ...]] = {
    "processing": (Step(_ANY, frozenset({"pending"}), "processing"),),
    "in_transit": (Step(_SHIPPING, _ON_ITS_WAY, "in_transit"),),
    "out_for_delivery": (Step(_SHIPPING, _ON_ITS_WAY, "out_for_delivery"),),
    "failed_attempt": (Step(_SHIPPING, _ON_ITS_WAY, None),),
    "undeliverable": (Step(_SHIPPING, _ON_ITS_WAY, "failed"),),
    "returned_to_sender": (Step(_SHIPPING, _ON_ITS_WAY | {"failed"}, "failed"),),
    "ready_for_pickup": (Step(_PICKUP, frozenset({"pending", "processing"}), "ready_for_pickup"),),
    "delivered": (
        Step(_SHIPPING, _ON_ITS_WAY, "delivered"),
        Step(_PICKUP, _COLLECTABLE, "delivered"),
        Step(frozenset({"digital"}), frozenset({"pending", "processing"}), "delivered"),
    ),
}
"""ORD-10 and ORD-11 as data: which event may follow which status of which type. ``shipped`` is ``ship``'s own."""


def ship(
    order: Order,
    lines: Quantities | None = None,
    *,
    carrier: str | None = None,
    tracking_number: str | None = None,
    tracking_url: str | None = None,
    now: int,
) -> Order:
    """Hand units over to a carrier: they are fulfilled from now on.

    A fulfillment of which only a part ships keeps the rest, and the part becomes a fulfillment of its own. Raises
    OrderError ``nothing_to_ship``, ``unknown_line``, ``invalid_quantity`` or ``exceeds_outstanding``.
    """
    shippable = _shippable(order)
    wanted = _wanted(order, lines, shippable, "nothing_to_ship", "exceeds_outstanding")
    tracking = {"carrier": carrier, "tracking_number": tracking_number, "tracking_url": tracking_url}
    known = {name: value for name, value in tracking.items() if value is not None}
    remaining = dict(wanted)
    kept: list[Fulfillment] = []
    split_off: list[Fulfillment] = []
    for fulfillment in order.fulfillments or ():
        if not _is_shippable(fulfillment):
            kept.append(fulfillment)
            continue
        taken, rest = _split(fulfillment, remaining)
        if not taken:
            kept.append(fulfillment)
        elif not rest:
            kept.append(_event(fulfillment.model_copy(update=known), "shipped", "shipped", now))
        else:
            kept.append(fulfillment.model_copy(update={"line_items": rest}))
            number = len(order.fulfillments or ()) + len(split_off) + 1
            part = fulfillment.model_copy(
                update={"id": f"ful_{number}", "line_items": taken, "events": [], **known}
            )
            split_off.append(_event(part, "shipped", "shipped", now))
    return settled(_fulfilled(order.model_copy(update={"fulfillments": kept + split_off}), wanted))


def advance(
    order: Order,
    fulfillment_id: str,
    event: str,
    *,
    now: int,
    description: str | None = None,
    location: str | None = None,
) -> Order:
    """Let one fulfillment go through ``event``, one of STEPS.

    Units of pickup and digital fulfillments are fulfilled when they are delivered; those of shipments already were.
    Raises OrderError ``unknown_fulfillment``, ``unknown_event`` or ``illegal_step``.
    """
    if event not in STEPS:
        raise OrderError("unknown_event", f"{event!r} is not one of {', '.join(STEPS)}")
    fulfillment = fulfillment_of(order, fulfillment_id)
    step = _step(fulfillment, event)
    if step is None:
        raise OrderError(
            "illegal_step",
            f"{fulfillment.type} fulfillment {fulfillment_id} is {fulfillment.status}: it cannot be {event}",
        )
    newly = fulfillment.status in OPEN_STATUSES and step.after == "delivered"
    changed = _event(fulfillment, step.after, event, now, description, location)
    order = _replace_fulfillment(order, changed)
    if newly:
        order = _fulfilled(order, _units(changed))
    return settled(order)


def possible(fulfillment: Fulfillment, event: str) -> bool:
    """Whether ``fulfillment`` can go through ``event`` now."""
    return _step(fulfillment, event) is not None


def deliver(order: Order, fulfillment_id: str, *, now: int, description: str | None = None) -> Order:
    """The buyer has the goods: a shipment arrived or a pickup was collected. Errors as in ``advance``."""
    return advance(order, fulfillment_id, "delivered", now=now, description=description)


def ready_for_pickup(order: Order, fulfillment_id: str, *, now: int) -> Order:
    """A pickup can be collected. Errors as in ``advance``."""
    return advance(order, fulfillment_id, "ready_for_pickup", now=now)


def cancel_lines(
    order: Order,
    lines: Quantities | None = None,
    *,
    reason: str | None = None,
    credit: tuple[int, str] | None = None,
    now: int,
) -> Order:
    """Take units off the order that were not fulfilled yet; a ``cancellation`` adjustment records it (ORD-12).

    ``credit`` is an amount in minor units and its currency that therefore will not be charged (ORD-13); what was
    charged already is refunded separately. Raises OrderError ``nothing_to_cancel``, ``unknown_line``,
    ``invalid_quantity`` or ``exceeds_outstanding``: fulfilled units are returned, not canceled.
    """
    wanted = _wanted(order, lines, outstanding(order), "nothing_to_cancel", "exceeds_outstanding")
    remaining = dict(wanted)
    fulfillments: list[Fulfillment] = []
    for fulfillment in order.fulfillments or ():
        taken, rest = _split(fulfillment, remaining) if fulfillment.status in OPEN_STATUSES else ([], [])
        if taken and not rest:
            # It keeps its references: they say what would have been delivered.
            fulfillments.append(_event(fulfillment, "canceled", "canceled", now))
        elif taken:
            fulfillments.append(fulfillment.model_copy(update={"line_items": rest}))
        else:
            fulfillments.append(fulfillment)
    order = order.model_copy(update={"fulfillments": fulfillments})
    return _removed(order, "cancellation", wanted, reason, credit, now)


def return_lines(
    order: Order, lines: Quantities | None = None, *, reason: str | None = None, now: int
) -> Order:
    """Take fulfilled units back; a ``return`` adjustment records it (ORD-12). Money is refunded separately.

    Raises OrderError ``nothing_to_return``, ``unknown_line``, ``invalid_quantity`` or ``exceeds_fulfilled``.
    """
    wanted = _wanted(order, lines, returnable(order), "nothing_to_return", "exceeds_fulfilled")
    return _removed(order, "return", wanted, reason, None, now)


def references(lines: Quantities) -> list[LineItemReference]:
    """``lines`` as references of an adjustment or a fulfillment."""
    return [LineItemReference(id=line, quantity=quantity) for line, quantity in lines.items()]


def append_adjustment(order: Order, adjustment: Adjustment) -> Order:
    """``order`` with one more adjustment, derived members up to date."""
    return settled(order.model_copy(update={"adjustments": [*(order.adjustments or ()), adjustment]}))


def next_adjustment_id(order: Order) -> str:
    """The id of the adjustment that is added next; adjustments are never removed."""
    return f"adj_{len(order.adjustments or ()) + 1}"


# --- Parts ---------------------------------------------------------------------------------------------------------


def _step(fulfillment: Fulfillment, event: str) -> Step | None:
    steps = STEPS.get(event, ())
    return next((s for s in steps if fulfillment.type in s.types and fulfillment.status in s.before), None)


def _is_shippable(fulfillment: Fulfillment) -> bool:
    return fulfillment.type == "shipping" and fulfillment.status in OPEN_STATUSES


def _shippable(order: Order) -> dict[str, int]:
    shipments = [f for f in order.fulfillments or () if _is_shippable(f)]
    return dict(outstanding(order.model_copy(update={"fulfillments": shipments})))


def _wanted(
    order: Order, lines: Quantities | None, possible: Quantities, nothing: str, exceeded: str
) -> dict[str, int]:
    """The units asked for, checked against those possible. All possible ones when ``lines`` is None."""
    if not any(possible.values()):
        raise OrderError(nothing, f"order {order.id} is {order.status}: {nothing.replace('_', ' ')}")
    if lines is None:
        return {line: quantity for line, quantity in possible.items() if quantity > 0}
    if not lines:
        raise OrderError("invalid_quantity", "name at least one line")
    for line, quantity in lines.items():
        line_of(order, line)
        if quantity < 1:
            raise OrderError("invalid_quantity", f"line {line}: {quantity} is not a number of units")
        if quantity > possible.get(line, 0):
            raise OrderError(
                exceeded, f"line {line}: {quantity} units asked for, {possible.get(line, 0)} possible"
            )
    return dict(lines)


def _split(
    fulfillment: Fulfillment, remaining: dict[str, int]
) -> tuple[list[LineItemReference], list[LineItemReference]]:
    """The fulfillment's references divided into those that ``remaining`` (reduced here) asks for, and the rest."""
    taken: list[LineItemReference] = []
    rest: list[LineItemReference] = []
    for reference in fulfillment.line_items or ():
        part = min(reference.quantity, remaining.get(reference.id, 0))
        if part:
            remaining[reference.id] -= part
            taken.append(LineItemReference(id=reference.id, quantity=part))
        if part < reference.quantity:
            rest.append(LineItemReference(id=reference.id, quantity=reference.quantity - part))
    return taken, rest


def _event(
    fulfillment: Fulfillment,
    status: str | None,
    kind: str,
    now: int,
    description: str | None = None,
    location: str | None = None,
) -> Fulfillment:
    """ORD-11: the fulfillment with one more event, and its status."""
    events = fulfillment.events or []
    event = FulfillmentEvent(
        id=f"{fulfillment.id}_evt_{len(events) + 1}",
        type=kind,
        occurred_at=rfc3339(now),
        description=description,
        location=location,
    )
    return fulfillment.model_copy(update={"status": status or fulfillment.status, "events": [*events, event]})


def _units(fulfillment: Fulfillment) -> dict[str, int]:
    return {reference.id: reference.quantity for reference in fulfillment.line_items or ()}


def _replace_fulfillment(order: Order, changed: Fulfillment) -> Order:
    fulfillments = [changed if f.id == changed.id else f for f in order.fulfillments or ()]
    return order.model_copy(update={"fulfillments": fulfillments})


def _fulfilled(order: Order, units: Quantities) -> Order:
    """ORD-06: ``fulfilled`` of these lines grows by ``units``."""
    return _with_quantities(order, "fulfilled", {line: +count for line, count in units.items()})


def _removed(
    order: Order,
    kind: Literal["cancellation", "return"],
    units: Quantities,
    reason: str | None,
    credit: tuple[int, str] | None,
    now: int,
) -> Order:
    """ORD-06: ``current`` of these lines falls by ``units``, and an adjustment says why."""
    order = _with_quantities(order, "current", {line: -count for line, count in units.items()})
    amount, currency = credit or (None, None)
    return append_adjustment(
        order,
        Adjustment(
            id=next_adjustment_id(order),
            type=kind,
            occurred_at=rfc3339(now),
            status="completed",
            line_items=references(units),
            amount=amount,
            currency=currency,
            reason=reason,
        ),
    )


def _with_quantities(order: Order, member: Literal["current", "fulfilled"], change: Quantities) -> Order:
    lines = []
    for line in order.line_items or ():
        if delta := change.get(line.id, 0):
            value = (getattr(line.quantity, member) or 0) + delta
            quantity = line.quantity.model_copy(update={member: value})
            line = line.model_copy(update={"quantity": quantity})
        lines.append(line)
    return order.model_copy(update={"line_items": lines})
