"""What the catalog commands show: a result for people or as JSON, progress on a terminal, errors of one line."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from acpref_merchant.catalog.problems import Problem, Problems

T = TypeVar("T")

NOT_SO = 1
"""Exit status: the catalog is not sound."""
USAGE = 2
"""Exit status: the command was called in a way that cannot work."""

_SHOWN_PROBLEMS = 10
# Drawing is slower than parsing; a person needs a few pictures a second.
_ADVANCE_EVERY = 500


def fail(message: str, status: int) -> NoReturn:
    """End the command with one line on the standard error."""
    say(Console(stderr=True), f"acpref catalog: {message}")
    raise typer.Exit(status)


def say(console: Console, text: str) -> None:
    """Print ``text`` as it is, on a terminal wrapped at words."""
    console.print(at_words(console, text), markup=False, highlight=False, soft_wrap=True)


def at_words(console: Console, text: str, indent: int = 0) -> str:
    """``text`` in lines that fit a terminal, broken between words only; for a file or a program, one line.

    ``indent`` is how many columns the first line has already used, and where the others begin.
    """
    if not console.is_terminal:
        return text
    lines = textwrap.wrap(
        text,
        console.width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent or len(text) - len(text.lstrip()) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[indent:]


@dataclass(frozen=True, slots=True)
class Reporter:
    """Prints results; ``as_json`` makes the standard output one JSON object and nothing else."""

    as_json: bool

    def progress(self, source: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """``source``, with a moving count on the standard error when that is a terminal.

        Integers are taken for running totals; anything else is counted.
        """
        console = Console(stderr=True)
        if self.as_json or not console.is_terminal:
            yield from source
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            *((BarColumn(), TaskProgressColumn()) if total else ()),
            TextColumn("{task.completed:,}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=total)
            shown = 0
            for count, one in enumerate(source, start=1):
                reached = one if isinstance(one, int) else count
                if reached >= shown + _ADVANCE_EVERY:
                    bar.update(task, completed=reached)
                    shown = reached
                yield one

    def done(
        self,
        sentence: str,
        facts: dict[str, Any],
        problems: Problems | None = None,
        verb: str = "Skipped",
        noun: str = "record",
    ) -> None:
        """The result: ``sentence`` for people, ``facts`` as JSON, and what is wrong or assumed in either.

        ``verb`` and ``noun`` say to people what was done with what is wrong.
        """
        if self.as_json:
            found = {} if problems is None else _problems_as_json(problems)
            typer.echo(json.dumps({**facts, **found}, ensure_ascii=False))
            return
        console = Console()
        say(console, sentence)
        if problems is not None:
            self._list(console, problems, verb, noun)

    def _list(self, console: Console, problems: Problems, verb: str, noun: str) -> None:
        if problems.count:
            say(console, f"{verb} {counted(problems.count, noun)}:")
            for problem in problems.kept[:_SHOWN_PROBLEMS]:
                say(console, f"  {problem}")
            if problems.count > _SHOWN_PROBLEMS:
                more = problems.count - _SHOWN_PROBLEMS
                say(console, f"  and {more:,} more; --json lists the first {len(problems.kept):,}")
        for text, count in problems.notes.most_common():
            times = f" ({count:,} times)" if count > 1 else ""
            say(console, f"Note: {text}{times}")


def counted(count: int, noun: str) -> str:
    """``1 product``, ``1,200 products``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _problems_as_json(problems: Problems) -> dict[str, Any]:
    return {
        "skipped": problems.count,
        "problems": [_problem_as_json(problem) for problem in problems.kept],
        "notes": dict(problems.notes),
    }


def _problem_as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        problem.noun: problem.line or None,
        "path": problem.path or None,
        "message": problem.message,
    }
