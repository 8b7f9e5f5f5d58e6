"""What is wrong with a record of a catalog, said so that a person can find the place.

Every reader of this package takes a ``Problems`` collector. Strict, the first problem is raised as a
``CatalogError``; otherwise the record is skipped, counted and remembered, so that nothing is dropped
silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

# Enough for a person to see the pattern; the counts stay exact beyond it.
KEPT_PROBLEMS = 1000
# Members that hold amounts, in the catalog's files and in feeds.
_AMOUNTS = frozenset(
    {"price", "list_price", "amount", "amount_per_kg", "amount_off", "free_from", "minimum_subtotal"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: the file, the 1-based number of the line (0: the file itself), a JSONPath or column, and
    why.

    ``noun`` says what the number counts where lines mean nothing, such as the ``item`` of an XML feed.
    """

    file: str
    line: int
    path: str
    message: str
    noun: str = "line"

    def __str__(self) -> str:
        """One line, in the style of compilers: ``products.jsonl:12: $.variants[0].price: ...``."""
        place = self.file
        if self.line:
            place += f":{self.line}" if self.noun == "line" else f": {self.noun} {self.line}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class CatalogError(Exception):
    """A catalog, or a file to import, cannot be read. ``problem`` names the place; the text is one line."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    @classmethod
    def at(cls, file: Path | str, message: str, *, line: int = 0, path: str = "") -> CatalogError:
        """The error for one place of a file."""
        return cls(Problem(Path(file).name, line, path, message))


class RecordError(ValueError):
    """A record cannot become a product. The reader that knows the file and the line turns it into a
    ``Problem``.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


@dataclass(slots=True)
class Problems:
    """Collects the records that were skipped, and the assumptions that were made (a note and how often).

    ``strict`` raises at the first problem instead.
    """

    strict: bool = False
    kept: list[Problem] = field(default_factory=list)
    count: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, problem: Problem) -> None:
        """Remember a skipped record, or raise ``CatalogError`` when strict."""
        if self.strict:
            raise CatalogError(problem)
        self.count += 1
        if len(self.kept) < KEPT_PROBLEMS:
            self.kept.append(problem)

    def note(self, text: str) -> None:
        """Count an assumption that the format forced upon us, such as a stock level it does not name."""
        self.notes[text] += 1


def json_path(location: Sequence[int | str]) -> str:
    """The JSONPath of a pydantic error location: ``("variants", 0, "price")`` is ``$.variants[0].price``."""
    steps = ["$"]
    for step in location:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif step.isidentifier():
            steps.append(f".{step}")
        else:
            steps.append(f"[{step!r}]")
    return "".join(steps)


def first_error(error: pydantic.ValidationError) -> RecordError:
    """The first finding of a validation, with its JSONPath and a sentence without the offending value."""
    details = error.errors(include_url=False, include_input=False)[0]
    message, location = details["msg"], details["loc"]
    if details["type"].startswith("int_") and location and location[-1] in _AMOUNTS:
        message = "amounts are integers in minor units, such as 499"
    return RecordError(_sentence(message), json_path(location))


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
