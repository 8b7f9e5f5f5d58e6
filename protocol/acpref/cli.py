"""The ``acpref`` command: one name per task, each loaded only when it is called.

The tasks live in the packages of the distribution and need the dependencies of their extra; importing them on demand
keeps ``acpref --help`` fast and lets an agent builder install ``acpref[agent]`` alone.
"""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType
from typing import NamedTuple, NoReturn

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
    if arguments[0] == "--version":
        from importlib.metadata import version

        Console().print(f"acpref {version('acpref')}", highlight=False)
        raise SystemExit(0)
    command = COMMANDS.get(arguments[0])
    if command is None:
        _fail(f"no such command: {arguments[0]!r}; run 'acpref --help' for the list")
    try:
        module = _import(command.module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0].startswith("acpref"):
            raise
        _fail(f"'acpref {arguments[0]}' needs the package {error.name}: install acpref[{command.extra}]")
    module.app(args=arguments[1:], prog_name=f"acpref {arguments[0]}")


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
    console.print("\n'acpref COMMAND --help' explains one of them.")


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(f"acpref: {message}", highlight=False, markup=False)
    raise SystemExit(2)
