"""Google Merchant feeds come in: TSV and XML, variants by item group."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.importers.google import read_tsv, read_xml
from acpref_merchant.catalog.problems import CatalogError, Problems
from acpref_merchant.domain.item import Product

SETTINGS = ImportSettings("usd", now=datetime(2026, 3, 1, tzinfo=UTC), stock=10)
HEADER = ["id", "title", "description", "link", "image_link", "availability", "price"]


def tsv(folder: Path, rows: list[dict[str, str]], header: list[str] | None = None) -> Path:
    names = header or list(dict.fromkeys([*HEADER, *(name for row in rows for name in row)]))
    lines = ["\t".join(names)]
    for number, row in enumerate(rows):
        sound = {
            "id": f"sku-{number}",
            "title": f"Mug {number}",
            "description": "Stoneware",
            "link": "https://g.example.com/mug",
            "image_link": "https://g.example.com/mug.jpg",
            "availability": "in_stock",
            "price": "12.99 USD",
        }
        cells = {**sound, **row}
        lines.append("\t".join(cells.get(name, "") for name in names))
    path = folder / "feed.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, problems: Problems | None = None) -> list[Product]:
    return list(read_tsv(path, SETTINGS, problems if problems is not None else Problems(strict=True)))


def test_a_row_without_a_group_is_a_product_with_one_variant(tmp_path: Path) -> None:
    row = {
        "brand": "Kiln",
        "gtin": "2001000000012",
        "condition": "refurbished",
        "product_type": "Home > Mugs",
        "shipping_weight": "0.45 kg",
        "additional_image_link": "https://g.example.com/2.jpg,https://g.example.com/3.jpg,javascript:alert(1)",
        "quantity": "4",
    }
    (product,) = read(tsv(tmp_path, [row]))
    assert (product.id, product.title, product.brand, product.category) == (
        "sku-0",
        "Mug 0",
        "Kiln",
        "Home > Mugs",
    )
    assert (product.condition, product.url) == ("refurbished", "https://g.example.com/mug")
    assert product.images == tuple(f"https://g.example.com/{name}.jpg" for name in ("mug", "2", "3"))
    (variant,) = product.variants
    assert (variant.id, variant.price, variant.stock, variant.weight_grams) == ("sku-0", 1299, 4, 450)
    assert variant.barcodes[0].value == "2001000000012"


def test_scattered_rows_of_a_group_become_one_product(tmp_path: Path) -> None:
    rows = [
        {"title": "Linen Shirt - Sage / S", "item_group_id": "shirt", "size": "S", "color": "Sage"},
        {"title": "Mug"},
        {
            "title": "Linen Shirt - Sage / M",
            "item_group_id": "shirt",
            "size": "M",
            "color": "Sage",
            "price": "19.00 USD",
        },
        {"title": "Tray", "item_group_id": "tray"},
    ]
    found = {product.id: product for product in read(tsv(tmp_path, rows))}
    assert set(found) == {"shirt", "sku-1", "tray"}
    shirt = found["shirt"]
    assert shirt.title == "Linen Shirt - Sage"
    assert [variant.title for variant in shirt.variants] == ["Sage / S", "Sage / M"]
    assert [variant.price for variant in shirt.variants] == [1299, 1900]
    assert [(option.name, option.value) for option in shirt.variants[1].options] == [
        ("Color", "Sage"),
        ("Size", "M"),
    ]


def test_column_names_may_be_written_with_blanks(tmp_path: Path) -> None:
    path = tmp_path / "feed.tsv"
    path.write_text("ID\tTitle\tAvailability\tPrice\tItem group ID\nx\tMug\tin stock\t1.00 USD\tg\n")
    (product,) = read(path)
    assert (product.id, product.variants[0].id) == ("g", "x")


@pytest.mark.parametrize(
    ("sale", "dates", "price", "list_price"),
    [
        ("9.99 USD", "", 999, 1299),
        ("9.99 USD", "2026-02-01T00:00Z/2026-04-01T00:00Z", 999, 1299),
        ("9.99 USD", "2026-02-01T00:00-08:00/2026-02-28T23:59-08:00", 999, 1299),
        ("9.99 USD", "2026-04-01T00:00Z/2026-05-01T00:00Z", 1299, None),
        ("15.00 USD", "", 1299, None),
        ("", "", 1299, None),
    ],
)
def test_a_sale_price_holds_within_its_dates(
    tmp_path: Path, sale: str, dates: str, price: int, list_price: int | None
) -> None:
    (product,) = read(tsv(tmp_path, [{"sale_price": sale, "sale_price_effective_date": dates}]))
    assert (product.variants[0].price, product.variants[0].list_price) == (price, list_price)


@pytest.mark.parametrize(
    ("availability", "stock"),
    [("in_stock", 10), ("in stock", 10), ("out of stock", 0), ("preorder", 0), ("backorder", 0)],
)
def test_only_what_is_in_stock_can_be_bought(tmp_path: Path, availability: str, stock: int) -> None:
    problems = Problems()
    (product,) = read(tsv(tmp_path, [{"availability": availability}]), problems)
    assert product.variants[0].stock == stock
    assert bool(problems.notes) == (availability != "out of stock")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"price": "12,99 USD"}, "price"),
        ({"price": "12.99 EUR"}, "price"),
        ({"price": ""}, "price"),
        ({"title": ""}, "title"),
        ({"id": ""}, "id"),
        ({"availability": "maybe"}, "availability"),
        ({"shipping_weight": "heavy"}, "shipping_weight"),
        ({"sale_price": "1.00 USD", "sale_price_effective_date": "in spring"}, "sale_price_effective_date"),
        ({"id": "sku-1"}, "$.variants[0].id"),
    ],
)
def test_a_bad_row_is_skipped_with_its_line_and_column(
    tmp_path: Path, row: dict[str, str], column: str
) -> None:
    problems = Problems()
    rows = [{}, {}, row, {}]
    found = read(tsv(tmp_path, rows), problems)
    assert [product.id for product in found] == ["sku-0", "sku-1", "sku-3"]
    assert problems.count == 1
    place = "$.id" if column == "$.variants[0].id" else column
    assert str(problems.kept[0]).startswith(f"feed.tsv:4: {place}: ")
    with pytest.raises(CatalogError):
        read(tsv(tmp_path, rows))


def test_a_bad_member_does_not_take_its_group_along(tmp_path: Path) -> None:
    problems = Problems()
    rows = [{"item_group_id": "g", "price": "?"}, {"item_group_id": "g", "size": "M"}]
    (product,) = read(tsv(tmp_path, rows), problems)
    assert [variant.id for variant in product.variants] == ["sku-1"]
    assert problems.count == 1


def test_a_row_with_too_few_cells_is_reported_once(tmp_path: Path) -> None:
    path = tsv(tmp_path, [{}, {}])
    path.write_text(path.read_text() + "sku-9\tMug\n")
    problems = Problems()
    assert len(read(path, problems)) == 2
    assert [str(problem) for problem in problems.kept] == [
        "feed.tsv:4: 2 cells, but the header names 7 columns"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "names no columns"),
        (b"id\ttitle\n\xff\xfe\t\n", "not UTF-8"),
        (b'id\ttitle\n"open\t', "not a readable table"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "feed.tsv"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=message):
        read(path, Problems())


RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
{items}
</channel></rss>"""
ITEM = """<item><g:id>{id}</g:id><title>{title}</title><g:description><![CDATA[<p>Soft &amp; warm</p>]]></g:description>
<link>https://g.example.com/{id}</link><g:image_link>https://g.example.com/1.jpg</g:image_link>
<g:additional_image_link>https://g.example.com/2.jpg</g:additional_image_link>
<g:additional_image_link>https://g.example.com/3.jpg</g:additional_image_link>
<g:availability>in_stock</g:availability><g:price>{price}</g:price>{more}</item>"""


def xml(folder: Path, *items: str, template: str = RSS) -> Path:
    path = folder / "feed.xml"
    path.write_text(template.format(items="\n".join(items)), encoding="utf-8")
    return path


def item(number: int, price: str = "5.00 USD", more: str = "") -> str:
    return ITEM.format(id=f"x{number}", title=f"Scarf {number}", price=price, more=more)


def read_all_xml(path: Path, problems: Problems | None = None) -> list[Product]:
    return list(read_xml(path, SETTINGS, problems if problems is not None else Problems(strict=True)))


def test_an_rss_feed_reads_like_the_table(tmp_path: Path) -> None:
    group = "<g:item_group_id>g</g:item_group_id><g:size>{}</g:size>"
    first, second = read_all_xml(
        xml(tmp_path, item(1, more=group.format("S")), item(2), item(3, more=group.format("M")))
    )
    assert (first.id, first.description, len(first.images)) == ("x2", "Soft & warm", 3)
    assert (second.id, [variant.title for variant in second.variants]) == ("g", ["S", "M"])


def test_an_atom_feed_reads_too(tmp_path: Path) -> None:
    atom = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">{items}</feed>'
    entry = (
        '<entry><g:id>a</g:id><title>Scarf</title><link href="https://g.example.com/a"/>'
        "<g:availability>in stock</g:availability><g:price>5 USD</g:price></entry>"
    )
    (product,) = read_all_xml(xml(tmp_path, entry, template=atom))
    assert (product.id, product.url) == ("a", "https://g.example.com/a")


def test_a_bad_item_is_named_by_its_number(tmp_path: Path) -> None:
    problems = Problems()
    assert len(read_all_xml(xml(tmp_path, item(1), item(2, price="free")), problems)) == 1
    assert str(problems.kept[0]).startswith("feed.xml: item 2: price: ")


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaa">]><rss><channel><item><id>&a;</id></item></channel></rss>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "secret.txt">]><rss><channel><item><id>&x;</id></item></channel></rss>',
        '<!DOCTYPE r SYSTEM "https://g.example.com/x.dtd"><rss/>',
    ],
)
def test_entities_and_document_types_are_refused(tmp_path: Path, document: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "feed.xml"
    path.write_text(document)
    with pytest.raises(CatalogError, match="DTD or entities"):
        read_all_xml(path, Problems())


def test_broken_xml_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text("<rss><channel><item>")
    with pytest.raises(CatalogError, match=r"not well-formed XML: .*line 1"):
        read_all_xml(path, Problems())


def test_an_empty_feed_is_noted(tmp_path: Path) -> None:
    problems = Problems()
    assert read_all_xml(xml(tmp_path), problems) == []
    assert problems.notes == {"the feed contains no items": 1}
