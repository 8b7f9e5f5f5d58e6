"""A small shop, its items, and short ways to open and change sessions, for the tests of the domain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from acpref_merchant.domain import checkout
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.presentation import PROTOCOL_VERSION
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol import schemas
from acpref_protocol.models import (
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
)

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z

RENO = {
    "name": "Ada Park",
    "line_one": "1 Main St",
    "city": "Reno",
    "state": "NV",
    "country": "US",
    "postal_code": "89501",
}
SAN_FRANCISCO = {**RENO, "city": "San Francisco", "state": "CA", "postal_code": "94110"}
BERLIN = {**RENO, "city": "Berlin", "state": "", "country": "DE", "postal_code": "10115"}

SHOP: dict[str, Any] = {
    "merchant_id": "merchant_1",
    "name": "Corner",
    "currency": "usd",
    "public_url": "https://shop.example",
    "taxes": {
        "rules": [
            {"jurisdiction": "California", "country": "US", "state": "CA", "rate": "0.0725"},
            {
                "jurisdiction": "San Francisco",
                "country": "US",
                "state": "CA",
                "postal_prefix": "94",
                "rate": "0.01375",
                "on_fulfillment": True,
            },
        ]
    },
    "fulfillment": {
        "shipping": [
            {
                "id": "standard",
                "title": "Standard",
                "carrier": "Post",
                "countries": ["US"],
                "amount": 500,
                "free_from": 10_000,
                "min_days": 3,
                "max_days": 5,
            },
            {
                "id": "express",
                "title": "Express",
                "countries": ["US"],
                "states": ["NV", "CA"],
                "amount": 1000,
                "amount_per_kg": 250,
                "min_days": 1,
                "max_days": 1,
            },
        ],
        "pickup": [
            {
                "id": "corner",
                "title": "At the corner",
                "place": {**SAN_FRANCISCO, "name": "Corner shop"},
                "phone": "+14155550100",
            }
        ],
        "local_delivery": [
            {
                "id": "bike",
                "title": "By bike",
                "country": "US",
                "postal_prefixes": ["941"],
                "center_postal_code": "94110",
                "radius_miles": 5,
                "amount": 300,
            }
        ],
    },
    "links": [
        {"type": "terms_of_use", "url": "https://shop.example/terms"},
        {"type": "privacy_policy", "url": "https://shop.example/privacy", "title": "Privacy"},
    ],
    "discounts": [
        {"id": "ten", "name": "Ten per cent", "code": "SAVE10", "percent_off": 10},
        {
            "id": "five",
            "name": "Five off",
            "code": "FIVE",
            "amount_off": 500,
            "method": "across",
            "priority": 2,
        },
        {"id": "mugs", "name": "Mug sale", "code": "MUGS", "percent_off": 50, "categories": ["mugs"]},
        {"id": "old", "name": "Old", "code": "OLD", "percent_off": 10, "ends_at": "2026-01-01T00:00:00Z"},
        {
            "id": "soon",
            "name": "Soon",
            "code": "SOON",
            "percent_off": 10,
            "starts_at": "2026-01-01T00:00:01Z",
        },
        {"id": "big", "name": "Big", "code": "BIG", "percent_off": 20, "minimum_subtotal": 50_000},
        {"id": "solo", "name": "Solo", "code": "SOLO", "percent_off": 30, "exclusive": True},
        {"id": "member", "name": "Member", "code": "MEMBER", "percent_off": 5, "requires_sign_in": True},
        {"id": "ada", "name": "For Ada", "code": "ADA", "percent_off": 15, "customer_ids": ["cust_ada"]},
        {"id": "few", "name": "Few", "code": "FEW", "percent_off": 10, "usage_limit": 3},
    ],
}


def shop(**changes: Any) -> Shop:
    """The shop with ``changes`` to its top members."""
    return Shop.model_validate(SHOP | changes)


def _item(item_id: str, unit_amount: int, **more: Any) -> Item:
    return Item(
        id=item_id, product_id=f"product_{item_id}", title=item_id.title(), unit_amount=unit_amount, **more
    )


ITEMS: dict[str, Item] = {
    item.id: item
    for item in (
        _item(
            "mug", 1200, category="mugs", weight_grams=400, available=100, fulfillment=("shipping", "pickup")
        ),
        _item(
            "lamp",
            4599,
            weight_grams=1500,
            available=100,
            fulfillment=("shipping", "pickup", "local_delivery"),
            max_quantity_per_order=3,
        ),
        _item("book", 2000, tax_class="exempt", available=50),
        _item("song", 199, fulfillment=("digital",)),
        _item("gone", 900, available=0),
        _item("few", 900, available=2),
        _item("free", 0, fulfillment=("digital",)),
    )
}


def line_ids() -> Iterator[str]:
    """Fresh line ids."""
    number = 0
    while True:
        number += 1
        yield f"li_{number}"


def entries(wanted: Mapping[str, int]) -> list[dict[str, Any]]:
    """Request lines for quantities by item id."""
    return [{"id": item_id, "quantity": quantity} for item_id, quantity in wanted.items()]


class World:
    """One session of one shop: opens it, changes it, shows it."""

    def __init__(
        self, the_shop: Shop | None = None, items: dict[str, Item] | None = None, **body: Any
    ) -> None:
        self.shop = the_shop or shop()
        self.items = dict(ITEMS if items is None else items)
        self.now = NOW
        self._ids = line_ids()
        lines = body.pop("lines", {"mug": 1})
        request = {
            "line_items": entries(lines) if isinstance(lines, dict) else lines,
            "currency": "usd",
            "capabilities": {"interventions": {"supported": []}},
        } | body
        self.session: Session = checkout.open_session(
            CheckoutSessionCreateRequest.model_validate(request),
            session_id="cs_1",
            line_ids=lambda: next(self._ids),
            agent_id="agent_1",
            shop=self.shop,
            items=self.items,
            now=self.now,
        )

    def update(self, cleared: frozenset[str] = frozenset(), **body: Any) -> World:
        """Apply an update whose members are ``body``, with those in ``cleared`` sent as null."""
        self.session = checkout.update_session(
            self.session,
            CheckoutSessionUpdateRequest.model_validate(body),
            cleared,
            line_ids=lambda: next(self._ids),
            shop=self.shop,
            items=self.items,
            now=self.now,
        )
        return self

    def view(self, **more: Any) -> CheckoutSession:
        """The session as shown now; everything that the tests look at is valid by the JSON Schema."""
        shown = checkout.present(self.session, self.shop, self.items, self.now, **more)
        assert_matches_schema(shown)
        return shown

    def show(self) -> World:
        """Let the agent see the session: completion then charges what it saw."""
        self.session = self.session.model_copy(update={"shown_total": checkout.total_of(self.view())})
        return self

    def complete(self, **body: Any) -> Any:
        """Plan the completion with a good token, unless ``body`` says otherwise."""
        request = {
            "payment_data": {
                "handler_id": self.shop.card_handler.id,
                "instrument": {"type": "card", "credential": {"type": "spt", "token": "vt_1"}},
            }
        } | body
        return checkout.plan_completion(
            self.session,
            CheckoutSessionCompleteRequest.model_validate(request),
            shop=self.shop,
            items=self.items,
            now=self.now,
        )


def choice(option_id: str, *item_ids: str, kind: str = "shipping") -> dict[str, Any]:
    """An entry of selected_fulfillment_options."""
    return {"type": kind, "option_id": option_id, "item_ids": list(item_ids)}


def ready(**body: Any) -> World:
    """A session that lacks nothing: one mug to Reno by standard shipping, seen by the agent."""
    world = World(buyer={"email": "ada@example.com"}, fulfillment_details={"address": RENO}, **body)
    lines = [
        line.item_id for line in world.session.lines if world.items[line.item_id].fulfillment != ("digital",)
    ]
    if lines:
        world.update(selected_fulfillment_options=[choice("standard", *lines)])
    return world.show()


def totals(shown: CheckoutSession) -> dict[str, int]:
    """The session's amounts by type, for sessions with one entry of each."""
    found = {total.type: total.amount for total in shown.totals}
    assert len(found) == len(shown.totals)
    return found


@cache
def _validator() -> Draft202012Validator:
    documents = [schemas.document(PROTOCOL_VERSION, name) for name in schemas.names(PROTOCOL_VERSION)]
    registry: Registry[Any] = Registry().with_resources(
        [(document["$id"], Resource.from_contents(document)) for document in documents]
    )
    reference = f"{schemas.identifier(PROTOCOL_VERSION, 'agentic_checkout')}#/$defs/CheckoutSession"
    return Draft202012Validator({"$ref": reference}, registry=registry)


def assert_matches_schema(shown: CheckoutSession) -> None:
    """What is sent for ``shown`` is valid by the JSON Schema document, which knows nothing of the models."""
    errors = [
        f"{error.json_path}: {error.message}"
        for error in _validator().iter_errors(json.loads(shown.to_json()))
    ]
    assert errors == []


def said(shown: CheckoutSession, kind: str = "error") -> list[tuple[str, str | None]]:
    """Code and param of every message of a type, in order."""
    return [(message.code, message.param) for message in shown.messages if message.type == kind]  # type: ignore[union-attr]
