"""ACP feeds come in: prices, availability, descriptions (FEED-07 to FEED-11)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acpref_merchant.catalog.importers.acp_feed import read_feed, read_metadata
from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.importers.formats import detect
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Product

SETTINGS = ImportSettings("usd", now=datetime(2026, 3, 1, tzinfo=UTC), stock=7, tax_class="clothing")


def feed(folder: Path, *products: Any) -> Path:
    (folder / "products.jsonl").write_text("\n".join(json.dumps(product) for product in products))
    return folder


def read(folder: Path, problems: Problems | None = None) -> list[Product]:
    return list(read_feed(folder, SETTINGS, problems if problems is not None else Problems(strict=True)))


def tee(**variant: Any) -> dict[str, Any]:
    sound = {"id": "tee-m", "title": "M", "price": {"amount": 1999, "currency": "USD"}}
    return {"id": "tee", "title": "Classic Tee", "variants": [{**sound, **variant}]}


def test_a_complete_product_keeps_everything_that_the_shop_can_hold(tmp_path: Path) -> None:
    """FEED-07, FEED-08, FEED-09, FEED-12."""
    product = tee(
        list_price={"amount": 2499, "currency": "USD"},
        availability={"available": True, "status": "in_stock"},
        barcodes=[{"type": "GTIN", "value": "00012345600012"}],
        categories=[{"value": "Apparel", "taxonomy": "merchant"}, {"value": "Tops"}],
        condition=["used"],
        variant_options=[{"name": "Size", "value": "M"}],
        media=[
            {"type": "image", "url": "https://a.example.com/m.jpg"},
            {"type": "video", "url": "https://a.example.com/v"},
        ],
        seller={"name": "Someone"},
    )
    product |= {
        "description": {"plain": "Soft. <3"},
        "url": "https://a.example.com/tee",
        "media": [{"type": "image", "url": "https://a.example.com/tee.jpg", "alt_text": "Tee"}],
    }
    (found,) = read(feed(tmp_path, product))
    assert found.description == "Soft. <3"
    assert (found.id, found.title, found.category, found.condition) == (
        "tee",
        "Classic Tee",
        "Apparel",
        "used",
    )
    assert (found.url, found.images) == ("https://a.example.com/tee", ("https://a.example.com/tee.jpg",))
    assert found.tax_class == "clothing"
    (variant,) = found.variants
    assert (variant.id, variant.price, variant.list_price, variant.stock) == ("tee-m", 1999, 2499, 7)
    assert variant.barcodes[0].value == "00012345600012"
    assert (variant.options[0].name, variant.options[0].value) == ("Size", "M")
    assert variant.images == ("https://a.example.com/m.jpg",)


@pytest.mark.parametrize(
    ("availability", "stock"),
    [
        (None, 7),
        ({"available": True}, 7),
        ({"available": False}, 0),
        ({"status": "out_of_stock"}, 0),
        ({"status": "discontinued"}, 0),
        ({"status": "in_stock"}, 7),
        ({"available": True, "status": "out_of_stock"}, 7),
    ],
)
def test_what_is_available_gets_the_assumed_stock_and_the_assumption_is_noted(
    tmp_path: Path, availability: dict[str, Any] | None, stock: int
) -> None:
    """FEED-10."""
    problems = Problems()
    (found,) = read(feed(tmp_path, tee(**({"availability": availability} if availability else {}))), problems)
    assert found.variants[0].stock == stock
    assert sum(problems.notes.values()) == (1 if stock else 0)


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ({"html": "<p>Soft<script>x</script></p>"}, "Soft"),
        ({"markdown": "Soft <b>tee</b>"}, "Soft tee"),
        ({"plain": "a", "html": "<p>b</p>"}, "a"),
    ],
)
def test_descriptions_become_plain_text(tmp_path: Path, description: dict[str, str], text: str) -> None:
    """FEED-09, FEED-19."""
    (found,) = read(feed(tmp_path, {**tee(), "description": description}))
    assert found.description == text


@pytest.mark.parametrize(
    ("product", "place"),
    [
        ({"id": "x", "variants": []}, "$.variants: "),
        ({"title": "no id", "variants": []}, "$.id: "),
        (tee(price={"amount": 1, "currency": "usd"}), "$.variants[0].price.currency: "),
        (tee(price={"amount": -1, "currency": "USD"}), "$.variants[0].price.amount: "),
        (tee(price={"amount": 1, "currency": "EUR"}), "$.variants[0].price: the price is in EUR"),
        (tee(price=None), "$.variants[0].price: "),
        (tee(media=[{"type": "image", "url": "not an address"}]), "$.variants[0].media[0].url: "),
        ({**tee(), "description": {}}, "$.description: "),
        ({**tee(), "extra": 1}, "$.extra: "),
        (
            {"id": "x", "variants": [{"id": "v", "title": "t"}]},
            "$.variants[0].price: a variant without a price",
        ),
    ],
)
def test_a_bad_product_is_skipped_with_its_place(tmp_path: Path, product: dict[str, Any], place: str) -> None:
    """FEED-07, FEED-08, FEED-09."""
    problems = Problems()
    sound = tee() | {
        "id": "other",
        "variants": [{"id": "o", "title": "O", "price": {"amount": 5, "currency": "USD"}}],
    }
    assert [one.id for one in read(feed(tmp_path, product, sound), problems)] == ["other"]
    assert problems.count == 1
    assert str(problems.kept[0]).startswith(f"products.jsonl:1: {place}")
    with pytest.raises(CatalogError):
        read(feed(tmp_path, product, sound))


def test_the_metadata_are_checked(tmp_path: Path) -> None:
    """FEED-11."""
    assert read_metadata(tmp_path) is None
    (tmp_path / "metadata.json").write_text('{"id": "feed_1", "target_country": "US"}')
    metadata = read_metadata(tmp_path)
    assert metadata is not None
    assert metadata.target_country == "US"
    (tmp_path / "metadata.json").write_text('{"id": "feed_1", "target_country": "us"}')
    with pytest.raises(CatalogError, match=r"metadata\.json: \$\.target_country"):
        read_metadata(tmp_path)


def test_json_lines_are_told_apart_by_their_first_product(tmp_path: Path) -> None:
    assert detect(feed(tmp_path, tee())) == "acp"
    assert (
        detect(feed(tmp_path, {"id": "x", "title": "t", "variants": [{"id": "v", "title": "t", "price": 5}]}))
        == "native"
    )
    with pytest.raises(CatalogError, match=r"products\.jsonl:1: neither a native product"):
        detect(feed(tmp_path, {"name": "foreign"}))


@pytest.mark.parametrize("name", ["a.json", "a.parquet"])
def test_an_unknown_format_says_what_to_give(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(CatalogError, match=r"give --(mapping|format)"):
        detect(tmp_path / name)
