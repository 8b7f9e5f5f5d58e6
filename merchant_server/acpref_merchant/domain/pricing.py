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
from dataclasses import dataclass
from decimal import Decimal

from acpref_merchant.domain import discounts
from acpref_merchant.domain.discounts import Applied, Rejected
from acpref_merchant.domain.fulfillment import Goods, Offer, choose, cost, offers
from acpref_merchant.domain.shop import PickupPlace, Shop, TaxRule
from acpref_merchant.domain.taxes import Destination, Tax, rules_at, tax_line
from acpref_protocol.models import Buyer, SelectedFulfillmentOption
from acpref_protocol.money import allocate


@dataclass(frozen=True, slots=True)
class LinePrice:
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
        return sum(tax.amount for tax in self.taxes if not tax.inclusive)

    @property
    def total(self) -> int:
        """Subtotal and tax."""
        return self.subtotal + self.tax


@dataclass(frozen=True, slots=True)
class Price:
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
    paid = [b - d - o for b, d, o in zip(bases, item_discounts, order_discounts, strict=True)]
    shares = _shares_of_fulfillment(chosen, costs, paid)

    places = _tax_destinations(shop, goods, chosen)
    known_rules: dict[Destination, list[TaxRule]] = {}
    lines = []
    for i, line in enumerate(goods):
        place = places[i]
        taxes: tuple[Tax, ...] = ()
        if place is not None:
            rules = known_rules.get(place)
            if rules is None:
                rules = known_rules[place] = rules_at(shop.taxes, place)
            if rules:
                taxes = tuple(tax_line(shop.taxes, rules, line.item.tax_class, paid[i], shares[i]))
        lines.append(LinePrice(bases[i], item_discounts[i], order_discounts[i], shares[i], taxes))
    every_tax = [tax for line in lines for tax in line.taxes]
    added = _by_jurisdiction(tax for tax in every_tax if not tax.inclusive)
    covering = [i for i, offer in enumerate(chosen) if offer.covers]
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
        fulfillment=sum(costs[i] for i in covering) if covering else None,
        tax=sum(tax.amount for tax in added),
        taxable=all(place is not None for place in places),
        added=added,
        included=_by_jurisdiction(tax for tax in every_tax if tax.inclusive),
    )


def _per_line(count: int, shares: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*shares, strict=True)] if shares else [0] * count


def _shares_of_fulfillment(chosen: Sequence[Offer], costs: Sequence[int], paid: Sequence[int]) -> list[int]:
    """The cost of each option spread over the lines that it covers, in proportion to their price."""
    shares = [0] * len(paid)
    for offer, amount in zip(chosen, costs, strict=True):
        if amount and offer.covers:
            for i, share in zip(offer.covers, allocate(amount, [paid[i] for i in offer.covers]), strict=True):
                shares[i] = share
    return shares


def _tax_destinations(
    shop: Shop, goods: Sequence[Goods], chosen: Sequence[Offer]
) -> list[Destination | None]:
    """Where each line is taxed: where it is handed over, or else where it is sent.

    Downloads for a buyer whose address is unknown are taxed as in the shop's own country.
    """
    places = [line.destination for line in goods]
    for offer in chosen:
        for i in offer.covers:
            if isinstance(offer.source, PickupPlace):
                place = offer.source.place
                places[i] = Destination.of(place.country, place.state, place.postal_code)
            elif offer.source is None and places[i] is None:
                places[i] = Destination(shop.country)
    return places


def _by_jurisdiction(taxes: Iterable[Tax]) -> tuple[Tax, ...]:
    """``taxes`` of all lines added up per jurisdiction and rate, in the order of the tax table."""
    sums: dict[tuple[str, Decimal, bool], int] = {}
    for tax in taxes:
        key = (tax.jurisdiction, tax.rate, tax.inclusive)
        sums[key] = sums.get(key, 0) + tax.amount
    return tuple(Tax(name, rate, amount, inclusive) for (name, rate, inclusive), amount in sums.items())
