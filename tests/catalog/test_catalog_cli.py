"""``acpref catalog``: what a person sees, what a program reads, and how each command ends."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from acpref_merchant.catalog.cli import FormatName, app
from acpref_merchant.catalog.importers.formats import FORMATS
from acpref_merchant.catalog.report import say

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
CORNER_SHOP = str(CATALOGS / "corner_shop")
PLACEHOLDER = (
    "shop.json is a placeholder that an import made: edit merchant_id, name, public_url (this machine), "
    "taxes (there are none), fulfillment (one flat rate), links (to example.com)"
)
TSV = """id\ttitle\tavailability\tprice
m1\tMug\tin_stock\t9.50 USD
m2\tJug\tin_stock\t{price}
m3\tPot\tpreorder\t1 USD
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def facts(result: Result) -> dict[str, Any]:
    """The one JSON object on the standard output."""
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def fails(result: Result, status: int, message: str) -> None:
    assert result.exit_code == status
    (line,) = result.stderr.splitlines()
    assert line.startswith("acpref catalog: ")
    assert message in line


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "feed.tsv"
    path.write_text(TSV.format(price="free"))
    return path


def test_the_formats_offered_are_those_that_exist() -> None:
    assert [name.value for name in FormatName] == list(FORMATS)


def test_an_import_says_what_it_did_skipped_and_assumed(table: Path, tmp_path: Path) -> None:
    result = run("import", table, "--out", tmp_path / "shop")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"Imported 2 products (2 items) from feed.tsv (google-tsv) into {tmp_path / 'shop'}",
        "Skipped 1 record:",
        "  feed.tsv:3: price: 'free' is not a price: write digits with a decimal point, such as 12.99",
        "Note: stock assumed to be 100: the feed says only that it is available",
        "Note: preorder imported as out of stock: orders wait for nothing here",
        f"Note: {PLACEHOLDER}",
    ]
    assert run("validate", tmp_path / "shop").exit_code == 0


def test_an_import_reports_the_same_as_json(table: Path, tmp_path: Path) -> None:
    found = facts(run("import", table, "--out", tmp_path / "shop", "--json"))
    assert (found["products"], found["items"], found["skipped"], found["format"]) == (2, 2, 1, "google-tsv")
    assert found["problems"][0] == {
        "file": "feed.tsv",
        "line": 3,
        "path": "price",
        "message": "'free' is not a price: write digits with a decimal point, such as 12.99",
    }
    assert len(found["notes"]) == 3


def test_a_strict_import_ends_at_the_first_bad_record_and_writes_nothing(table: Path, tmp_path: Path) -> None:
    fails(run("import", table, "--out", tmp_path / "shop", "--strict"), 1, "feed.tsv:3: price: ")
    assert list((tmp_path / "shop").iterdir()) == []


def test_an_import_of_nothing_fails(tmp_path: Path) -> None:
    path = tmp_path / "feed.tsv"
    path.write_text("id\ttitle\tavailability\tprice\nm\tMug\tin_stock\tfree\n")
    result = run("import", path, "--out", tmp_path / "shop")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["acpref catalog: nothing could be imported"]


def test_an_existing_catalog_is_replaced_only_by_force(table: Path, tmp_path: Path) -> None:
    shutil.copytree(CORNER_SHOP, tmp_path / "shop")
    fails(run("import", table, "--out", tmp_path / "shop"), 2, "--force")
    assert (tmp_path / "shop/products.jsonl").read_text().count("\n") == 63
    assert run("import", table, "--out", tmp_path / "shop", "--force").exit_code == 0
    assert (tmp_path / "shop/products.jsonl").read_text().count("\n") == 2


def test_an_import_takes_the_shop_that_is_given(table: Path, tmp_path: Path) -> None:
    result = run("import", table, "--out", tmp_path / "shop", "--shop", Path(CORNER_SHOP) / "shop.json")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "shop/shop.json").read_text())["merchant_id"] == "merchant_birch_street"
    assert "placeholder" not in result.stdout


def test_validating_notices_what_is_left_of_a_placeholder(table: Path, tmp_path: Path) -> None:
    run("import", table, "--out", tmp_path / "shop")
    assert facts(run("validate", tmp_path / "shop", "--json"))["notes"] == {PLACEHOLDER: 1}
    file = tmp_path / "shop/shop.json"
    shop = {**json.loads(file.read_text()), "merchant_id": "m", "name": "Mugs"}
    file.write_text(json.dumps(shop))
    (note,) = facts(run("validate", tmp_path / "shop", "--json"))["notes"]
    assert note.startswith("shop.json is a placeholder that an import made: edit public_url")
    file.write_text(json.dumps({**shop, "links": []}))
    assert facts(run("validate", tmp_path / "shop", "--json"))["notes"] == {}


@pytest.mark.parametrize("given", ["feed", "feed/products.jsonl"])
@pytest.mark.parametrize("command", [["validate"], ["export", "--out", "o"]])
def test_a_feed_given_for_a_catalog_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("export", CORNER_SHOP, "--out", "feed")
    result = run(*command, given)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line for line in lines if "acpref catalog import FEED --out FOLDER" in line] == lines[-1:]


def test_a_feed_that_was_given_a_shop_is_still_a_feed(tmp_path: Path) -> None:
    run("export", CORNER_SHOP, "--out", tmp_path)
    shutil.copy(Path(CORNER_SHOP) / "shop.json", tmp_path)
    assert "looks like an ACP feed" in run("validate", tmp_path).stdout


def test_a_price_in_the_wrong_form_is_told_the_right_one(tmp_path: Path) -> None:
    shutil.copytree(CORNER_SHOP, tmp_path / "shop")
    file = tmp_path / "shop/products.jsonl"
    file.write_text(file.read_text().replace('"price": 499', '"price": "4.99"', 1))
    result = run("validate", tmp_path / "shop")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:3] == [
        "Found 1 problem:",
        "  products.jsonl:1: $.variants[0].price: amounts are integers in minor units, such as 499",
    ]


def test_on_a_terminal_lines_are_broken_between_words() -> None:
    told = "  products.jsonl:1: amounts are integers in minor units"
    screen, page = io.StringIO(), io.StringIO()
    say(Console(file=screen, force_terminal=True, width=30), told)
    say(Console(file=page), told)
    assert screen.getvalue() == "  products.jsonl:1: amounts\n    are integers in minor\n    units\n"
    assert page.getvalue() == told + "\n"


def test_the_currency_and_the_stock_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "feed.tsv"
    path.write_text("id\ttitle\tavailability\tprice\nm\tMug\tin_stock\t950 JPY\n")
    told = ["--currency", "JPY", "--stock", "5", "--tax-class", "food"]
    assert run("import", path, "--out", tmp_path / "shop", *told).exit_code == 0
    product = json.loads((tmp_path / "shop/products.jsonl").read_text())
    (variant,) = product["variants"]
    assert (variant["price"], variant["stock"], product["tax_class"]) == (950, 5, "food")
    assert json.loads((tmp_path / "shop/shop.json").read_text())["currency"] == "jpy"


def test_foreign_json_imports_by_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('[{"sku": "a", "title": "Mug", "category": "groceries", "price": 4.35, "stock": 3}]')
    mapping = CATALOGS / "mappings/dummyjson.json"
    found = facts(run("import", path, "--mapping", mapping, "--out", tmp_path / "shop", "--json"))
    assert found == {
        "out": str(tmp_path / "shop"),
        "format": "mapping",
        "products": 1,
        "items": 1,
        "currency": "usd",
        "skipped": 0,
        "problems": [],
        "notes": {},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "nowhere.csv", "--out", "o"], "nowhere.csv does not exist"),
        (["import", "other.json", "--out", "o"], "give --mapping"),
        (["import", "feed.bin", "--out", "o"], "give --format"),
        (["import", "feed.tsv", "--out", "o", "--currency", "dollars"], "no ISO 4217 currency code"),
        (["import", "feed.tsv", "--out", "o", "--shop", "none.json"], "none.json: cannot be read"),
        (["import", "feed.tsv", "--out", "o", "--mapping", "other.json"], "other.json: $.mapping_version: "),
        (["import", "feed.tsv", "--out", "feed.bin"], "feed.bin is a file"),
        (["validate", "nowhere"], "nowhere does not exist"),
        (["export", "nowhere", "--out", "o"], "nowhere does not exist"),
    ],
)
def test_wrong_usage_ends_with_status_two_and_one_line(
    table: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(table.parent)
    Path("other.json").write_text("{}")
    Path("feed.bin").write_text("")
    fails(run(*arguments), 2, message)


def test_a_shop_and_a_contradicting_currency_are_refused(table: Path, tmp_path: Path) -> None:
    shop = Path(CORNER_SHOP) / "shop.json"
    result = run("import", table, "--out", tmp_path / "o", "--shop", shop, "--currency", "eur")
    fails(result, 2, "--currency eur contradicts the shop")


def test_a_sound_catalog_validates() -> None:
    result = run("validate", CORNER_SHOP)
    assert result.exit_code == 0
    assert result.stdout == f"{CORNER_SHOP} is valid; 63 products, 92 items\n"


def test_all_mistakes_of_a_catalog_are_listed_at_once(tmp_path: Path) -> None:
    shutil.copytree(CORNER_SHOP, tmp_path / "shop")
    lines = (tmp_path / "shop/products.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace('"title"', '"titel"', 1)
    lines[4] = lines[3]
    (tmp_path / "shop/products.jsonl").write_text("\n".join(lines))
    shop = json.loads((tmp_path / "shop/shop.json").read_text())
    (tmp_path / "shop/shop.json").write_text(json.dumps({**shop, "currency": "dollar"}))
    result = run("validate", tmp_path / "shop", "--json")
    assert result.exit_code == 1
    found = facts(result)
    assert found["valid"] is False
    assert [(problem["file"], problem.get("line")) for problem in found["problems"]] == [
        ("shop.json", None),
        ("products.jsonl", 3),
        ("products.jsonl", 5),
    ]
    shown = run("validate", tmp_path / "shop")
    assert shown.exit_code == 1
    assert "is NOT valid: 3 problems; 61 products" in shown.stdout


def test_an_empty_catalog_is_not_valid(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text("")
    (tmp_path / "shop.json").write_text('{"merchant_id": "m", "name": "n", "currency": "usd"}')
    result = run("validate", tmp_path)
    assert result.exit_code == 1
    assert "there are no products" in result.stdout


def test_settings_that_refer_to_nothing_are_noted(tmp_path: Path) -> None:
    shutil.copytree(CORNER_SHOP, tmp_path / "shop")
    lines = (tmp_path / "shop/products.jsonl").read_text().splitlines()
    (tmp_path / "shop/products.jsonl").write_text("\n".join(lines[1:]))
    result = run("validate", tmp_path / "shop")
    assert result.exit_code == 0
    assert "there is no item 'bat-aa-24'" in result.stdout


def test_the_feed_is_exported_and_imports_again(tmp_path: Path) -> None:
    result = run("export", CORNER_SHOP, "--out", tmp_path / "feed", "--feed-id", "feed_9")
    assert result.exit_code == 0
    assert json.loads((tmp_path / "feed/metadata.json").read_text()) == {
        "id": "feed_9",
        "target_country": "US",
    }
    assert (tmp_path / "feed/products.jsonl").read_text().count("\n") == 63
    again = facts(run("import", tmp_path / "feed", "--out", tmp_path / "back", "--json", "--strict"))
    assert (again["format"], again["products"], again["items"]) == ("acp", 63, 92)


def test_the_flat_file_is_exported(tmp_path: Path) -> None:
    found = facts(run("export", CORNER_SHOP, "--out", tmp_path, "--format", "csv", "--no-checkout", "--json"))
    assert (found["items"], found["files"], found["skipped"]) == (92, ["products.csv.gz"], 0)
    text = gzip.decompress((tmp_path / "products.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 92
    assert {row["is_eligible_checkout"] for row in rows} == {"false"}
    fails(run("export", CORNER_SHOP, "--out", tmp_path, "--format", "csv"), 2, "--force")


def test_a_catalog_with_a_mistake_is_not_exported(tmp_path: Path) -> None:
    shutil.copytree(CORNER_SHOP, tmp_path / "shop")
    with (tmp_path / "shop/products.jsonl").open("a") as stream:
        stream.write("{}\n")
    fails(run("export", tmp_path / "shop", "--out", tmp_path / "feed"), 1, "products.jsonl:64: $.id: ")
    assert not (tmp_path / "feed/products.jsonl").exists()


def test_a_catalog_is_generated_from_a_seed(tmp_path: Path) -> None:
    first = facts(run("generate", "--count", "50", "--seed", "3", "--out", tmp_path / "a", "--json"))
    assert first == {"out": str(tmp_path / "a"), "products": 50, "seed": 3}
    assert run("generate", "--count", "50", "--seed", "3", "--out", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a/products.jsonl").read_bytes() == (tmp_path / "b/products.jsonl").read_bytes()
    assert run("validate", tmp_path / "a").exit_code == 0


@pytest.mark.parametrize("count", ["9", "1000001", "many"])
def test_the_size_of_a_generated_catalog_has_bounds(tmp_path: Path, count: str) -> None:
    assert run("generate", "--count", count, "--out", tmp_path).exit_code == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    fails(run("generate", "--out", tmp_path / "file" / "below"), 2, "Not a directory")
