"""``acpref merchant webhooks``: events to agents that wait, were delivered, or were given up.

Exit status: 0 done; 1 an event was not delivered or not replayed; 2 wrong usage or configuration.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from acpref_merchant import cli_order_views as views
from acpref_merchant.agents import AgentRegistry
from acpref_merchant.cli_common import DEFAULT_LIMIT, AsJson, Database, Limit, fail, opened, print_json
from acpref_merchant.clock import system_clock
from acpref_merchant.store import Store, outbox
from acpref_merchant.store.statement import Tx
from acpref_merchant.transport import HttpClient
from acpref_merchant.webhooks.dead_letters import Replay, replay
from acpref_merchant.webhooks.delivery import DeliveryWorker, Summary

webhooks_app = typer.Typer(no_args_is_help=True, help="Events to agents: what is waiting, what was given up.")

STATES = ("pending", "delivered", "dead")


def mount(app: typer.Typer) -> None:
    """Add the commands to ``acpref merchant``."""
    app.add_typer(webhooks_app, name="webhooks")


@webhooks_app.command("list")
def list_events(
    state: Annotated[str | None, typer.Option(help="Only pending, delivered or dead ones.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """The newest events, and how many are in each state."""
    if state not in (None, *STATES):
        fail(f"--state is pending, delivered or dead, not {state!r}")
    with opened(database) as (_, store):
        events, counts, behind = store.read_sync(
            lambda tx: (outbox.recent(tx, limit, state=state), outbox.counts(tx), outbox.behind_others(tx))
        )
    counts = {each: counts.get(each, 0) for each in STATES}
    if as_json:
        print_json({"counts": counts, "events": [views.event_json(event) for event in events]})
    else:
        views.print_counts(Console(), counts)
        views.print_events(Console(), events, behind)


@webhooks_app.command("replay")
def replay_events(
    event_ids: Annotated[
        list[str] | None, typer.Argument(metavar="EVENT", help="Ids of events.", show_default=False)
    ] = None,
    all_dead: Annotated[bool, typer.Option("--all", help="Every dead event.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also events that a later one, already delivered, has made out of date."
        ),
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Send events again that were given up."""
    if bool(event_ids) == all_dead:
        fail("name the events to replay, or give --all")

    def change(tx: Tx) -> dict[str, Replay]:
        ids = event_ids or [event.id for event in reversed(outbox.recent(tx, 100_000, state="dead"))]
        return {event_id: replay(tx, event_id, system_clock(), force=force) for event_id in ids}

    with opened(database) as (_, store):
        results = store.run_sync(change)
    if as_json:
        print_json(results)
    else:
        views.print_replays(Console(), results)
    if not all_dead and any(result != "replayed" for result in results.values()):
        raise typer.Exit(1)


@webhooks_app.command("deliver")
def deliver_events(
    at_once: Annotated[
        bool, typer.Option("--now", help="Also events whose next try is later: the receiver is back.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Deliver every event that is due, here and now; a running server does so by itself."""

    async def run(agents: AgentRegistry, store: Store) -> Summary:
        async with HttpClient() as client:
            return await DeliveryWorker(store, client, agents.webhook_endpoint).run_once()

    with opened(database) as (settings, store):
        try:
            agents = AgentRegistry(settings.agents)
        except ValueError as error:
            fail(f"ACPREF_AGENTS: {error}")
        if at_once:
            store.run_sync(lambda tx: outbox.make_due(tx, system_clock()))
        done = asyncio.run(run(agents, store))
        waiting, next_due = store.read_sync(
            lambda tx: (outbox.counts(tx).get("pending", 0), outbox.next_due(tx))
        )
    if as_json:
        print_json(views.delivery_json(done, waiting, next_due))
    else:
        views.print_delivery(Console(), done, waiting, next_due)
    if done.retried or done.dead:
        raise typer.Exit(1)
