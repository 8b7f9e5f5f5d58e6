"""Ways in which goods reach the buyer: which of them serve a line, what they cost, and what the agent chose.

A *way* is one of the shop's shipping rates, pickup places, local deliveries, or the download of digital goods. It
serves a line if the item can travel that way, the line's group allows it, and it reaches the line's destination.
A way that serves at least one line is an *offer*, shown as a fulfillment option (FUL-04 to FUL-06).
Lines are named by their index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from acpref_merchant.domain.item import FulfillmentType, Item
from acpref_merchant.domain.shop import (
    DIGITAL_OPTION_ID,
    LocalDelivery,
    PickupPlace,
    ShippingRate,
    Shop,
)
from acpref_merchant.domain.taxes import Destination
from acpref_protocol.models import FulfillmentDetails, FulfillmentGroup, SelectedFulfillmentOption
from acpref_protocol.money import apply_rate

Source = ShippingRate | PickupPlace | LocalDelivery | None


@dataclass(frozen=True, slots=True)
class Goods:
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


@dataclass(frozen=True, slots=True)
class Offer:
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


def offers(shop: Shop, goods: Sequence[Goods]) -> list[Offer]:
    """Every way that serves at least one line, in the shop's order: shipping, pickup, local delivery, digital."""
    ways = shop.fulfillment
    made: list[Offer] = []

    def offer(kind: FulfillmentType, way_id: str, source: Source) -> None:
        serves = tuple(i for i, line in enumerate(goods) if kind in line.types and _reaches(source, line))
        if serves:
            made.append(Offer(kind, way_id, source, serves))

    for rate in ways.shipping:
        offer("shipping", rate.id, rate)
    for place in ways.pickup:
        offer("pickup", place.id, place)
    for delivery in ways.local_delivery:
        offer("local_delivery", delivery.id, delivery)
    offer("digital", DIGITAL_OPTION_ID, None)
    return made


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
        names = []
        for name in choice.item_ids:
            line = line_named(goods, name)
            if line is not None and line in made[position].serves and line not in covered:
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
    return [
        Offer(offer.type, offer.id, offer.source, offer.serves, tuple(lines[position]))
        if position in lines
        else offer
        for position, offer in enumerate(made)
    ], standing


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
    lines = [goods[i] for i in offer.covers or offer.serves]
    match offer.source:
        case ShippingRate() as rate:
            if rate.free_from is not None and subtotal >= rate.free_from:
                return 0
            parcels: dict[Destination | None, int] = {}
            for line in lines:
                grams = line.item.weight_grams * line.quantity
                parcels[line.destination] = parcels.get(line.destination, 0) + grams
            if not rate.amount_per_kg:
                return rate.amount * len(parcels)
            return sum(
                rate.amount + apply_rate(rate.amount_per_kg, Decimal(grams).scaleb(-3))
                for grams in parcels.values()
            )
        case LocalDelivery(amount=amount):
            return amount * len({line.destination for line in lines})
        case PickupPlace(amount=amount):
            return amount
        case None:
            return 0


def _reaches(source: Source, line: Goods) -> bool:
    destination = line.destination
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
            wanted = None if line.group is None else line.group.location_id
            return wanted is None or wanted == place
        case None:
            return True
