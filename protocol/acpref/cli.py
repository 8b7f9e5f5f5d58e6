"""The ``acpref`` command: one name per task, each loaded only when it is called.

The tasks live in the packages of the distribution and need the dependencies of their extra; importing them on demand
keeps ``acpref --help`` fast and lets an agent builder install ``acpref[agent]`` alone.
"""

from __future__ import annotations

import gc
import importlib
import re
import sys
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from rich.console import Console
from rich.table import Table


class Command(NamedTuple):
    """Where a command lives, the extra that brings its dependencies, and what it does."""

    module: str
    extra: str
    summary: str


COMMANDS: dict[str, Command] = {
    "demo": Command("acpref_sandbox.cli_demo", "sandbox", "One whole purchase, with a readable transcript"),
    "sandbox": Command(
        "acpref_sandbox.cli_sandbox", "sandbox", "Every party on this machine, on loopback ports"
    ),
    "merchant": Command("acpref_merchant.cli", "merchant", "The merchant server, and what its operator does"),
    "catalog": Command(
        "acpref_merchant.catalog.cli", "merchant", "Import, validate, export and generate catalogs"
    ),
    "psp": Command("acpref_psp.cli", "merchant", "The sandbox payment provider alone"),
    "protocol": Command(
        "acpref_protocol.cli", "merchant", "Schemas, and how they compare with the published ones"
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Run ``acpref`` with ``arguments`` (default: the process's own). Exits 0, 1 or 2 as the command's result."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        _print_commands()
        raise SystemExit(0 if arguments else 2)
    if "--version" in arguments[:2] and (len(arguments) == 1 or arguments[0] in COMMANDS):
        from importlib.metadata import version

        Console().print(f"acpref {version('acpref')}", highlight=False)
        raise SystemExit(0)
    command = COMMANDS.get(arguments[0])
    if command is None:
        _fail(f"no such command: {arguments[0]!r}; run 'acpref --help' for the list")
    try:
        status = _run(_import(command.module).app, arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0].startswith("acpref"):
            raise
        _fail(f"'acpref {arguments[0]}' needs the package {error.name}: install acpref[{command.extra}]")
    raise SystemExit(status)


def _run(app: Any, arguments: list[str]) -> int:
    """Run a command's application; wrong usage is said in one line instead of typer's box."""
    try:
        result = app(args=arguments[1:], prog_name=f"acpref {arguments[0]}", standalone_mode=False)
    except Exception as error:
        # Where a command without words shows its help, typer has shown it already.
        if type(error).__name__ == "NoArgsIsHelpError":
            return 2
        if type(error).__name__ == "Abort":  # a question that nobody answered
            return 1
        if not hasattr(error, "format_message"):  # the mark of typer's own, whose classes differ by version
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else f"acpref {arguments[0]}"
        _say(f"{path}: {_in_our_words(error.format_message())} ('{path} --help' explains it)")
        return 2
    return result if isinstance(result, int) else 0


_OUR_WORDS = (
    (r"Input should be a valid integer.*", "it must be a whole number"),
    (r"Input should be a valid number.*", "it must be a number"),
    (r"Input should be greater than or equal to ", "it must be at least "),
    (r"Input should be less than or equal to ", "it must be at most "),
    (r"Input should be ", "it must be "),
    (r"'([A-Z]+)'", r"\1"),
)


def _in_our_words(message: str) -> str:
    """What typer, or pydantic inside it, says about wrong usage: on one line, as the other messages are written."""
    words = " ".join(message.split()).rstrip(".")
    for theirs, ours in _OUR_WORDS:
        words = re.sub(theirs, ours, words)
    return words[:1].lower() + words[1:]


def _import(name: str) -> ModuleType:
    """Import a module, without the garbage collector: what modules make stays, and looking through it takes time.

    That also holds for later, hence the freezing.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _print_commands() -> None:
    console = Console()
    console.print("Reference implementation of the Agentic Commerce Protocol\n")
    console.print("Usage: acpref COMMAND [OPTIONS]\n", highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, command in COMMANDS.items():
        table.add_row(f"  {name}", command.summary)
    console.print(table)
    console.print("\n'acpref COMMAND --help' explains one of them, 'acpref --version' names the version.")


def _fail(message: str) -> NoReturn:
    _say(f"acpref: {message}")
    raise SystemExit(2)


def _say(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
