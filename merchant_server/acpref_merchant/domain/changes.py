"""What a request does to a session's state: lines, groups, codes and choices, checked in this order.

Each function raises a ``ProtocolError`` that names the place in the request, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from acpref_merchant.domain.assessment import goods_of
from acpref_merchant.domain.fulfillment import Goods, choose, line_named, offers
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.session import Line, Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol.errors import ProtocolError, invalid_request
from acpref_protocol.models import (
    DiscountsRequest,
    FulfillmentGroup,
    RequestItem,
    SelectedFulfillmentOption,
)


def merge_lines(
    wanted: Sequence[RequestItem],
    before: Sequence[Line],
    *,
    shop: Shop,
    items: Mapping[str, Item],
    line_ids: Callable[[], str],
) -> tuple[Line, ...]:
    """The lines that ``wanted`` asks for: one per item, in the order of first mention (CHK-CRE-06, CHK-UPD-03).

    Quantities of repeated ids add up; an item that was in the session before keeps its line id. Raises 400
    ``invalid_item_id`` for an item that the catalog does not have (CHK-CRE-07) and 400 ``invalid`` beyond the
    shop's limits. The name and price that the agent believes in are ignored: the shop's own count.
    """
    quantities: dict[str, int] = {}
    for index, entry in enumerate(wanted):
        if entry.id not in items:
            raise invalid_request(
                "There is no item with this id.", code="invalid_item_id", param=f"$.line_items[{index}].id"
            )
        total = quantities.get(entry.id, 0) + (1 if entry.quantity is None else entry.quantity)
        if total > shop.max_quantity_per_item:
            raise invalid_request(
                f"At most {shop.max_quantity_per_item} of an item can be in a session.",
                param=f"$.line_items[{index}]" + ("" if entry.quantity is None else ".quantity"),
            )
        quantities[entry.id] = total
        if len(quantities) > shop.max_lines:
            raise invalid_request(
                f"A session has at most {shop.max_lines} different items.", param=f"$.line_items[{index}]"
            )
    known = {line.item_id: line.id for line in before}
    return tuple(
        Line(id=known.get(item_id) or line_ids(), item_id=item_id, quantity=quantity)
        for item_id, quantity in quantities.items()
    )


def check_groups(groups: Sequence[FulfillmentGroup], goods: Sequence[Goods]) -> tuple[FulfillmentGroup, ...]:
    """``groups`` if they put each line into exactly one group that can deliver it (FUL-12). Raises 400 otherwise."""
    placed: set[int] = set()
    ids: set[str] = set()
    if len(groups) > len(goods):
        raise invalid_request(
            "There are more groups than lines.", param=f"$.fulfillment_groups[{len(goods)}]"
        )
    for position, group in enumerate(groups):
        path = f"$.fulfillment_groups[{position}]"
        if group.id in ids:
            raise invalid_request("Every group needs an id of its own.", param=f"{path}.id")
        ids.add(group.id)
        for index, name in enumerate(group.item_ids):
            line = line_named(goods, name)
            if line is None:
                raise _no_such_line(f"{path}.item_ids[{index}]")
            if line in placed:
                raise invalid_request(
                    "A line belongs to exactly one group.", param=f"{path}.item_ids[{index}]"
                )
            placed.add(line)
            if group.destination_type not in goods[line].item.fulfillment:
                raise invalid_request(
                    "This item cannot be delivered in this way.",
                    code="unsupported",
                    param=f"{path}.destination_type",
                )
    if groups and len(placed) < len(goods):
        raise invalid_request("Every line has to belong to a group.", param="$.fulfillment_groups")
    return tuple(groups)


def prune_groups(groups: Sequence[FulfillmentGroup], lines: Sequence[Line]) -> tuple[FulfillmentGroup, ...]:
    """``groups`` without the lines that have left the session, and without groups that are thereby empty."""
    names = {line.id for line in lines} | {line.item_id for line in lines}
    kept = []
    for group in groups:
        ids = [name for name in group.item_ids if name in names]
        if len(ids) == len(group.item_ids):
            kept.append(group)
        elif ids:
            kept.append(group.model_copy(update={"item_ids": ids}))
    return tuple(kept)


def submitted_codes(
    shop: Shop, discounts: DiscountsRequest | None, coupons: Sequence[str] | None
) -> tuple[str, ...] | None:
    """The codes that a request submits, ``None`` if it leaves them alone; ``discounts`` wins (DISC-02, DISC-15)."""
    if discounts is not None and discounts.codes is not None:
        codes, param = discounts.codes, "$.discounts.codes"
    elif coupons is not None:
        codes, param = list(coupons), "$.coupons"
    else:
        return None
    if len(codes) > shop.max_discount_codes:
        raise invalid_request(f"At most {shop.max_discount_codes} codes can be submitted.", param=param)
    return tuple(codes)


def check_selections(
    wanted: Sequence[SelectedFulfillmentOption], goods: Sequence[Goods], shop: Shop
) -> tuple[SelectedFulfillmentOption, ...]:
    """``wanted`` as sent, if every choice is offered for every line that it names (FUL-09 to FUL-11).

    Raises 400 for an option that this session does not offer, and for a line that is unknown, not served by
    the option, or chosen for twice.
    """
    by_id = {offer.id: offer for offer in offers(shop, goods)}
    covered: set[int] = set()
    for position, choice in enumerate(wanted):
        path = f"$.selected_fulfillment_options[{position}]"
        offer = by_id.get(choice.option_id)
        if offer is None:
            raise invalid_request("This session offers no option with this id.", param=f"{path}.option_id")
        if offer.type != choice.type:
            raise invalid_request("The option is of another type.", param=f"{path}.type")
        if not choice.item_ids:
            raise invalid_request("Name the lines that the option is for.", param=f"{path}.item_ids")
        for index, name in enumerate(choice.item_ids):
            line = line_named(goods, name)
            if line is None:
                raise _no_such_line(f"{path}.item_ids[{index}]")
            if line not in offer.serves:
                raise invalid_request(
                    "The option does not serve this line.", param=f"{path}.item_ids[{index}]"
                )
            if line in covered:
                raise invalid_request(
                    "A line is covered by exactly one option.", param=f"{path}.item_ids[{index}]"
                )
            covered.add(line)
    return tuple(wanted)


def keep_fitting(
    session: Session, shop: Shop, items: Mapping[str, Item]
) -> tuple[SelectedFulfillmentOption, ...]:
    """The choices of ``session`` that still fit it, for after lines or addresses have changed (FUL-10)."""
    if not session.selections:
        return ()
    goods = goods_of(session, items)
    _, standing = choose(offers(shop, goods), goods, session.selections, downloads=False)
    return tuple(standing)


def _no_such_line(param: str) -> ProtocolError:
    return invalid_request("There is no line or item with this id in the session.", param=param)
