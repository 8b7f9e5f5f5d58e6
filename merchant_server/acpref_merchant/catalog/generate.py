"""Catalogs of any size from a seed, for load tests and demonstrations.

The same seed gives the same bytes on every platform and Python: only ``Random.random()`` is used, the one
method whose sequence Python promises to keep, and product number n does not depend on how many follow it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from acpref_merchant.catalog.files import PRODUCTS_FILE, parse_product
from acpref_merchant.catalog.vocabulary import ADJECTIVES, BRANDS, DEPARTMENTS, PRAISE, Department
from acpref_merchant.catalog.write import replacing, write_shop
from acpref_merchant.domain.item import Product
from acpref_merchant.domain.shop import (
    Discount,
    Fulfillment,
    ShippingRate,
    Shop,
    ShopLink,
    Taxes,
    TaxRule,
)

FEWEST_PRODUCTS = 10
MOST_PRODUCTS = 1_000_000
_HOST = "https://generated.example.com"
_LINES_PER_WRITE = 2000


def generate_lines(count: int, seed: int) -> Iterator[str]:
    """``count`` lines of ``products.jsonl`` (without line ends). Stock varies: some sold out, some with one unit.

    Members at their default are left out. The text is put together from words that need no escaping, several times
    faster than through models; tests read it back through them.
    """
    draw = random.Random(seed).random  # noqa: S311 - a reproducible sequence is wanted, not a secret
    for number in range(1, count + 1):
        department = DEPARTMENTS[int(draw() * len(DEPARTMENTS))]
        brand = BRANDS[int(draw() * len(BRANDS))]
        noun = department.nouns[int(draw() * len(department.nouns))]
        adjective = ADJECTIVES[int(draw() * len(ADJECTIVES))]
        material = department.materials[int(draw() * len(department.materials))]
        title = f"{adjective} {material} {noun}"
        praise = PRAISE[int(draw() * len(PRAISE))]
        # Squared (by multiplication, which every machine does alike), so that most goods are cheap.
        share = draw()
        price = int(department.low + (department.high - department.low) * share * share) // 50 * 50 + 49
        variants = ",".join(_variants(number, department, price, draw(), draw(), draw()))
        tax = "" if department.tax_class == "standard" else f'"tax_class":"{department.tax_class}",'
        way = "" if department.fulfillment == "shipping" else f'"fulfillment":["{department.fulfillment}"],'
        yield (
            f'{{"id":"gen-{number}","title":"{title}",'
            f'"description":"{title} by {brand}. {praise}","brand":"{brand}","category":"{department.category}",'
            f'"tags":["{noun.lower()}","{material.lower()}"],"url":"{_HOST}/p/{number}",'
            f'"images":["{_HOST}/i/{number}.jpg"],{tax}{way}"variants":[{variants}]}}'
        )


def _variants(
    number: int, department: Department, price: int, how_many: float, stock: float, sale: float
) -> Iterator[str]:
    """The JSON of one to four variants; dearer from one to the next where the axis is a size, a pack or a
    licence.
    """
    values = department.values
    count = 1 + int(how_many * how_many * min(4, len(values)))
    step = 0 if department.axis in {"Color", "Age"} or department.category == "clothing" else price // 3
    for index in range(count):
        amount = price + index * step
        reduced = f'"list_price":{amount + amount // 5},' if sale < 0.1 else ""
        weight = department.weight + index * (department.weight // 4)
        weighs = f'"weight_grams":{weight},' if weight else ""
        yield (
            f'{{"id":"gen-{number}-{index + 1}","title":"{values[index]}","price":{amount},{reduced}'
            f"{_stock(department, stock, index)}{weighs}"
            f'"options":[{{"name":"{department.axis}","value":"{values[index]}"}}]}}'
        )


def _stock(department: Department, draw: float, index: int) -> str:
    if department.fulfillment == "digital":
        return ""
    if draw < 0.05:
        return '"stock":0,'
    if draw < 0.08:
        return '"stock":1,'
    return f'"stock":{2 + int(draw * 500) * (index + 1)},'


def generate_products(count: int, seed: int) -> Iterator[Product]:
    """The same products as models."""
    return (parse_product(line.encode()) for line in generate_lines(count, seed))


def generated_shop() -> Shop:
    """A shop for generated products: two ways of shipping, a few taxes, a code, US dollars."""
    goods = ("standard", "clothing", "books")
    ship = {"countries": ("US",)}
    return Shop(
        merchant_id="merchant_generated",
        name="Generated shop",
        currency="usd",
        taxes=Taxes(
            rules=(
                TaxRule.model_validate(
                    {
                        "jurisdiction": "California",
                        "country": "US",
                        "state": "CA",
                        "rate": "0.0725",
                        "classes": goods,
                    }
                ),
                TaxRule.model_validate(
                    {"jurisdiction": "Texas", "country": "US", "state": "TX", "rate": "0.0625"}
                ),
            )
        ),
        fulfillment=Fulfillment(
            shipping=(
                ShippingRate(
                    id="ship_standard",
                    title="Standard",
                    amount=500,
                    free_from=7500,
                    min_days=3,
                    max_days=6,
                    **ship,
                ),
                ShippingRate(id="ship_express", title="Express", amount=1500, min_days=1, max_days=2, **ship),
            )
        ),
        discounts=(Discount(id="disc_ten", name="10% off", code="TEN", percent_off=10),),
        links=(
            ShopLink(type="terms_of_use", url=f"{_HOST}/terms"),
            ShopLink(type="privacy_policy", url=f"{_HOST}/privacy"),
            ShopLink(type="return_policy", url=f"{_HOST}/returns"),
        ),
    )


def write_catalog(folder: Path, count: int, seed: int) -> Iterator[int]:
    """Write ``products.jsonl`` and ``shop.json`` into ``folder``; yields how many products are written so far."""
    folder.mkdir(parents=True, exist_ok=True)
    write_shop(folder, generated_shop())
    lines = generate_lines(count, seed)
    written = 0
    with replacing(folder / PRODUCTS_FILE) as stream:
        while batch := list(islice(lines, _LINES_PER_WRITE)):
            stream.write("\n".join([*batch, ""]).encode())
            written += len(batch)
            yield written
