"""Shopify product exports come in."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.importers.shopify import read_csv
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Product

SETTINGS = ImportSettings("usd", now=datetime(2026, 3, 1, tzinfo=UTC))
CLASSIC = [
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name", "Option1 Value",
    "Option2 Name", "Option2 Value", "Variant SKU", "Variant Grams", "Variant Inventory Tracker",
    "Variant Inventory Qty", "Variant Inventory Policy", "Variant Price", "Variant Compare At Price",
    "Variant Requires Shipping", "Variant Taxable", "Variant Barcode", "Image Src", "Variant Image", "Status",
]  # fmt: skip
SHIRT = {
    "Handle": "shirt",
    "Title": "Linen shirt",
    "Body (HTML)": "<p>Cool &amp; <b>light</b></p><script>x</script>",
    "Vendor": "Loom",
    "Type": "Shirts",
    "Tags": "linen, summer",
    "Published": "true",
    "Option1 Name": "Size",
    "Option1 Value": "S",
    "Option2 Name": "Color",
    "Option2 Value": "Sage",
    "Variant SKU": "'0012",
    "Variant Grams": "230",
    "Variant Inventory Tracker": "shopify",
    "Variant Inventory Qty": "5",
    "Variant Inventory Policy": "deny",
    "Variant Price": "79.00",
    "Variant Compare At Price": "89.00",
    "Variant Requires Shipping": "true",
    "Variant Taxable": "true",
    "Variant Barcode": "'2001000000012",
    "Image Src": "https://s.example.com/1.jpg",
    "Variant Image": "https://s.example.com/s.jpg",
    "Status": "active",
}
SECOND = {
    "Handle": "shirt",
    "Option1 Value": "M",
    "Option2 Value": "Sage",
    "Variant Inventory Tracker": "shopify",
    "Variant Inventory Qty": "-2",
    "Variant Inventory Policy": "deny",
    "Variant Price": "79.00",
    "Image Src": "https://s.example.com/2.jpg",
}
IMAGE_ONLY = {"Handle": "shirt", "Image Src": "https://s.example.com/3.jpg"}
GIFT = {
    "Handle": "gift",
    "Title": "Gift card",
    "Option1 Name": "Title",
    "Option1 Value": "Default Title",
    "Variant Price": "25.00",
    "Variant Requires Shipping": "false",
    "Variant Taxable": "false",
}


def export(folder: Path, *rows: dict[str, str], header: list[str] | None = None) -> Path:
    path = folder / "products_export.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, header or CLASSIC, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path, problems: Problems | None = None) -> list[Product]:
    return list(read_csv(path, SETTINGS, problems if problems is not None else Problems(strict=True)))


def test_rows_with_one_handle_become_variants_and_images_of_one_product(tmp_path: Path) -> None:
    shirt, gift = read(export(tmp_path, SHIRT, SECOND, IMAGE_ONLY, GIFT))
    assert (shirt.id, shirt.title, shirt.description) == ("shirt", "Linen shirt", "Cool & light")
    assert (shirt.brand, shirt.category, shirt.tags) == ("Loom", "Shirts", ("linen", "summer"))
    assert shirt.images == tuple(f"https://s.example.com/{n}.jpg" for n in (1, 2, 3))
    small, medium = shirt.variants
    assert (small.id, small.title, small.price, small.list_price) == ("0012", "S / Sage", 7900, 8900)
    assert (small.stock, small.weight_grams, small.barcodes[0].value) == (5, 230, "2001000000012")
    assert small.images == ("https://s.example.com/s.jpg",)
    assert (medium.id, medium.stock) == ("shirt-m-sage", 0)
    assert [(option.name, option.value) for option in medium.options] == [("Size", "M"), ("Color", "Sage")]
    assert (gift.fulfillment, gift.tax_class) == (("digital",), "exempt")
    assert (gift.variants[0].id, gift.variants[0].title, gift.variants[0].options) == (
        "gift",
        "Gift card",
        (),
    )


@pytest.mark.parametrize(
    ("change", "stock"),
    [
        ({}, 5),
        ({"Variant Inventory Tracker": ""}, None),
        ({"Variant Inventory Policy": "continue"}, None),
        ({"Variant Inventory Qty": "0"}, 0),
    ],
)
def test_stock_is_unlimited_where_the_shop_does_not_count(
    tmp_path: Path, change: dict[str, str], stock: int | None
) -> None:
    (product,) = read(export(tmp_path, {**SHIRT, **change}))
    assert product.variants[0].stock == stock


@pytest.mark.parametrize("change", [{"Status": "draft"}, {"Status": "archived"}, {"Published": "false"}])
def test_unpublished_products_are_left_out_with_a_note(tmp_path: Path, change: dict[str, str]) -> None:
    problems = Problems()
    assert [one.id for one in read(export(tmp_path, {**SHIRT, **change}, SECOND, GIFT), problems)] == ["gift"]
    assert sum(problems.notes.values()) == 1
    assert problems.count == 0


def test_the_newer_column_names_are_read_too(tmp_path: Path) -> None:
    header = ["Title", "URL handle", "Description", "Vendor", "Status", "SKU", "Price", "Compare-at price",
              "Inventory tracker", "Inventory quantity", "Weight value (grams)", "Product image URL"]  # fmt: skip
    row = dict(zip(header, ["Mug", "mug", "<p>Clay</p>", "Kiln", "Active", "m1", "9.50", "", "shopify", "3", "410",
                            "https://s.example.com/m.jpg"], strict=True))  # fmt: skip
    (product,) = read(export(tmp_path, row, header=header))
    assert (product.id, product.description, product.images) == (
        "mug",
        "Clay",
        ("https://s.example.com/m.jpg",),
    )
    assert (product.variants[0].id, product.variants[0].price, product.variants[0].stock) == ("m1", 950, 3)


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([{**SHIRT, "Variant Price": "79,00"}], "products_export.csv:2: Variant Price: "),
        ([{**SHIRT, "Variant Price": ""}], "products_export.csv:2: Variant Price: is missing"),
        ([{**SHIRT, "Title": ""}], "products_export.csv:2: Title: "),
        ([{**SHIRT, "Handle": ""}], "products_export.csv:2: Handle: is missing"),
        ([{**SHIRT, "Variant Inventory Qty": "some"}], "products_export.csv:2: Variant Inventory Qty: "),
        ([{**SHIRT, "Variant Grams": "light"}], "products_export.csv:2: Variant Grams: "),
    ],
)
def test_a_bad_product_is_skipped_with_its_line_and_column(
    tmp_path: Path, rows: list[dict[str, str]], place: str
) -> None:
    problems = Problems()
    assert [one.id for one in read(export(tmp_path, *rows, GIFT), problems)] == ["gift"]
    assert problems.count == 1
    assert str(problems.kept[0]).startswith(place)
    with pytest.raises(CatalogError):
        read(export(tmp_path, *rows, GIFT))


def test_a_bad_variant_does_not_take_its_product_along(tmp_path: Path) -> None:
    problems = Problems()
    (product,) = read(export(tmp_path, SHIRT, {**SECOND, "Variant Price": "?"}), problems)
    assert [variant.id for variant in product.variants] == ["0012"]
    assert str(problems.kept[0]).startswith("products_export.csv:3: Variant Price: ")


def test_a_handle_that_comes_again_later_is_reported(tmp_path: Path) -> None:
    problems = Problems()
    assert len(read(export(tmp_path, SHIRT, GIFT, {**SHIRT, "Variant SKU": "x"}), problems)) == 2
    assert "the product id 'shirt' was used before" in str(problems.kept[0])


def test_two_variants_without_sku_and_options_cannot_share_an_id(tmp_path: Path) -> None:
    problems = Problems()
    twice = {"Handle": "gift", "Option1 Value": "Default Title", "Variant Price": "50.00"}
    assert read(export(tmp_path, GIFT, twice), problems) == []
    assert "the variant id 'gift' was used before" in str(problems.kept[0])


def test_another_table_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("Order,Total\n1,2\n")
    with pytest.raises(CatalogError, match="is this a Shopify product export"):
        read(path, Problems())
