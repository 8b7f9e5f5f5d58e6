"""``acpref demo``: starts the sandbox, buys something, checks what every party says about it, and stops."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from acpref_agent.exceptions import AcprefError
from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.catalog.report import at_words, say
from acpref_merchant.http.server import PortError, StartError
from acpref_merchant.logs import log_to_stderr
from acpref_protocol.money import format_amount
from acpref_sandbox.demo import DemoFailedError, Outcome, run_demo
from acpref_sandbox.fixtures import NoFixturesError
from acpref_sandbox.sandbox import DEFAULT_CATALOG, Options, open_sandbox

app = typer.Typer(add_completion=False)
_INDENT = len("  1  merchant  ")
_COLOURS = {"agent": "cyan", "merchant": "green", "provider": "magenta", "receiver": "yellow"}


@app.command()
def demo(
    catalog: Annotated[
        Path, typer.Option(help="A catalog folder or a products.jsonl file.")
    ] = DEFAULT_CATALOG,
    item: Annotated[str | None, typer.Option(help="An item id, or words of a product's title.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """One whole purchase: product feed, checkout, payment token, order, signed webhook."""
    log_to_stderr()
    console = Console(highlight=False, soft_wrap=True, quiet=json_output)
    began = time.monotonic()
    try:
        outcome = asyncio.run(_run(catalog, item, console))
    except (PortError, StartError, CatalogError, NoFixturesError, OSError) as error:
        _fail(str(error), 2)
    except (DemoFailedError, AcprefError) as error:
        _fail(str(error), 1)
    if json_output:
        typer.echo(json.dumps(_document(outcome)))
    charged = format_amount(outcome.purchase.charged, outcome.purchase.currency)
    console.print("\n[bold]Bought:[/bold] ", end="")
    rest = (
        f"order {outcome.order.order_number}, {charged} captured once, "
        f"webhook verified ({time.monotonic() - began:.1f} s)."
    )
    console.print(at_words(console, rest, indent=len("Bought: ")), markup=False)


async def _run(catalog: Path, item: str | None, console: Console) -> Outcome:
    steps = 0

    def tell(party: str, text: str) -> None:
        nonlocal steps
        steps += 1
        console.print(f"{steps:>3}  [{_COLOURS[party]}]{party:<9}[/] ", end="")
        console.print(at_words(console, text, indent=_INDENT), markup=False)

    async with open_sandbox(Options(port=0, catalog=catalog)) as sandbox:
        console.print(
            "[bold]A purchase by the Agentic Commerce Protocol[/bold], every party on this machine\n"
        )
        return await run_demo(sandbox, item or sandbox.target["fixtures"]["items"]["in_stock"], tell)


def _document(outcome: Outcome) -> dict[str, object]:
    return {
        "order": outcome.order.model_dump(mode="json", exclude_none=True),
        "charged": {"amount": outcome.purchase.charged, "currency": outcome.purchase.currency},
        "charge": outcome.charge,
        "webhook": outcome.delivery,
    }


def _fail(message: str, status: int) -> NoReturn:
    say(Console(stderr=True), f"acpref demo: {message}")
    raise typer.Exit(status)
