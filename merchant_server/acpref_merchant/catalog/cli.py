"""``acpref catalog``: import foreign catalogs, validate, export feeds, generate.

Exit status: 0 done; 1 the catalog or the file to import is not sound; 2 wrong usage or configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from acpref_merchant.catalog import feed, flat, generate
from acpref_merchant.catalog.files import (
    METADATA_FILE,
    PRODUCTS_FILE,
    SHOP_FILE,
    default_shop,
    iter_products,
    load_shop,
    looks_like_feed,
    placeholder_note,
)
from acpref_merchant.catalog.importers.base import ImportSettings
from acpref_merchant.catalog.importers.formats import FORMATS, detect
from acpref_merchant.catalog.importers.mapping import Mapping, load_mapping, read_json
from acpref_merchant.catalog.problems import CatalogError, Problem, Problems
from acpref_merchant.catalog.references import dangling_references
from acpref_merchant.catalog.report import NOT_SO, USAGE, Reporter, counted, fail
from acpref_merchant.catalog.write import write_catalog
from acpref_merchant.clock import system_clock
from acpref_merchant.domain.shop import Shop

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Import, validate, export and generate catalogs.",
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write into.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are already there.")]
Catalog = Annotated[Path, typer.Argument(help="A catalog folder, or a products.jsonl alone.")]


class FormatName(StrEnum):
    """The keys of ``FORMATS``, as choices of an option."""

    NATIVE = "native"
    ACP = "acp"
    GOOGLE_TSV = "google-tsv"
    GOOGLE_XML = "google-xml"
    SHOPIFY = "shopify"


class ExportFormat(StrEnum):
    """What ``export`` writes."""

    ACP = "acp"
    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"


_FLAT: dict[ExportFormat, flat.FlatFormat] = {
    ExportFormat.CSV: "csv",
    ExportFormat.TSV: "tsv",
    ExportFormat.JSONL: "jsonl",
}


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="The file (or feed folder) to import.")],
    out: Out,
    source_format: Annotated[
        FormatName | None,
        typer.Option("--format", help="Format of the file; recognised by itself as a rule."),
    ] = None,
    mapping_file: Annotated[
        Path | None, typer.Option("--mapping", help="Mapping file, for JSON of another shape.")
    ] = None,
    shop_file: Annotated[
        Path | None, typer.Option("--shop", help="shop.json for the catalog: currency, taxes, shipping.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of the prices, if no shop says so.")] = None,
    stock: Annotated[
        int, typer.Option(min=0, help="Units assumed where the file says only 'in stock'.")
    ] = 100,
    tax_class: Annotated[
        str, typer.Option(help="Tax class of the products, where the file names none.")
    ] = "standard",
    strict: Annotated[bool, typer.Option("--strict", help="Fail at the first bad record.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Import a foreign catalog: ACP feed, Google Merchant TSV or XML, Shopify CSV, or JSON by a mapping file.

    Bad records are skipped and listed; with --strict they end the import.
    """
    reporter = Reporter(as_json)
    problems = Problems(strict=strict)
    with _failures(USAGE):
        _require(source.exists(), f"{source} does not exist")
        name = "mapping" if mapping_file else source_format.value if source_format else detect(source)
        mapping = load_mapping(mapping_file) if mapping_file else None
        shop = _shop(shop_file, mapping, currency)
    settings = ImportSettings(
        shop.currency,
        now=datetime.fromtimestamp(system_clock() / 1000, UTC),
        stock=stock,
        tax_class=tax_class,
    )
    read = partial(read_json, mapping=mapping) if mapping else FORMATS[name]
    _refuse_overwriting(out, (PRODUCTS_FILE, SHOP_FILE), force)
    with _failures(NOT_SO):
        found = reporter.progress(read(source, settings, problems), "Importing")
        products, items = write_catalog(out, shop, found)
    if note := placeholder_note(shop):
        problems.note(note)
    facts = {"out": str(out), "format": name, "products": products, "items": items, "currency": shop.currency}
    total = (
        f"{counted(products, 'product')} ({counted(items, 'item')}) from {source.name} ({name}) into {out}"
    )
    reporter.done(f"Imported {total}", facts, problems)
    if not products:
        fail("nothing could be imported", NOT_SO)


@app.command()
def validate(catalog: Catalog, as_json: Json = False) -> None:
    """Check a catalog: both files, ids, disclosures, prices, and what the discounts refer to."""
    _require(catalog.exists(), f"{catalog} does not exist")
    reporter = Reporter(as_json)
    problems = Problems()
    products = items = 0
    categories: set[str] = set()
    item_ids: set[str] = set()
    tax_classes: set[str] = set()
    shop: Shop | None = None
    try:
        shop = load_shop(catalog)
    except CatalogError as error:
        problems.add(error.problem)
    try:
        # Of a feed, load_shop has said so; each of its lines would only say it again.
        found = () if looks_like_feed(catalog) else iter_products(catalog, problems)
        for product in reporter.progress(found, "Checking"):
            products += 1
            items += len(product.variants)
            categories.add(product.category)
            tax_classes.add(product.tax_class)
            item_ids.update(variant.id for variant in product.variants)
    except CatalogError as error:
        problems.add(error.problem)
    if shop is not None:
        for path, message in dangling_references(shop, categories, item_ids, tax_classes):
            problems.note(f"{SHOP_FILE}: {path}: {message}")
        if catalog.is_dir() and (note := placeholder_note(shop)):
            problems.note(note)
    if not products and not problems.count:
        problems.add(Problem(PRODUCTS_FILE, 0, "", "there are no products"))
    valid = not problems.count
    facts = {"valid": valid, "products": products, "items": items}
    verdict = "is valid" if valid else f"is NOT valid: {counted(problems.count, 'problem')}"
    total = f"{catalog} {verdict}; {counted(products, 'product')}, {counted(items, 'item')}"
    reporter.done(total, facts, problems, "Found", "problem")
    if not valid:
        raise typer.Exit(NOT_SO)


@app.command()
def export(
    catalog: Catalog,
    out: Out,
    target: Annotated[
        ExportFormat,
        typer.Option("--format", help="acp: metadata.json + products.jsonl; others: flat upload file."),
    ] = ExportFormat.ACP,
    feed_id: Annotated[str, typer.Option(help="Id of the feed in metadata.json.")] = "feed_local",
    compress: Annotated[bool, typer.Option("--gzip/--no-gzip", help="Compress the flat file.")] = True,
    search: Annotated[bool, typer.Option("--search/--no-search", help="Offer the items for search.")] = True,
    checkout: Annotated[
        bool, typer.Option("--checkout/--no-checkout", help="Offer the items for checkout.")
    ] = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Export the ACP product feed, or the flat file that large agents take by upload.

    What the format cannot express is skipped and listed.
    """
    _require(catalog.exists(), f"{catalog} does not exist")
    reporter = Reporter(as_json)
    problems = Problems()
    with _failures(NOT_SO):
        shop = load_shop(catalog)
        items = feed.items_of_products(iter_products(catalog))
        if target is ExportFormat.ACP:
            _refuse_overwriting(out, (METADATA_FILE, PRODUCTS_FILE), force)
            written = feed.write_feed(out, items, shop, feed.feed_metadata(shop, feed_id), problems)
            count = max(reporter.progress(written, "Exporting"), default=0)
            files, noun = [METADATA_FILE, PRODUCTS_FILE], "product"
        else:
            form = _FLAT[target]
            _refuse_overwriting(out, (flat.file_name(1, form, compress=compress),), force)
            writer = flat.FlatWriter.of(shop, search=search, checkout=checkout, problems=problems)
            parts = flat.write_flat(out, writer.rows(items), form, compress=compress)
            count, files = _flat_files(reporter.progress(parts, "Exporting"))
            noun = "item"
    facts = {"out": str(out), "format": target.value, "files": files, f"{noun}s": count}
    reporter.done(
        f"Exported {counted(count, noun)} to {', '.join(str(out / file) for file in files)}", facts, problems
    )


@app.command("generate")
def generate_(
    out: Out,
    count: Annotated[
        int, typer.Option(min=generate.FEWEST_PRODUCTS, max=generate.MOST_PRODUCTS, help="How many products.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same catalog.")] = 1,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Generate a catalog of plausible products from a seed."""
    reporter = Reporter(as_json)
    _refuse_overwriting(out, (PRODUCTS_FILE, SHOP_FILE), force)
    with _failures(NOT_SO):
        for _ in reporter.progress(generate.write_catalog(out, count, seed), "Generating", total=count):
            pass
    facts = {"out": str(out), "products": count, "seed": seed}
    reporter.done(f"Generated {counted(count, 'product')} from seed {seed} into {out}", facts)


def _shop(shop_file: Path | None, mapping: Mapping | None, currency: str | None) -> Shop:
    """The shop of an import: the file given, else the mapping's, else a default one in ``currency``."""
    if shop_file is not None:
        shop = load_shop(shop_file)
    elif mapping is not None and mapping.shop is not None:
        shop = mapping.shop
    else:
        code = (currency or "usd").lower()
        if len(code) != 3 or not (code.isascii() and code.isalpha()):
            fail(f"{currency!r} is no ISO 4217 currency code, such as usd", USAGE)
        return default_shop().model_copy(update={"currency": code})
    if currency is not None and currency.lower() != shop.currency:
        fail(f"--currency {currency} contradicts the shop, which sells in {shop.currency}", USAGE)
    return shop


def _flat_files(parts: Iterable[tuple[int, Path]]) -> tuple[int, list[str]]:
    count, files = 0, dict[str, None]()
    for count, path in parts:  # noqa: B007 - the last count is the result
        files[path.name] = None
    return count, list(files)


def _require(condition: bool, message: str) -> None:
    if not condition:
        fail(message, USAGE)


def _refuse_overwriting(folder: Path, names: Iterable[str], force: bool) -> None:
    """Files are replaced only with ``--force``: an import must not cost somebody the catalog it was made from."""
    _require(not folder.exists() or folder.is_dir(), f"{folder} is a file; --out wants a folder")
    there = [str(folder / name) for name in names if (folder / name).exists()]
    _require(
        force or not there,
        f"{there[0] if there else ''} exists: choose another --out, or replace it with --force",
    )


@contextmanager
def _failures(content: int) -> Iterator[None]:
    """Turn what goes wrong inside into one line and an exit status: ``content`` for bad data, 2 for bad places."""
    try:
        yield
    except CatalogError as error:
        fail(str(error), content)
    except OSError as error:
        fail(f"{error.filename or 'file'}: {error.strerror or error}", USAGE)
