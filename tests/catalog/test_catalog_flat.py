"""The flat file for upload."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from acpref_merchant.catalog.feed import items_of_products
from acpref_merchant.catalog.files import default_shop, iter_products, load_shop
from acpref_merchant.catalog.flat import COLUMNS, REQUIRED, FlatFormat, FlatWriter, Row, write_flat
from acpref_merchant.catalog.problems import Problems
from acpref_merchant.domain.item import Barcode, Item, Option

SHOP = default_shop()
CORNER_SHOP = Path(__file__).resolve().parents[2] / "catalogs/corner_shop"


def item(**changes: Any) -> Item:
    sound: dict[str, Any] = {
        "id": "v1",
        "product_id": "p1",
        "title": "Mug",
        "variant_title": "White",
        "description": "Clay",
        "brand": "Kiln",
        "url": "https://f.example.com/mug",
        "images": ("https://f.example.com/1.jpg", "https://f.example.com/2.jpg"),
        "unit_amount": 1999,
        "available": 3,
    }
    return Item(**{**sound, **changes})


def rows(
    *items: Item, problems: Problems | None = None, search: bool = True, checkout: bool = True
) -> list[Row]:
    sink = problems if problems is not None else Problems()
    return list(FlatWriter.of(SHOP, search=search, checkout=checkout, problems=sink).rows(items))


def test_a_row_has_what_the_upload_requires() -> None:
    (row,) = rows(item(barcodes=(Barcode(type="GTIN", value="2001000000012"),), weight_grams=410))
    assert set(row) <= set(COLUMNS)
    assert all(row[name] for name in REQUIRED)
    assert (row["item_id"], row["title"], row["price"]) == ("v1", "Mug", "19.99 USD")
    assert (row["availability"], row["gtin"]) == ("in_stock", "2001000000012")
    assert row["additional_image_urls"] == "https://f.example.com/2.jpg"
    assert (row["weight"], row["item_weight_unit"]) == ("410", "g")
    assert (row["is_eligible_search"], row["is_eligible_checkout"]) == ("true", "true")
    assert row["listing_has_variations"] == "false"
    assert "group_id" not in row


def test_a_reduced_price_stands_beside_the_full_one() -> None:
    (row,) = rows(item(list_amount=2499))
    assert (row["price"], row["sale_price"]) == ("24.99 USD", "19.99 USD")


def test_variants_of_one_product_form_a_group() -> None:
    options = (Option(name="Color", value="White"), Option(name="Size", value="L"))
    first, second = rows(item(options=options), item(id="v2", variant_title="Black"))
    assert first["group_id"] == second["group_id"] == "p1"
    assert (first["title"], first["item_group_title"]) == ("Mug - White", "Mug")
    assert json.loads(first["variant_dict"]) == {"color": "White", "size": "L"}
    assert (first["color"], first["size"]) == ("White", "L")


def test_what_is_sold_out_says_so_and_downloads_are_digital() -> None:
    first, second = rows(
        item(available=0), item(id="d", product_id="d", available=None, fulfillment=("digital",))
    )
    assert (first["availability"], second["availability"]) == ("out_of_stock", "in_stock")
    assert (first["is_digital"], second["is_digital"]) == ("false", "true")


@pytest.mark.parametrize(
    ("search", "checkout", "expected"), [(True, True, "true"), (True, False, "false"), (False, True, "false")]
)
def test_nothing_is_for_checkout_that_is_not_for_search(search: bool, checkout: bool, expected: str) -> None:
    (row,) = rows(item(), search=search, checkout=checkout)
    assert row["is_eligible_checkout"] == expected


def test_without_policies_nothing_is_offered_for_checkout() -> None:
    problems = Problems()
    bare = SHOP.model_copy(update={"links": ()})
    (row,) = FlatWriter.of(bare, search=True, checkout=True, problems=problems).rows([item()])
    assert row["is_eligible_checkout"] == "false"
    assert len(problems.notes) == 1


@pytest.mark.parametrize(("change", "column"), [({"url": None}, "url"), ({"images": ()}, "image_url")])
def test_an_item_without_a_page_or_a_picture_is_skipped_and_counted(
    change: dict[str, Any], column: str
) -> None:
    problems = Problems()
    assert [
        row["item_id"] for row in rows(item(**change), item(id="v2", product_id="p2"), problems=problems)
    ] == ["v2"]
    assert (
        str(problems.kept[0])
        == f"items: item 1: {column}: is missing; the upload format requires it (item v1)"
    )


def test_what_is_filled_in_or_cut_is_noted() -> None:
    problems = Problems()
    (row,) = rows(item(brand="", description="", title="M" * 200), problems=problems)
    assert (row["brand"], len(row["title"])) == (SHOP.name, 150)
    assert set(problems.notes) == {
        "brand filled with the shop's name",
        "description filled with the title",
        "title cut to 150 characters",
    }


def read(path: Path) -> list[dict[str, str]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines()]
    return list(csv.DictReader(text.splitlines(), delimiter="," if ".csv" in path.name else "\t"))


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("compress", [True, False])
def test_every_form_says_the_same_and_equal_catalogs_give_equal_bytes(
    tmp_path: Path, form: FlatFormat, compress: bool
) -> None:
    written = []
    for name in ("one", "two"):
        writer = FlatWriter.of(
            load_shop(CORNER_SHOP), search=True, checkout=True, problems=Problems(strict=True)
        )
        source = writer.rows(items_of_products(iter_products(CORNER_SHOP)))
        *_, (count, path) = write_flat(tmp_path / name, source, form, compress=compress)
        assert (count, path.name) == (92, f"products.{form}{'.gz' if compress else ''}")
        written.append(path)
    assert written[0].read_bytes() == written[1].read_bytes()
    found = read(written[0])
    assert len(found) == 92
    assert found[0]["price"] == "4.99 USD"
    assert all(row[name] for row in found for name in REQUIRED)


def test_a_long_list_goes_on_in_a_second_file(tmp_path: Path) -> None:
    source = rows(*(item(id=f"v{n}", product_id=f"p{n}") for n in range(5)))
    parts = list(write_flat(tmp_path, source, "csv", compress=False, rows_per_file=2))
    assert [count for count, _ in parts] == [1, 2, 3, 4, 5]
    names = list(dict.fromkeys(path.name for _, path in parts))
    assert names == ["products.csv", "products-2.csv", "products-3.csv"]
    assert [len(read(tmp_path / name)) for name in names] == [2, 2, 1]


def test_an_empty_catalog_makes_a_file_with_a_header_only(tmp_path: Path) -> None:
    ((count, path),) = write_flat(tmp_path, [], "csv", compress=False)
    assert count == 0
    assert path.read_text().count("\n") == 1


def test_a_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("yesterday")

    def failing() -> Any:
        yield rows(item())[0]
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        list(write_flat(tmp_path, failing(), "csv", compress=False))
    assert (tmp_path / "products.csv").read_text() == "yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["products.csv"]
