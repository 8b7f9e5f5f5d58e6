"""The demo: one whole purchase on every catalog, judged by its exit status and its result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.e2e.commands import acpref

from acpref_merchant.catalog.samples import sample, sample_names


@pytest.mark.parametrize("name", sample_names())
def test_the_demo_buys_from_every_sample_catalog(name: str) -> None:
    """CHK-CMP-01, DP-RES-01, WH-01: order, one captured charge, one verified event."""
    done = acpref("demo", "--catalog", str(sample(name)), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["charge"]["status"] == "captured"
    assert result["charge"]["amount_captured"] == result["charged"]["amount"] > 0
    assert result["webhook"]["event"]["data"] == result["order"]
    total = next(entry["amount"] for entry in result["order"]["totals"] if entry["type"] == "total")
    assert total == result["charged"]["amount"]


def test_the_demo_tells_the_purchase_as_a_transcript() -> None:
    done = acpref("demo", "--item", "AA alkaline batteries")
    assert done.returncode == 0, done.stderr
    steps = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line[:3].strip().isdigit()]
    assert [int(number) for number, *_ in steps] == list(range(1, len(steps) + 1))
    assert {party for _, party, _ in steps} == {"agent", "merchant", "provider", "receiver"}
    assert "captured once, webhook verified" in done.stdout


def test_the_demo_buys_from_a_foreign_catalog_that_was_imported_with_a_mapping_file(tmp_path: Path) -> None:
    products = [
        {
            "id": number,
            "title": f"Lamp {number}",
            "description": "A lamp for the desk.",
            "category": "furniture",
            "price": 19.99 + number,
            "stock": 40,
            "sku": f"LMP-{number}",
            "weight": 2,
            "images": ["https://images.example.com/lamp.jpg"],
        }
        for number in range(1, 4)
    ]
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(products))
    mapping = sample("corner_shop").parent / "mappings" / "dummyjson.json"
    imported = acpref(
        "catalog",
        "import",
        str(foreign),
        "--mapping",
        str(mapping),
        "--out",
        str(tmp_path / "shop"),
        "--strict",
    )
    assert imported.returncode == 0, imported.stderr
    done = acpref("demo", "--catalog", str(tmp_path / "shop"), "--json")
    assert done.returncode == 0, done.stderr
    base = next(
        t["amount"] for t in json.loads(done.stdout)["order"]["totals"] if t["type"] == "items_base_amount"
    )
    assert base == 2 * 2099


def test_the_demo_needs_neither_the_proxy_nor_the_settings_of_a_real_shop(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('signatures = "required"\n')
    real = {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "ALL_PROXY": "http://127.0.0.1:1",
        "ACPREF_CONFIG": str(file),
        "ACPREF_SIGNATURES": "required",
        "ACPREF_PAYMENT__PROVIDER": "stripe",
        "ACPREF_PSP_REQUIRE_SIGNATURE": "true",
    }
    done = acpref("demo", "--json", **real)
    assert done.returncode == 0, done.stderr


def test_an_item_that_nobody_sells_is_a_failed_demo() -> None:
    done = acpref("demo", "--item", "no such thing anywhere")
    assert done.returncode == 1
    assert done.stderr.startswith("acpref demo: ")


def test_a_broken_catalog_is_wrong_usage_and_the_line_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(sample("corner_shop"), broken)
    with (broken / "products.jsonl").open("a") as file:
        file.write('{"id": "x"}\n')
    done = acpref("demo", "--catalog", str(broken))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "products.jsonl" in done.stderr
