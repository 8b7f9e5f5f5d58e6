"""Catalogs on disk: what is read, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acpref_merchant.catalog.files import (
    MAX_LINE_BYTES,
    iter_products,
    load_shop,
    products_path,
)
from acpref_merchant.catalog.problems import CatalogError, Problems, json_path
from acpref_merchant.catalog.rows import item_rows

SHOP: dict[str, Any] = {"merchant_id": "m", "name": "Shop", "currency": "usd"}


def product(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}",
        "title": "Mug",
        "variants": [{"id": f"v{number}", "title": "White", "price": 900, "stock": 3}],
        **changes,
    }


def write(folder: Path, *lines: dict[str, Any] | bytes, shop: dict[str, Any] | None = None) -> Path:
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (folder / "products.jsonl").write_bytes(b"\n".join(encoded))
    (folder / "shop.json").write_text(json.dumps(SHOP if shop is None else shop))
    return folder


def refusal(folder: Path) -> str:
    """What both readers say of the catalog: the one through models and the fast one of the server's start."""
    with pytest.raises(CatalogError) as slow:
        list(iter_products(folder))
    with pytest.raises(CatalogError) as fast:
        list(item_rows(folder))
    assert str(fast.value) == str(slow.value)
    return str(slow.value)


def test_products_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, product(1), b"", product(2))
    assert [one.id for one in iter_products(tmp_path)] == ["p1", "p2"]


def test_a_lone_products_file_comes_with_a_default_shop(tmp_path: Path) -> None:
    write(tmp_path, product(1))
    file = tmp_path / "products.jsonl"
    assert products_path(file) == file
    assert load_shop(file).currency == "usd"
    assert len(list(iter_products(file))) == 1


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    lines = (
        b"\xef\xbb\xbf"
        + json.dumps(product(1)).encode()
        + b"\r\n"
        + json.dumps(product(2)).encode()
        + b"\r\n"
    )
    (tmp_path / "products.jsonl").write_bytes(lines)
    assert len(list(iter_products(tmp_path))) == 2


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (product(2, variants=[]), "products.jsonl:2: $.variants: "),
        (
            product(2, variants=[{"id": "v", "title": "t", "price": -1}]),
            "products.jsonl:2: $.variants[0].price: ",
        ),
        (
            product(2, variants=[{"id": "v", "title": "t", "price": "9"}]),
            "products.jsonl:2: $.variants[0].price: ",
        ),
        (
            product(2, variants=[{"id": "v", "title": "t", "price": 9.0}]),
            "products.jsonl:2: $.variants[0].price: ",
        ),
        (
            product(2, variants=[{"id": "v", "title": "t", "price": True}]),
            "products.jsonl:2: $.variants[0].price: ",
        ),
        (product(2, variants=[{"id": "v", "title": "t"}]), "products.jsonl:2: $.variants[0].price: "),
        (
            product(2, variants=[{"id": "v" * 101, "title": "t", "price": 9}]),
            "products.jsonl:2: $.variants[0].id: ",
        ),
        (product(2, colour="red"), "products.jsonl:2: $.colour: "),
        (product(2, **{"odd name": 1}), "products.jsonl:2: $['odd name']: "),
        (product(2, id="p1"), "products.jsonl:2: $.id: the product id 'p1' was used before"),
        (product(2, id="p\x00"), "products.jsonl:2: $.id: contains unprintable characters"),
        (
            product(2, variants=[{"id": "v1", "title": "t", "price": 9}]),
            "products.jsonl:2: $.variants[0].id: ",
        ),
        (
            product(
                2, variants=[{"id": "x", "title": "t", "price": 9}, {"id": "x", "title": "t", "price": 9}]
            ),
            "products.jsonl:2: $.variants[1].id: the variant id 'x' was used before",
        ),
        (
            product(2, variants=[{"id": "x", "title": "t", "price": 9, "list_price": 8}]),
            "products.jsonl:2: $.variants[0].list_price: is below the price",
        ),
        (
            product(2, disclosures=["fine", "<b>no</b>"]),
            "products.jsonl:2: $.disclosures[1]: contains raw HTML",
        ),
        (product(2, fulfillment=["teleport"]), "products.jsonl:2: $.fulfillment[0]: "),
        (product(2, url="no address"), "products.jsonl:2: $.url: "),
        (product(2, images=["https://a.example.com/ok", "mug.jpg"]), "products.jsonl:2: $.images[1]: "),
        (
            product(2, variants=[{"id": "x", "title": "t", "price": 9, "images": ["https://a b"]}]),
            "products.jsonl:2: $.variants[0].images[0]: ",
        ),
        (b'{"id": "p2", "title": ', "products.jsonl:2: $: "),
        (b'{"id": "\xff"}', "products.jsonl:2: $"),
        (b"[]", "products.jsonl:2: $: "),
        (b'{"id": "\\ud800", "title": "t", "variants": []}', "products.jsonl:2: $"),
    ],
    ids=lambda value: value[:45] if isinstance(value, str) else "",
)
def test_a_mistake_is_named_with_file_line_and_path(
    tmp_path: Path, bad: dict[str, Any] | bytes, place: str
) -> None:
    said = refusal(write(tmp_path, product(1), bad))
    assert said.startswith(place)
    assert "\n" not in said


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_bytes(b'"' + b"x" * (MAX_LINE_BYTES + 10))
    assert "products.jsonl:1: the line is longer than" in refusal(tmp_path)


def test_with_a_collector_bad_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, product(1), product(2, title=""), b"{", product(3))
    problems = Problems()
    assert [one.id for one in iter_products(tmp_path, problems)] == ["p1", "p3"]
    assert problems.count == 2
    assert [problem.line for problem in problems.kept] == [2, 3]


def test_a_skipped_product_does_not_take_its_ids(tmp_path: Path) -> None:
    write(tmp_path, product(1), product(2, variants=[{"id": "v1", "title": "t", "price": 1}]), product(2))
    assert [one.id for one in iter_products(tmp_path, Problems())] == ["p1", "p2"]


def test_a_folder_without_products_is_no_catalog(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"products\.jsonl: no such file"):
        list(iter_products(tmp_path))


def test_a_folder_without_a_shop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"shop\.json: cannot be read"):
        load_shop(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"currency": "USD"}, "$.currency: "),
        (
            {"taxes": {"rules": [{"jurisdiction": "X", "country": "US", "rate": 0.1}]}},
            "$.taxes.rules[0].rate: write the rate",
        ),
        ({"discounts": [{"id": "d", "name": "d"}]}, "$.discounts[0]: a discount has exactly one of"),
        (
            {
                "discounts": [
                    {
                        "id": "d",
                        "name": "d",
                        "percent_off": 5,
                        "starts_at": "2026-02-01T00:00:00Z",
                        "ends_at": "2026-01-01T00:00:00Z",
                    }
                ]
            },
            "$.discounts[0].ends_at: the discount ends before it starts",
        ),
        (
            {
                "fulfillment": {
                    "shipping": [
                        {
                            "id": "s",
                            "title": "s",
                            "countries": ["US"],
                            "amount": 1,
                            "min_days": 4,
                            "max_days": 2,
                        }
                    ]
                }
            },
            "$.fulfillment.shipping[0].min_days: min_days is above max_days",
        ),
        ({"session_ttl_seconds": "3600"}, "$.session_ttl_seconds: "),
        ({"surprise": 1}, "$.surprise: "),
    ],
)
def test_a_mistake_in_the_shop_is_named_with_its_path(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write(tmp_path, shop={**SHOP, **change})
    with pytest.raises(CatalogError) as refused:
        load_shop(tmp_path)
    assert str(refused.value).startswith(f"shop.json: {message}")


def test_paths_are_written_as_jsonpath() -> None:
    assert json_path(("variants", 0, "price")) == "$.variants[0].price"
    assert json_path(()) == "$"
