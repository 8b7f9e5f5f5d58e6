"""How goods reach the buyer: where to, the options offered, and the options chosen (FUL)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from acpref_protocol.base import DateTime, Email, Inline, Model, OpenModel, Opt, number
from acpref_protocol.models.common import Address, Total

FulfillmentType = Literal["shipping", "digital", "pickup", "local_delivery"]


class FulfillmentDetails(Model):
    """To whom and where the goods go (FUL-02)."""

    name: Opt[str] = None
    """Who receives them."""
    phone_number: Opt[str] = None
    """Phone number for the delivery."""
    email: Opt[Email] = None
    """Where digital goods are sent."""
    address: Opt[Address] = None
    """Postal address."""


class FulfillmentOptionShipping(Model):
    """Sent by a carrier."""

    type: Literal["shipping"]
    """Tells the kind of option."""
    id: str
    """Names the option within the session."""
    title: str
    """Label for the buyer."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    carrier: Opt[str] = None
    """Who carries it."""
    earliest_delivery_time: Opt[DateTime] = None
    """Begin of the delivery window."""
    latest_delivery_time: Opt[DateTime] = None
    """End of the delivery window."""
    totals: list[Total]
    """What the option costs (FUL-04)."""


class FulfillmentOptionDigital(Model):
    """Delivered without anything being carried."""

    type: Literal["digital"]
    """Tells the kind of option."""
    id: str
    """Names the option within the session."""
    title: str
    """Label for the buyer."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    totals: list[Total]
    """What the option costs (FUL-04)."""


class PickupLocation(Inline, OpenModel):
    """Where goods can be fetched."""

    name: str
    """Name of the place."""
    address: Address
    """Its address."""
    phone: Opt[str] = None
    """Its phone number."""
    instructions: Opt[str] = None
    """How to fetch the goods."""


class FulfillmentOptionPickup(Model):
    """Fetched by the buyer (FUL-05)."""

    type: Literal["pickup"]
    """Tells the kind of option."""
    id: str
    """Names the option within the session."""
    title: str
    """Label for the buyer."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    location: PickupLocation
    """Where the goods are."""
    pickup_type: Opt[Literal["in_store", "curbside", "locker"]] = None
    """How they are handed over."""
    ready_by: Opt[DateTime] = None
    """From when they can be fetched."""
    pickup_by: Opt[DateTime] = None
    """Until when they are kept."""
    totals: list[Total]
    """What the option costs (FUL-04)."""


class DeliveryWindow(Inline, OpenModel):
    """When a local delivery arrives."""

    start: DateTime
    """Earliest time."""
    end: DateTime
    """Latest time."""


class ServiceArea(Inline, OpenModel):
    """How far a local delivery goes."""

    radius_miles: Opt[Annotated[int | float, number()]] = None
    """Distance from the center."""
    center_postal_code: Opt[str] = None
    """Postal code of the center."""


class FulfillmentOptionLocalDelivery(Model):
    """Brought by the seller itself (FUL-06)."""

    type: Literal["local_delivery"]
    """Tells the kind of option."""
    id: str
    """Names the option within the session."""
    title: str
    """Label for the buyer."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    delivery_window: Opt[DeliveryWindow] = None
    """When it arrives."""
    service_area: Opt[ServiceArea] = None
    """How far the seller delivers."""
    totals: list[Total]
    """What the option costs (FUL-04)."""


FulfillmentOption = Annotated[
    FulfillmentOptionShipping
    | FulfillmentOptionDigital
    | FulfillmentOptionPickup
    | FulfillmentOptionLocalDelivery,
    Field(discriminator="type"),
    SerializeAsAny(),
]
"""Any option, told apart by ``type``."""


class SelectedFulfillmentOption(Model):
    """The option chosen for some of the lines (FUL-09, FUL-10, FUL-11)."""

    type: FulfillmentType
    """Kind of the option."""
    option_id: str
    """Id of an element of ``fulfillment_options``."""
    item_ids: list[str]
    """Lines that the choice covers."""


class FulfillmentGroup(Model):
    """Lines that go to the same place (FUL-12)."""

    id: str
    """Names the group."""
    item_ids: list[str]
    """Items of the group; each line belongs to one group."""
    destination_type: Literal["shipping", "pickup", "local_delivery", "digital"]
    """How the group is fulfilled."""
    fulfillment_details: Opt[FulfillmentDetails] = None
    """Where the group goes, if not where the rest goes."""
    location_id: Opt[str] = None
    """Place of a pickup."""
    instructions: Opt[str] = None
    """Wishes for the delivery."""
