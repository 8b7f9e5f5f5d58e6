"""The price of a session: one exact computation, from the goods to the amount due.

    base            unit price x quantity of each line
    - item discount   discounts that reduce single lines (method ``each``)
    = subtotal
    - discount        discounts on the order (method ``across``), spread over the lines they are taken from
    + fulfillment     the cost of every option that covers a line
    + tax             per line and rule, on the discounted price and the line's share of fulfillment
    = total

Discounts are computed by priority, so one on the order may come before one on items (DISC-08). Every amount of the
session is the sum of the lines' amounts. Taxes that prices already contain are reported beside this sum. All
amounts are minor units, none is negative (CHK-TOT-03, DISC-13, DISC-14).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from acpref_merchant.domain import discounts
from acpref_merchant.domain.discounts import Applied, Rejected
from acpref_merchant.domain.fulfillment import Goods, Offer, choose, cost, offers
from acpref_merchant.domain.shop import PickupPlace, Shop
from acpref_merchant.domain.taxes import Destination, Tax, rules_at, tax_line
from acpref_protocol.models import Buyer, SelectedFulfillmentOption
from acpref_protocol.money import allocate


class LinePrice(NamedTuple):
    """What one line costs. ``fulfillment`` and ``order_discount`` are its shares of the session's amounts."""

    base: int
    discount: int
    order_discount: int
    fulfillment: int
    taxes: tuple[Tax, ...]

    @property
    def subtotal(self) -> int:
        """The price after discounts on items, before tax."""
        return self.base - self.discount

    @property
    def tax(self) -> int:
        """Tax that comes on top of the price."""
        return sum([tax.amount for tax in self.taxes if not tax.inclusive])

    @property
    def total(self) -> int:
        """Subtotal and tax."""
        return self.subtotal + self.tax


class Price(NamedTuple):
    """What the session costs and why.

    ``offers`` are the fulfillment options with the cost of each in ``costs``; ``selected`` are the choices that
    hold. ``fulfillment`` is ``None`` while no line has been given a way to the buyer. ``taxable`` says whether every
    line's destination is known, so that ``tax`` is final. ``added`` and ``included`` list taxes by jurisdiction.
    """

    lines: tuple[LinePrice, ...]
    offers: tuple[Offer, ...]
    costs: tuple[int, ...]
    selected: tuple[SelectedFulfillmentOption, ...]
    applied: tuple[Applied, ...]
    rejected: tuple[Rejected, ...]
    base: int
    item_discount: int
    discount: int
    fulfillment: int | None
    tax: int
    taxable: bool
    added: tuple[Tax, ...]
    included: tuple[Tax, ...]

    @property
    def subtotal(self) -> int:
        """Goods after discounts on items."""
        return self.base - self.item_discount

    @property
    def total(self) -> int:
        """The amount due."""
        return self.subtotal - self.discount + (self.fulfillment or 0) + self.tax

    @property
    def uncovered(self) -> tuple[int, ...]:
        """The lines that no selected option brings to the buyer."""
        covered = {i for offer in self.offers for i in offer.covers}
        return tuple(i for i in range(len(self.lines)) if i not in covered)


def price(
    shop: Shop,
    goods: Sequence[Goods],
    *,
    buyer: Buyer | None,
    codes: Sequence[str],
    wanted: Sequence[SelectedFulfillmentOption],
    redeemed: Mapping[str, int],
    now: int,
) -> Price:
    """Price ``goods`` for ``buyer`` with the discount ``codes`` and fulfillment options that the agent wants.

    ``redeemed`` is the number of orders that used a discount, by its id; ``now`` is in milliseconds since 1970.
    """
    items = [line.item for line in goods]
    bases = [line.base for line in goods]
    base = sum(bases)
    granted, rejected = discounts.judge(
        shop, codes, items=items, base=base, buyer=buyer, redeemed=redeemed, now=now
    )
    applied = discounts.apply(granted, items, bases)
    item_discounts = _per_line(len(goods), [a.shares for a in applied if a.discount.method == "each"])
    order_discounts = _per_line(len(goods), [a.shares for a in applied if a.discount.method == "across"])
    item_discount = sum(item_discounts)

    chosen, selected = choose(offers(shop, goods), goods, wanted)
    costs = [cost(offer, goods, base - item_discount) for offer in chosen]
    taken = [(offer, amount) for offer, amount in zip(chosen, costs, strict=True) if offer.covers]
    paid = [b - d - o for b, d, o in zip(bases, item_discounts, order_discounts, strict=True)]
    shares = _shares_of_fulfillment(taken, paid)

    places = _tax_destinations(shop, goods, taken)
    rules = {place: rules_at(shop.taxes, place) for place in set(places) if place is not None}
    lines = []
    for i, place in enumerate(places):
        taxes: list[Tax] = []
        if place is not None:
            taxes = tax_line(shop.taxes, rules[place], items[i].tax_class, paid[i], shares[i])
        lines.append(LinePrice(bases[i], item_discounts[i], order_discounts[i], shares[i], tuple(taxes)))
    by_jurisdiction = _by_jurisdiction([tax for line in lines for tax in line.taxes])
    added = tuple([tax for tax in by_jurisdiction if not tax.inclusive])
    return Price(
        lines=tuple(lines),
        offers=tuple(chosen),
        costs=tuple(costs),
        selected=tuple(selected),
        applied=tuple(applied),
        rejected=tuple(rejected),
        base=base,
        item_discount=item_discount,
        discount=sum(order_discounts),
        fulfillment=sum([amount for _, amount in taken]) if taken else None,
        tax=sum([tax.amount for tax in added]),
        taxable=None not in places,
        added=added,
        included=tuple([tax for tax in by_jurisdiction if tax.inclusive]),
    )


def _per_line(count: int, shares: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*shares, strict=True)] if shares else [0] * count


def _shares_of_fulfillment(taken: Sequence[tuple[Offer, int]], paid: Sequence[int]) -> list[int]:
    """The cost of each option spread over the lines that it covers, in proportion to their price."""
    shares = [0] * len(paid)
    for offer, amount in taken:
        if amount:
            for i, share in zip(offer.covers, allocate(amount, [paid[i] for i in offer.covers]), strict=True):
                shares[i] = share
    return shares


def _tax_destinations(
    shop: Shop, goods: Sequence[Goods], taken: Sequence[tuple[Offer, int]]
) -> list[Destination | None]:
    """Where each line is taxed: where it is handed over, or else where it is sent.

    Downloads for a buyer whose address is unknown are taxed as in the shop's own country.
    """
    places = [line.destination for line in goods]
    for offer, _ in taken:
        if type(offer.source) is PickupPlace:
            place = offer.source.place
            here = Destination.of(place.country, place.state, place.postal_code)
            for i in offer.covers:
                places[i] = here
        elif offer.source is None:
            for i in offer.covers:
                if places[i] is None:
                    places[i] = Destination(shop.country)
    return places


def _by_jurisdiction(taxes: Iterable[Tax]) -> list[Tax]:
    """``taxes`` of all lines added up per jurisdiction and rate, in the order of the tax table."""
    sums: dict[tuple[str, Decimal, bool], int] = {}
    for tax in taxes:
        key = (tax.jurisdiction, tax.rate, tax.inclusive)
        sums[key] = sums.get(key, 0) + tax.amount
    return [Tax(name, rate, amount, inclusive) for (name, rate, inclusive), amount in sums.items()]
