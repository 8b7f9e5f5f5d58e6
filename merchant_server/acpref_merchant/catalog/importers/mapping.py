"""Foreign JSON by a mapping file that says where each field of a product is found.

The records are a JSON array anywhere in a document, or JSON Lines. A mapping names a path for each field,
with a default, a constant or a table of replacements; prices are decimal text and become minor units
exactly. The format is described in ``catalogs/README.md`` and by ``catalogs/schema/mapping.schema.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from acpref_merchant.catalog.amounts import grams, minor_units, whole_number
from acpref_merchant.catalog.files import bounded_lines, shop_problems
from acpref_merchant.catalog.importers.base import ImportSettings, Intake, at, web_address
from acpref_merchant.catalog.problems import CatalogError, Problems, RecordError, first_error
from acpref_merchant.catalog.text import clean_text, one_line, plain_text, to_markdown
from acpref_merchant.domain.item import Barcode, FulfillmentType, Option, Product, Variant
from acpref_merchant.domain.shop import Shop

# A document that is not JSON Lines is held in memory as a whole.
MAX_DOCUMENT_BYTES = 256 << 20

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\['([^']*)'\]|\[(\d+)\]")


def _steps(path: str) -> tuple[str, list[str | int]]:
    """The root of a path and its steps: ``$product.meta.codes[0]`` is ``("$product", ["meta", "codes",
    0])``.
    """
    root = "$product" if re.match(r"\$product(?![A-Za-z0-9_])", path) else "$"
    position, steps = len(root), list[str | int]()
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            break
        name, quoted, index = match.groups()
        steps.append(int(index) if index is not None else name if name is not None else quoted)
        position = match.end()
    if not path.startswith(root) or position != len(path):
        raise ValueError("a path is written like $.name, $['a name'] or $.list[0]")
    return root, steps


def _checked_path(path: str) -> str:
    _steps(path)
    return path


JsonPath = Annotated[str, AfterValidator(_checked_path)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rule(_Frozen):
    """Where the value of one field comes from: a constant ``value``, or ``path`` with ``table`` and
    ``default``.

    ``table`` replaces the text found; what it does not list becomes ``default``. ``prefix`` goes before a
    text.
    """

    path: JsonPath | None = None
    value: Any = None
    default: Any = None
    table: dict[str, Any] | None = None
    prefix: str = ""


class WeightRule(Rule):
    """A weight with the unit in which the foreign catalog measures."""

    unit: Literal["g", "kg", "mg", "lb", "oz"] = "g"


class ProductRules(_Frozen):
    """Rules for the fields of a product; paths start at the record."""

    id: Rule
    title: Rule
    description: Rule = Rule(value="")
    brand: Rule = Rule(value="")
    category: Rule = Rule(value="")
    tags: Rule = Rule(value=[])
    url: Rule = Rule()
    images: Rule = Rule(value=[])
    condition: Rule = Rule(value="new")
    tax_class: Rule = Rule(value="standard")
    fulfillment: Rule = Rule(value=["shipping"])
    disclosures: Rule = Rule(value=[])


class VariantRules(_Frozen):
    """Rules for the fields of a variant; paths start at the variant's record, ``$product`` at the
    product's.
    """

    id: Rule
    title: Rule
    price: Rule
    list_price: Rule = Rule()
    stock: Rule = Rule()
    weight_grams: WeightRule = WeightRule(value="0")
    max_quantity_per_order: Rule = Rule()
    images: Rule = Rule(value=[])
    options: dict[str, Rule] = Field(default_factory=dict, description="Option name to rule.")
    barcodes: dict[str, Rule] = Field(default_factory=dict, description="Barcode type to rule.")


class Mapping(_Frozen):
    """A mapping file. ``records`` is the path of the array of products; ``variants`` that of a product's
    variants.

    Without ``variants`` each record is a product with one variant, itself. ``price_unit`` says whether
    prices are decimal numbers of major units (12.99) or integers of minor units (1299).
    """

    mapping_version: Literal[1]
    description: str = ""
    records: JsonPath = "$"
    variants: JsonPath | None = None
    price_unit: Literal["major", "minor"] = "major"
    product: ProductRules
    variant: VariantRules
    shop: Shop | None = None


def load_mapping(path: Path) -> Mapping:
    """The mapping file at ``path``. Raises CatalogError with the JSONPath of what is wrong."""
    try:
        mapping = Mapping.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CatalogError.at(path, f"cannot be read: {error.strerror or error}") from error
    except pydantic.ValidationError as error:
        found = first_error(error)
        raise CatalogError.at(path, found.message, path=found.path) from error
    for found in shop_problems(mapping.shop) if mapping.shop else ():
        raise CatalogError.at(path, found.message, path=found.path.replace("$", "$.shop", 1))
    return mapping


def read_json(
    path: Path, settings: ImportSettings, problems: Problems, mapping: Mapping
) -> Iterator[Product]:
    """The products of a foreign JSON document (or ``.jsonl`` file) as ``mapping`` reads them."""
    lines = path.suffix in {".jsonl", ".ndjson"}
    intake = Intake(path, problems, noun="line" if lines else "record")
    for number, record in _json_lines(path, intake) if lines else _document(path, mapping):
        with intake.record(number):
            yield from intake.accept(number, _product(record, mapping, settings, problems))


def _parse(raw: bytes) -> Any:
    # Decimal keeps what the file says: 9.99 is never a binary fraction.
    return json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _json_lines(path: Path, intake: Intake) -> Iterator[tuple[int, Any]]:
    try:
        with path.open("rb") as stream:
            for number, line in bounded_lines(stream, path):
                try:
                    record = _parse(line)
                except (ValueError, RecursionError) as error:
                    intake.report(number, RecordError(f"not JSON: {error}"))
                    continue
                yield number, record
    except OSError as error:
        raise CatalogError.at(path, f"cannot be read: {error.strerror or error}") from error


def _document(path: Path, mapping: Mapping) -> Iterator[tuple[int, Any]]:
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise CatalogError.at(
                path, f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB: convert it to JSON Lines"
            )
        document = _parse(path.read_bytes())
    except OSError as error:
        raise CatalogError.at(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CatalogError.at(path, f"not JSON: {error}") from error
    records = _find(document, mapping.records, document)
    if not isinstance(records, list):
        raise CatalogError.at(
            path, "the mapping's path to the records leads to no array", path=mapping.records
        )
    yield from enumerate(records, start=1)


def _find(record: Any, path: str, product: Any) -> Any:
    """The value at ``path``, or ``None`` when it is absent or null."""
    root, steps = _steps(path)
    found = product if root == "$product" else record
    for step in steps:
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and step < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
        if found is None:
            return None
    return found


def _value(rule: Rule, record: Any, product: Any) -> Any:
    if rule.path is None:
        return rule.value if rule.value is not None else rule.default
    found = _find(record, rule.path, product)
    if found is None:
        return rule.default
    if rule.table is not None:
        return rule.table.get(_text(found), rule.default)
    return f"{rule.prefix}{_text(found)}" if rule.prefix else found


def _product(record: Any, mapping: Mapping, settings: ImportSettings, problems: Problems) -> Product:
    if not isinstance(record, dict):
        raise RecordError("is not an object", "$")
    rules = mapping.product
    read = partial(_read, record=record, product=record)
    variants = [record] if mapping.variants is None else _find(record, mapping.variants, record)
    if not isinstance(variants, list) or not variants:
        raise RecordError("leads to no variants", mapping.variants or "$")
    url = read("url", rules.url, _optional(_text))
    return Product(
        id=read("id", rules.id, _text),
        title=one_line(read("title", rules.title, _text)),
        description=plain_text(read("description", rules.description, _text)),
        brand=one_line(read("brand", rules.brand, _text)),
        category=one_line(read("category", rules.category, _text)),
        tags=tuple(one_line(tag) for tag in read("tags", rules.tags, _texts)),
        url=web_address(url, problems) if url else None,
        images=_addresses(read("images", rules.images, _texts), problems),
        condition=read("condition", rules.condition, _text),
        tax_class=read("tax_class", rules.tax_class, _optional(_text)) or settings.tax_class,
        fulfillment=tuple(_way(way) for way in read("fulfillment", rules.fulfillment, _texts)),
        disclosures=tuple(
            to_markdown(text)
            for one in read("disclosures", rules.disclosures, _texts)
            if (text := plain_text(one))
        ),
        variants=tuple(
            _variant(variant, record, mapping, settings.currency, problems) for variant in variants
        ),
    )


def _variant(record: Any, product: Any, mapping: Mapping, currency: str, problems: Problems) -> Variant:
    rules = mapping.variant
    read = partial(_read, record=record, product=product)
    amount: Callable[[Any], int] = (
        _whole if mapping.price_unit == "minor" else lambda found: minor_units(_text(found), currency)
    )
    return Variant(
        id=read("id", rules.id, _text),
        title=one_line(read("title", rules.title, _text)),
        price=read("price", rules.price, amount),
        list_price=read("list_price", rules.list_price, _optional(amount)),
        stock=read("stock", rules.stock, _optional(_whole)),
        weight_grams=read(
            "weight_grams", rules.weight_grams, lambda found: grams(_text(found), rules.weight_grams.unit)
        ),
        max_quantity_per_order=read(
            "max_quantity_per_order", rules.max_quantity_per_order, _optional(_whole)
        ),
        images=_addresses(read("images", rules.images, _texts), problems),
        options=tuple(
            Option(name=name, value=one_line(text))
            for name, rule in rules.options.items()
            if (text := read(name, rule, _optional(_text)))
        ),
        barcodes=tuple(
            Barcode(type=name, value=text)
            for name, rule in rules.barcodes.items()
            if (text := read(name, rule, _optional(_text)))
        ),
    )


def _read(field: str, rule: Rule, convert: Callable[[Any], Any], *, record: Any, product: Any) -> Any:
    with at(rule.path or field):
        return convert(_value(rule, record, product))


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda found: None if found is None or found == "" else convert(found)


def _text(found: Any) -> str:
    if isinstance(found, str):
        return clean_text(found)
    if isinstance(found, Decimal):
        return format(found, "f")
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise RecordError("is missing" if found is None else f"is {_kind(found)}, not a text or number")


def _texts(found: Any) -> list[str]:
    if isinstance(found, list):
        return [_text(one) for one in found]
    return [part for one in _text(found).split(",") if (part := one.strip())] if found is not None else []


def _whole(found: Any) -> int:
    return whole_number(_text(found))


def _addresses(texts: list[str], problems: Problems) -> tuple[str, ...]:
    return tuple(address for text in texts if (address := web_address(text, problems)))


def _way(text: str) -> FulfillmentType:
    for way in get_args(FulfillmentType):
        if way == text:
            return way  # type: ignore[no-any-return]
    raise RecordError(f"{text!a} is not one of {', '.join(get_args(FulfillmentType))}", "fulfillment")


def _kind(found: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a boolean"}.get(type(found), type(found).__name__)
