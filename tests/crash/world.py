"""A provider and a receiver that live, and a merchant that dies and comes back.

The merchant's listening socket belongs to the test, as it would to a service manager: while the merchant is away,
connections wait in its backlog.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import select
from tests.psp.server import serving

from acpref_agent import AsyncClient, AsyncPaymentProviderClient
from acpref_agent.buyer import Purchase, Wanted, purchasing
from acpref_agent.flow import Retry
from acpref_agent.operations import Options
from acpref_agent.webhooks import webhook_app
from acpref_merchant.catalog.samples import sample
from acpref_merchant.clock import system_clock
from acpref_merchant.store.statement import Statement
from acpref_merchant.store.store import Store, open_store
from acpref_merchant.store.tables import ITEM, ORDER, PAYMENT
from acpref_protocol.models import Address, Buyer, PaymentMethodCard, WebhookEvent
from acpref_psp.app import create_app as create_psp
from acpref_psp.settings import Settings as PspSettings

MERCHANT_ID = "merchant_under_test"
AGENT_TOKEN, MERCHANT_TOKEN = "token-of-the-agent", "token-of-the-merchant"
WEBHOOK_SECRET = "secret-of-the-webhook"
ITEM_ID, OTHER_ITEM_ID = "bat-aa-4", "bat-aaa-4"
PROCESS = Path(__file__).with_name("merchant_process.py")
ROOT = PROCESS.parents[2]
WAIT_SECONDS = 60.0

_ORDERS = Statement(select(ORDER.c.id, ORDER.c.session_id))
_PAYMENTS = Statement(select(PAYMENT.c.session_id, PAYMENT.c.status, PAYMENT.c.token))
_STOCK = Statement(select(ITEM.c.id, ITEM.c.on_hand, ITEM.c.reserved))


@dataclass
class Heard:
    """The order events that were received and verified."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    on_event: Callable[[], None] = lambda: None

    def take(self, event: WebhookEvent, request_id: str) -> None:
        with self.changed:
            self.events.append((event.type, event.data.id, request_id))
            self.changed.notify_all()
        self.on_event()

    def wait_for_order(self, order_id: str) -> set[str]:
        """Wait until ``order_create`` of the order was heard; returns the Request-Ids under which it came."""

        def ids() -> set[str]:
            return {rid for kind, order, rid in self.events if kind == "order_create" and order == order_id}

        with self.changed:
            assert self.changed.wait_for(lambda: bool(ids()), WAIT_SECONDS), f"no order_create for {order_id}"
            return ids()


class MerchantProcess:
    """Keeps a merchant running: whenever it dies, it is started again, without the order to die."""

    def __init__(self, config: dict[str, str], listener: socket.socket) -> None:
        self._config = {**config, "fd": str(listener.fileno())}
        self._fd = listener.fileno()
        self._stopping = False
        self._lock = threading.Lock()
        self.deaths = 0
        self._process = self._start(self._config)
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self, config: dict[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(PROCESS), json.dumps(config)], pass_fds=[self._fd], cwd=ROOT
        )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            with self._lock:
                if self._stopping:
                    return
                self.deaths += 1
                config = {name: value for name, value in self._config.items() if name != "die_at"}
                self._process = self._start(config)

    def kill(self) -> None:
        """SIGKILL the process that runs now; the keeper starts the next one."""
        self._process.kill()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            self._process.terminate()
        self._keeper.join()


@dataclass
class World:
    """Where everybody is, and what their books say."""

    base_url: str
    psp_url: str
    heard: Heard
    merchant: MerchantProcess
    store: Store

    def clients(self, seed: int) -> tuple[AsyncClient, AsyncPaymentProviderClient]:
        """A patient agent: it repeats under the same key until the merchant is back."""
        retry = Retry(
            attempts=400,
            total_seconds=WAIT_SECONDS * 4,
            attempt_seconds=20.0,
            base_seconds=0.05,
            max_seconds=0.5,
            jitter=random.Random(seed).random,
        )
        options = Options(retry=retry)
        return (
            AsyncClient(self.base_url, AGENT_TOKEN, options=options),
            AsyncPaymentProviderClient(self.psp_url, AGENT_TOKEN, options=options),
        )

    async def buy(self, seed: int, item: str = ITEM_ID, quantity: int = 1) -> Purchase:
        """One purchase by one agent, through whatever happens to the merchant."""
        client, provider = self.clients(seed)
        async with client, provider:
            return await client.run(
                purchasing(client.operations, provider.operations, wanted(item, quantity))
            )

    def wait_until_up(self) -> None:
        answer = httpx.get(f"{self.base_url}/.well-known/acp.json", timeout=WAIT_SECONDS, trust_env=False)
        answer.raise_for_status()

    def charges(self) -> list[dict[str, Any]]:
        """Every charge that the provider knows of."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            answer = httpx.get(
                f"{self.psp_url}/v1/charges",
                params={"limit": 100, "after": after},
                headers={"Authorization": f"Bearer {MERCHANT_TOKEN}"},
                trust_env=False,
            )
            answer.raise_for_status()
            page = answer.json()
            found += page["data"]
            if page["next"] is None:
                return found
            after = page["next"]

    def orders(self) -> dict[str, str]:
        """Order id by session id; two orders of one session would not fit."""
        rows = self.store.read_sync(lambda tx: tx.rows(_ORDERS))
        assert len({session for _, session in rows}) == len(rows)
        return {session: order for order, session in rows}

    def payments(self) -> Counter[tuple[str, str]]:
        """How many payments each session has in each status."""
        return Counter((row[0], row[1]) for row in self.store.read_sync(lambda tx: tx.rows(_PAYMENTS)))

    def tokens_kept(self) -> int:
        """Payments that still hold a token."""
        return sum(row[2] is not None for row in self.store.read_sync(lambda tx: tx.rows(_PAYMENTS)))

    def stock(self) -> dict[str, tuple[int, int]]:
        """Units on hand and reserved by item id."""
        return {row[0]: (row[1], row[2]) for row in self.store.read_sync(lambda tx: tx.rows(_STOCK))}


def wanted(item: str, quantity: int) -> Wanted:
    return Wanted(
        item=item,
        quantity=quantity,
        max_total=10_000_000,
        currency="usd",
        buyer=Buyer(first_name="Ada", last_name="Park", email="ada@example.com"),
        address=Address(
            name="Ada Park",
            line_one="500 Howard Street",
            city="San Francisco",
            state="CA",
            country="US",
            postal_code="94105",
        ),
        card=PaymentMethodCard(
            type="card",
            card_number_type="fpan",
            number="4242424242424242",
            exp_month="12",
            exp_year="2035",
            cvc="123",
            display_card_funding_type="credit",
            metadata={},
        ),
    )


@contextmanager
def world(tmp_path: Path, database_url: str, *, die_at: str | None = None) -> Iterator[World]:
    """Everybody on loopback, the merchant's first process doomed to die at ``die_at``."""
    heard = Heard()
    with ExitStack() as stack:
        psp = create_psp(
            PspSettings(
                database=tmp_path / "psp.db",
                agents={"agent": SecretStr(AGENT_TOKEN)},
                merchants={MERCHANT_ID: SecretStr(MERCHANT_TOKEN)},
            )
        )
        psp_url = stack.enter_context(serving(psp))
        receiver_url = stack.enter_context(serving(_receiver(heard)))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = {
            "database_url": database_url,
            "catalog": str(sample("corner_shop")),
            "base_url": base_url,
            "psp_url": psp_url,
            "receiver_url": receiver_url,
            "webhook_secret": WEBHOOK_SECRET,
            "agent_token": AGENT_TOKEN,
            "merchant_token": MERCHANT_TOKEN,
            "merchant_id": MERCHANT_ID,
        }
        if die_at is not None:
            config["die_at"] = die_at
        process = MerchantProcess(config, listener)
        stack.callback(process.stop)
        store = open_store(database_url)
        stack.callback(store.close)
        alive = World(base_url, psp_url, heard, process, store)
        alive.wait_until_up()
        yield alive


def _receiver(heard: Heard) -> Any:
    """The agent's receiver, with the Request-Id of each delivery beside its event."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        request_id = headers.get(b"request-id", b"").decode()
        inner = webhook_app(
            WEBHOOK_SECRET.encode(),
            lambda event: heard.take(event, request_id),
            lambda: system_clock() / 1000,
        )
        await inner(scope, receive, send)

    return app
