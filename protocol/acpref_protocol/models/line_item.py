"""What is bought: the items an agent asks for and the lines a seller answers with (CHK-LIN)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import DateTime, Model, Opt, Uri, number
from acpref_protocol.models.common import Disclosure, Total


class Item(Model):
    """A product or variant that can be bought (CHK-CRE-06)."""

    id: str
    """The seller's id, as in the feed (FEED-12)."""
    name: Opt[str] = None
    """Name that the agent saw."""
    unit_amount: Opt[int] = None
    """Price that the agent saw, in minor units; the seller's own price counts."""


class RequestItem(Item):
    """An item in a request. ``quantity`` goes beyond the published type, which cannot ask for two (CHK-CRE-06)."""

    quantity: Opt[Annotated[int, Field(ge=1)]] = None
    """How many; absent means one. Entries of the same id add up."""


class CustomAttribute(Model):
    """A property of a line to show to the buyer."""

    display_name: str
    """Label."""
    value: str
    """Value."""


class MarketplaceSellerDetails(Model):
    """Who sells on a marketplace."""

    name: str
    """Name of the seller."""


class VariantOption(Model):
    """One choice that makes up a variant, such as a size."""

    name: str
    """What is chosen."""
    value: str
    """The choice."""


class WeightInfo(Model):
    """Weight of one piece."""

    value: Annotated[int | float, number()]
    """number of units."""
    unit: Literal["g", "kg", "oz", "lb"]
    """Unit."""


class DimensionsInfo(Model):
    """Size of one piece."""

    length: Annotated[int | float, number()]
    """Length."""
    width: Annotated[int | float, number()]
    """Width."""
    height: Annotated[int | float, number()]
    """Height."""
    unit: Literal["cm", "in"]
    """Unit of all three."""


class DiscountDetail(Model):
    """A discount on a line, in the short form."""

    code: Opt[str] = None
    """Code that brought it."""
    type: Literal["percentage", "fixed", "bogo", "volume"]
    """Kind of discount."""
    amount: int
    """Minor units taken off."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    source: Opt[Literal["coupon", "automatic", "loyalty"]] = None
    """Where it comes from."""


class LineItem(Model):
    """A line of a session: an item, a quantity and what it costs (CHK-LIN-02, CHK-LIN-03, CHK-LIN-05)."""

    id: str
    """Names the line within the session."""
    item: Item
    """What is bought."""
    quantity: Annotated[int, Field(ge=1)]
    """How many."""
    name: Opt[str] = None
    """Name to show."""
    description: Opt[str] = None
    """Description to show."""
    images: Opt[list[Uri]] = None
    """Pictures."""
    unit_amount: Opt[int] = None
    """Price of one, in minor units."""
    disclosures: Opt[list[Disclosure]] = None
    """Texts that the buyer must be shown (CHK-LIN-04)."""
    custom_attributes: Opt[list[CustomAttribute]] = None
    """Properties to show."""
    marketplace_seller_details: Opt[MarketplaceSellerDetails] = None
    """Who sells it."""
    product_id: Opt[str] = None
    """The seller's id of the product."""
    sku: Opt[str] = None
    """Stock keeping unit."""
    variant_id: Opt[str] = None
    """The seller's id of the variant."""
    category: Opt[str] = None
    """Category."""
    tags: Opt[list[str]] = None
    """Key words."""
    weight: Opt[WeightInfo] = None
    """Weight of one."""
    dimensions: Opt[DimensionsInfo] = None
    """Size of one."""
    availability_status: Opt[Literal["in_stock", "low_stock", "out_of_stock", "backorder", "pre_order"]] = (
        None
    )
    """Whether it can be had now."""
    available_quantity: Opt[Annotated[int, Field(ge=0)]] = None
    """How many can be had (CHK-LIN-07)."""
    max_quantity_per_order: Opt[Annotated[int, Field(ge=1)]] = None
    """How many one order may contain."""
    fulfillable_on: Opt[DateTime] = None
    """When a pre-order or backorder can be sent (CHK-LIN-06)."""
    variant_options: Opt[list[VariantOption]] = None
    """Choices that make up the variant."""
    discount_details: Opt[list[DiscountDetail]] = None
    """Discounts on the line."""
    tax_exempt: Opt[bool] = None
    """Whether no tax is due."""
    tax_exemption_reason: Opt[str] = None
    """Why none is due."""
    parent_id: Opt[str] = None
    """Line to which this one belongs, such as a warranty to a device (CHK-LIN-06)."""
    totals: list[Total]
    """What the line costs."""
