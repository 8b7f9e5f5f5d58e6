"""From lines of ``products.jsonl`` to rows of the item table, fast: what a server's start with 100,000 products needs.

A line is read in one step by the rules of the models, but into plain dictionaries, whose members already have the names
that ``Item`` gives them. What that refuses goes through the models, which say what is wrong; tests hold the two ways to
the same result.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired, get_args, get_origin

import pydantic
from pydantic_core import to_json
from typing_extensions import TypedDict

from acpref_merchant.catalog.files import (
    UniqueIds,
    bounded_lines,
    check_disclosures,
    check_prices,
    parse_product,
    products_path,
)
from acpref_merchant.catalog.problems import CatalogError, RecordError, first_error
from acpref_merchant.domain.item import Product, Variant
from acpref_merchant.store.items import NewItem

_NAMES_IN_ITEM: dict[type[pydantic.BaseModel], dict[str, str]] = {
    Product: {"id": "product_id"},
    Variant: {"title": "variant_title", "price": "unit_amount", "list_price": "list_amount"},
}
"""The members that ``Item`` has under another name than the file."""


def item_rows(path: Path) -> Iterator[NewItem]:
    """The rows of a catalog folder or a lone products file, in the order of the file.

    Raises CatalogError with file, line and JSONPath at the first product that is wrong.
    """
    file = products_path(path)
    read = _reader()
    ids = UniqueIds()
    with file.open("rb") as stream:
        for number, line in bounded_lines(stream, file):
            try:
                product = read(line)
                variants = product["variants"]
                if "disclosures" in product:
                    check_disclosures(product["disclosures"])
                check_prices([(variant["unit_amount"], variant.get("list_amount")) for variant in variants])
                ids.claim(product["product_id"], [variant["id"] for variant in variants])
            except pydantic.ValidationError as error:
                said = _explained(line, error)
                raise CatalogError.at(file, said.message, line=number, path=said.path) from error
            except RecordError as error:
                raise CatalogError.at(file, error.message, line=number, path=error.path) from error
            yield from _rows(product)


def _explained(line: bytes, error: pydantic.ValidationError) -> RecordError:
    """What ``acpref catalog validate`` says of a line that ``_reader`` has refused."""
    try:
        parse_product(line)
    except RecordError as said:
        return said
    return first_error(error)


def _rows(product: dict[str, Any]) -> list[NewItem]:
    """Takes ``product`` apart. What its items have in common is written as JSON once."""
    product_id = product["product_id"]
    variants = product.pop("variants")
    images = product.pop("images", None)
    common = to_json(product).decode()[:-1]
    rows = []
    for variant in variants:
        stock = variant.pop("stock", None)
        if images and not variant.get("images"):
            variant["images"] = images
        data = f"{common},{to_json(variant).decode()[1:]}"
        rows.append(NewItem(variant["id"], product_id, data, variant["unit_amount"], stock))
    return rows


@cache
def _reader() -> Callable[[bytes], dict[str, Any]]:
    """What makes a dictionary of a line. Raises pydantic.ValidationError."""
    return pydantic.TypeAdapter(_plain(Product)).validator.validate_json


def _plain(kind: Any) -> Any:
    """A type of the models as one of JSON: dictionaries with the members that are there, and lists."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        names = _NAMES_IN_ITEM.get(kind, {})
        members: dict[str, Any] = {}
        for name, field in kind.model_fields.items():
            member: Any = Annotated[
                _plain(field.annotation), *field.metadata, pydantic.Field(validation_alias=name)
            ]
            members[names.get(name, name)] = member if field.is_required() else NotRequired[member]
        config = pydantic.ConfigDict(extra=kind.model_config["extra"], strict=kind.model_config["strict"])
        make: Any = TypedDict  # type checkers know it only with members that are written out
        return pydantic.with_config(config)(make(kind.__name__, members))
    if get_origin(kind) is tuple:
        return types.GenericAlias(list, (_plain(get_args(kind)[0]),))
    return kind
