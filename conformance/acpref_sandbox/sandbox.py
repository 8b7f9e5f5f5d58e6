"""Every party of a purchase in one process: seller, payment provider and the agent's webhook receiver, on loopback."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from acpref_merchant.catalog.samples import sample
from acpref_merchant.clock import ShiftedClock
from acpref_merchant.domain.shop import Shop
from acpref_merchant.http.app import create_app
from acpref_merchant.http.server import listen, url_of
from acpref_merchant.operations.call import Merchant
from acpref_merchant.serve import open_merchant
from acpref_merchant.settings import AgentSettings, PaymentSettings
from acpref_psp.app import create_app as create_psp
from acpref_sandbox import fixtures
from acpref_sandbox.books import read_items, set_stock, start_afresh
from acpref_sandbox.management import Management
from acpref_sandbox.receiver import Receiver
from acpref_sandbox.servers import serving
from acpref_sandbox.settings import ProviderSettings, SellerSettings
from acpref_sandbox.state import open_state
from acpref_sandbox.target import TARGET_VERSION, remove_target, write_target

DEFAULT_CATALOG = sample("corner_shop")
PSP_RATE_LIMIT_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Options:
    """What ``acpref sandbox`` can be told. Port 0 picks free ones; no database means a temporary SQLite file.

    ``target`` is a file that is there while all parties answer, and at no other time.
    """

    port: int = 8000
    database: str | None = None
    catalog: Path = DEFAULT_CATALOG
    webhook_url: str | None = None
    limits: bool = False
    target: Path | None = None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox: the target file's content, the merchant within, and the receiver of its events."""

    target: dict[str, Any]
    merchant: Merchant
    receiver: Receiver


@asynccontextmanager
async def open_sandbox(options: Options) -> AsyncIterator[Sandbox]:
    """Start every party; the block runs when all of them answer, and they stop in order when it ends.

    Raises PortError, CatalogError, NoFixturesError, StoreUnavailable, OSError or ValueError (database, tokens) before
    anything is announced.
    """
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acpref-sandbox-")))
        base = options.port
        seller_socket, psp_socket, agent_socket = (
            listen("127.0.0.1", base + offset if base else 0) for offset in (0, 1, 3)
        )
        if options.target is not None:
            # Now that the ports are ours, what stands there tells of a sandbox that is gone.
            options.target.unlink(missing_ok=True)
        state = open_state(options.database, home)
        tokens = state.tokens
        clock = ShiftedClock()
        shop_id = "sandbox_shop"
        psp_app = create_psp(
            ProviderSettings(
                database=state.provider_database,
                agents={"agent": SecretStr(tokens["agent"]), "other_agent": SecretStr(tokens["other"])},
                merchants={shop_id: SecretStr(tokens["merchant"])},
                rate_limit_per_minute=PSP_RATE_LIMIT_PER_MINUTE if options.limits else None,
            ),
            clock,
        )
        await stack.enter_async_context(serving(psp_app, psp_socket))
        receiver = Receiver(tokens["webhook"], clock)
        await stack.enter_async_context(serving(receiver.app, agent_socket))

        seller_url, psp_url, agent_url = url_of(seller_socket), url_of(psp_socket), url_of(agent_socket)
        settings = SellerSettings(
            database_url=state.database_url,
            catalog=options.catalog,
            api_base_url=seller_url,
            agents=(
                AgentSettings(
                    id="agent",
                    token=SecretStr(tokens["agent"]),
                    webhook_base_url=options.webhook_url or agent_url,
                    webhook_secret=SecretStr(tokens["webhook"]),
                ),
                AgentSettings(id="other_agent", token=SecretStr(tokens["other"])),
            ),
            payment=PaymentSettings(base_url=psp_url, token=SecretStr(tokens["merchant"])),
        )
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=psp_url, trust_env=False))
        ready: list[Merchant] = []

        def arm(where: str, kind: str, times: int) -> None:
            (receiver if where == "webhook" else psp_app.state.faults).arm(where, kind, times)

        def disarm() -> None:
            receiver.disarm()
            psp_app.state.faults.clear()

        forgotten: set[str] = set()

        async def charges() -> list[dict[str, Any]]:
            found = await _charges(http, tokens["merchant"])
            return [charge for charge in found if charge["id"] not in forgotten]

        async def restore() -> None:
            # The provider keeps its books for good, as a real one would; what was charged before is not shown again.
            forgotten.update([charge["id"] for charge in await charges()])
            await asyncio.to_thread(start_afresh, ready[0].store, options.catalog, chosen.stock)

        management = Management(
            token=tokens["management"],
            clock=clock,
            restore=restore,
            arm=arm,
            disarm=disarm,
            charges=charges,
            deliveries=receiver.deliveries,
        )

        def adapt(shop: Shop) -> Shop:
            return fixtures.with_discounts(
                shop.model_copy(update={"merchant_id": shop_id, "public_url": seller_url})
            )

        def extend(app: Any, edge: Any) -> None:
            ready.append(edge.merchant)
            app.include_router(management.router(edge.merchant))

        seller = create_app(lambda: open_merchant(settings, clock=clock, adapt_shop=adapt), extend=extend)
        await stack.enter_async_context(serving(seller, seller_socket))
        merchant = ready[0]
        chosen = fixtures.choose(await asyncio.to_thread(read_items, merchant.store))
        await asyncio.to_thread(set_stock, merchant.store, chosen.stock)
        target = {
            "target_version": TARGET_VERSION,
            "seller": {
                "base_url": seller_url,
                "token": tokens["agent"],
                "other_token": tokens["other"],
                "feed_url": f"{seller_url}/feeds/products.jsonl",
            },
            "psp": {"base_url": psp_url, "token": tokens["agent"]},
            "agent": {
                "base_url": agent_url,
                "token": tokens["agent"],
                "webhook_secret": tokens["webhook"],
            },
            "management": {"base_url": f"{seller_url}/_sandbox", "token": tokens["management"]},
            "merchant": {"database_url": state.shown_url, "psp_token": tokens["merchant"]},
            "merchant_id": shop_id,
            "currency": merchant.shop.currency,
            "fixtures": fixtures.document(chosen, merchant.shop),
        }
        if options.target is not None:
            write_target(options.target, target)
            stack.callback(remove_target, options.target, target)
        yield Sandbox(target, merchant, receiver)


async def _charges(http: httpx.AsyncClient, token: str) -> list[dict[str, Any]]:
    """Every charge that the provider has seen."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        answer = await http.get(
            "/v1/charges", params={"after": after}, headers={"Authorization": f"Bearer {token}"}
        )
        answer.raise_for_status()
        page = answer.json()
        found += page["data"]
        if page["next"] is None:
            return found
        after = page["next"]
