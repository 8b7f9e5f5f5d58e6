"""Google Merchant product feeds: tab-separated text, and XML (RSS 2.0 or Atom).

Rows that share ``item_group_id`` become one product with variants. Groups may be scattered over the file,
so it is read twice: first the members of each group are counted, then a product is yielded as soon as its
last member was read. Memory is that of the groups under way, not of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from acpref_merchant.catalog.amounts import grams, money_text, whole_number
from acpref_merchant.catalog.importers.base import (
    ImportSettings,
    Intake,
    at,
    common_title,
    distinct_titles,
    rows,
    web_address,
)
from acpref_merchant.catalog.problems import CatalogError, Problems, RecordError
from acpref_merchant.catalog.text import one_line, plain_text
from acpref_merchant.domain.item import Barcode, Option, Product, Variant

Attributes = dict[str, list[str]]
Records = Callable[[], Iterator[tuple[int, Attributes]]]

_OPTION_COLUMNS = ("color", "size", "material", "pattern")
_CONDITIONS = {"new": "new", "refurbished": "refurbished", "used": "used"}


def read_tsv(path: Path, settings: ImportSettings, problems: Problems) -> Iterator[Product]:
    """The products of a tab-separated feed. Column names may be written with blanks or underscores."""
    # Only the second reading reports rows with too few cells.
    silent = Intake(path, Problems())
    intake = Intake(path, problems)

    def records(reporter: Intake) -> Iterator[tuple[int, Attributes]]:
        for number, header, cells in rows(path, "\t", reporter):
            names = [_attribute(name) for name in header]
            yield number, {name: [cell] for name, cell in zip(names, cells, strict=True) if cell.strip()}

    yield from _grouped(lambda: records(silent), lambda: records(intake), settings, intake)


def read_xml(path: Path, settings: ImportSettings, problems: Problems) -> Iterator[Product]:
    """The products of an RSS or Atom feed. Entities and external references are refused, not expanded."""
    intake = Intake(path, problems, noun="item")

    def records() -> Iterator[tuple[int, Attributes]]:
        return _xml_records(path)

    yield from _grouped(records, records, settings, intake)


def _xml_records(path: Path) -> Iterator[tuple[int, Attributes]]:
    parents: list[Element] = []
    number = 0
    try:
        for event, element in iterparse(str(path), events=("start", "end"), forbid_dtd=True):
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            if _local(element.tag) not in {"item", "entry"}:
                continue
            number += 1
            attributes: Attributes = {}
            for child in element:
                if text := (child.text or child.get("href") or "").strip():
                    attributes.setdefault(_attribute(_local(child.tag)), []).append(text)
            yield number, attributes
            if parents:
                # What was yielded is forgotten, so that a long feed needs no more memory than a short one.
                parents[-1].remove(element)
    except ParseError as error:
        raise CatalogError.at(path, f"not well-formed XML: {error}") from error
    except DefusedXmlException as error:
        raise CatalogError.at(path, "the XML declares a DTD or entities, which feeds do not need") from error
    except OSError as error:
        raise CatalogError.at(path, f"cannot be read: {error.strerror or error}") from error


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _attribute(name: str) -> str:
    return name.strip().lower().removeprefix("g:").replace(" ", "_")


@dataclass(slots=True)
class _Group:
    """A product under construction: what its first member says, and the variants so far."""

    first: Attributes
    number: int
    titles: list[str] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)


def _grouped(
    counting: Records, reading: Records, settings: ImportSettings, intake: Intake
) -> Iterator[Product]:
    awaited = Counter(key for _, attributes in counting() if (key := _one(attributes, "item_group_id")))
    open_groups: dict[str, _Group] = {}
    seen = False
    for number, attributes in reading():
        seen = True
        key = _one(attributes, "item_group_id")
        group = open_groups.get(key) if key else None
        if group is None:
            group = _Group(attributes, number)
            if key:
                open_groups[key] = group
        with intake.record(number):
            group.variants.append(_variant(attributes, settings, intake.problems))
            group.titles.append(one_line(_required(attributes, "title")))
        if key:
            awaited[key] -= 1
            if awaited[key]:
                continue
            del open_groups[key]
        if group.variants:
            with intake.record(group.number):
                yield from intake.accept(group.number, _product(key, group, settings, intake.problems))
    if not seen:
        intake.problems.note("the feed contains no items")


def _product(key: str, group: _Group, settings: ImportSettings, problems: Problems) -> Product:
    first = group.first
    many = len(group.variants) > 1
    return Product(
        id=key or group.variants[0].id,
        title=common_title(group.titles) if many else group.titles[0],
        description=plain_text(_one(first, "description")),
        brand=one_line(_one(first, "brand")),
        category=one_line(_one(first, "product_type") or _one(first, "google_product_category")),
        url=web_address(_one(first, "link"), problems),
        images=_images(first, problems),
        condition=_CONDITIONS.get(_one(first, "condition").lower(), "new"),  # type: ignore[arg-type]
        tax_class=settings.tax_class,
        variants=tuple(distinct_titles(group.variants) if many else group.variants),
    )


def _variant(attributes: Attributes, settings: ImportSettings, problems: Problems) -> Variant:
    with at("price"):
        price = money_text(_required(attributes, "price"), settings.currency)
    list_price = None
    if (sale := _one(attributes, "sale_price")) and _sale_applies(attributes, settings.now):
        with at("sale_price"):
            reduced = money_text(sale, settings.currency)
        if reduced < price:
            price, list_price = reduced, price
    with at("shipping_weight"):
        weight = grams(_one(attributes, "shipping_weight") or "0")
    return Variant(
        id=_required(attributes, "id"),
        title=one_line(_required(attributes, "title")),
        price=price,
        list_price=list_price,
        stock=_stock(attributes, settings, problems),
        weight_grams=weight,
        options=tuple(
            Option(name=name.capitalize(), value=one_line(value))
            for name in _OPTION_COLUMNS
            if (value := _one(attributes, name))
        ),
        barcodes=tuple(Barcode(type="GTIN", value=gtin) for gtin in (_one(attributes, "gtin"),) if gtin),
        images=_images(attributes, problems),
    )


def _stock(attributes: Attributes, settings: ImportSettings, problems: Problems) -> int:
    availability = _required(attributes, "availability").lower().replace(" ", "_")
    if availability in {"out_of_stock", "preorder", "backorder"}:
        if availability != "out_of_stock":
            problems.note(f"{availability} imported as out of stock: orders wait for nothing here")
        return 0
    if availability != "in_stock":
        raise RecordError(
            f"{availability!a} is not one of in_stock, out_of_stock, preorder, backorder", "availability"
        )
    if quantity := _one(attributes, "quantity") or _one(attributes, "sell_on_google_quantity"):
        with at("quantity"):
            return whole_number(quantity)
    problems.note(f"stock assumed to be {settings.stock}: the feed says only that it is available")
    return settings.stock


def _sale_applies(attributes: Attributes, now: datetime) -> bool:
    """Whether the sale price holds at ``now``: always without dates, else between the two that are named."""
    period = _one(attributes, "sale_price_effective_date")
    if not period:
        return True
    start, _, end = period.partition("/")
    try:
        begins, ends = (datetime.fromisoformat(part.strip()) for part in (start, end))
        return begins <= now < ends
    except (ValueError, TypeError) as error:
        wanted = "write two times with offsets, such as 2026-03-01T00:00Z/2026-04-01T00:00Z"
        raise RecordError(wanted, "sale_price_effective_date") from error


def _images(attributes: Attributes, problems: Problems) -> tuple[str, ...]:
    named = attributes.get("image_link", []) + [
        part for text in attributes.get("additional_image_link", []) for part in text.split(",")
    ]
    return tuple(dict.fromkeys(address for text in named if (address := web_address(text, problems))))


def _one(attributes: Attributes, name: str) -> str:
    values = attributes.get(name)
    return values[0].strip() if values else ""


def _required(attributes: Attributes, name: str) -> str:
    if not (value := _one(attributes, name)):
        raise RecordError("is missing", name)
    return value
