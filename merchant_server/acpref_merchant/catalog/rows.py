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
import pydantic
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
from acpref_protocol.base import Uri

_INTEGERS = ("price", "list_price", "stock", "weight_grams", "max_quantity_per_order")
_ADDRESSES = pydantic.TypeAdapter(list[Uri | None])


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
                if "disclosures" in document:
                    check_disclosures(document["disclosures"])
                check_prices([(variant["price"], variant.get("list_price")) for variant in variants])
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
    if _validator().is_valid(document) and _integers_only(document) and _addresses_sound(document):
        return document  # type: ignore[no-any-return]
    return parse_product(line).model_dump(mode="json")


def _integers_only(document: dict[str, Any]) -> bool:
    """To JSON Schema 1.0 is an integer; to us, and to the models, it is a float."""
    for variant in document["variants"]:
        for name in _INTEGERS:
            if type(variant.get(name)) is float:
                return False
    return True


def _addresses_sound(document: dict[str, Any]) -> bool:
    """To JSON Schema a format is a remark; feeds and sessions need addresses that are URIs."""
    addresses = [document.get("url"), *document.get("images", ())]
    for variant in document["variants"]:
        addresses += variant.get("images", ())
    try:
        _ADDRESSES.validate_python(addresses)
    except pydantic.ValidationError:
        return False
    return True


def _rows(document: dict[str, Any]) -> Iterator[NewItem]:
    """Takes ``document`` apart: its members become those of ``Item``, which has most of them under the same name."""
    variants = document.pop("variants")
    product_id = document["product_id"] = document.pop("id")
    for variant in variants:
        price = variant["unit_amount"] = variant.pop("price")
        variant["variant_title"] = variant.pop("title")
        stock = variant.pop("stock", None)
        if "list_price" in variant:
            variant["list_amount"] = variant.pop("list_price")
        if not variant.get("images"):
            variant.pop("images", None)
        yield {
            "id": variant["id"],
            "product_id": product_id,
            "data": to_json({**document, **variant}).decode(),
            "unit_amount": price,
            "on_hand": stock,
        }
