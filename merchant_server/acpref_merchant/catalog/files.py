"""Reading a catalog from disk: a folder with ``products.jsonl`` and ``shop.json``, or a lone products file.

Products are streamed: a catalog of a million products needs no more memory than its ids. What is wrong is
named with file, line and JSONPath.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pydantic

from acpref_merchant.catalog.problems import CatalogError, Problem, Problems, RecordError, first_error
from acpref_merchant.domain.item import Product
from acpref_merchant.domain.shop import Fulfillment, ShippingRate, Shop, ShopLink
from acpref_protocol.markdown import contains_raw_html

PRODUCTS_FILE = "products.jsonl"
SHOP_FILE = "shop.json"
METADATA_FILE = "metadata.json"
MAX_LINE_BYTES = 1 << 20
MAX_SHOP_BYTES = 8 << 20

_BOM = b"\xef\xbb\xbf"


def products_path(path: Path) -> Path:
    """The products file of a catalog: ``path`` itself, or ``products.jsonl`` in the folder ``path``.

    Raises CatalogError when there is none.
    """
    file = path / PRODUCTS_FILE if path.is_dir() else path
    if not file.is_file():
        raise CatalogError.at(file, f"no such file: a catalog has {PRODUCTS_FILE} and {SHOP_FILE}")
    return file


def shop_path(path: Path) -> Path | None:
    """The shop file that belongs to a catalog: the one in the folder; ``None`` for a lone products file."""
    file = path / SHOP_FILE
    return file if path.is_dir() and file.is_file() else None


def load_shop(path: Path) -> Shop:
    """The shop of a catalog folder, of a ``shop.json``, or the default shop for a lone products file.

    Raises CatalogError with the JSONPath of what is wrong; a folder without ``shop.json`` is an error,
    since a shop's prices mean nothing without its currency and taxes. So is an ACP feed.
    """
    if path.suffix != ".json" and looks_like_feed(path):
        raise CatalogError.at(
            path, "looks like an ACP feed: make a catalog of it with acpref catalog import FEED --out FOLDER"
        )
    if path.is_file() and path.suffix != ".json":
        return default_shop()
    file = path / SHOP_FILE if path.is_dir() else path
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise CatalogError.at(file, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_SHOP_BYTES:
        raise CatalogError.at(file, f"larger than {MAX_SHOP_BYTES} bytes")
    try:
        shop = Shop.model_validate_json(raw.removeprefix(_BOM), strict=True)
    except pydantic.ValidationError as error:
        found = first_error(error)
        raise CatalogError.at(file, found.message, path=found.path) from error
    for found in shop_problems(shop):
        raise CatalogError.at(file, found.message, path=found.path)
    return shop


def looks_like_feed(path: Path) -> bool:
    """Whether ``path`` is an ACP feed rather than a catalog: prices of a feed are objects that name a currency."""
    if path.is_dir() and (path / METADATA_FILE).is_file() and not (path / SHOP_FILE).is_file():
        return True
    try:
        file = products_path(path)
        with file.open("rb") as stream:
            _, line = next(bounded_lines(stream, file), (0, b"{}"))
        return isinstance(json.loads(line)["variants"][0]["price"], dict)
    except (CatalogError, OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False  # whatever it is, it is read as a catalog, and what is wrong is said then


def default_shop() -> Shop:
    """The shop for products that come without one: US dollars, one flat shipping rate, no taxes, no
    discounts.
    """
    return Shop(
        merchant_id="merchant_default",
        name="Unnamed shop",
        currency="usd",
        fulfillment=Fulfillment(
            shipping=(
                ShippingRate(
                    id="ship_standard",
                    title="Standard shipping",
                    countries=("US",),
                    amount=500,
                    min_days=3,
                    max_days=6,
                ),
            )
        ),
        links=(
            ShopLink(type="terms_of_use", url="https://shop.example.com/terms"),
            ShopLink(type="privacy_policy", url="https://shop.example.com/privacy"),
            ShopLink(type="return_policy", url="https://shop.example.com/returns"),
        ),
    )


_PLACEHOLDERS = {
    "merchant_id": "",
    "name": "",
    "public_url": " (this machine)",
    "taxes": " (there are none)",
    "fulfillment": " (one flat rate)",
    "links": " (to example.com)",
}


def placeholder_note(shop: Shop) -> str | None:
    """What is still to be edited in a shop that an import made up; ``None`` when nobody has made it up."""
    made_up = default_shop()
    left = [name for name in _PLACEHOLDERS if getattr(shop, name) == getattr(made_up, name)]
    if not {"merchant_id", "name", "links"}.intersection(left):
        return None
    members = ", ".join(name + _PLACEHOLDERS[name] for name in left)
    return f"{SHOP_FILE} is a placeholder that an import made: edit {members}"


def shop_problems(shop: Shop) -> Iterator[RecordError]:
    """What a shop's types let through: ranges turned round."""
    for index, discount in enumerate(shop.discounts):
        if discount.starts_at and discount.ends_at and discount.starts_at >= discount.ends_at:
            yield RecordError("the discount ends before it starts", f"$.discounts[{index}].ends_at")
    for index, rate in enumerate(shop.fulfillment.shipping):
        if rate.min_days > rate.max_days:
            yield RecordError("min_days is above max_days", f"$.fulfillment.shipping[{index}].min_days")


def bounded_lines(stream: IO[bytes], file: Path, limit: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes]]:
    """The lines of ``stream`` with their numbers, without ends of line and byte order mark; empty lines are
    left out.

    Raises CatalogError for a line longer than ``limit`` bytes: reading on would be guessing where it ends.
    """
    number = 0
    while line := stream.readline(limit + 2):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        line = line.strip(b"\r\n \t")
        if len(line) > limit:
            raise CatalogError.at(file, f"the line is longer than {limit} bytes", line=number)
        if line:
            yield number, line


class UniqueIds:
    """Finds product and variant ids that occur twice in one catalog. Agents order by variant id (FEED-12)."""

    def __init__(self) -> None:
        self._products: set[str] = set()
        self._variants: set[str] = set()

    def claim(self, product_id: str, variant_ids: Sequence[str]) -> None:
        """Take the ids of a product; raises RecordError, taking none, when one belongs to an earlier product.

        Ids are printable, since they are column values and parts of addresses.
        """
        distinct = set(variant_ids)
        if (
            product_id in self._products
            or len(distinct) != len(variant_ids)
            or not self._variants.isdisjoint(distinct)
            or not (product_id + "".join(variant_ids)).isprintable()
        ):
            self._refuse(product_id, variant_ids)
        self._products.add(product_id)
        self._variants.update(distinct)

    def _refuse(self, product_id: str, variant_ids: Sequence[str]) -> None:
        """Say which of the ids cannot be taken, and why."""
        if product_id in self._products:
            raise RecordError(f"the product id {product_id!r} was used before", "$.id")
        if not product_id.isprintable():
            raise RecordError("contains unprintable characters", "$.id")
        for index, one in enumerate(variant_ids):
            if one in self._variants or (index and one in variant_ids[:index]):
                raise RecordError(f"the variant id {one!r} was used before", f"$.variants[{index}].id")
            if not one.isprintable():
                raise RecordError("contains unprintable characters", f"$.variants[{index}].id")


def check_disclosures(texts: Sequence[str]) -> None:
    """Raises RecordError for raw HTML: disclosures are shown as CommonMark, in which it is forbidden."""
    for index, text in enumerate(texts):
        # Only "<" can begin raw HTML, so that the parser sees few texts.
        if "<" in text and contains_raw_html(text):
            raise RecordError("contains raw HTML; write CommonMark", f"$.disclosures[{index}]")


def check_prices(prices: Iterable[tuple[int, int | None]]) -> None:
    """Raises RecordError when a variant's list price (second) is below its price (first): that is no reduction."""
    for index, (price, list_price) in enumerate(prices):
        if list_price is not None and list_price < price:
            raise RecordError("is below the price", f"$.variants[{index}].list_price")


def check_product(product: Product) -> None:
    """What the types cannot say about a product by itself. Raises RecordError."""
    check_disclosures(product.disclosures)
    check_prices((variant.price, variant.list_price) for variant in product.variants)


def parse_product(line: bytes) -> Product:
    """One line of ``products.jsonl``. Raises RecordError with the JSONPath of the first thing that is wrong."""
    try:
        product = Product.model_validate_json(line)
    except pydantic.ValidationError as error:
        raise first_error(error) from error
    check_product(product)
    return product


def iter_products(path: Path, problems: Problems | None = None) -> Iterator[Product]:
    """The products of a catalog folder or a lone ``products.jsonl``, one at a time, in the order of the file.

    Without ``problems`` the first bad line raises CatalogError; with it, bad lines are skipped and collected.
    """
    file = products_path(path)
    sink = problems if problems is not None else Problems(strict=True)
    ids = UniqueIds()
    with file.open("rb") as stream:
        for number, line in bounded_lines(stream, file):
            try:
                product = parse_product(line)
                ids.claim(product.id, [variant.id for variant in product.variants])
            except RecordError as error:
                sink.add(Problem(file.name, number, error.path, error.message))
                continue
            yield product
