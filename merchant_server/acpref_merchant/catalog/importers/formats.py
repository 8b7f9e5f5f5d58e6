"""The formats that can be imported, by name, and how a file's format is recognised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from acpref_merchant.catalog.files import bounded_lines, iter_products, products_path
from acpref_merchant.catalog.importers.acp_feed import read_feed
from acpref_merchant.catalog.importers.base import Importer, ImportSettings
from acpref_merchant.catalog.importers.google import read_tsv, read_xml
from acpref_merchant.catalog.importers.shopify import read_csv
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Product


def _read_native(path: Path, _: ImportSettings, problems: Problems) -> Iterator[Product]:
    return iter_products(path, problems)


FORMATS: dict[str, Importer] = {
    "native": _read_native,
    "acp": read_feed,
    "google-tsv": read_tsv,
    "google-xml": read_xml,
    "shopify": read_csv,
}

_BY_SUFFIX = {".xml": "google-xml", ".tsv": "google-tsv", ".txt": "google-tsv", ".csv": "shopify"}


def detect(path: Path) -> str:
    """The name in ``FORMATS`` of the format of ``path``, by its suffix, and for JSON Lines by its first
    product.

    Raises CatalogError when it cannot be told, with what to do.
    """
    if not path.exists():
        raise CatalogError.at(path, "no such file or folder")
    if path.is_dir() or path.suffix in {".jsonl", ".ndjson"}:
        return _json_lines_format(products_path(path))
    if path.suffix in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix]
    if path.suffix == ".json":
        raise CatalogError.at(path, "foreign JSON needs a mapping file: give --mapping")
    raise CatalogError.at(path, f"the format is unknown: give --format, one of {', '.join(FORMATS)}")


def _json_lines_format(file: Path) -> str:
    """Feed prices are objects with a currency or absent; anything else is a native price, or meant as one."""
    with file.open("rb") as stream:
        for number, line in bounded_lines(stream, file):
            try:
                price = json.loads(line)["variants"][0].get("price")
            except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
                message = "neither a native product nor a product of an ACP feed: give --format or --mapping"
                raise CatalogError.at(file, message, line=number) from error
            return "acp" if price is None or isinstance(price, dict) else "native"
    return "native"
