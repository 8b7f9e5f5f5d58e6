"""Foreign JSON comes in by a mapping file."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.importers.mapping import Mapping, load_mapping, read_json
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Product
from acpref_protocol.markdown import contains_raw_html

DUMMYJSON = Path(__file__).resolve().parents[2] / "catalogs/mappings/dummyjson.json"
SETTINGS = ImportSettings("usd", now=datetime(2026, 3, 1, tzinfo=UTC))

# The shape of a foreign shop's answer, written for these tests: prices with awkward cents, one sold out, HTML.
FIXTURE = """[
 {"id": 1, "title": "Brass Kettle", "description": "Sings in C.", "category": "kitchen-accessories", "price": 64.35,
  "discountPercentage": 3.1, "rating": 4.4, "stock": 12, "tags": ["kitchen", "tea"], "brand": "Kiln", "sku": "KIT-001",
  "weight": 3, "minimumOrderQuantity": 2, "meta": {"barcode": "2001000000012"},
  "images": ["https://f.example.com/kettle.webp"], "reviews": [{"rating": 5, "comment": "Loud"}]},
 {"id": 2, "title": "Pear Jam", "description": "<p>Cooked <i>slowly</i></p>", "category": "groceries", "price": 4.1,
  "stock": 0, "tags": [], "sku": "GRO-002", "weight": 12, "images": ["ftp://f.example.com/jam.webp"], "meta": {}},
 {"id": 3, "title": "Wool Socks", "description": "", "category": "tops", "price": 1.15, "stock": 7, "sku": "TOP-003"}
]"""


def read(path: Path, mapping: Mapping, problems: Problems | None = None) -> list[Product]:
    return list(
        read_json(path, SETTINGS, problems if problems is not None else Problems(strict=True), mapping)
    )


def mapping(**changes: Any) -> Mapping:
    document: dict[str, Any] = {
        "mapping_version": 1,
        "product": {"id": {"path": "$.id"}, "title": {"path": "$.name"}},
        "variant": {"id": {"path": "$.id"}, "title": {"path": "$.name"}, "price": {"path": "$.price"}},
    }
    for name, value in changes.items():
        document[name] = {**document[name], **value} if isinstance(document.get(name), dict) else value
    return Mapping.model_validate_json(json.dumps(document))


def one(tmp_path: Path, record: dict[str, Any] | str, **changes: Any) -> Product:
    path = tmp_path / "foreign.json"
    path.write_text(f"[{record if isinstance(record, str) else json.dumps(record)}]")
    (product,) = read(path, mapping(**changes))
    return product


def test_a_foreign_shop_imports_with_the_mapping_that_comes_with_the_project(tmp_path: Path) -> None:
    path = tmp_path / "products.json"
    path.write_text(FIXTURE)
    kettle, jam, socks = read(path, load_mapping(DUMMYJSON))
    assert (kettle.id, kettle.title, kettle.brand) == ("KIT-001", "Brass Kettle", "Kiln")
    assert (kettle.tags, kettle.images) == (("kitchen", "tea"), ("https://f.example.com/kettle.webp",))
    assert (kettle.variants[0].price, kettle.variants[0].stock, kettle.variants[0].weight_grams) == (
        6435,
        12,
        86,
    )
    assert kettle.variants[0].barcodes[0].value == "2001000000012"
    assert (jam.description, jam.tax_class, jam.variants[0].stock, jam.images) == (
        "Cooked slowly",
        "food",
        0,
        (),
    )
    assert jam.variants[0].price == 410
    assert (socks.tax_class, socks.variants[0].price) == ("clothing", 115)


@pytest.mark.skipif("ACPREF_DUMMYJSON" not in os.environ, reason="ACPREF_DUMMYJSON names no products file")
def test_the_whole_of_a_real_foreign_catalog_imports_without_a_loss() -> None:
    path = Path(os.environ["ACPREF_DUMMYJSON"])
    records = json.loads(path.read_text(), parse_float=str)
    found = read(path, load_mapping(DUMMYJSON))
    assert [product.id for product in found] == [record["sku"] for record in records]
    for product, record in zip(found, records, strict=True):
        major, _, minor = str(record["price"]).partition(".")
        assert product.variants[0].price == int(major) * 100 + int(minor.ljust(2, "0"))
        assert product.variants[0].stock == record["stock"]
    assert {product.tax_class for product in found} == {"standard", "food", "clothing"}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**15))
def test_json_prices_never_pass_through_a_binary_fraction(
    tmp_path_factory: pytest.TempPathFactory, cents: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "price.json"
    path.write_text(f'[{{"id": "a", "name": "b", "price": {cents // 100}.{cents % 100:02}}}]')
    problems = Problems()
    found = read(path, mapping(), problems)
    if problems.count:
        assert cents >= 10**15
    else:
        assert found[0].variants[0].price == cents


@pytest.mark.parametrize(
    ("price", "amount"), [("12.99", 1299), ('"12.99"', 1299), ("13", 1300), ("1.1e1", 1100), ("0.070", 7)]
)
def test_prices_may_be_numbers_or_text(tmp_path: Path, price: str, amount: int) -> None:
    product = one(tmp_path, f'{{"id": "a", "name": "b", "price": {price}}}')
    assert product.variants[0].price == amount


def test_minor_units_are_taken_as_they_are(tmp_path: Path) -> None:
    product = one(tmp_path, {"id": "a", "name": "b", "price": 1299}, price_unit="minor")
    assert product.variants[0].price == 1299


def test_variants_are_read_from_their_own_records_and_from_the_product(tmp_path: Path) -> None:
    record = {
        "id": "shirt",
        "name": "Shirt",
        "colour": "Red",
        "skus": [{"code": 1, "label": "S", "cost": "5.00"}, {"code": 2, "label": "M", "cost": "5.50"}],
    }
    product = one(
        tmp_path,
        record,
        variants="$.skus",
        variant={
            "id": {"path": "$.code", "prefix": "sku-"},
            "title": {"path": "$.label"},
            "price": {"path": "$.cost"},
            "options": {"Size": {"path": "$.label"}, "Color": {"path": "$product.colour"}},
        },
    )
    assert [variant.id for variant in product.variants] == ["sku-1", "sku-2"]
    assert [variant.price for variant in product.variants] == [500, 550]
    assert [option.value for option in product.variants[1].options] == ["M", "Red"]


def test_constants_defaults_tables_and_prefixes(tmp_path: Path) -> None:
    product = one(
        tmp_path,
        {"id": 5, "name": "Game", "price": "1", "group": "dl", "slug": "game", "words": "fun, new"},
        product={
            "brand": {"value": "Acme"},
            "category": {"path": "$.group", "table": {"dl": "downloads"}, "default": "other"},
            "tax_class": {"path": "$.none", "default": "digital"},
            "fulfillment": {"path": "$.group", "table": {"dl": ["digital"]}, "default": ["shipping"]},
            "url": {"path": "$.slug", "prefix": "https://f.example.com/p/"},
            "tags": {"path": "$.words"},
        },
    )
    assert (product.id, product.brand, product.category, product.tax_class) == (
        "5",
        "Acme",
        "downloads",
        "digital",
    )
    assert (product.fulfillment, product.url, product.tags) == (
        ("digital",), "https://f.example.com/p/game", ("fun", "new"),
    )  # fmt: skip


def test_disclosures_never_contain_html(tmp_path: Path) -> None:
    """MD-02."""
    record = {
        "id": "a",
        "name": "b",
        "price": "1",
        "legal": "<p>Careful: a &lt;script&gt; &amp; a <b>knife</b></p>",
    }
    product = one(tmp_path, record, product={"disclosures": {"path": "$.legal"}})
    assert product.disclosures == ("Careful: a \\<script> \\& a knife",)
    assert not contains_raw_html(product.disclosures[0])


def test_json_lines_and_nested_arrays_are_read(tmp_path: Path) -> None:
    lines = tmp_path / "foreign.jsonl"
    lines.write_text(
        '{"id": "a", "name": "b", "price": "1"}\nnot json\n{"id": "c", "name": "d", "price": "2"}\n'
    )
    problems = Problems()
    assert [product.id for product in read(lines, mapping(), problems)] == ["a", "c"]
    assert str(problems.kept[0]).startswith("foreign.jsonl:2: not JSON")
    nested = tmp_path / "foreign.json"
    nested.write_text('{"data": {"all products": [{"id": "a", "name": "b", "price": "1"}]}}')
    assert len(read(nested, mapping(records="$.data['all products']"))) == 1


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"name": "b", "price": "1"}, "record 2: $.id: is missing"),
        ({"id": "x", "name": "b"}, "record 2: $.price: is missing"),
        ({"id": "x", "name": "b", "price": "1,50"}, "record 2: $.price: "),
        ({"id": "x", "name": "b", "price": True}, "record 2: $.price: is a boolean"),
        ({"id": "x", "name": {"en": "b"}, "price": "1"}, "record 2: $.name: is an object"),
        ("text", "record 2: $: is not an object"),
        ({"id": "a", "name": "b", "price": "1"}, "record 2: $.id: the product id 'a' was used before"),
    ],
)
def test_a_bad_record_is_skipped_with_its_number_and_path(tmp_path: Path, record: Any, place: str) -> None:
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps([{"id": "a", "name": "b", "price": "1"}, record]))
    problems = Problems()
    assert len(read(path, mapping(), problems)) == 1
    assert str(problems.kept[0]).startswith(f"foreign.json: {place}")
    with pytest.raises(CatalogError):
        read(path, mapping())


@pytest.mark.parametrize("text", ["{", '{"a": NaN}', "[" * 100_000, '{"products": 5}'])
def test_a_document_without_records_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "foreign.json"
    path.write_text(text)
    with pytest.raises(CatalogError, match=r"foreign\.json: "):
        read(path, mapping(), Problems())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"mapping_version": 2}, "$.mapping_version: "),
        ({"records": "products"}, "$.records: a path is written like"),
        ({"records": "$.a..b"}, "$.records: a path is written like"),
        ({"variant": {}}, "$.variant.id: "),
        ({"product": {"id": {"from": "$.x"}}}, "$.product.id.from: "),
    ],
)
def test_a_mistake_in_a_mapping_is_named_with_its_path(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    document = {
        "mapping_version": 1,
        "product": {"id": {}, "title": {}},
        "variant": {"id": {}, "title": {}, "price": {}},
    }
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps({**document, **change}))
    with pytest.raises(CatalogError) as refused:
        load_mapping(path)
    assert str(refused.value).startswith(f"mapping.json: {place}")
