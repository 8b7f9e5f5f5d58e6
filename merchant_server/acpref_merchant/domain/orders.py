"""An order: how it begins, and the rules by which its parts say where it stands.

The order that agents see (``acpref_protocol.models.Order``) is also what the merchant stores. Everything here is
a pure function; changes to an order are in ``order_changes``, what money they move in ``order_money``.

Units of a line are in one of these places, which the functions below count:

* *outstanding*: not sent, collected or canceled; exactly the units referred to by open fulfillments;
* *fulfilled*: sent, collected or downloaded; never falls (ORD-06);
* *returned*: fulfilled once, taken back by a ``return`` adjustment;
* *canceled*: taken off before they were fulfilled.

So ``ordered = outstanding + fulfilled + canceled`` and ``current = outstanding + fulfilled - returned`` always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol.models import (
    Address,
    CheckoutSession,
    DigitalDelivery,
    EstimatedDelivery,
    Fulfillment,
    FulfillmentEvent,
    FulfillmentOptionDigital,
    FulfillmentOptionLocalDelivery,
    FulfillmentOptionPickup,
    FulfillmentOptionShipping,
    LineItem,
    LineItemReference,
    Order,
    OrderConfirmation,
    OrderLineItem,
    OrderLineItemQuantity,
    SupportInfo,
    Total,
)

FulfillmentOption = (
    FulfillmentOptionShipping
    | FulfillmentOptionDigital
    | FulfillmentOptionPickup
    | FulfillmentOptionLocalDelivery
)

OPEN_STATUSES = frozenset({"pending", "processing", "ready_for_pickup"})
"""Fulfillment statuses under which the goods are still the merchant's: their units are outstanding."""


class OrderError(Exception):
    """A change that an order does not allow. ``code`` is stable and machine-readable, ``message`` for an operator."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def new_order(
    session: Session,
    view: CheckoutSession,
    items: Mapping[str, Item],
    shop: Shop,
    *,
    order_id: str,
    number: str,
    now: int,
) -> Order:
    """The order of a session that has just been paid for.

    ``view`` is the session as the buyer agreed to it: its lines, selected options and totals become the order's
    (ORD-01, ORD-05, ORD-14). ``items`` are the session's items by id, ``now`` is milliseconds since 1970 UTC. Every
    selected option becomes a fulfillment (ORD-09); digital ones are delivered at once. A ``client_reference_id`` in
    the session's metadata and the order notes are echoed (ORD-17).
    """
    permalink = f"{shop.public_url.rstrip('/')}/orders/{order_id}"
    fulfillments = _fulfillments(view, permalink, now)
    delivered: Counter[str] = Counter()
    for fulfillment in fulfillments:
        if fulfillment.status == "delivered":
            delivered.update(_counts(fulfillment.line_items))
    reference = (session.metadata or {}).get("client_reference_id")
    return settled(
        Order(
            type="order",
            id=order_id,
            checkout_session_id=session.id,
            order_number=number,
            client_reference_id=reference if isinstance(reference, str) else None,
            permalink_url=permalink,
            estimated_delivery=_span([f.estimated_delivery for f in fulfillments]),
            confirmation=OrderConfirmation(confirmation_number=number, order_notes=session.order_notes),
            support=_support(shop),
            line_items=[_line(line, items.get(line.item.id), delivered[line.id]) for line in view.line_items],
            fulfillments=fulfillments,
            adjustments=[],
            totals=list(view.totals),
        )
    )


def _line(line: LineItem, item: Item | None, delivered: int) -> OrderLineItem:
    unit_price = line.unit_amount if line.unit_amount is not None else (item.unit_amount if item else None)
    images = line.images or (item.images if item else ())
    quantity = OrderLineItemQuantity(ordered=line.quantity, current=line.quantity, fulfilled=delivered)
    return OrderLineItem(
        id=line.id,
        title=line.name or (item.title if item else line.item.id),
        product_id=line.product_id or (item.product_id if item else None),
        description=line.description,
        image_url=images[0] if images else None,
        url=item.url if item else None,
        quantity=quantity,
        unit_price=unit_price,
        subtotal=amount_of(line.totals, "subtotal"),
        totals=list(line.totals),
        status=line_status(quantity),
    )


@lru_cache(maxsize=64)
def _support(shop: Shop) -> SupportInfo | None:
    members = shop.support.model_dump(exclude_none=True)
    return SupportInfo(**members) if members else None


# --- Fulfillments of a new order -----------------------------------------------------------------------------------


def _fulfillments(view: CheckoutSession, permalink: str, now: int) -> list[Fulfillment]:
    options = {option.id: option for option in view.fulfillment_options}
    unassigned = {line.id: line for line in view.line_items}
    made: list[Fulfillment] = []
    for selection in view.selected_fulfillment_options or ():
        option = options.get(selection.option_id)
        lines = _named_lines(selection.item_ids, unassigned)
        if option is None or not lines:
            continue
        for line in lines:
            del unassigned[line.id]
        made.append(_fulfillment(len(made) + 1, option, lines, _destination(view, lines), permalink, now))
    if unassigned:
        # A paid line always reaches the buyer somehow, even if its selection was lost: the merchant sees it here.
        made.append(
            Fulfillment(
                id=f"ful_{len(made) + 1}",
                type="shipping",
                status="pending",
                line_items=_references(unassigned.values()),
                destination=_destination(view, list(unassigned.values())),
                description="To be arranged with the buyer",
                events=[],
            )
        )
    return made


def _named_lines(names: Iterable[str], unassigned: Mapping[str, LineItem]) -> list[LineItem]:
    """The lines that ``names`` covers: line ids first, then item ids (FUL-11)."""
    wanted = set(names)
    return [line for line in unassigned.values() if line.id in wanted or line.item.id in wanted]


def _fulfillment(
    number: int,
    option: FulfillmentOption,
    lines: Sequence[LineItem],
    destination: Address | None,
    permalink: str,
    now: int,
) -> Fulfillment:
    identifier = f"ful_{number}"
    references = _references(lines)
    if isinstance(option, FulfillmentOptionDigital):
        return Fulfillment(
            id=identifier,
            type="digital",
            status="delivered",
            line_items=references,
            digital_delivery=DigitalDelivery(access_url=f"{permalink}/downloads/{identifier}"),
            description=option.title,
            events=[FulfillmentEvent(id=f"{identifier}_evt_1", type="delivered", occurred_at=rfc3339(now))],
        )
    if isinstance(option, FulfillmentOptionPickup):
        return Fulfillment(
            id=identifier,
            type="pickup",
            status="pending",
            line_items=references,
            destination=option.location.address,
            estimated_delivery=_window(option.ready_by, option.pickup_by),
            description=f"{option.title}: {option.location.name}",
            events=[],
        )
    if isinstance(option, FulfillmentOptionLocalDelivery):
        # Orders know no local delivery (ORD-09): it travels as shipping, and the description says what it is.
        window = option.delivery_window
        return Fulfillment(
            id=identifier,
            type="shipping",
            status="pending",
            line_items=references,
            destination=destination,
            estimated_delivery=_window(window.start, window.end) if window else None,
            description=f"Local delivery: {option.title}",
            events=[],
        )
    return Fulfillment(
        id=identifier,
        type="shipping",
        status="pending",
        line_items=references,
        carrier=option.carrier,
        destination=destination,
        estimated_delivery=_window(option.earliest_delivery_time, option.latest_delivery_time),
        description=option.title,
        events=[],
    )


def _references(lines: Iterable[LineItem]) -> list[LineItemReference]:
    return [LineItemReference(id=line.id, quantity=line.quantity) for line in lines]


def _destination(view: CheckoutSession, lines: Sequence[LineItem]) -> Address | None:
    """The address of the fulfillment group that the lines belong to, else the session's."""
    names = {line.id for line in lines} | {line.item.id for line in lines}
    for group in view.fulfillment_groups or ():
        if group.fulfillment_details and group.fulfillment_details.address and names & set(group.item_ids):
            return group.fulfillment_details.address
    return view.fulfillment_details.address if view.fulfillment_details else None


def _window(earliest: str | None, latest: str | None) -> EstimatedDelivery | None:
    if earliest is None or latest is None:
        return None
    return EstimatedDelivery(earliest=earliest, latest=latest)


def _span(windows: Iterable[EstimatedDelivery | None]) -> EstimatedDelivery | None:
    known = [window for window in windows if window is not None]
    if not known:
        return None
    if len(known) == 1:
        return known[0]
    # All come from one clock in one format, so that text order is time order.
    return EstimatedDelivery(earliest=min(w.earliest for w in known), latest=max(w.latest for w in known))


# --- Reading an order ----------------------------------------------------------------------------------------------


def line_of(order: Order, line_id: str) -> OrderLineItem:
    """The line with this id. Raises OrderError ``unknown_line``."""
    for line in order.line_items or ():
        if line.id == line_id:
            return line
    raise OrderError("unknown_line", f"order {order.id} has no line {line_id!r}")


def fulfillment_of(order: Order, fulfillment_id: str) -> Fulfillment:
    """The fulfillment with this id. Raises OrderError ``unknown_fulfillment``."""
    for fulfillment in order.fulfillments or ():
        if fulfillment.id == fulfillment_id:
            return fulfillment
    raise OrderError("unknown_fulfillment", f"order {order.id} has no fulfillment {fulfillment_id!r}")


def outstanding(order: Order) -> Counter[str]:
    """Units by line that are still to be sent, collected or canceled."""
    units: Counter[str] = Counter()
    for fulfillment in order.fulfillments or ():
        if fulfillment.status in OPEN_STATUSES:
            units.update(_counts(fulfillment.line_items))
    return units


def returned(order: Order) -> Counter[str]:
    """Units by line that the buyer has given back."""
    units: Counter[str] = Counter()
    for adjustment in order.adjustments or ():
        if adjustment.type == "return":
            units.update(_counts(adjustment.line_items))
    return units


def returnable(order: Order) -> Counter[str]:
    """Units by line that were fulfilled and not given back yet."""
    back = returned(order)
    units = {line.id: (line.quantity.fulfilled or 0) - back[line.id] for line in order.line_items or ()}
    return Counter({line: count for line, count in units.items() if count > 0})


def amount_of(totals: Iterable[Total] | None, kind: str) -> int | None:
    """The amount of the first total of this type, in minor units, or ``None`` without one."""
    return next((total.amount for total in totals or () if total.type == kind), None)


def _counts(references: Iterable[LineItemReference] | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reference in references or ():
        counts[reference.id] = counts.get(reference.id, 0) + reference.quantity
    return counts


# --- Derived members -----------------------------------------------------------------------------------------------


def line_status(quantity: OrderLineItemQuantity) -> str:
    """ORD-07, its conditions tested in the order of the specification.

    A return can leave fewer current than fulfilled units; that line is fulfilled, too (ORD-06).
    """
    fulfilled = quantity.fulfilled or 0
    if quantity.current == 0:
        return "removed"
    if fulfilled >= quantity.current:
        return "fulfilled"
    return "partial" if fulfilled > 0 else "processing"


def order_status(order: Order) -> str:
    """ORD-08: canceled, completed, shipped, processing or confirmed, whichever is true first.

    ``processing`` begins with the first step of any fulfillment: a paid order of which nothing moves is confirmed.
    Canceled fulfillments do not count; what else has not been delivered keeps the order from being completed.
    """
    lines = order.line_items or []
    fulfillments = [f for f in order.fulfillments or () if f.status != "canceled"]
    if lines and all(line.quantity.current == 0 for line in lines):
        return "canceled"
    if fulfillments and all(f.status == "delivered" for f in fulfillments):
        return "completed"
    if not outstanding(order):
        return "shipped"
    if any(f.status != "pending" for f in fulfillments):
        return "processing"
    return "confirmed"


def settled(order: Order) -> Order:
    """``order`` with every derived member brought up to date: line and order statuses and ``amount_refunded``."""
    return order.model_copy(
        update={
            "line_items": [_settled(line) for line in order.line_items or ()],
            "totals": _with_refunds(order),
            "status": order_status(order),
        }
    )


def _settled(line: OrderLineItem) -> OrderLineItem:
    status = line_status(line.quantity)
    return line if line.status == status else line.model_copy(update={"status": status})


def _with_refunds(order: Order) -> list[Total]:
    """ORD-14: ``amount_refunded`` is the sum of completed refunds; ``total`` stays what was charged at checkout."""
    totals = [total for total in order.totals or () if total.type != "amount_refunded"]
    refunded = sum(
        adjustment.amount or 0
        for adjustment in order.adjustments or ()
        if adjustment.type == "refund" and adjustment.status == "completed"
    )
    if refunded:
        totals.append(Total(type="amount_refunded", display_text="Refunded", amount=refunded))
    return totals
