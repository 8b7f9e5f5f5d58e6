"""``acpref merchant orders | ship | deliver | progress | cancel | return | refund | webhooks``: after the purchase.

The commands work on the server's database, whether the server runs or not; a running one sends the events they write
within a second. Exit status: 0 done; 1 the order does not allow it, or the payment provider did not do it; 2 wrong
usage or configuration.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console

from acpref_merchant import cli_order_views as views
from acpref_merchant.agents import AgentRegistry
from acpref_merchant.clock import system_clock
from acpref_merchant.domain.order_changes import STEPS
from acpref_merchant.domain.orders import OrderError
from acpref_merchant.operations import orders as operations
from acpref_merchant.operations.orders import Desk
from acpref_merchant.payments import provider_from_settings
from acpref_merchant.settings import Settings
from acpref_merchant.store import Store, migrate, open_store, orders, outbox, payments
from acpref_merchant.store.engine import parse_url
from acpref_merchant.store.errors import StoreUnavailable
from acpref_merchant.store.statement import Tx
from acpref_merchant.transport import HttpClient
from acpref_merchant.webhooks.dead_letters import Replay, replay
from acpref_merchant.webhooks.delivery import DeliveryWorker
from acpref_protocol.models import Order

T = TypeVar("T")

Database = Annotated[
    str | None,
    typer.Option("--database", help="Database URL; otherwise ACPREF_DATABASE_URL.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="Id of the order.", show_default=False)]
Lines = Annotated[
    list[str] | None,
    typer.Option(
        "--line", metavar="LINE=UNITS", help="A line and how many units of it; repeatable. Default: all."
    ),
]
Reason = Annotated[str | None, typer.Option(help="A reason code, shown to the agent, such as 'defective'.")]
Restock = Annotated[bool, typer.Option("--restock/--no-restock", help="Whether the units can be sold again.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]

orders_app = typer.Typer(no_args_is_help=True, help="What was bought, and where it stands.")
webhooks_app = typer.Typer(no_args_is_help=True, help="Events to agents: what is waiting, what was given up.")


def mount(app: typer.Typer) -> None:
    """Add the commands to ``acpref merchant``."""
    app.add_typer(orders_app, name="orders")
    app.add_typer(webhooks_app, name="webhooks")
    for name, command in (
        ("ship", ship),
        ("deliver", deliver),
        ("progress", progress),
        ("cancel", cancel),
        ("return", take_back),
        ("refund", refund),
    ):
        app.command(name)(command)


# --- Orders --------------------------------------------------------------------------------------------------------


@orders_app.command("list")
def list_orders(limit: Limit = 20, database: Database = None, as_json: AsJson = False) -> None:
    """The newest orders."""

    def read(tx: Tx) -> list[views.OrderSummary]:
        return [views.summary(row, _payment(tx, row)) for row in orders.recent(tx, limit)]

    with _open(database) as (_, store):
        found = store.read_sync(read)
    if as_json:
        _print_json([summary.as_json() for summary in found])
    else:
        views.print_orders(Console(), found)


@orders_app.command("show")
def show_order(order_id: OrderId, database: Database = None, as_json: AsJson = False) -> None:
    """One order with its lines, fulfillments, adjustments, payment and events."""

    def read(tx: Tx) -> views.OrderDetails | None:
        row = orders.load(tx, order_id)
        if row is None:
            return None
        return views.OrderDetails(
            row, Order.model_validate_json(row.data), _payment(tx, row), outbox.of_order(tx, order_id)
        )

    with _open(database) as (_, store):
        details = store.read_sync(read)
    if details is None:
        _refuse(OrderError("unknown_order", f"there is no order {order_id!r}"), as_json)
    elif as_json:
        _print_json(details.as_json())
    else:
        views.print_details(Console(), details)


def _payment(tx: Tx, row: orders.Stored) -> payments.Payment:
    return payments.of_session(tx, row.session_id)[-1]


# --- Changes -------------------------------------------------------------------------------------------------------


def ship(
    order_id: OrderId,
    line: Lines = None,
    carrier: Annotated[str | None, typer.Option(help="Who carries the parcel.")] = None,
    tracking_number: Annotated[str | None, typer.Option("--tracking", help="The carrier's number.")] = None,
    tracking_url: Annotated[str | None, typer.Option(help="Where the parcel can be followed.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Hand goods to a carrier; money that is only authorised is captured first."""
    lines = _lines(line)
    _change(
        database,
        as_json,
        lambda desk: operations.ship(
            desk,
            order_id,
            lines,
            carrier=carrier,
            tracking_number=tracking_number,
            tracking_url=_url(tracking_url),
        ),
    )


Fulfillment = Annotated[
    str | None, typer.Option(metavar="ID", help="Which fulfillment. Default: all for which it is possible.")
]
Note = Annotated[str | None, typer.Option(help="Words for the buyer, such as 'Left at the door'.")]


def deliver(
    order_id: OrderId,
    fulfillment: Fulfillment = None,
    note: Note = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """The buyer has the goods: parcels arrived, pickups were collected."""
    _change(
        database,
        as_json,
        lambda desk: operations.advance(desk, order_id, "delivered", fulfillment, description=note),
    )


def progress(
    order_id: OrderId,
    event: Annotated[str, typer.Argument(help=f"One of: {', '.join(STEPS)}.", show_default=False)],
    fulfillment: Fulfillment = None,
    note: Note = None,
    location: Annotated[str | None, typer.Option(help="Where it happened.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Something happened on the way to the buyer, such as ready_for_pickup or out_for_delivery."""
    if event not in STEPS:
        _fail(f"{event!r} is not one of {', '.join(STEPS)}")
    _change(
        database,
        as_json,
        lambda desk: operations.advance(
            desk, order_id, event, fulfillment, description=note, location=location
        ),
    )


def cancel(
    order_id: OrderId,
    line: Lines = None,
    reason: Reason = None,
    restock: Restock = True,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take goods off the order that were not sent yet, and give back what was paid for them."""
    lines = _lines(line)
    _change(
        database,
        as_json,
        lambda desk: operations.cancel(desk, order_id, lines, reason=reason, restock=restock),
    )


def take_back(
    order_id: OrderId,
    line: Lines = None,
    reason: Reason = None,
    restock: Restock = True,
    refunded: Annotated[
        bool, typer.Option("--refund/--no-refund", help="Whether to give back what was paid for them.")
    ] = True,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """The buyer has sent goods back."""
    lines = _lines(line)
    _change(
        database,
        as_json,
        lambda desk: operations.take_back(
            desk, order_id, lines, reason=reason, restock=restock, refunded=refunded
        ),
    )


def refund(
    order_id: OrderId,
    amount: Annotated[
        int | None, typer.Option(min=1, help="Minor units: 1250 is 12.50 USD. Default: all that is left.")
    ] = None,
    line: Lines = None,
    reason: Reason = None,
    reference: Annotated[
        str | None, typer.Option(help="Your own name for this refund: repeating the command refunds once.")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Give money back: an amount, what was paid for some lines, or everything."""
    if amount is not None and line:
        _fail("give --amount or --line, not both")
    lines = _lines(line)
    _change(
        database,
        as_json,
        lambda desk: operations.refund(desk, order_id, amount, lines, reason=reason, reference=reference),
    )


def _change(database: str | None, as_json: bool, act: Callable[[Desk], Awaitable[Order]]) -> None:
    """Run one change and print the order as it is then."""

    async def run(settings: Settings, store: Store) -> Order:
        try:
            provider = provider_from_settings(settings.payment)
        except ValueError as error:
            _fail(str(error))
        try:
            return await act(Desk(store, provider))
        finally:
            await provider.aclose()

    with _open(database) as (settings, store):
        try:
            order = asyncio.run(run(settings, store))
        except OrderError as error:
            _refuse(error, as_json)
        currency = store.read_sync(lambda tx: _currency(tx, order.id))
    if as_json:
        _print_json(order.to_object())
    else:
        views.print_order(Console(), order, currency)


def _currency(tx: Tx, order_id: str) -> str:
    row = orders.load(tx, order_id)
    return _payment(tx, row).currency if row else "usd"


# --- Webhooks ------------------------------------------------------------------------------------------------------


@webhooks_app.command("list")
def list_events(
    state: Annotated[str | None, typer.Option(help="Only pending, delivered or dead ones.")] = None,
    limit: Limit = 20,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """The newest events, and how many are in each state."""
    if state not in (None, "pending", "delivered", "dead"):
        _fail(f"--state is pending, delivered or dead, not {state!r}")
    with _open(database) as (_, store):
        events, counts = store.read_sync(
            lambda tx: (outbox.recent(tx, limit, state=state), outbox.counts(tx))
        )
    if as_json:
        _print_json({"counts": counts, "events": [views.event_json(event) for event in events]})
    else:
        views.print_events(Console(), events, counts)


@webhooks_app.command("replay")
def replay_events(
    event_ids: Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", show_default=False)] = None,
    all_dead: Annotated[bool, typer.Option("--all", help="Every dead event.")] = False,
    force: Annotated[
        bool, typer.Option(help="Also events that a later one, already delivered, has made out of date.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Send events again that were given up."""
    if bool(event_ids) == all_dead:
        _fail("name the events to replay, or give --all")

    def change(tx: Tx) -> dict[str, Replay]:
        ids = event_ids or [event.id for event in reversed(outbox.recent(tx, 100_000, state="dead"))]
        return {event_id: replay(tx, event_id, system_clock(), force=force) for event_id in ids}

    with _open(database) as (_, store):
        results = store.run_sync(change)
    if as_json:
        _print_json(results)
    else:
        views.print_replays(Console(), results)
    if not all_dead and any(result != "replayed" for result in results.values()):
        raise typer.Exit(1)


@webhooks_app.command("deliver")
def deliver_events(database: Database = None, as_json: AsJson = False) -> None:
    """Deliver every event that is due, here and now; a running server does so by itself."""

    async def run(agents: AgentRegistry, store: Store) -> dict[str, int]:
        async with HttpClient() as client:
            summary = await DeliveryWorker(store, client, agents.webhook_endpoint).run_once()
        return {"delivered": summary.delivered, "retried": summary.retried, "dead": summary.dead}

    with _open(database) as (settings, store):
        try:
            agents = AgentRegistry(settings.agents)
        except ValueError as error:
            _fail(f"ACPREF_AGENTS: {error}")
        summary = asyncio.run(run(agents, store))
    if as_json:
        _print_json(summary)
    else:
        Console().print(
            f"{summary['delivered']} delivered, {summary['retried']} to be tried again, {summary['dead']} given up",
            highlight=False,
        )
    if summary["retried"] or summary["dead"]:
        raise typer.Exit(1)


# --- Common --------------------------------------------------------------------------------------------------------


@contextmanager
def _open(database: str | None) -> Iterator[tuple[Settings, Store]]:
    """The settings and the open store; ends the process with status 2 when either cannot be had."""
    try:
        settings = Settings(database_url=database) if database else Settings()
        _require_database(settings.database_url)
        store = open_store(settings.database_url)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        _fail("; ".join(f"{'.'.join(str(part) for part in p['loc'])}: {p['msg']}" for p in problems))
    except (ValueError, StoreUnavailable) as error:
        _fail(f"cannot open the database: {error}")
    logging = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for results
    try:
        yield settings, store
    except StoreUnavailable as error:
        _fail(f"the database at --database or ACPREF_DATABASE_URL does not work: {error}")
    finally:
        structlog.configure(**logging)
        store.close()


def _require_database(url: str) -> None:
    """A mistyped path must not become a new, empty shop; an existing database is brought to this version's schema."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise ValueError(f"there is no file {parsed.database}: give --database or set ACPREF_DATABASE_URL")
    migrate(url)


def _lines(texts: list[str] | None) -> dict[str, int] | None:
    if not texts:
        return None
    lines: dict[str, int] = {}
    for text in texts:
        line, separator, units = text.rpartition("=")
        if not separator or not line or not (units.isascii() and units.isdigit()) or line in lines:
            _fail(
                f"--line takes a line id and a number of units, each line once, such as li_1=2; not {text!r}"
            )
        lines[line] = int(units)
    return lines


def _url(text: str | None) -> str | None:
    if text is not None and not text.startswith(("https://", "http://")):
        _fail(f"--tracking-url takes an http or https address, not {text!r}")
    return text


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _refuse(error: OrderError, as_json: bool) -> NoReturn:
    """End with status 1: what was asked for is not possible."""
    if as_json:
        _print_json({"error": {"code": error.code, "message": error.message}})
    else:
        Console(stderr=True).print(error.message, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _fail(message: str) -> NoReturn:
    """End with status 2 and one line that says what to do."""
    line = " ".join(message.split())  # a database's own words may have several
    Console(stderr=True).print(f"acpref merchant: {line}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)
