"""Shopify product exports (CSV): consecutive rows with one handle are a product, its variants and its images.

Both header styles are read, the classic one ("Variant Price", "Body (HTML)") and the newer ("Price",
"Description").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from acpref_merchant.catalog.amounts import grams, minor_units, whole_number
from acpref_merchant.catalog.importers.base import ImportSettings, Intake, at, rows, web_address
from acpref_merchant.catalog.problems import CatalogError, Problems, RecordError
from acpref_merchant.catalog.text import html_to_text, one_line
from acpref_merchant.domain.item import Barcode, FulfillmentType, Option, Product, Variant

Row = dict[str, str]

# The newer names of the columns, in terms of the classic ones; everything in lower case.
_NEWER = {
    "url handle": "handle",
    "description": "body (html)",
    "product category": "product category",
    "sku": "variant sku",
    "barcode": "variant barcode",
    "price": "variant price",
    "compare-at price": "variant compare at price",
    "charge tax": "variant taxable",
    "inventory tracker": "variant inventory tracker",
    "inventory quantity": "variant inventory qty",
    "continue selling when out of stock": "variant inventory policy",
    "weight value (grams)": "variant grams",
    "requires shipping": "variant requires shipping",
    "product image url": "image src",
    "variant image url": "variant image",
    "published on online store": "published",
}
_FALSE = frozenset({"false", "no", "0"})


def read_csv(path: Path, settings: ImportSettings, problems: Problems) -> Iterator[Product]:
    """The products of an export. Drafts, archived and unpublished products are left out, with a note."""
    intake = Intake(path, problems)
    for handle, group in groupby(_rows(path, intake), key=lambda numbered: numbered[1].get("handle", "")):
        numbered = list(group)
        number, first = numbered[0]
        if not handle:
            for line, _ in numbered:
                intake.report(line, RecordError("is missing", "Handle"))
            continue
        if (
            first.get("status", "active").lower() not in {"", "active"}
            or first.get("published", "").lower() in _FALSE
        ):
            problems.note("products left out because they are not published")
            continue
        with intake.record(number):
            if not first.get("title"):
                raise RecordError("is missing in the first row of the product", "Title")
            variants = _variants(numbered, settings, intake)
            if variants:
                found = _product(handle, [row for _, row in numbered], variants, settings, problems)
                yield from intake.accept(number, found)


def _rows(path: Path, intake: Intake) -> Iterator[tuple[int, Row]]:
    names: list[str] = []
    for number, header, cells in rows(path, ",", intake):
        if not names:
            names = [_NEWER.get(name.lower(), name.lower()) for name in header]
            for needed in ("handle", "title", "variant price"):
                if needed not in names:
                    raise CatalogError.at(
                        path, f"no column {needed!r}: is this a Shopify product export?", line=1
                    )
        yield number, {name: cell.strip() for name, cell in zip(names, cells, strict=True) if cell.strip()}


def _product(
    handle: str,
    product_rows: list[Row],
    variants: list[Variant],
    settings: ImportSettings,
    problems: Problems,
) -> Product:
    first = product_rows[0]
    ships = first.get("variant requires shipping", "true").lower() not in _FALSE
    fulfillment: tuple[FulfillmentType, ...] = ("shipping",) if ships else ("digital",)
    images = (web_address(row.get("image src", ""), problems) for row in product_rows)
    return Product(
        id=handle,
        title=one_line(first["title"]),
        description=html_to_text(first.get("body (html)", "")),
        brand=one_line(first.get("vendor", "")),
        category=one_line(first.get("type") or first.get("product category", "")),
        tags=tuple(tag for part in first.get("tags", "").split(",") if (tag := part.strip())),
        images=tuple(dict.fromkeys(image for image in images if image)),
        tax_class="exempt" if first.get("variant taxable", "true").lower() in _FALSE else settings.tax_class,
        fulfillment=fulfillment,
        variants=tuple(variants),
    )


def _variants(numbered: list[tuple[int, Row]], settings: ImportSettings, intake: Intake) -> list[Variant]:
    # Option names stand in the first row only.
    first = numbered[0][1]
    option_names = [first.get(f"option{n} name", f"Option {n}") for n in (1, 2, 3)]
    variants = []
    for number, row in numbered:
        # Rows without a price only add an image.
        if "variant price" not in row and number != numbered[0][0] and "option1 value" not in row:
            continue
        with intake.record(number):
            variants.append(_variant(row, option_names, first, settings, intake.problems))
    return variants


def _variant(
    row: Row, option_names: list[str], first: Row, settings: ImportSettings, problems: Problems
) -> Variant:
    options = tuple(
        Option(name=one_line(name), value=one_line(value))
        for name, value in zip(
            option_names, (row.get(f"option{n} value", "") for n in (1, 2, 3)), strict=True
        )
        if value and (name, value) != ("Title", "Default Title")
    )
    if "variant price" not in row:
        raise RecordError("is missing", "Variant Price")
    with at("Variant Price"):
        price = minor_units(row["variant price"], settings.currency)
    list_price = None
    if compared := row.get("variant compare at price"):
        with at("Variant Compare At Price"):
            list_price = minor_units(compared, settings.currency)
    with at("Variant Grams"):
        weight = grams(row.get("variant grams", "0"))
    image = web_address(row.get("variant image", ""), problems)
    barcode = row.get("variant barcode", "").lstrip("'")
    return Variant(
        id=row.get("variant sku", "").lstrip("'") or _derived_id(first["handle"], options),
        title=" / ".join(option.value for option in options) or one_line(first["title"]),
        price=price,
        list_price=list_price if list_price is not None and list_price > price else None,
        stock=_stock(row),
        weight_grams=weight,
        options=options,
        barcodes=(Barcode(type="GTIN", value=barcode),) if barcode else (),
        images=(image,) if image else (),
    )


def _stock(row: Row) -> int | None:
    """Units on hand; unlimited when the shop does not track them or goes on selling without them."""
    if row.get("variant inventory policy", "deny").lower() in {"continue", "true"}:
        return None
    if "variant inventory qty" not in row or not row.get("variant inventory tracker"):
        return None
    with at("Variant Inventory Qty"):
        return whole_number(row["variant inventory qty"])


def _derived_id(handle: str, options: tuple[Option, ...]) -> str:
    """An id for a variant without SKU that is the same in every import of the same export (FEED-12)."""
    parts = (re.sub(r"[^a-z0-9]+", "-", option.value.lower()).strip("-") for option in options)
    return "-".join([handle, *(part for part in parts if part)])
