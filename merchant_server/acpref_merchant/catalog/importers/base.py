"""What all importers share: their settings, their shape, and the way of a record into a product."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import pydantic

from acpref_merchant.catalog.files import UniqueIds, check_product
from acpref_merchant.catalog.problems import CatalogError, Problem, Problems, RecordError, first_error
from acpref_merchant.domain.item import Product, Variant
from acpref_protocol.base import Uri

# One cell of a table may hold a long description, but not a whole file that forgot a closing quote.
MAX_CELL_CHARACTERS = 1 << 20


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What a foreign file does not say.

    ``currency`` (lower case) is that of the shop; prices in another one are refused. ``stock`` is assumed for
    goods that a feed calls available without a number. ``now`` decides whether a dated sale price applies.
    """

    currency: str
    now: datetime
    stock: int = 100
    tax_class: str = "standard"


Importer = Callable[[Path, ImportSettings, Problems], Iterator[Product]]


@dataclass(slots=True)
class Intake:
    """Turns records of one file into products: checks, unique ids, problems with their place."""

    file: Path
    problems: Problems
    noun: str = "line"
    _ids: UniqueIds = field(default_factory=UniqueIds)

    @contextmanager
    def record(self, number: int) -> Iterator[None]:
        """Report what goes wrong inside the block as a problem of record ``number`` and go on after it."""
        try:
            yield
        except pydantic.ValidationError as error:
            self.report(number, first_error(error))
        except RecordError as error:
            self.report(number, error)

    def report(self, number: int, error: RecordError) -> None:
        """Collect one problem."""
        self.problems.add(Problem(self.file.name, number, error.path, error.message, self.noun))

    def accept(self, number: int, product: Product) -> Iterator[Product]:
        """Yield ``product`` unless it is not sound or repeats an id."""
        with self.record(number):
            check_product(product)
            self._ids.claim(product.id, [variant.id for variant in product.variants])
            yield product


@contextmanager
def at(path: str) -> Iterator[None]:
    """Name the column or member in which a RecordError of the block arose."""
    try:
        yield
    except RecordError as error:
        raise RecordError(error.message, error.path or path) from error


def rows(path: Path, delimiter: str, intake: Intake) -> Iterator[tuple[int, list[str], list[str]]]:
    """The rows of a delimited UTF-8 file with a header: (number of the row's last line, header, cells).

    Rows with another number of cells than the header are reported and skipped. Raises CatalogError when the
    file is no such table at all.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not any(header):
                raise CatalogError.at(path, "the first line names no columns")
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    intake.report(
                        reader.line_num,
                        RecordError(f"{len(cells)} cells, but the header names {len(header)} columns"),
                    )
                    continue
                yield reader.line_num, header, cells
    except UnicodeDecodeError as error:
        raise CatalogError.at(path, "the file is not UTF-8") from error
    except csv.Error as error:
        raise CatalogError.at(path, f"not a readable table: {error}", line=reader.line_num) from error
    except OSError as error:
        raise CatalogError.at(path, f"cannot be read: {error.strerror or error}") from error


# What RFC 3986 lets stand in an address as it is; the per cent sign is taken for an escape.
_UNESCAPED = "%/:?#[]@!$&'()*+,;=~"
_URI = pydantic.TypeAdapter(Uri)


def web_address(text: str, problems: Problems) -> str | None:
    """``text`` as an http(s) URI, its blanks and letters beyond ASCII escaped; ``None`` for no text.

    Anything else (another scheme, a relative path) is left out with a note.
    """
    if not (address := text.strip()):
        return None
    if address.lower().startswith(("https://", "http://")):
        escaped = quote(address, safe=_UNESCAPED)
        with suppress(pydantic.ValidationError):
            return str(_URI.validate_python(escaped))
    problems.note("addresses left out because they are no http(s) URIs")
    return None


def common_title(titles: list[str]) -> str:
    """The words that all ``titles`` begin with, without trailing separators; the first title when there are
    none.
    """
    words = [title.split() for title in titles]
    shared = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return " ".join(shared).rstrip(" -\u2013\u2014/|,:;(") or titles[0]


def distinct_titles(variants: list[Variant]) -> list[Variant]:
    """``variants`` with titles that tell them apart: the option values when there are any."""
    return [
        variant.model_copy(update={"title": " / ".join(option.value for option in variant.options)})
        if variant.options
        else variant
        for variant in variants
    ]
