"""ACP product feeds: ``products.jsonl`` with one feed product a line, beside an optional ``metadata.json``
(FEED-07 to FEED-11).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydantic

from acpref_merchant.catalog.files import METADATA_FILE, bounded_lines, products_path
from acpref_merchant.catalog.importers.base import ImportSettings, Intake, web_address
from acpref_merchant.catalog.problems import CatalogError, Problems, RecordError, first_error
from acpref_merchant.catalog.text import clean_text, html_to_text, plain_text
from acpref_merchant.domain.item import Barcode, Option, Product, Variant
from acpref_protocol.models import FeedDescription, FeedMetadata, FeedPrice, FeedProduct, FeedVariant

_CONDITIONS = frozenset({"new", "refurbished", "used"})


def read_metadata(path: Path) -> FeedMetadata | None:
    """The metadata of a feed folder, or ``None`` without the file. Raises CatalogError when it is
    malformed.
    """
    file = (path if path.is_dir() else path.parent) / METADATA_FILE
    if not file.is_file():
        return None
    try:
        return FeedMetadata.model_validate_json(file.read_bytes())
    except pydantic.ValidationError as error:
        found = first_error(error)
        raise CatalogError.at(file, found.message, path=found.path) from error


def read_feed(path: Path, settings: ImportSettings, problems: Problems) -> Iterator[Product]:
    """The products of a feed (a folder or the lines alone).

    A feed knows whether something is available, not how much of it there is: see ``ImportSettings.stock``.
    """
    file = products_path(path)
    intake = Intake(file, problems)
    with file.open("rb") as stream:
        for number, line in bounded_lines(stream, file):
            with intake.record(number):
                feed_product = FeedProduct.model_validate_json(line)
                yield from intake.accept(number, _product(feed_product, settings, problems))


def _product(product: FeedProduct, settings: ImportSettings, problems: Problems) -> Product:
    if not product.variants:
        raise RecordError("a product without variants cannot be bought", "$.variants")
    first = product.variants[0]
    return Product(
        id=product.id,
        title=_line(product.title or first.title),
        description=_words(product.description or first.description),
        category=_line(first.categories[0].value) if first.categories else "",
        url=web_address(product.url or first.url or "", problems),
        images=_images(product, problems),
        condition=_condition(first),  # type: ignore[arg-type]
        tax_class=settings.tax_class,
        variants=tuple(
            _variant(variant, index, settings, problems) for index, variant in enumerate(product.variants)
        ),
    )


def _variant(variant: FeedVariant, index: int, settings: ImportSettings, problems: Problems) -> Variant:
    here = f"$.variants[{index}]"
    if variant.price is None:
        raise RecordError("a variant without a price cannot be sold", f"{here}.price")
    return Variant(
        id=variant.id,
        title=_line(variant.title),
        price=_amount(variant.price, settings.currency, f"{here}.price"),
        list_price=_amount(variant.list_price, settings.currency, f"{here}.list_price")
        if variant.list_price
        else None,
        stock=_stock(variant, settings, problems),
        options=tuple(Option(name=one.name, value=one.value) for one in variant.variant_options or ()),
        barcodes=tuple(Barcode(type=one.type, value=one.value) for one in variant.barcodes or ()),
        images=_images(variant, problems),
    )


def _amount(price: FeedPrice, currency: str, path: str) -> int:
    """FEED-08: feeds write the currency in upper case, everything else of the protocol in lower case."""
    if price.currency.lower() != currency:
        raise RecordError(f"the price is in {price.currency}, the shop sells in {currency.upper()}", path)
    return price.amount


def _stock(variant: FeedVariant, settings: ImportSettings, problems: Problems) -> int:
    availability = variant.availability
    status = (availability.status or "").lower() if availability else ""
    stated = availability.available if availability else None
    if stated is False or (stated is None and status in {"out_of_stock", "discontinued", "unavailable"}):
        return 0
    problems.note(f"stock assumed to be {settings.stock}: the feed says only that it is available")
    return settings.stock


def _words(description: FeedDescription | None) -> str:
    if description is None:
        return ""
    if description.plain is not None:
        return clean_text(description.plain)
    return (
        html_to_text(description.html)
        if description.html is not None
        else plain_text(description.markdown or "")
    )


def _images(holder: FeedProduct | FeedVariant, problems: Problems) -> tuple[str, ...]:
    media = (one for one in holder.media or () if one.type == "image")
    return tuple(address for one in media if (address := web_address(one.url, problems)))


def _condition(variant: FeedVariant) -> str:
    return next((one for one in variant.condition or () if one in _CONDITIONS), "new")


def _line(text: str) -> str:
    # Titles of a feed are plain text already: what looks like a tag is meant as it stands.
    return " ".join(clean_text(text).split())
