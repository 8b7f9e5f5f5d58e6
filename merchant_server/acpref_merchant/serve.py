"""The composition root of the merchant: settings in, a running merchant out, and everything closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from acpref_merchant.agents import AgentRegistry
from acpref_merchant.catalog.load import load_catalog
from acpref_merchant.clock import Clock, NewId, new_id, system_clock
from acpref_merchant.domain.shop import Shop
from acpref_merchant.http.wire import WIRE
from acpref_merchant.operations.call import Merchant, StepObserver
from acpref_merchant.operations.recovery import run_recovery
from acpref_merchant.operations.upkeep import run_upkeep
from acpref_merchant.payments import provider_from_settings
from acpref_merchant.settings import PaymentSettings, Settings
from acpref_merchant.store.migrate import migrate
from acpref_merchant.store.store import open_store
from acpref_merchant.transport import HttpClient
from acpref_merchant.webhooks.delivery import DeliveryWorker


def no_observer(step: str) -> None:
    """Let every step of a completion pass unseen."""


@asynccontextmanager
async def open_merchant(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    ids: NewId = new_id,
    on_step: StepObserver = no_observer,
    adapt_shop: Callable[[Shop], Shop] = lambda shop: shop,
) -> AsyncIterator[Merchant]:
    """A merchant that answers, delivers events and finishes what earlier processes left undone.

    The database is migrated and the catalog imported first; ``adapt_shop`` may change what ``shop.json`` says. Raises
    CatalogError, StoreUnavailable and ValueError (agents, keys) before anything is served.
    """
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(migrate, settings.database_url)
        store = open_store(settings.database_url)
        stack.push_async_callback(store.aclose)
        shop = adapt_shop(await asyncio.to_thread(load_catalog, store, settings.catalog_path()))
        agents = AgentRegistry(settings.agents, require_signatures=settings.signatures == "required")
        provider = provider_from_settings(settings.payment)
        shop = with_provider(shop, settings.payment)
        stack.push_async_callback(provider.aclose)
        client = await stack.enter_async_context(HttpClient())
        deliveries = DeliveryWorker(
            store,
            client,
            agents.webhook_endpoint,
            clock,
            timeout_seconds=settings.webhook_timeout_seconds,
        )
        merchant = Merchant(
            settings=settings,
            shop=shop,
            store=store,
            provider=provider,
            agents=agents,
            deliveries=deliveries,
            clock=clock,
            new_id=ids,
            renderers=WIRE,
            on_step=on_step,
        )
        for background in (deliveries.run_forever(), run_recovery(merchant), run_upkeep(merchant)):
            stack.push_async_callback(_stop, asyncio.create_task(background))
        yield merchant


def with_provider(shop: Shop, payment: PaymentSettings) -> Shop:
    """``shop`` as its sessions name the payment provider: agents take a card there, so it must be the one that charges.

    Raises ValueError when shop.json names another one.
    """
    psp, environment = "acpref_sandbox", "sandbox"
    if payment.provider == "stripe":
        key = payment.stripe_api_key.get_secret_value() if payment.stripe_api_key else ""
        psp, environment = "stripe", "sandbox" if "_test_" in key else "production"
    handler = shop.card_handler
    if "psp" in handler.model_fields_set and handler.psp != psp:
        raise ValueError(
            f"shop.json sends cards to {handler.psp!r} (card_handler.psp), but {psp!r} charges them "
            "(payment.provider): make them agree"
        )
    update = {"environment": environment, "psp": psp}
    if "environment" in handler.model_fields_set:
        del update["environment"]
    return shop.model_copy(update={"card_handler": handler.model_copy(update=update)})


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
