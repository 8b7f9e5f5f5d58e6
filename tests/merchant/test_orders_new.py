"""The order that a paid session becomes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.orders import new_order
from acpref_merchant.domain.session import Line, Session
from acpref_merchant.domain.shop import Shop, Support
from acpref_protocol.lifecycle import Status
from acpref_protocol.models import CheckoutSession, Order

NOW = 1_770_000_000_000
SHOP = Shop(
    merchant_id="m_1",
    name="Corner",
    currency="usd",
    public_url="https://shop.example/",
    support=Support(email="help@shop.example", hours="9-5"),
)
ADDRESS = {
    "name": "Ada Park", "line_one": "1 Main St", "city": "Reno", "state": "NV", "country": "US",
    "postal_code": "89501",
}  # fmt: skip
ELSEWHERE = {**ADDRESS, "line_one": "9 Hill Rd"}


def total(kind: str, amount: int) -> dict[str, Any]:
    return {"type": kind, "display_text": kind, "amount": amount}


FREE = [total("total", 0)]
OPTIONS: dict[str, dict[str, Any]] = {
    "std": {
        "type": "shipping", "id": "std", "title": "Standard", "carrier": "USPS", "totals": FREE,
        "earliest_delivery_time": rfc3339(NOW + 3 * 86_400_000), "latest_delivery_time": rfc3339(NOW + 5 * 86_400_000),
    },
    "local": {
        "type": "local_delivery", "id": "local", "title": "Bike courier", "totals": FREE,
        "delivery_window": {"start": rfc3339(NOW + 7_200_000), "end": rfc3339(NOW + 14_400_000)},
    },
    "store": {
        "type": "pickup", "id": "store", "title": "Collect", "totals": FREE,
        "location": {"name": "Main store", "address": ELSEWHERE},
        "ready_by": rfc3339(NOW + 3_600_000), "pickup_by": rfc3339(NOW + 7 * 86_400_000),
    },
    "dl": {"type": "digital", "id": "dl", "title": "Instant download", "totals": FREE},
}  # fmt: skip


def paid(
    lines: dict[str, int],
    selected: dict[str, list[str]],
    groups: list[dict[str, Any]] | None = None,
    **session: Any,
) -> Order:
    """The order of a session with these units by line (line ``li_x`` is of item ``x``) and options by id."""
    view = CheckoutSession.model_validate(
        {
            "id": "cs_1",
            "status": "completed",
            "currency": "usd",
            "capabilities": {},
            "line_items": [
                {
                    "id": f"li_{item}", "item": {"id": item}, "name": f"Item {item}", "quantity": count,
                    "unit_amount": 1000, "images": ["https://shop.example/a.jpg"],
                    "totals": [total("subtotal", 1000 * count), total("total", 1080 * count)],
                }
                for item, count in lines.items()
            ],
            "fulfillment_details": {"name": "Ada Park", "address": ADDRESS},
            "fulfillment_options": list(OPTIONS.values()),
            "selected_fulfillment_options": [
                {"type": OPTIONS[option]["type"], "option_id": option, "item_ids": ids}
                for option, ids in selected.items()
            ],
            "totals": [total("subtotal", 5000), total("total", 5400)],
            "messages": [],
            "links": [],
        }
        | ({"fulfillment_groups": groups} if groups else {})
    )  # fmt: skip
    stored = Session(
        id="cs_1", agent_id="agent", status=Status.COMPLETED, currency="usd", created_at=NOW, updated_at=NOW,
        expires_at=NOW, lines=tuple(Line(id=f"li_{item}", item_id=item, quantity=n) for item, n in lines.items()),
        **session,
    )  # fmt: skip
    items = {
        item: Item(
            id=item, product_id=f"p_{item}", title=item, unit_amount=1000, url="https://shop.example/p"
        )
        for item in lines
    }
    order = new_order(stored, view, items, SHOP, order_id="ord_1", number="1001", now=NOW)
    jsonschema.validate(order.to_object(), Order.model_json_schema())
    return order


def test_an_order_names_itself_its_session_and_its_page() -> None:
    """ORD-01, ORD-02, ORD-03, ORD-16."""
    order = paid({"a": 2}, {"std": ["li_a"]})
    assert (order.type, order.id, order.checkout_session_id, order.order_number) == (
        "order",
        "ord_1",
        "cs_1",
        "1001",
    )
    assert order.permalink_url == "https://shop.example/orders/ord_1"
    assert (order.status, order.adjustments) == ("confirmed", [])
    assert order.support is not None
    assert (order.support.email, order.support.phone) == ("help@shop.example", None)
    assert [(t.type, t.amount) for t in order.totals or ()] == [("subtotal", 5000), ("total", 5400)]


def test_lines_carry_what_the_buyer_saw() -> None:
    """ORD-05, ORD-07."""
    (line,) = paid({"a": 2}, {"std": ["li_a"]}).line_items or []
    assert (line.id, line.title, line.product_id, line.unit_price, line.subtotal, line.status) == (
        "li_a", "Item a", "p_a", 1000, 2000, "processing",
    )  # fmt: skip
    assert (line.quantity.ordered, line.quantity.current, line.quantity.fulfilled) == (2, 2, 0)
    assert (line.image_url, line.url) == ("https://shop.example/a.jpg", "https://shop.example/p")


@pytest.mark.parametrize("names", [["li_a", "li_b"], ["a", "b"]])
def test_every_selected_option_becomes_a_fulfillment_of_the_lines_it_names(names: list[str]) -> None:
    """ORD-09, FUL-11: lines are named by their own ids or by their items'."""
    order = paid({"a": 2, "b": 1, "c": 3}, {"std": names, "store": ["li_c"]})
    parcel, pickup = order.fulfillments or []
    assert [(r.id, r.quantity) for r in parcel.line_items or ()] == [("li_a", 2), ("li_b", 1)]
    assert (parcel.type, parcel.status, parcel.carrier) == ("shipping", "pending", "USPS")
    assert parcel.destination is not None
    assert parcel.destination.line_one == "1 Main St"
    assert (pickup.type, pickup.description) == ("pickup", "Collect: Main store")
    assert pickup.destination is not None
    assert pickup.destination.line_one == "9 Hill Rd"


def test_a_group_of_its_own_address_is_sent_there() -> None:
    groups: list[dict[str, Any]] = [
        {"id": "g1", "item_ids": ["a"], "destination_type": "shipping"},
        {
            "id": "g2",
            "item_ids": ["b"],
            "destination_type": "shipping",
            "fulfillment_details": {"address": ELSEWHERE},
        },
    ]
    order = paid({"a": 1, "b": 1}, {"std": ["a"], "local": ["b"]}, groups)
    assert [f.destination and f.destination.line_one for f in order.fulfillments or ()] == [
        "1 Main St",
        "9 Hill Rd",
    ]


def test_local_delivery_travels_as_shipping_and_says_so() -> None:
    """ORD-09."""
    (delivery,) = paid({"a": 1}, {"local": ["li_a"]}).fulfillments or []
    assert (delivery.type, delivery.description) == ("shipping", "Local delivery: Bike courier")
    assert delivery.estimated_delivery is not None
    assert delivery.estimated_delivery.latest == rfc3339(NOW + 14_400_000)


def test_digital_goods_are_delivered_at_once() -> None:
    """ORD-06, ORD-08, ORD-10."""
    order = paid({"a": 2}, {"dl": ["li_a"]})
    (download,) = order.fulfillments or []
    assert (order.status, download.status) == ("completed", "delivered")
    assert [(e.type, e.occurred_at) for e in download.events or ()] == [("delivered", rfc3339(NOW))]
    assert download.digital_delivery is not None
    assert (download.digital_delivery.access_url or "").startswith("https://shop.example/orders/ord_1/")
    (line,) = order.line_items or []
    assert (line.quantity.fulfilled, line.status) == (2, "fulfilled")


def test_an_order_of_downloads_and_parcels_is_in_progress() -> None:
    order = paid({"a": 2, "b": 1}, {"dl": ["li_a"], "std": ["li_b"]})
    assert order.status == "processing"


def test_estimated_delivery_spans_all_fulfillments() -> None:
    """ORD-02."""
    order = paid({"a": 1, "b": 1}, {"std": ["li_a"], "local": ["li_b"]})
    assert order.estimated_delivery is not None
    assert order.estimated_delivery.earliest == rfc3339(NOW + 7_200_000)
    assert order.estimated_delivery.latest == rfc3339(NOW + 5 * 86_400_000)
    assert paid({"a": 1}, {"dl": ["li_a"]}).estimated_delivery is None


def test_notes_and_the_agents_reference_are_echoed() -> None:
    """ORD-17."""
    order = paid(
        {"a": 1},
        {"std": ["a"]},
        order_notes="Ring twice",
        metadata={"client_reference_id": "PO-7", "other": 1},
    )
    assert order.client_reference_id == "PO-7"
    assert order.confirmation is not None
    assert order.confirmation.order_notes == "Ring twice"
    assert paid({"a": 1}, {"std": ["a"]}, metadata={"client_reference_id": 7}).client_reference_id is None


def test_a_paid_line_without_a_selection_still_waits_to_be_sent() -> None:
    order = paid({"a": 1, "b": 2}, {"std": ["li_a"]})
    assert [(r.id, r.quantity) for f in order.fulfillments or () for r in f.line_items or ()] == [
        ("li_a", 1), ("li_b", 2),
    ]  # fmt: skip
