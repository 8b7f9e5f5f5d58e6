"""What a session amounts to now: its goods, its price, and everything that stands between it and payment.

Every decision and every view of a session starts from one ``Assessment``, so that what an agent is shown and
what is charged cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from acpref_merchant.domain import messages
from acpref_merchant.domain.fulfillment import Goods, destination_of
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.messages import Message
from acpref_merchant.domain.negotiation import unmet_interventions
from acpref_merchant.domain.pricing import Price, price
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol.lifecycle import OPEN, Event, Status, advance
from acpref_protocol.models import FulfillmentGroup, MessageError
from acpref_protocol.money import format_amount

NONE_REDEEMED: Mapping[str, int] = MappingProxyType({})
"""No discount has been used by any order."""


class Assessment(NamedTuple):
    """``status`` is what an agent is shown; ``messages`` are in a fixed order, blocking ones first."""

    goods: tuple[Goods, ...]
    price: Price
    messages: tuple[Message, ...]
    status: Status


def assess(
    session: Session,
    shop: Shop,
    items: Mapping[str, Item],
    now: int,
    redeemed: Mapping[str, int] = NONE_REDEEMED,
) -> Assessment:
    """Assess ``session`` at ``now`` (milliseconds since 1970 UTC).

    ``items`` are the catalog's items of its lines by id; one that is missing has left the catalog. ``redeemed`` is
    the number of orders that used a discount, by the discount's id.
    """
    goods = goods_of(session, items)
    priced = price(
        shop,
        goods,
        buyer=session.buyer,
        codes=session.discount_codes,
        wanted=session.selections,
        redeemed=redeemed,
        now=now,
    )
    if session.status not in OPEN:
        return Assessment(goods, priced, (), session.status)
    if now >= session.expires_at:
        said: tuple[Message, ...] = (messages.expired(),)
        return Assessment(goods, priced, said, advance(session.status, Event.EXPIRED))
    blocking = _obstacles(session, shop, goods, priced)
    event = Event.SHOWN_READY
    if any(message.code == "missing" for message in blocking):
        event = Event.SHOWN_INCOMPLETE
    elif blocking:
        event = Event.SHOWN_NOT_READY
    said = (*blocking, *_remarks(session, shop, goods, priced))
    return Assessment(goods, priced, said, advance(session.status, event))


def goods_of(session: Session, items: Mapping[str, Item]) -> tuple[Goods, ...]:
    """The lines of ``session`` with their items and destinations (FUL-12)."""
    whole = destination_of(session.fulfillment_details)
    goods = []
    for line in session.lines:
        item = items.get(line.item_id)
        known = item is not None
        if item is None:
            item = Item(
                id=line.item_id, product_id="", title=line.item_id, unit_amount=0, fulfillment=(), available=0
            )
        group = _group_of(session.fulfillment_groups, line.id, line.item_id)
        types = item.fulfillment
        destination = whole
        if group is not None:
            types = tuple(kind for kind in types if kind == group.destination_type)
            if group.fulfillment_details is not None and group.fulfillment_details.address is not None:
                destination = destination_of(group.fulfillment_details)
        goods.append(Goods(line.id, item, line.quantity, types, destination, group, known))
    return tuple(goods)


def _group_of(groups: tuple[FulfillmentGroup, ...], line_id: str, item_id: str) -> FulfillmentGroup | None:
    for group in groups:
        if line_id in group.item_ids or item_id in group.item_ids:
            return group
    return None


# --- what stands in the way -----------------------------------------------------------------------------------------


def _obstacles(session: Session, shop: Shop, goods: tuple[Goods, ...], priced: Price) -> list[MessageError]:
    """Everything that keeps the session from being paid for, all at once, in the order of the session's members."""
    found: list[MessageError] = []
    if session.buyer is None:
        found.append(messages.missing("$.buyer.email", "The buyer's email address is needed."))
    if not goods:
        found.append(messages.missing("$.line_items", "There is nothing in the session yet."))
    for index, line in enumerate(goods):
        found.extend(_stock_obstacle(index, line))
    found.extend(_fulfillment_obstacles(session, shop, goods, priced))
    if unmet := unmet_interventions(shop, session.declared_capabilities):
        found.append(messages.intervention_required(", ".join(unmet)))
    return found


def _stock_obstacle(index: int, line: Goods) -> list[MessageError]:
    available, most = line.item.available, line.item.max_quantity_per_order
    if not line.known:
        return [messages.gone(index)]
    if available is not None and available <= 0:
        return [messages.out_of_stock(index)]
    if available is not None and available < line.quantity and (most is None or available <= most):
        return [messages.too_many(index, available, limited=False)]
    if most is not None and line.quantity > most:
        return [messages.too_many(index, most, limited=True)]
    return []


def _fulfillment_obstacles(
    session: Session, shop: Shop, goods: tuple[Goods, ...], priced: Price
) -> list[MessageError]:
    """What is missing, or impossible, before every line has a way to the buyer."""
    uncovered = priced.uncovered
    if not uncovered and not session.fulfillment_groups:
        return []
    addressed = shop.fulfillment.to_addresses
    served = {i for offer in priced.offers for i in offer.serves}
    without_address: dict[str, None] = {}
    unreachable: list[MessageError] = []
    undecided = False
    for index in uncovered:
        line = goods[index]
        if not line.known:
            continue
        needs_address = line.destination is None and not addressed.isdisjoint(line.types)
        if needs_address:
            without_address[_address_param(session, line)] = None
        if needs_address or index in served:
            undecided = True
        elif line.destination is not None and not addressed.isdisjoint(line.types):
            unreachable.append(messages.no_way_there(_address_param(session, line), index))
        else:
            unreachable.append(messages.no_way(index))
    ungrouped = (
        [i for i, line in enumerate(goods) if line.group is None] if session.fulfillment_groups else []
    )
    found = [messages.missing(param, "A delivery address is needed.") for param in without_address]
    if ungrouped:
        found.append(messages.missing("$.fulfillment_groups", "Every line has to belong to a group."))
    if undecided:
        found.append(
            messages.missing(
                "$.selected_fulfillment_options",
                "Choose for every line how it reaches the buyer, from the fulfillment options.",
            )
        )
    return found + unreachable


def _address_param(session: Session, line: Goods) -> str:
    if line.group is not None and line.group.fulfillment_details is not None:
        index = session.fulfillment_groups.index(line.group)
        return f"$.fulfillment_groups[{index}].fulfillment_details.address"
    return "$.fulfillment_details.address"


# --- what is worth knowing ------------------------------------------------------------------------------------------


def _remarks(session: Session, shop: Shop, goods: tuple[Goods, ...], priced: Price) -> list[Message]:
    """What the agent and the buyer should know, though it stops nothing."""
    found: list[Message] = []
    if session.payment_message is not None:
        found.append(session.payment_message)
    if session.shown_total is not None and session.shown_total != priced.total:
        before = format_amount(session.shown_total, shop.currency)
        found.append(messages.price_changed(before, format_amount(priced.total, shop.currency)))
    found.extend(
        messages.discount_rejected(code.index, code.reason, code.message) for code in priced.rejected
    )
    for index, line in enumerate(goods):
        available = line.item.available
        if available is not None and line.quantity <= available <= shop.low_stock_threshold:
            found.append(messages.low_stock(index, available))
    if session.buyer is not None and session.buyer.tax_exemption is not None:
        found.append(messages.exemption_not_honoured())
    return found
