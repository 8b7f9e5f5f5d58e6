"""The ACP product feed of a shop: ``metadata.json`` and ``products.jsonl`` (FEED-07 to FEED-12).

Everything streams: items go in, ordered so that those of one product follow each other (as catalog files
and the database give them), and lines come out. A feed tells what exists and roughly what it costs;
checkout decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pydantic
from pydantic_core import to_json

from acpref_merchant.catalog.files import METADATA_FILE, PRODUCTS_FILE
from acpref_merchant.catalog.problems import Problem, Problems, first_error
from acpref_merchant.catalog.write import replacing
from acpref_merchant.domain.item import Item, Product, items_of
from acpref_merchant.domain.shop import Shop
from acpref_protocol.base import JsonObject, Uri
from acpref_protocol.models import (
    FeedLink,
    FeedMetadata,
    FeedSeller,
)

_ADDRESSES = pydantic.TypeAdapter(list[Uri])


def items_of_products(products: Iterable[Product]) -> Iterator[Item]:
    """The items of a catalog file, in the order in which feeds need them."""
    for product in products:
        yield from items_of(product)


def feed_metadata(shop: Shop, feed_id: str, updated_at: str | None = None) -> FeedMetadata:
    """The description of the feed: for the shop's own country; ``updated_at`` is an RFC 3339 time."""
    return FeedMetadata(id=feed_id, target_country=shop.country, updated_at=updated_at)


@dataclass(frozen=True, slots=True)
class FeedWriter:
    """Turns items into feed products; what is the same for all of them is made once.

    The products are plain JSON values in the shape of ``FeedProduct``: a page of the feed is made while a server has
    others to answer, and models would take ten times as long. Tests read every product back through the models.
    """

    currency: str
    seller: JsonObject

    @classmethod
    def of(cls, shop: Shop) -> FeedWriter:
        """The writer for ``shop``. Prices of feeds carry the currency in upper case (FEED-08)."""
        links = [FeedLink(type=link.type, title=link.title, url=link.url) for link in shop.links]
        return cls(shop.currency.upper(), FeedSeller(name=shop.name, links=links or None).to_object())

    def product(self, items: list[Item]) -> JsonObject:
        """The feed product made of all ``items`` of one product. Raises pydantic.ValidationError for an address that is
        no URI."""
        first = items[0]
        _ADDRESSES.validate_python(
            [first.url or "urn:none", *(image for item in items for image in item.images)]
        )
        product: JsonObject = {"id": first.product_id, "title": first.title}
        if first.description:
            product["description"] = {"plain": first.description}
        if first.url:
            product["url"] = first.url
        if first.images:
            product["media"] = _media(first.images, first.title)
        product["variants"] = [self._variant(item, first) for item in items]
        return product

    def _variant(self, item: Item, first: Item) -> JsonObject:
        variant: JsonObject = {"id": item.id, "title": item.variant_title or item.title}
        if item.barcodes:
            variant["barcodes"] = [{"type": code.type, "value": code.value} for code in item.barcodes]
        variant["price"] = {"amount": item.unit_amount, "currency": self.currency}
        if item.list_amount is not None:
            variant["list_price"] = {"amount": item.list_amount, "currency": self.currency}
        variant["availability"] = availability(item)
        if item.category:
            variant["categories"] = [{"value": item.category}]
        variant["condition"] = [item.condition]
        if item.options:
            variant["variant_options"] = [{"name": one.name, "value": one.value} for one in item.options]
        # The product's pictures are not repeated for each variant.
        if item.images and item.images != first.images:
            variant["media"] = _media(item.images, item.variant_title)
        variant["seller"] = self.seller
        return variant


def availability(item: Item) -> JsonObject:
    """In or out of stock (``FeedAvailability``); unlimited stock is in stock."""
    sold_out = item.available is not None and item.available <= 0
    return {"available": not sold_out, "status": "out_of_stock" if sold_out else "in_stock"}


def _media(images: tuple[str, ...], text: str) -> list[JsonObject]:
    return [{"type": "image", "url": image, **({"alt_text": text} if text else {})} for image in images]


def feed_lines(items: Iterable[Item], shop: Shop, problems: Problems | None = None) -> Iterator[bytes]:
    """``products.jsonl``, a line (with its line end) at a time; for files and for HTTP responses alike.

    A product that the feed cannot express (an address that is no URI) is skipped and collected in ``problems``;
    without them it raises CatalogError.
    """
    sink = problems if problems is not None else Problems(strict=True)
    writer = FeedWriter.of(shop)
    for number, (_, group) in enumerate(groupby(items, key=attrgetter("product_id")), start=1):
        try:
            yield to_json(writer.product(list(group))) + b"\n"
        except pydantic.ValidationError as error:
            found = first_error(error)
            sink.add(
                Problem(
                    PRODUCTS_FILE,
                    number,
                    "",
                    f"an address of the product is no URI: {found.message}",
                    "product",
                )
            )


def write_feed(
    folder: Path, items: Iterable[Item], shop: Shop, metadata: FeedMetadata, problems: Problems
) -> Iterator[int]:
    """Write both files of the feed into ``folder``; yields how many products are written so far."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with replacing(folder / METADATA_FILE) as stream:
        stream.write(metadata.to_json() + b"\n")
    with replacing(folder / PRODUCTS_FILE) as stream:
        for line in feed_lines(items, shop, problems):
            stream.write(line)
            count += 1
            yield count
