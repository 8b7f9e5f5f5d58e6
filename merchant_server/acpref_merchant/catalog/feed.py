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

from acpref_merchant.catalog.problems import Problem, Problems, first_error
from acpref_merchant.catalog.write import replacing
from acpref_merchant.domain.item import Item, Product, items_of
from acpref_merchant.domain.shop import Shop
from acpref_protocol.models import (
    FeedAvailability,
    FeedBarcode,
    FeedCategory,
    FeedDescription,
    FeedLink,
    FeedMedia,
    FeedMetadata,
    FeedPrice,
    FeedProduct,
    FeedSeller,
    FeedVariant,
    FeedVariantOption,
)

PRODUCTS_FILE = "products.jsonl"
METADATA_FILE = "metadata.json"


def items_of_products(products: Iterable[Product]) -> Iterator[Item]:
    """The items of a catalog file, in the order in which feeds need them."""
    for product in products:
        yield from items_of(product)


def feed_metadata(shop: Shop, feed_id: str, updated_at: str | None = None) -> FeedMetadata:
    """The description of the feed: for the shop's own country; ``updated_at`` is an RFC 3339 time."""
    return FeedMetadata(id=feed_id, target_country=shop.country, updated_at=updated_at)


@dataclass(frozen=True, slots=True)
class FeedWriter:
    """Turns items into feed products; what is the same for all of them is made once."""

    currency: str
    seller: FeedSeller

    @classmethod
    def of(cls, shop: Shop) -> FeedWriter:
        """The writer for ``shop``. Prices of feeds carry the currency in upper case (FEED-08)."""
        links = [FeedLink(type=link.type, title=link.title, url=link.url) for link in shop.links]
        return cls(shop.currency.upper(), FeedSeller(name=shop.name, links=links or None))

    def product(self, items: list[Item]) -> FeedProduct:
        """The feed product made of all ``items`` of one product. Raises pydantic.ValidationError for a bad
        address.
        """
        first = items[0]
        return FeedProduct(
            id=first.product_id,
            title=first.title,
            description=FeedDescription(plain=first.description) if first.description else None,
            url=first.url,
            media=_media(first.images, first.title),
            variants=[self._variant(item, first) for item in items],
        )

    def _variant(self, item: Item, first: Item) -> FeedVariant:
        return FeedVariant(
            id=item.id,
            title=item.variant_title or item.title,
            barcodes=[FeedBarcode(type=code.type, value=code.value) for code in item.barcodes] or None,
            price=self._price(item.unit_amount),
            list_price=self._price(item.list_amount) if item.list_amount is not None else None,
            availability=availability(item),
            categories=[FeedCategory(value=item.category)] if item.category else None,
            condition=[item.condition],
            variant_options=[FeedVariantOption(name=one.name, value=one.value) for one in item.options]
            or None,
            # The product's pictures are not repeated for each variant.
            media=_media(item.images, item.variant_title) if item.images != first.images else None,
            seller=self.seller,
        )

    def _price(self, amount: int) -> FeedPrice:
        return FeedPrice(amount=amount, currency=self.currency)


def availability(item: Item) -> FeedAvailability:
    """In or out of stock; unlimited stock is in stock."""
    sold_out = item.available is not None and item.available <= 0
    return FeedAvailability(available=not sold_out, status="out_of_stock" if sold_out else "in_stock")


def _media(images: tuple[str, ...], text: str) -> list[FeedMedia] | None:
    return [FeedMedia(type="image", url=image, alt_text=text or None) for image in images] or None


def feed_products(items: Iterable[Item], shop: Shop, problems: Problems) -> Iterator[FeedProduct]:
    """The feed's products. One that the feed cannot express (an address that is no URI) is skipped and
    collected.
    """
    writer = FeedWriter.of(shop)
    for number, (_, group) in enumerate(groupby(items, key=attrgetter("product_id")), start=1):
        try:
            yield writer.product(list(group))
        except pydantic.ValidationError as error:
            found = first_error(error)
            problems.add(Problem(PRODUCTS_FILE, number, found.path, found.message, "product"))


def feed_lines(items: Iterable[Item], shop: Shop, problems: Problems | None = None) -> Iterator[bytes]:
    """``products.jsonl``, a line (with its line end) at a time; for files and for HTTP responses alike.

    Without ``problems`` a product that the feed cannot express raises CatalogError.
    """
    sink = problems if problems is not None else Problems(strict=True)
    return (product.to_json() + b"\n" for product in feed_products(items, shop, sink))


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
