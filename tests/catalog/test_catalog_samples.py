"""The sample catalogs and the schemas that come with the project."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from acpref_merchant.catalog.files import iter_products, load_shop
from acpref_merchant.catalog.importers.mapping import Mapping, load_mapping
from acpref_merchant.catalog.references import dangling_references
from acpref_merchant.catalog.schema import DOCUMENTS, build, rendered, unused_words
from acpref_merchant.catalog.schema_build import main
from acpref_merchant.domain.item import Product

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
NAMES = ("corner_shop", "apparel", "digital_goods")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((CATALOGS / "schema" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def products(name: str) -> list[Product]:
    return list(iter_products(CATALOGS / name))


def test_the_schemas_are_current() -> None:
    assert main([str(CATALOGS / "schema"), "--check"]) == 0


def test_a_stale_schema_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    (tmp_path / "shop.schema.json").write_text("{}")
    assert main([str(tmp_path), "--check"]) == 1
    assert "shop.schema.json is not current" in capsys.readouterr().err
    assert main([]) == 2


def test_every_member_of_the_schemas_is_described_and_no_description_is_left_over() -> None:
    for file_name, model in DOCUMENTS.items():
        document = build(model, file_name)
        for definition in (document, *document.get("$defs", {}).values()):
            assert definition["description"]
            assert all(member["description"] for member in definition["properties"].values())
    assert unused_words() == []
    assert [name for name, _ in rendered()] == list(DOCUMENTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_validate_and_load(name: str) -> None:
    of_product, of_shop = validator("product.schema.json"), validator("shop.schema.json")
    for line in (CATALOGS / name / "products.jsonl").read_text().splitlines():
        of_product.validate(json.loads(line))
    of_shop.validate(json.loads((CATALOGS / name / "shop.json").read_text()))
    assert load_shop(CATALOGS / name).name
    assert products(name)


@pytest.mark.parametrize("path", sorted((CATALOGS / "mappings").glob("*.json")), ids=lambda path: path.name)
def test_the_mappings_validate_and_load(path: Path) -> None:
    validator("mapping.schema.json").validate(json.loads(path.read_text()))
    assert load_mapping(path).shop is not None


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("product.schema.json", {"surprise": 1}),
        ("product.schema.json", {"variants": []}),
        ("product.schema.json", {"title": ""}),
        ("shop.schema.json", {"currency": "USD"}),
        ("shop.schema.json", {"discounts": [{"id": "d", "name": "d", "percent_off": 5, "amount_off": 5}]}),
        ("shop.schema.json", {"discounts": [{"id": "d", "name": "d"}]}),
        ("shop.schema.json", {"taxes": {"rules": [{"jurisdiction": "j", "country": "US", "rate": 0.1}]}}),
    ],
)
def test_the_schemas_refuse_what_the_models_refuse(name: str, change: dict[str, Any]) -> None:
    sound = {
        "product.schema.json": json.loads(
            (CATALOGS / "corner_shop/products.jsonl").read_text().splitlines()[0]
        ),
        "shop.schema.json": json.loads((CATALOGS / "corner_shop/shop.json").read_text()),
    }[name]
    assert validator(name).is_valid(sound)
    assert not validator(name).is_valid({**sound, **change})
    with pytest.raises(ValueError, match="validation error"):
        DOCUMENTS[name].model_validate_json(json.dumps({**sound, **change}))


def test_there_are_enough_products_of_every_kind() -> None:
    by_name = {name: products(name) for name in NAMES}
    assert sum(len(found) for found in by_name.values()) >= 150
    assert sum(len(product.variants) for product in by_name["apparel"]) >= 300
    classes = Counter(product.tax_class for found in by_name.values() for product in found)
    assert set(classes) == {"standard", "food", "books", "clothing", "digital", "exempt"}
    ways = {way for found in by_name.values() for product in found for way in product.fulfillment}
    assert ways == {"shipping", "digital", "pickup", "local_delivery"}
    batteries = next(product for product in by_name["corner_shop"] if product.id == "bat-aa")
    assert len(batteries.variants) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_each_shop_has_stock_of_every_kind(name: str) -> None:
    stock = [variant.stock for product in products(name) for variant in product.variants]
    assert 0 in stock
    assert stock.count(1) >= 2
    assert None in stock
    assert sum(1 for units in stock if units is not None and units >= 100_000) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_each_shop_has_discounts_of_every_kind(name: str) -> None:
    discounts = load_shop(CATALOGS / name).discounts
    assert any(discount.percent_off is not None and discount.code for discount in discounts)
    assert any(discount.amount_off is not None and discount.code for discount in discounts)
    assert any(discount.code is None for discount in discounts)
    assert any(discount.minimum_subtotal for discount in discounts)
    assert any(discount.ends_at and discount.ends_at < NOW for discount in discounts)
    assert any(discount.exclusive for discount in discounts)
    assert any(discount.usage_limit for discount in discounts)


@pytest.mark.parametrize("name", NAMES)
def test_each_shop_is_complete_for_a_purchase(name: str) -> None:
    shop = load_shop(CATALOGS / name)
    assert {"terms_of_use", "privacy_policy", "return_policy"} <= {link.type for link in shop.links}
    assert shop.support.email
    assert len(shop.fulfillment.shipping) >= 2
    assert shop.fulfillment.pickup
    assert any(rate.free_from for rate in shop.fulfillment.shipping)
    states = {rule.state for rule in shop.taxes.rules}
    assert {"CA", "NY", "TX", "NV"} <= states
    assert "OR" not in states
    assert any(rule.postal_prefix for rule in shop.taxes.rules)


@pytest.mark.parametrize("name", NAMES)
def test_discounts_and_taxes_of_the_samples_refer_to_what_exists(name: str) -> None:
    found = products(name)
    categories = {product.category for product in found}
    items = {variant.id for product in found for variant in product.variants}
    classes = {product.tax_class for product in found}
    assert list(dangling_references(load_shop(CATALOGS / name), categories, items, classes)) == []


def test_a_reference_to_nothing_is_found() -> None:
    shop = load_shop(CATALOGS / "corner_shop")
    found = list(dangling_references(shop, {"books"}, set(), {"exempt", "mystery"}))
    assert any("coffee and tea" in message for _, message in found)
    assert any("bat-aa-24" in message for _, message in found)
    assert ("$.taxes.rules", "no rule taxes the class 'mystery'") in found


@pytest.mark.parametrize("name", NAMES)
def test_addresses_of_the_samples_lead_nowhere_real(name: str) -> None:
    for product in products(name):
        for address in (product.url or "", *product.images, *(i for v in product.variants for i in v.images)):
            assert address.split("/")[2].endswith(".example.com")


@pytest.mark.parametrize("name", NAMES)
def test_barcodes_of_the_samples_have_correct_check_digits_in_the_internal_range(name: str) -> None:
    for product in products(name):
        for variant in product.variants:
            for barcode in variant.barcodes:
                digits = [int(digit) for digit in barcode.value]
                assert len(digits) == 13
                assert barcode.value.startswith("2")
                assert sum(digit * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def test_the_mapping_in_the_readme_is_a_mapping() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (CATALOGS / "README.md").read_text(), re.DOTALL)
    validator("mapping.schema.json").validate(json.loads(example))
    assert Mapping.model_validate_json(example).variants == "$.skus"


def test_the_figures_in_the_readme_are_those_of_the_catalogs() -> None:
    readme = (CATALOGS / "README.md").read_text()
    for name in NAMES:
        found = products(name)
        items = sum(len(product.variants) for product in found)
        assert f"| `{name}` | {load_shop(CATALOGS / name).name} | {len(found)} | {items} |" in readme
