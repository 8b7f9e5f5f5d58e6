"""``acpref merchant orders | ship | deliver | progress | cancel | return | refund``: after the purchase.

The commands work on the server's database, whether the server runs or not; a running one sends the events they write
within a second. Exit status: 0 done; 1 the order does not allow it, or the payment provider did not do it; 2 wrong
usage or configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console

from acpref_merchant import cli_order_views as views
from acpref_merchant.cli_common import (
    DEFAULT_LIMIT,
    AsJson,
    Database,
    Limit,
    fail,
    find_order,
    opened,
    print_json,
    refuse,
)
from acpref_merchant.domain.order_changes import STEPS
from acpref_merchant.domain.orders import OrderError
from acpref_merchant.operations import orders as operations
from acpref_merchant.operations.orders import Desk
from acpref_merchant.payments import provider_from_settings
from acpref_merchant.settings import Settings
from acpref_merchant.store import Store, orders, outbox, payments
from acpref_merchant.store.statement import Tx
from acpref_protocol.models import Order

OrderName = Annotated[
    str,
    typer.Argument(metavar="ORDER", help="The order's id, or its number such as 1008.", show_default=False),
]
Lines = Annotated[
    list[str] | None,
    typer.Option(
        "--line", metavar="LINE=UNITS", help="A line and how many units of it; repeatable. Default: all."
    ),
]
Reason = Annotated[str | None, typer.Option(help="A reason code, shown to the agent, such as 'defective'.")]
Restock = Annotated[bool, typer.Option("--restock/--no-restock", help="Whether the units can be sold again.")]
Force = Annotated[
    bool, typer.Option("--force", help="Hand goods over although all that was paid has been given back.")
]

orders_app = typer.Typer(help="What was bought, and where it stands; 'list' when nothing is said.")


def mount(app: typer.Typer) -> None:
    """Add the commands to ``acpref merchant``."""
    app.add_typer(orders_app, name="orders")
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


@orders_app.callback(invoke_without_command=True)
def _orders(
    context: typer.Context, limit: Limit = DEFAULT_LIMIT, database: Database = None, as_json: AsJson = False
) -> None:
    """What was bought, and where it stands; 'list' when nothing is said."""
    if context.invoked_subcommand is None:
        list_orders(limit, database, as_json)
    elif (limit, database, as_json) != (DEFAULT_LIMIT, None, False):
        fail(f"options come after the command: orders {context.invoked_subcommand} ...")


@orders_app.command("list")
def list_orders(limit: Limit = DEFAULT_LIMIT, database: Database = None, as_json: AsJson = False) -> None:
    """The newest orders."""

    def read(tx: Tx) -> list[views.OrderSummary]:
        return [views.summary(row, _payment(tx, row)) for row in orders.recent(tx, limit)]

    with opened(database) as (_, store):
        found = store.read_sync(read)
    if as_json:
        print_json([summary.as_json() for summary in found])
    else:
        views.print_orders(Console(), found)


@orders_app.command("show")
def show_order(order: OrderName, database: Database = None, as_json: AsJson = False) -> None:
    """One order with its lines, fulfillments, adjustments, payment and events."""

    def read(tx: Tx) -> views.OrderDetails:
        row = find_order(tx, order)
        return views.OrderDetails(
            row, Order.model_validate_json(row.data), _payment(tx, row), outbox.of_order(tx, row.id)
        )

    with opened(database) as (_, store):
        try:
            details = store.read_sync(read)
        except OrderError as error:
            refuse(error, as_json)
    if as_json:
        print_json(details.as_json())
    else:
        views.print_details(Console(), details)


def _payment(tx: Tx, row: orders.Stored) -> payments.Payment:
    return payments.of_session(tx, row.session_id)[-1]


# --- Changes -------------------------------------------------------------------------------------------------------


def ship(
    order: OrderName,
    line: Lines = None,
    carrier: Annotated[str | None, typer.Option(help="Who carries the parcel.")] = None,
    tracking_number: Annotated[str | None, typer.Option("--tracking", help="The carrier's number.")] = None,
    tracking_url: Annotated[str | None, typer.Option(help="Where the parcel can be followed.")] = None,
    force: Force = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Hand goods to a carrier; money that is only authorised is captured first."""
    lines = _lines(line)
    _change(
        order,
        database,
        as_json,
        lambda desk, order_id: operations.ship(
            desk,
            order_id,
            lines,
            carrier=carrier,
            tracking_number=tracking_number,
            tracking_url=_url(tracking_url),
            force=force,
        ),
    )


Fulfillment = Annotated[
    str | None, typer.Option(metavar="ID", help="Which fulfillment. Default: all for which it is possible.")
]
Note = Annotated[str | None, typer.Option(help="Words for the buyer, such as 'Left at the door'.")]


def deliver(
    order: OrderName,
    fulfillment: Fulfillment = None,
    note: Note = None,
    force: Force = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """The buyer has the goods: parcels arrived, pickups were collected."""
    _change(
        order,
        database,
        as_json,
        lambda desk, order_id: operations.advance(
            desk, order_id, "delivered", fulfillment, description=note, force=force
        ),
    )


def progress(
    order: OrderName,
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help=f"One of: {', '.join(STEPS)}.", show_default=False)
    ],
    fulfillment: Fulfillment = None,
    note: Note = None,
    location: Annotated[str | None, typer.Option(help="Where it happened.")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Something happened on the way to the buyer, such as ready_for_pickup or out_for_delivery."""
    if event not in STEPS:
        fail(f"{event!r} is not one of {', '.join(STEPS)}")
    _change(
        order,
        database,
        as_json,
        lambda desk, order_id: operations.advance(
            desk, order_id, event, fulfillment, description=note, location=location
        ),
    )


def cancel(
    order: OrderName,
    line: Lines = None,
    reason: Reason = None,
    restock: Restock = True,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take goods off the order that were not sent yet, and give back what was paid for them."""
    lines = _lines(line)
    _change(
        order,
        database,
        as_json,
        lambda desk, order_id: operations.cancel(desk, order_id, lines, reason=reason, restock=restock),
    )


def take_back(
    order: OrderName,
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
        order,
        database,
        as_json,
        lambda desk, order_id: operations.take_back(
            desk, order_id, lines, reason=reason, restock=restock, refunded=refunded
        ),
    )


def refund(
    order: OrderName,
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
        fail("give --amount or --line, not both")
    lines = _lines(line)
    _change(
        order,
        database,
        as_json,
        lambda desk, order_id: operations.refund(
            desk, order_id, amount, lines, reason=reason, reference=reference
        ),
    )


def _change(
    name: str, database: str | None, as_json: bool, act: Callable[[Desk, str], Awaitable[Order]]
) -> None:
    """Run one change of the order that ``name`` means, and print it as it is then."""

    async def run(settings: Settings, store: Store) -> Order:
        try:
            provider = provider_from_settings(settings.payment)
        except ValueError as error:
            fail(str(error))
        try:
            order_id = await store.read(lambda tx: find_order(tx, name).id)
            return await act(Desk(store, provider), order_id)
        finally:
            await provider.aclose()

    with opened(database) as (settings, store):
        try:
            order = asyncio.run(run(settings, store))
        except OrderError as error:
            refuse(error, as_json)
        currency = store.read_sync(lambda tx: _currency(tx, order.id))
    if as_json:
        print_json(order.to_object())
    else:
        views.print_order(Console(), order, currency)


def _currency(tx: Tx, order_id: str) -> str:
    row = orders.load(tx, order_id)
    return _payment(tx, row).currency if row else "usd"


# --- Words of the command line ---------------------------------------------------------------------------------------


def _lines(texts: list[str] | None) -> dict[str, int] | None:
    if not texts:
        return None
    lines: dict[str, int] = {}
    for text in texts:
        line, separator, units = text.rpartition("=")
        if not separator or not line or not (units.isascii() and units.isdigit()) or line in lines:
            fail(
                f"--line takes a line id and a number of units, each line once, such as li_1=2; not {text!r}"
            )
        lines[line] = int(units)
    return lines


def _url(text: str | None) -> str | None:
    if text is not None and not text.startswith(("https://", "http://")):
        fail(f"--tracking-url takes an http or https address, not {text!r}")
    return text
