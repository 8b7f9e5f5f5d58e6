"""The merchant's own view of what it sells: one product, its variants, and the item a buyer orders.

A catalog is a file of products, one JSON object a line. A *variant* is what can be bought; its id is the
item id that agents send to checkout (FEED-12). ``Item`` is a variant joined with its product, the form in
which the database stores it and pricing reads it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from acpref_protocol.base import Uri
from acpref_protocol.money import MAX_AMOUNT

MAX_COUNT = 10**12
"""Units of an item, or grams of one: more than there are, and few enough to be counted in."""

FulfillmentType = Literal["shipping", "digital", "pickup", "local_delivery"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Option(_Frozen):
    """One axis on which variants of a product differ, such as size or colour."""

    name: str
    value: str


class Barcode(_Frozen):
    """A trade item number, such as a GTIN."""

    type: str
    value: str


class Variant(_Frozen):
    """A buyable form of a product. ``price`` and ``list_price`` are minor units of the shop's currency."""

    id: str = Field(min_length=1, max_length=100)
    title: str = Field(min_length=1)
    price: int = Field(ge=0, le=MAX_AMOUNT)
    list_price: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    stock: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="Units on hand; null for unlimited (digital goods)."
    )
    weight_grams: int = Field(default=0, ge=0, le=MAX_COUNT)
    options: tuple[Option, ...] = ()
    barcodes: tuple[Barcode, ...] = ()
    images: tuple[Uri, ...] = ()
    max_quantity_per_order: int | None = Field(default=None, ge=1)


class Product(_Frozen):
    """A product of the catalog file, with everything the merchant knows about it."""

    id: str = Field(min_length=1, max_length=100)
    title: str = Field(min_length=1)
    description: str = ""
    brand: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    url: Uri | None = None
    images: tuple[Uri, ...] = ()
    condition: Literal["new", "refurbished", "used"] = "new"
    tax_class: str = "standard"
    fulfillment: tuple[FulfillmentType, ...] = ("shipping",)
    disclosures: tuple[str, ...] = Field(
        default=(), description="Legal texts as CommonMark without raw HTML."
    )
    variants: tuple[Variant, ...] = Field(min_length=1)


class Item(_Frozen):
    """A variant joined with its product: what a line of a checkout session refers to.

    Amounts are minor units of the shop's currency. ``available`` is the number of units neither sold nor
    reserved when the row was read, or ``None`` when stock is unlimited; it is not part of the stored
    document.
    """

    id: str
    product_id: str
    title: str
    variant_title: str = ""
    description: str = ""
    brand: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    url: str | None = None
    images: tuple[str, ...] = ()
    unit_amount: int
    list_amount: int | None = None
    tax_class: str = "standard"
    fulfillment: tuple[FulfillmentType, ...] = ("shipping",)
    weight_grams: int = 0
    options: tuple[Option, ...] = ()
    barcodes: tuple[Barcode, ...] = ()
    condition: Literal["new", "refurbished", "used"] = "new"
    disclosures: tuple[str, ...] = ()
    max_quantity_per_order: int | None = None
    available: int | None = None


def items_of(product: Product) -> list[Item]:
    """The items of ``product``, one per variant and in its order; ``available`` is the initial stock."""
    return [
        Item(
            id=variant.id,
            product_id=product.id,
            title=product.title,
            variant_title=variant.title,
            description=product.description,
            brand=product.brand,
            category=product.category,
            tags=product.tags,
            url=product.url,
            images=variant.images or product.images,
            unit_amount=variant.price,
            list_amount=variant.list_price,
            tax_class=product.tax_class,
            fulfillment=product.fulfillment,
            weight_grams=variant.weight_grams,
            options=variant.options,
            barcodes=variant.barcodes,
            condition=product.condition,
            disclosures=product.disclosures,
            max_quantity_per_order=variant.max_quantity_per_order,
            available=variant.stock,
        )
        for variant in product.variants
    ]
