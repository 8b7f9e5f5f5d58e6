"""What the operator's commands share: the settings, the store, an order by id or number, and how results are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
from rich.console import Console

from acpref_merchant.domain.orders import OrderError
from acpref_merchant.settings import ConfigurationError, Settings, load_settings
from acpref_merchant.store import Store, migrate, open_store, orders
from acpref_merchant.store.engine import parse_url
from acpref_merchant.store.errors import StoreError
from acpref_merchant.store.statement import Tx

Database = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="URL", help="The database; otherwise ACPREF_DATABASE_URL.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
DEFAULT_LIMIT = 20


@contextmanager
def opened(database: str | None) -> Iterator[tuple[Settings, Store]]:
    """The settings and the open store; ends the process with status 2 when either cannot be had."""
    try:
        settings = load_settings(database_url=database or None)
        _require_database(settings.database_url)
        store = open_store(settings.database_url)
    except ConfigurationError as error:
        fail(*error.args)
    except (ValueError, StoreError) as error:
        fail(f"cannot open the database: {error}")
    logging = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for results
    try:
        yield settings, store
    except StoreError as error:
        fail(f"the database at --database or ACPREF_DATABASE_URL does not work: {error}")
    finally:
        structlog.configure(**logging)
        store.close()


def _require_database(url: str) -> None:
    """A mistyped path must not become a new, empty shop; an existing database is brought to this version's schema."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ValueError(f"there is no file {parsed.database}: give --database or set ACPREF_DATABASE_URL")
    migrate(url)


def find_order(tx: Tx, name: str) -> orders.Stored:
    """The order with this id or, since ids are long to type, this number. Raises OrderError ``unknown_order``."""
    row = orders.load(tx, name)
    if row is None and name.isascii() and name.isdigit():
        row = orders.by_number(tx, name)
    if row is None:
        raise OrderError("unknown_order", f"there is no order {name!r}")
    return row


def print_json(value: Any) -> None:
    """A result as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def refuse(error: OrderError, as_json: bool) -> NoReturn:
    """End with status 1: what was asked for is not possible."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message}})
    elif error.code == "provider_unavailable":
        say(
            "The payment provider did not answer, so it is not known yet whether the money has moved. A running server "
            "finishes what was begun, or this command when it is repeated: a refund by --amount only with --reference."
        )
    else:
        say(error.message)
    raise typer.Exit(1)


def fail(*lines: str) -> NoReturn:
    """End with status 2 and a line for each problem, which says what to do."""
    for line in lines:
        say("acpref merchant: " + " ".join(line.split()))  # a database's own words may have several lines
    raise typer.Exit(2)


def say(line: str) -> None:
    """A line to the person, beside the results."""
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
