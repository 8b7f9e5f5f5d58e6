"""Ways in which goods reach the buyer: which of them serve a line, what they cost, and what the agent chose.

A *way* is one of the shop's shipping rates, pickup places, local deliveries, or the download of digital goods. It
serves a line if the item can travel that way, the line's group allows it, and it reaches the line's destination.
A way that serves at least one line is an *offer*, shown as a fulfillment option (FUL-04 to FUL-06).
Lines are named by their index.

What is made anew for every assessment is a named tuple, here and in ``pricing`` and ``taxes``: as immutable as a frozen
dataclass, and made in a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from acpref_merchant.domain.item import FulfillmentType, Item
from acpref_merchant.domain.shop import (
    DIGITAL_OPTION_ID,
    LocalDelivery,
    PickupPlace,
    ShippingRate,
    Shop,
    Source,
)
from acpref_merchant.domain.taxes import Destination
from acpref_protocol.models import FulfillmentDetails, FulfillmentGroup, SelectedFulfillmentOption
from acpref_protocol.money import divide_half_up


class Goods(NamedTuple):
    """A line as fulfillment and pricing see it. ``details`` is whom and where it goes to, if that is known.

    ``types`` are the ways that the item and the line's group leave open. ``known`` is false for an item that has
    left the catalog.
    """

    line_id: str
    item: Item
    quantity: int
    types: tuple[FulfillmentType, ...]
    destination: Destination | None = None
    group: FulfillmentGroup | None = None
    known: bool = True

    @property
    def base(self) -> int:
        """The price before discounts."""
        return self.item.unit_amount * self.quantity

    @property
    def digital_only(self) -> bool:
        """Whether there is nothing to choose: the goods can only be downloaded."""
        return self.types == ("digital",)

    def named_by(self, name: str) -> bool:
        """Whether ``name`` is the id of this line or of its item (FUL-11)."""
        return name in (self.line_id, self.item.id)


class Offer(NamedTuple):
    """A way that serves the lines ``serves``; ``covers`` are those that it was chosen for."""

    type: FulfillmentType
    id: str
    source: Source
    serves: tuple[int, ...]
    covers: tuple[int, ...] = ()


def destination_of(details: FulfillmentDetails | None) -> Destination | None:
    """The destination that ``details`` give, or ``None`` without an address."""
    if details is None or details.address is None:
        return None
    address = details.address
    return Destination.of(address.country, address.state, address.postal_code)


class _Journey(NamedTuple):
    """What decides which ways serve a line. ``place`` is the id of the pickup place that its group insists on."""

    types: tuple[FulfillmentType, ...]
    destination: Destination | None
    place: str | None


def offers(shop: Shop, goods: Sequence[Goods]) -> tuple[Offer, ...]:
    """Every way that serves at least one line, in the shop's order: shipping, pickup, local delivery, digital."""
    return _offers(
        shop,
        tuple(
            [
                _Journey(line.types, line.destination, None if line.group is None else line.group.location_id)
                for line in goods
            ]
        ),
    )


@lru_cache(maxsize=1024)
def _offers(shop: Shop, journeys: tuple[_Journey, ...]) -> tuple[Offer, ...]:
    """Remembered, because one update asks twice, and the journeys of a session seldom change."""
    made: list[Offer] = []
    for kind, way_id, source in shop.fulfillment.ways:
        serves = [i for i, to in enumerate(journeys) if kind in to.types and _reaches(source, to)]
        if serves:
            made.append(Offer(kind, way_id, source, tuple(serves)))
    return tuple(made)


def choose(
    made: Sequence[Offer],
    goods: Sequence[Goods],
    wanted: Sequence[SelectedFulfillmentOption],
    *,
    downloads: bool = True,
) -> tuple[list[Offer], list[SelectedFulfillmentOption]]:
    """``made`` with the lines that each offer covers, and the choices as they stand.

    Of what the agent wants, entries whose option is not offered are dropped, and within an entry the lines that
    are gone, not served, or already covered by an earlier entry. Lines that can only be downloaded need no choice:
    with ``downloads`` they are covered by the digital option, named by line id (FUL-10, FUL-11).
    """
    index = {offer.id: position for position, offer in enumerate(made)}
    covered: dict[int, int] = {}
    standing: list[SelectedFulfillmentOption] = []
    for choice in wanted:
        position = index.get(choice.option_id)
        if position is None or made[position].type != choice.type:
            continue
        serves = made[position].serves
        names = []
        for name in choice.item_ids:
            line = line_named(goods, name)
            if line is not None and line in serves and line not in covered:
                covered[line] = position
                names.append(name)
        if names:
            same = len(names) == len(choice.item_ids)
            standing.append(choice if same else choice.model_copy(update={"item_ids": names}))
    digital = index.get(DIGITAL_OPTION_ID) if downloads else None
    unchosen = [i for i, line in enumerate(goods) if line.digital_only and i not in covered]
    if digital is not None and unchosen:
        covered.update(dict.fromkeys(unchosen, digital))
        ids = [goods[i].line_id for i in unchosen]
        standing.append(SelectedFulfillmentOption(type="digital", option_id=DIGITAL_OPTION_ID, item_ids=ids))
    lines: dict[int, list[int]] = {}
    for line in sorted(covered):
        lines.setdefault(covered[line], []).append(line)
    chosen = list(made)
    for position, covers in lines.items():
        offer = made[position]
        chosen[position] = Offer(offer.type, offer.id, offer.source, offer.serves, tuple(covers))
    return chosen, standing


def line_named(goods: Sequence[Goods], name: str) -> int | None:
    """The line whose id is ``name``, or else the line of the item ``name`` (FUL-11)."""
    for i, line in enumerate(goods):
        if line.line_id == name:
            return i
    for i, line in enumerate(goods):
        if line.item.id == name:
            return i
    return None


def cost(offer: Offer, goods: Sequence[Goods], subtotal: int) -> int:
    """What ``offer`` costs for the lines it covers, or for all it serves while it covers none.

    Each destination is a parcel of its own. ``subtotal`` is the price of all goods after discounts on items,
    with which the limit for free shipping is compared.
    """
    source = offer.source
    if source is None:
        return 0
    # Compared, not matched, since this is asked for every offer: isinstance is slow to say no for a pydantic class.
    if type(source) is PickupPlace:
        return source.amount
    parcels: dict[Destination | None, int] = {}
    for i in offer.covers or offer.serves:
        line = goods[i]
        grams = line.item.weight_grams * line.quantity
        parcels[line.destination] = parcels.get(line.destination, 0) + grams
    amount = source.amount * len(parcels)
    if type(source) is ShippingRate:
        if source.free_from is not None and subtotal >= source.free_from:
            return 0
        if source.amount_per_kg:
            amount += sum([divide_half_up(source.amount_per_kg * grams, 1000) for grams in parcels.values()])
    return amount


def _reaches(source: Source, to: _Journey) -> bool:
    destination = to.destination
    match source:
        case ShippingRate(countries=countries, states=states):
            return (
                destination is not None
                and destination.country in countries
                and (states is None or destination.state in states)
            )
        case LocalDelivery(country=country, postal_prefixes=prefixes):
            return (
                destination is not None
                and destination.country == country
                and destination.postal_code.startswith(prefixes)
            )
        case PickupPlace(id=place):
            return to.place is None or to.place == place
        case None:
            return True
