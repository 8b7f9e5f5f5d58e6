"""``acpref sandbox``: every party of a purchase in one foreground process."""

from __future__ import annotations

import asyncio
import json
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.catalog.report import say
from acpref_merchant.http.server import PortError, StartError
from acpref_merchant.logs import log_to_stderr
from acpref_merchant.store.errors import StoreError
from acpref_sandbox.fixtures import NoFixturesError
from acpref_sandbox.sandbox import DEFAULT_CATALOG, Options, Sandbox, open_sandbox

app = typer.Typer(add_completion=False)


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


class Risk(StrEnum):
    """Modes of the risk hook."""

    OFF = "off"
    SHADOW = "shadow"
    ENFORCE = "enforce"


@app.command()
def sandbox(
    port: Annotated[
        int, typer.Option(help="First of four loopback ports; 0: free ones.", min=0, max=65532)
    ] = 8000,
    database: Annotated[
        str | None,
        typer.Option(
            help="Merchant database URL; a temporary file by default. Beside a SQLite file, everything else is kept."
        ),
    ] = None,
    catalog: Annotated[
        Path, typer.Option(help="A catalog folder or a products.jsonl file.")
    ] = DEFAULT_CATALOG,
    webhook_url: Annotated[
        str | None, typer.Option(help="Where order events go; default: the own receiver.")
    ] = None,
    risk: Annotated[Risk, typer.Option(help="Mode of the risk hook; only off is available yet.")] = Risk.OFF,
    limits: Annotated[Switch, typer.Option(help="Rate limits of the payment provider.")] = Switch.OFF,
    write_target_to: Annotated[
        Path | None,
        typer.Option(
            "--write-target",
            help="The target file: written here when all parties answer, removed at the stop.",
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the target as JSON.")] = False,
) -> None:
    """Run seller, payment provider and webhook receiver until SIGTERM or Ctrl-C. For development: no money moves.

    ACPREF_... variables are not read: they are a real shop's.
    """
    if risk is not Risk.OFF:
        _fail(f"--risk {risk} is not available yet: leave it off")
    options = Options(port, database, catalog, webhook_url, limits is Switch.ON, write_target_to)
    log_to_stderr()
    try:
        asyncio.run(_run(options, json_output))
    except (PortError, StartError, CatalogError, NoFixturesError, StoreError, ValueError, OSError) as error:
        _fail(str(error))


async def _run(options: Options, json_output: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_sandbox(options) as running:
        if json_output:
            typer.echo(json.dumps(running.target))
        else:
            _announce(running, options.target)
        await stop.wait()


def _announce(running: Sandbox, target_path: Path | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    target = running.target
    console.print("[bold]Sandbox[/bold]: for development only, no money moves\n")
    for party, place, token in (
        ("seller", target["seller"]["base_url"], target["seller"]["token"]),
        ("payment provider", target["psp"]["base_url"], target["psp"]["token"]),
        ("webhook receiver", target["agent"]["base_url"], None),
        ("management", target["management"]["base_url"], target["management"]["token"]),
    ):
        console.print(f"  {party:<17} {place}", markup=False)
        if token is not None:
            console.print(f"  {'':<17} Authorization: Bearer {token}", style="dim", markup=False)
    if target_path is not None:
        console.print(f"\nTarget file: {target_path}", markup=False)
    console.print("\nStop with Ctrl-C.")


def _fail(message: str) -> NoReturn:
    say(Console(stderr=True), f"acpref sandbox: {message}")
    raise typer.Exit(2)
