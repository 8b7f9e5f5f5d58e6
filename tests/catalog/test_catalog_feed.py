"""The ACP feed that is made from a catalog, and the way back."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from tests.catalog.catalog_strategies import products

from acpref_merchant.catalog.feed import feed_lines, feed_metadata, items_of_products, write_feed
from acpref_merchant.catalog.files import default_shop, iter_products, load_shop
from acpref_merchant.catalog.importers.acp_feed import read_feed, read_metadata
from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Item, Product, items_of
from acpref_protocol.models import FeedProduct

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "protocol/acpref_protocol/schemas/2026-04-17/feed.json"
SHOP = default_shop()
SETTINGS = ImportSettings("usd", now=datetime(2026, 3, 1, tzinfo=UTC), stock=100)


def validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**json.loads(SCHEMA.read_text()), "$ref": f"#/$defs/{name}"})


def seen_by_agents(product: Product) -> dict[str, Any]:
    """What a feed can say of a product; the rest is the merchant's own business."""
    return {
        "id": product.id,
        "title": product.title,
        "description": product.description,
        "category": product.category,
        "url": product.url,
        "images": product.images,
        "condition": product.condition,
        "variants": [
            {
                "id": variant.id,
                "title": variant.title,
                "price": variant.price,
                "list_price": variant.list_price,
                "available": variant.stock is None or variant.stock > 0,
                "options": variant.options,
                "barcodes": variant.barcodes,
                "images": variant.images or product.images,
            }
            for variant in product.variants
        ],
    }


def back(lines: list[bytes], folder: Path) -> list[Product]:
    path = folder / "products.jsonl"
    path.write_bytes(b"".join(lines))
    return list(read_feed(path, SETTINGS, Problems(strict=True)))


@settings(deadline=None, max_examples=60)
@given(product=products())
def test_a_product_comes_back_from_the_feed_as_agents_see_it(
    tmp_path_factory: pytest.TempPathFactory, product: Product
) -> None:
    """FEED-07, FEED-08, FEED-09, FEED-12."""
    (line,) = feed_lines(items_of(product), SHOP)
    FeedProduct.model_validate_json(line)
    (found,) = back([line], tmp_path_factory.getbasetemp())
    there, here = seen_by_agents(found), seen_by_agents(product)
    # A variant's own pictures are not repeated where they are those of the first one.
    shown = [variant.pop("images") for variant in there["variants"]]
    meant = [variant.pop("images") for variant in here["variants"]]
    first = meant[0]
    assert there.pop("images") == first
    here.pop("images")
    assert there == here
    assert shown == [images or first for images in meant]


def test_the_sample_catalogs_make_feeds_of_the_published_shape() -> None:
    """FEED-07, FEED-08, FEED-09."""
    sound = validator("Product")
    for name in ("corner_shop", "apparel", "digital_goods"):
        folder = ROOT / "catalogs" / name
        lines = list(feed_lines(items_of_products(iter_products(folder)), load_shop(folder)))
        assert len(lines) == len(list(iter_products(folder)))
        for line in lines:
            sound.validate(json.loads(line))
            assert FeedProduct.model_validate_json(line).to_json() + b"\n" == line


def test_prices_are_in_minor_units_with_an_upper_case_currency() -> None:
    """FEED-08."""
    (line,) = feed_lines([Item(id="v", product_id="p", title="Mug", unit_amount=499, list_amount=599)], SHOP)
    (variant,) = json.loads(line)["variants"]
    assert variant["price"] == {"amount": 499, "currency": "USD"}
    assert variant["list_price"] == {"amount": 599, "currency": "USD"}


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (0, {"available": False, "status": "out_of_stock"}),
        (1, {"available": True, "status": "in_stock"}),
        (None, {"available": True, "status": "in_stock"}),
    ],
)
def test_availability_follows_the_stock(available: int | None, expected: dict[str, Any]) -> None:
    """FEED-10."""
    (line,) = feed_lines(
        [Item(id="v", product_id="p", title="Mug", unit_amount=1, available=available)], SHOP
    )
    assert json.loads(line)["variants"][0]["availability"] == expected


def test_consecutive_items_of_one_product_are_its_variants() -> None:
    items = [Item(id=f"v{n}", product_id=f"p{n // 2}", title="Mug", unit_amount=1) for n in range(5)]
    lines = [json.loads(line) for line in feed_lines(items, SHOP)]
    assert [[variant["id"] for variant in line["variants"]] for line in lines] == [
        ["v0", "v1"],
        ["v2", "v3"],
        ["v4"],
    ]


def test_the_seller_and_its_pages_are_named() -> None:
    """FEED-09, FEED-18: the seller's own data, and nobody else's."""
    (line,) = feed_lines([Item(id="v", product_id="p", title="Mug", unit_amount=1)], SHOP)
    seller = json.loads(line)["variants"][0]["seller"]
    assert seller["name"] == SHOP.name
    assert {link["type"] for link in seller["links"]} == {"terms_of_use", "privacy_policy", "return_policy"}


def test_what_the_feed_cannot_say_is_skipped_and_counted_or_refused() -> None:
    """Rows that an earlier version stored may hold an address that is no URI."""
    items = [
        Item(id="a", product_id="a", title="Mug", unit_amount=1, url="no address"),
        Item(id="b", product_id="b", title="Jug", unit_amount=1),
    ]
    problems = Problems()
    assert [json.loads(line)["id"] for line in feed_lines(items, SHOP, problems)] == ["b"]
    assert str(problems.kept[0]).startswith(
        "products.jsonl: product 1: an address of the product is no URI: "
    )
    with pytest.raises(CatalogError):
        list(feed_lines(items, SHOP))


def test_both_files_are_written_and_read_again(tmp_path: Path) -> None:
    """FEED-11."""
    folder = ROOT / "catalogs/corner_shop"
    metadata = feed_metadata(load_shop(folder), "feed_1", "2026-03-01T00:00:00Z")
    items = items_of_products(iter_products(folder))
    counts = list(write_feed(tmp_path / "out", items, load_shop(folder), metadata, Problems()))
    assert counts == list(range(1, 64))
    assert read_metadata(tmp_path / "out") == metadata
    validator("FeedMetadata").validate(json.loads((tmp_path / "out/metadata.json").read_text()))
    assert len(list(read_feed(tmp_path / "out", SETTINGS, Problems(strict=True)))) == 63
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metadata.json", "products.jsonl"]


def test_the_feed_streams_without_looking_ahead() -> None:
    def endless() -> Any:
        for number in range(10**9):
            yield Item(id=f"v{number}", product_id=f"p{number}", title="Mug", unit_amount=1)

    out = io.BytesIO()
    for line, _ in zip(feed_lines(endless(), SHOP), range(3), strict=False):
        out.write(line)
    assert out.getvalue().count(b"\n") == 3
