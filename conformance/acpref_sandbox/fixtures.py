"""What a test finds in the sandbox, whatever catalog it runs on: chosen items, discounts, addresses and cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from acpref_merchant.domain.item import Item
from acpref_merchant.domain.shop import Discount, Shop

PLENTY = 1_000_000
"""Units of the items that a load test buys."""

LAST_UNITS = 5
"""How many items are set to one unit each, catalog permitting."""

UNKNOWN_ITEM = "sandbox_no_such_item"

DISCOUNTS = (
    Discount(id="sandbox_active", name="Ten percent off", code="SANDBOX10", percent_off=10, priority=50),
    Discount(
        id="sandbox_expired",
        name="Long gone",
        code="SANDBOXOLD",
        percent_off=10,
        priority=50,
        ends_at=datetime(2020, 1, 1, tzinfo=UTC),
    ),
    Discount(
        id="sandbox_minimum",
        name="For large orders",
        code="SANDBOXBIG",
        percent_off=5,
        priority=50,
        minimum_subtotal=100_000_000,
    ),
)

ADDRESSES: dict[str, dict[str, str]] = {
    "US": {
        "name": "Ada Park",
        "line_one": "500 Howard Street",
        "city": "San Francisco",
        "state": "CA",
        "country": "US",
        "postal_code": "94105",
    },
    "GB": {
        "name": "Ada Park",
        "line_one": "20 Station Road",
        "city": "Cambridge",
        "state": "",
        "country": "GB",
        "postal_code": "CB1 2JD",
    },
    "DE": {
        "name": "Ada Park",
        "line_one": "Torstrasse 1",
        "city": "Berlin",
        "state": "",
        "country": "DE",
        "postal_code": "10119",
    },
}
UNSERVICEABLE = {
    "name": "Ada Park",
    "line_one": "Research Station 1",
    "city": "McMurdo",
    "state": "",
    "country": "AQ",
    "postal_code": "96599",
}


def card(number: str, **changes: str) -> dict[str, str]:
    """A test card of the sandbox provider, valid until the end of 2030."""
    return {"number": number, "exp_month": "12", "exp_year": "2030", "cvc": "123", **changes}


CARDS = {
    "approved": card("4242424242424242"),
    "declined": card("4000000000000002"),
    "requires_3ds": card("4000002760003184"),
    "expired": card("4000000000000069"),
    "insufficient_funds": card("4000000000009995"),
}


@dataclass(frozen=True, slots=True)
class Fixtures:
    """The items chosen for each purpose. A purpose that the catalog cannot serve is left out of the target file."""

    in_stock: str
    second: str | None = None
    digital: str | None = None
    out_of_stock: str | None = None
    last_unit: tuple[str, ...] = ()
    stock: Mapping[str, int] = field(default_factory=dict)


class NoFixturesError(Exception):
    """The catalog has nothing that can be shipped, so no purchase can be tried on it."""


def choose(items: Iterable[Item]) -> Fixtures:
    """Pick the items of a catalog that play a part in tests, and the stock that each must have.

    The first items that ship come first, so that the choice is the same on every start.
    """
    shipped: list[str] = []
    digital: str | None = None
    for item in items:
        if "digital" in item.fulfillment:
            digital = digital or item.id
        elif "shipping" in item.fulfillment and item.max_quantity_per_order is None:
            shipped.append(item.id)
        if digital and len(shipped) >= 3 + LAST_UNITS:
            break
    if not shipped:
        raise NoFixturesError("the catalog has no item that can be shipped")
    in_stock, *others = shipped[: 3 + LAST_UNITS]
    second = others[0] if others else None
    out_of_stock = others[1] if len(others) > 1 else None
    last_unit = tuple(others[2:])
    stock = {in_stock: PLENTY, **dict.fromkeys(last_unit, 1)}
    if second is not None:
        stock[second] = PLENTY
    if out_of_stock is not None:
        stock[out_of_stock] = 0
    return Fixtures(in_stock, second, digital, out_of_stock, last_unit, stock)


def with_discounts(shop: Shop) -> Shop:
    """``shop`` with the sandbox's discount codes added to its own."""
    return shop.model_copy(update={"discounts": (*shop.discounts, *DISCOUNTS)})


def serviceable_address(shop: Shop) -> dict[str, str]:
    """An address that the shop ships to; the sandbox's shops ship to one of a few countries."""
    countries = [country for rate in shop.fulfillment.shipping for country in rate.countries]
    for country in countries:
        if country in ADDRESSES:
            return ADDRESSES[country]
    return ADDRESSES["US"]


def document(fixtures: Fixtures, shop: Shop) -> dict[str, Any]:
    """The ``fixtures`` member of the target file."""
    items: dict[str, Any] = {"in_stock": fixtures.in_stock, "unknown": UNKNOWN_ITEM}
    for name in ("second", "digital", "out_of_stock"):
        if (item_id := getattr(fixtures, name)) is not None:
            items[name] = item_id
    if fixtures.last_unit:
        items["last_unit"] = list(fixtures.last_unit)
    active, expired, minimum = DISCOUNTS
    return {
        "items": items,
        "discounts": {"active": active.code, "expired": expired.code, "minimum": minimum.code},
        "addresses": {"serviceable": serviceable_address(shop), "unserviceable": UNSERVICEABLE},
        "cards": CARDS,
    }
