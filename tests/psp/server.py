"""The payment provider on a real socket, and what a client of it needs."""

from __future__ import annotations

import copy
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from acpref_psp.app import create_app
from acpref_psp.settings import Settings

AGENT, OTHER_AGENT = "token-of-agent-a", "token-of-agent-b"
MERCHANT, OTHER_MERCHANT = "token-of-merchant-m", "token-of-merchant-n"
MERCHANT_ID, OTHER_MERCHANT_ID = "merchant_m", "merchant_n"
VERSION = "2026-04-17"
START = 1_776_000_000_000  # 2026-04-12T13:20:00Z
DELEGATE = "/agentic_commerce/delegate_payment"

APPROVED, CVC = "4242424242424242", "1379"


class HandClock:
    """Stands still until moved."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: int) -> None:
        self.now += seconds * 1000


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI application on a free loopback port; yields its base URL. ``options`` are uvicorn's."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(
            uvicorn.Config(
                app, log_level="critical", access_log=False, timeout_graceful_shutdown=5, **options
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert server.ready.wait(20), "the server did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings with two agents and two merchants; delays short enough for tests."""
    return Settings(
        **{
            "database": folder / "psp.db",
            "agents": {"agent_a": SecretStr(AGENT), "agent_b": SecretStr(OTHER_AGENT)},
            "merchants": {MERCHANT_ID: SecretStr(MERCHANT), OTHER_MERCHANT_ID: SecretStr(OTHER_MERCHANT)},
            "slow_seconds": 0.3,
            "timeout_seconds": 0.6,
            **changes,
        }
    )


_BODY: dict[str, Any] = {
    "payment_method": {
        "type": "card",
        "card_number_type": "fpan",
        "number": APPROVED,
        "exp_month": "11",
        "exp_year": "2029",
        "name": "Ada Park",
        "cvc": "137",
        "checks_performed": ["avs", "cvv"],
        "iin": "424242",
        "display_card_funding_type": "credit",
        "display_brand": "visa",
        "display_last4": "4242",
        "metadata": {"origin": "wallet"},
        "virtual": False,
    },
    "allowance": {
        "reason": "one_time",
        "max_amount": 2000,
        "currency": "usd",
        "checkout_session_id": "cs_1",
        "merchant_id": MERCHANT_ID,
        "expires_at": "2026-04-12T14:20:00Z",
    },
    "billing_address": {
        "name": "Ada Park",
        "line_one": "1 Main St",
        "city": "Reno",
        "state": "NV",
        "country": "US",
        "postal_code": "89501",
    },
    "risk_signals": [{"type": "card_testing", "score": 10, "action": "manual_review"}],
    "metadata": {"campaign": "q4"},
}


def body(**changes: Any) -> dict[str, Any]:
    """A delegate payment body; changes are given by dotted path with ``__``, and ``...`` removes a member."""
    result = copy.deepcopy(_BODY)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = result
        for parent in parents:
            target = target[parent]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return result


def agent_headers(token: str = AGENT, key: str | None = None, **more: str) -> dict[str, str]:
    """Headers of a delegate payment; ``more`` with underscores for hyphens."""
    return {
        "Authorization": f"Bearer {token}",
        "API-Version": VERSION,
        "Idempotency-Key": key or str(uuid.uuid4()),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


@dataclass
class Psp:
    """A running provider: its application, clock, files and a client."""

    url: str
    app: FastAPI
    clock: HandClock
    folder: Path
    http: httpx.Client

    def delegate(self, content: Any = None, **headers: Any) -> httpx.Response:
        return self.http.post(
            DELEGATE, json=body() if content is None else content, headers=agent_headers(**headers)
        )

    def token(self, **changes: Any) -> str:
        """A fresh token."""
        response = self.delegate(body(**changes))
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def post(
        self, path: str, content: Any, *, token: str = MERCHANT, key: str | None = None
    ) -> httpx.Response:
        """A POST of the charge API."""
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key or str(uuid.uuid4())}
        return self.http.post(path, json=content, headers=headers)

    def charge(
        self, vault_token: str, *, key: str | None = None, token: str = MERCHANT, **changes: Any
    ) -> httpx.Response:
        content = {
            "token": vault_token,
            "amount": 1500,
            "currency": "usd",
            "checkout_session_id": "cs_1",
            "capture": False,
            **changes,
        }
        return self.post("/v1/charges", content, key=key, token=token)

    def charges(self, **query: Any) -> list[dict[str, Any]]:
        response = self.http.get("/v1/charges", params=query, headers={"Authorization": f"Bearer {MERCHANT}"})
        assert response.status_code == 200, response.text
        return list(response.json()["data"])


@contextmanager
def running(folder: Path, clock: HandClock | None = None, **changes: Any) -> Iterator[Psp]:
    """A provider in ``folder``."""
    clock = clock or HandClock()
    app = create_app(settings(folder, **changes), clock)
    with (
        serving(app) as url,
        httpx.Client(base_url=url, timeout=10, limits=httpx.Limits(max_connections=64)) as http,
    ):
        yield Psp(url, app, clock, folder, http)
