"""The flat product file that large agents take by upload: a row per item, as CSV, TSV or JSON Lines, plain
or gzip.

The columns are those that OpenAI documents for product file uploads (checked in November 2026). This is
another format than the ACP feed; a merchant needs both. At most 500,000 rows go into a file; more begin
another one.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import IO, Literal, cast

from acpref_merchant.catalog.amounts import price_text
from acpref_merchant.catalog.problems import Problem, Problems
from acpref_merchant.catalog.write import replacing
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.shop import Shop

FlatFormat = Literal["csv", "tsv", "jsonl"]
Row = dict[str, str]

ROWS_PER_FILE = 500_000
REQUIRED = (
    "item_id",
    "title",
    "description",
    "url",
    "brand",
    "seller_name",
    "image_url",
    "availability",
    "price",
)
COLUMNS = (
    "is_eligible_search", "is_eligible_checkout", *REQUIRED, "sale_price", "additional_image_urls", "gtin", "condition",
    "product_category", "group_id", "item_group_title", "listing_has_variations", "variant_dict", "color", "size",
    "weight", "item_weight_unit", "is_digital", "seller_url", "seller_privacy_policy", "seller_tos", "return_policy",
    "target_countries", "store_country",
)  # fmt: skip
_MOST = {"title": 150, "description": 5000, "brand": 70, "seller_name": 70}


@dataclass(frozen=True, slots=True)
class FlatWriter:
    """Makes rows; what all of them repeat is worked out once.

    A platform sells directly only what is ``eligible_checkout``, and that needs the shop's privacy policy
    and terms.
    """

    currency: str
    shop_name: str
    common: Row
    problems: Problems

    @classmethod
    def of(cls, shop: Shop, *, search: bool, checkout: bool, problems: Problems) -> FlatWriter:
        """The writer for ``shop``; without its policies (or without ``search``) nothing is offered for
        checkout.
        """
        pages = {link.type: link.url for link in shop.links}
        has_policies = "privacy_policy" in pages and "terms_of_use" in pages
        if checkout and not has_policies:
            problems.note("not offered for checkout: the shop names no terms of use or no privacy policy")
        common = {
            "is_eligible_search": str(search).lower(),
            "is_eligible_checkout": str(checkout and search and has_policies).lower(),
            "seller_name": shop.name,
            "seller_url": shop.public_url,
            "seller_privacy_policy": pages.get("privacy_policy", ""),
            "seller_tos": pages.get("terms_of_use", ""),
            "return_policy": pages.get("return_policy", ""),
            "target_countries": shop.country,
            "store_country": shop.country,
        }
        return cls(shop.currency, shop.name, common, problems)

    def rows(self, items: Iterable[Item]) -> Iterator[Row]:
        """A row per item. An item without an address or a picture is skipped and collected: both are
        required.
        """
        number = 0
        for _, group in groupby(items, key=attrgetter("product_id")):
            siblings = list(group)
            for item in siblings:
                number += 1
                row = self._row(item, len(siblings) > 1)
                missing = [name for name in REQUIRED if not row.get(name)]
                if missing:
                    message = "is missing; the upload format requires it"
                    self.problems.add(
                        Problem("items", number, missing[0], f"{message} (item {item.id})", "item")
                    )
                    continue
                yield row

    def _row(self, item: Item, varies: bool) -> Row:
        options = {option.name.lower(): option.value for option in item.options}
        reduced = item.list_amount is not None and item.list_amount > item.unit_amount
        full = item.list_amount if reduced and item.list_amount is not None else item.unit_amount
        if not item.brand:
            self.problems.note("brand filled with the shop's name")
        if not item.description:
            self.problems.note("description filled with the title")
        row = {
            **self.common,
            "item_id": item.id,
            "title": f"{item.title} - {item.variant_title}" if varies and item.variant_title else item.title,
            "description": item.description or item.title,
            "url": item.url or "",
            "brand": item.brand or self.shop_name,
            "image_url": item.images[0] if item.images else "",
            "additional_image_urls": ",".join(item.images[1:]),
            "price": price_text(full, self.currency),
            "sale_price": price_text(item.unit_amount, self.currency) if reduced else "",
            "availability": "out_of_stock"
            if item.available is not None and item.available <= 0
            else "in_stock",
            "gtin": next((code.value for code in item.barcodes if code.type.upper() in _TRADE_NUMBERS), ""),
            "condition": item.condition,
            "product_category": item.category,
            "listing_has_variations": str(varies).lower(),
            "is_digital": str(item.fulfillment == ("digital",)).lower(),
        }
        if varies:
            row["group_id"] = item.product_id
            row["item_group_title"] = item.title
            row["variant_dict"] = json.dumps(options, ensure_ascii=False) if options else ""
            row["color"] = options.get("color", "") or options.get("colour", "")
            row["size"] = options.get("size", "")
        if item.weight_grams:
            row["weight"] = str(item.weight_grams)
            row["item_weight_unit"] = "g"
        for name, most in _MOST.items():
            if len(row[name]) > most:
                self.problems.note(f"{name} cut to {most} characters")
                row[name] = row[name][:most]
        return row


_TRADE_NUMBERS = frozenset(
    {"GTIN", "EAN", "UPC", "ISBN", "GTIN-8", "GTIN-12", "GTIN-13", "GTIN-14", "EAN-13", "UPC-A"}
)


def file_name(part: int, form: FlatFormat, *, compress: bool) -> str:
    """The name of the file with the given number, from 1: ``products.csv.gz``, ``products-2.csv.gz``."""
    return f"products{'' if part == 1 else f'-{part}'}.{form}{'.gz' if compress else ''}"


def write_flat(
    folder: Path, rows: Iterable[Row], form: FlatFormat, *, compress: bool, rows_per_file: int = ROWS_PER_FILE
) -> Iterator[tuple[int, Path]]:
    """Write the rows into ``products.FORM[.gz]``, ``products-2...`` and so on; yields (rows so far, file).

    Equal rows give equal bytes, compressed ones too. The names stay the same from one upload to the next.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = iter(rows)
    count = 0
    for part in range(1, 1_000_000):
        chunk = islice(source, rows_per_file)
        first = next(chunk, None)
        if first is None and part > 1:
            return
        path = folder / file_name(part, form, compress=compress)
        with ExitStack() as stack:
            raw = stack.enter_context(replacing(path))
            if compress:
                packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
                raw = cast("IO[bytes]", stack.enter_context(packed))
            write = _row_writer(raw, form)
            if first is None:
                yield 0, path
                return
            write(first)
            count += 1
            yield count, path
            for row in chunk:
                write(row)
                count += 1
                yield count, path


class _Utf8:
    """A text file for the csv module on top of a binary one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


def _row_writer(stream: IO[bytes], form: FlatFormat) -> Callable[[Row], object]:
    if form == "jsonl":
        return lambda row: stream.write(
            json.dumps({name: row[name] for name in COLUMNS if row.get(name)}, ensure_ascii=False).encode()
            + b"\n"
        )
    delimiter = "," if form == "csv" else "\t"
    writer = csv.DictWriter(_Utf8(stream), COLUMNS, restval="", delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    return writer.writerow
