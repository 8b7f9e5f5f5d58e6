"""An order: what was bought and all that has happened to it since."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import Currency, DateTime, Email, Inline, Model, OpenModel, Opt, Uri
from acpref_protocol.models.common import Address, Total


class EstimatedDelivery(Model):
    """When the goods should arrive."""

    earliest: DateTime
    """Earliest time."""
    latest: DateTime
    """Latest time."""


class OrderConfirmation(Model):
    """Proof of the order for the buyer."""

    confirmation_number: Opt[str] = None
    """number to quote."""
    confirmation_email_sent: Opt[bool] = None
    """Whether the seller has written to the buyer."""
    receipt_url: Opt[Uri] = None
    """Receipt."""
    invoice_number: Opt[str] = None
    """number of the invoice."""
    order_notes: Opt[str] = None
    """The buyer's notes."""


class SupportInfo(Model):
    """How to reach the seller about an order."""

    email: Opt[Email] = None
    """Email address."""
    phone: Opt[str] = None
    """Phone number."""
    hours: Opt[str] = None
    """When somebody answers."""
    help_center_url: Opt[Uri] = None
    """Help pages."""


class OrderLineItemQuantity(Model):
    """How many were ordered, how many still are, and how many have been handed over."""

    ordered: Annotated[int, Field(ge=1)]
    """Quantity of the purchase."""
    current: Annotated[int, Field(ge=0)]
    """Quantity after cancellations and returns."""
    fulfilled: Opt[Annotated[int, Field(ge=0)]] = Field(default=None, json_schema_extra={"default": 0})
    """Quantity shipped, picked up or delivered; absent means none."""


class OrderLineItem(Model):
    """One product of the order."""

    id: str
    """Names the line within the order."""
    title: str
    """Name of the product."""
    product_id: Opt[str] = None
    """The seller's id of the product."""
    description: Opt[str] = None
    """Description."""
    image_url: Opt[Uri] = None
    """Picture."""
    url: Opt[Uri] = None
    """Page of the product."""
    quantity: OrderLineItemQuantity
    """Quantities."""
    unit_price: Opt[int] = None
    """Price of one, in minor units."""
    subtotal: Opt[int] = None
    """Price of the line, in minor units."""
    totals: Opt[list[Total]] = None
    """Amounts of the line."""
    status: Opt[str] = None
    """How far the line is; an open list of values."""


class LineItemReference(Model):
    """Some pieces of a line of the order."""

    id: str
    """Id of the line."""
    quantity: Annotated[int, Field(ge=1)]
    """How many pieces."""


class FulfillmentEvent(Model):
    """Something that happened on the way to the buyer."""

    id: str
    """Names the event."""
    type: str
    """What happened; an open list of values."""
    occurred_at: DateTime
    """When."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    location: Opt[str] = None
    """Where."""


class DigitalDelivery(Inline, OpenModel):
    """How the buyer gets at digital goods."""

    access_url: Opt[Uri] = None
    """Where they can be fetched."""
    license_key: Opt[str] = None
    """Key that unlocks them."""
    expires_at: Opt[DateTime] = None
    """Until when."""


class Fulfillment(Model):
    """One parcel, one pickup or one digital delivery."""

    id: str
    """Names the fulfillment within the order."""
    type: Literal["shipping", "pickup", "digital"]
    """How the goods reach the buyer."""
    status: Opt[str] = None
    """How far it is; an open list of values."""
    line_items: Opt[list[LineItemReference]] = None
    """What it contains."""
    carrier: Opt[str] = None
    """Who carries it."""
    tracking_number: Opt[str] = None
    """The carrier's number."""
    tracking_url: Opt[Uri] = None
    """Where it can be followed."""
    destination: Opt[Address] = None
    """Where it goes."""
    estimated_delivery: Opt[EstimatedDelivery] = None
    """When it should arrive."""
    digital_delivery: Opt[DigitalDelivery] = None
    """Access to digital goods."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    events: Opt[list[FulfillmentEvent]] = None
    """What happened so far."""


class Adjustment(Model):
    """A change after the purchase: a refund, a return, a cancellation, a dispute (WH-08)."""

    id: str
    """Names the adjustment within the order."""
    type: str
    """What it is; an open list of values."""
    occurred_at: DateTime
    """When."""
    status: str
    """How far it is; an open list of values."""
    line_items: Opt[list[LineItemReference]] = None
    """What it concerns."""
    amount: Opt[int] = None
    """Minor units."""
    currency: Opt[Currency] = None
    """Currency of the amount."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    reason: Opt[str] = None
    """Why."""


class Order(Model):
    """The order that a completed session became."""

    type: Opt[Literal["order"]] = None
    """Tells an order from other data; required in webhooks (WH-06)."""
    id: str
    """The seller's id of the order."""
    checkout_session_id: str
    """Session from which it came."""
    order_number: Opt[str] = None
    """number that the buyer sees."""
    client_reference_id: Opt[str] = None
    """The agent's own reference."""
    permalink_url: Uri
    """Page of the order."""
    status: Opt[str] = None
    """How far it is; an open list of values."""
    estimated_delivery: Opt[EstimatedDelivery] = None
    """When it should arrive."""
    confirmation: Opt[OrderConfirmation] = None
    """Proof for the buyer."""
    support: Opt[SupportInfo] = None
    """How to reach the seller."""
    line_items: Opt[list[OrderLineItem]] = None
    """What was bought."""
    fulfillments: Opt[list[Fulfillment]] = None
    """How it reaches the buyer."""
    adjustments: Opt[list[Adjustment]] = None
    """What changed afterwards."""
    totals: Opt[list[Total]] = None
    """Amounts of the order, among them what was refunded."""
