"""What the catalog commands show: a result for people or as JSON, progress on a terminal, errors of one line."""

from __future__ import annotations

import json
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
    Console(stderr=True).print(f"acpref catalog: {message}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


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

    def done(self, sentence: str, facts: dict[str, Any], problems: Problems | None = None) -> None:
        """The result: ``sentence`` for people, ``facts`` as JSON, and what was skipped or assumed in either."""
        if self.as_json:
            found = {} if problems is None else _problems_as_json(problems)
            typer.echo(json.dumps({**facts, **found}, ensure_ascii=False))
            return
        console = Console()
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        if problems is not None:
            self._list(console, problems)

    def _list(self, console: Console, problems: Problems) -> None:
        if problems.count:
            console.print(f"Skipped {counted(problems.count, 'record')}:", highlight=False)
            for problem in problems.kept[:_SHOWN_PROBLEMS]:
                console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
            if problems.count > _SHOWN_PROBLEMS:
                more = problems.count - _SHOWN_PROBLEMS
                console.print(
                    f"  and {more:,} more; --json lists the first {len(problems.kept):,}", highlight=False
                )
        for text, count in problems.notes.most_common():
            times = f" ({count:,} times)" if count > 1 else ""
            console.print(f"Note: {text}{times}", markup=False, highlight=False, soft_wrap=True)


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
