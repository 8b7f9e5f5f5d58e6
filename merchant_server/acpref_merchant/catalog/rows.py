"""From lines of ``products.jsonl`` to rows of the item table, fast: what a server's start with 100,000 products needs.

A line is checked against the JSON Schema of ``Product`` (a tenth of the time that building the models takes) and cut
into rows as plain JSON. Whatever the schema refuses goes through the models, which say what is wrong; a test holds the
two ways to the same result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from pydantic_core import from_json, to_json

from acpref_merchant.catalog.files import (
    UniqueIds,
    bounded_lines,
    check_disclosures,
    check_prices,
    parse_product,
    products_path,
)
from acpref_merchant.catalog.problems import CatalogError, RecordError
from acpref_merchant.domain.item import Product
from acpref_merchant.store.items import NewItem

# Members of a product that its items repeat, and those of a variant that keep their name.
_FROM_PRODUCT = (
    "title", "description", "brand", "category", "tags", "url", "images", "condition", "tax_class", "fulfillment",
    "disclosures",
)  # fmt: skip
_FROM_VARIANT = ("weight_grams", "options", "barcodes", "max_quantity_per_order")
_INTEGERS = ("price", "list_price", "stock", "weight_grams", "max_quantity_per_order")


def item_rows(path: Path) -> Iterator[NewItem]:
    """The rows of a catalog folder or a lone products file, in the order of the file.

    Raises CatalogError with file, line and JSONPath at the first product that is wrong.
    """
    file = products_path(path)
    ids = UniqueIds()
    with file.open("rb") as stream:
        for number, line in bounded_lines(stream, file):
            try:
                document = _document(line)
                variants = document["variants"]
                check_disclosures(document.get("disclosures", ()))
                check_prices((variant["price"], variant.get("list_price")) for variant in variants)
                ids.claim(document["id"], [variant["id"] for variant in variants])
            except RecordError as error:
                raise CatalogError.at(file, error.message, line=number, path=error.path) from error
            yield from _rows(document)


@cache
def _validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(Product.model_json_schema())


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = from_json(line, allow_inf_nan=False)
    except ValueError:
        document = None
    if _validator().is_valid(document) and _integers_only(document):
        return document  # type: ignore[no-any-return]
    return parse_product(line).model_dump(mode="json")


def _integers_only(document: dict[str, Any]) -> bool:
    """To JSON Schema 1.0 is an integer; to us, and to the models, it is a float."""
    return not any(type(variant.get(name)) is float for variant in document["variants"] for name in _INTEGERS)


def _rows(document: dict[str, Any]) -> Iterator[NewItem]:
    common = {name: value for name in _FROM_PRODUCT if (value := document.get(name)) is not None}
    product_id = document["id"]
    for variant in document["variants"]:
        item = {
            "id": variant["id"],
            "product_id": product_id,
            **common,
            "variant_title": variant["title"],
            "unit_amount": variant["price"],
        }
        for name in _FROM_VARIANT:
            if (value := variant.get(name)) is not None:
                item[name] = value
        if (list_price := variant.get("list_price")) is not None:
            item["list_amount"] = list_price
        if images := variant.get("images"):
            item["images"] = images
        yield {
            "id": variant["id"],
            "product_id": product_id,
            "data": to_json(item).decode(),
            "unit_amount": variant["price"],
            "on_hand": variant.get("stock"),
        }
