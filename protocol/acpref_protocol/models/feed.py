"""The product feed: what a seller offers, sent ahead of any purchase (FEED).

The published names carry the prefix ``Feed`` here where another area uses the same one for another type.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from acpref_protocol.base import Country, DateTime, FeedCurrency, Model, Opt, Uri, number

FeedCondition = TypeAliasType(
    "FeedCondition",
    Annotated[list[str], Field(description="State of the goods, such as new or refurbished.")],
)
"""State of the goods, such as new or refurbished; an open list of values."""


class FeedDescription(Model):
    """A description in at least one form (FEED-09)."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    plain: Opt[str] = None
    """Without formatting."""
    html: Opt[str] = None
    """As HTML, which the reader sanitises (FEED-19)."""
    markdown: Opt[str] = None
    """As Markdown, which the reader sanitises (FEED-19)."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("too_few_properties", "One of plain, html and markdown is required")
        return self


class FeedPrice(Model):
    """A price (FEED-08)."""

    amount: Annotated[int, Field(ge=0)]
    """Minor units."""
    currency: FeedCurrency
    """ISO 4217 code in upper case."""


class FeedAvailability(Model):
    """Whether it can be bought."""

    available: Opt[bool] = None
    """Whether it can be bought now."""
    status: Opt[str] = None
    """In more detail; an open list of values."""


class FeedBarcode(Model):
    """A trade item number."""

    type: str
    """System, such as gtin."""
    value: str
    """The number."""


class FeedMedia(Model):
    """A picture, film or model."""

    type: str
    """Kind of medium."""
    url: Uri
    """Where it lies."""
    alt_text: Opt[str] = None
    """Text in its place."""
    width: Opt[int] = None
    """Pixels across."""
    height: Opt[int] = None
    """Pixels down."""


class FeedVariantOption(Model):
    """One choice that makes up a variant, such as a size."""

    name: str
    """What is chosen."""
    value: str
    """The choice."""


class FeedCategory(Model):
    """Where the product belongs."""

    value: str
    """Category."""
    taxonomy: Opt[str] = None
    """System of categories."""


class FeedLink(Model):
    """A page of the seller."""

    type: str
    """What the page is about; an open list of values."""
    title: Opt[str] = None
    """Text of the link."""
    url: Uri
    """Absolute address."""


class FeedSeller(Model):
    """Who sells, or on which marketplace."""

    name: Opt[str] = None
    """Name to show."""
    links: Opt[list[FeedLink]] = None
    """Pages, such as policies."""


class FeedMeasure(Model):
    """How much one piece contains."""

    value: Annotated[int | float, number()]
    """number of units."""
    unit: str
    """Unit."""


class FeedReferenceMeasure(Model):
    """How much a unit price refers to."""

    value: int
    """number of units."""
    unit: str
    """Unit."""


class FeedUnitPrice(Model):
    """Price for a fixed amount of the goods, for comparison (FEED-08)."""

    amount: Annotated[int, Field(ge=0)]
    """Minor units."""
    currency: FeedCurrency
    """ISO 4217 code in upper case."""
    measure: FeedMeasure
    """How much one piece contains."""
    reference: FeedReferenceMeasure
    """How much the price refers to."""


class FeedVariant(Model):
    """What can be bought; its id is the item id of a checkout (FEED-07, FEED-12)."""

    id: str
    """The seller's id, which stays the same."""
    title: str
    """Name to show."""
    description: Opt[FeedDescription] = None
    """Description."""
    url: Opt[Uri] = None
    """Page of the variant."""
    barcodes: Opt[list[FeedBarcode]] = None
    """Trade item numbers."""
    price: Opt[FeedPrice] = None
    """Price to pay."""
    list_price: Opt[FeedPrice] = None
    """Price before any reduction."""
    unit_price: Opt[FeedUnitPrice] = None
    """Price for comparison."""
    availability: Opt[FeedAvailability] = None
    """Whether it can be bought."""
    categories: Opt[list[FeedCategory]] = None
    """Where it belongs."""
    condition: Opt[FeedCondition] = None
    """State of the goods."""
    variant_options: Opt[list[FeedVariantOption]] = None
    """Choices that make up the variant."""
    media: Opt[list[FeedMedia]] = None
    """Pictures and the like."""
    seller: Opt[FeedSeller] = None
    """Who sells it."""
    marketplace: Opt[FeedSeller] = None
    """Marketplace on which it is sold."""


class FeedProduct(Model):
    """A product with all its variants (FEED-07)."""

    id: str
    """The seller's id, which stays the same."""
    title: Opt[str] = None
    """Name to show."""
    description: Opt[FeedDescription] = None
    """Description."""
    url: Opt[Uri] = None
    """Page of the product."""
    media: Opt[list[FeedMedia]] = None
    """Pictures and the like."""
    variants: list[FeedVariant]
    """What can be bought."""


class FeedMetadata(Model):
    """A feed as such (FEED-04)."""

    id: str
    """The host's id of the feed."""
    target_country: Opt[Country] = None
    """Country for which it is meant (FEED-03)."""
    updated_at: Opt[DateTime] = None
    """When its products last changed (FEED-20)."""


class CreateFeedRequest(Model):
    """Opens a feed (FEED-02)."""

    target_country: Opt[Country] = None
    """Country for which it is meant."""


class ProductsResponse(Model):
    """All products of a feed (FEED-05)."""

    products: list[FeedProduct]
    """The products."""


class UpsertProductsRequest(Model):
    """Products to add or to replace as a whole (FEED-06)."""

    products: list[FeedProduct]
    """The products."""


class FeedError(Model):
    """Why a feed request was refused (FEED-24)."""

    type: str
    """Kind of error."""
    code: str
    """The error itself."""
    message: str
    """Explanation for a person."""
    param: Opt[str] = None
    """Member that is at fault."""
