"""The agent's webhook receiver: it verifies every event, remembers what it heard, and fails when it is told to."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers

from acpref_agent.webhooks import webhook_app
from acpref_merchant.clock import ShiftedClock, rfc3339
from acpref_protocol.models import WebhookEvent

SLOW_SECONDS = 2.0
TIMEOUT_SECONDS = 15.0
"""Longer than a merchant waits for an answer."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class Receiver:
    """An ASGI application for order events. ``deliveries`` lists those that were accepted, each with its Request-Id."""

    def __init__(self, secret: str, clock: ShiftedClock) -> None:
        self.deliveries: list[dict[str, Any]] = []
        self.heard = asyncio.Condition()
        self._clock = clock
        self._faults: deque[str] = deque()
        self._receive = webhook_app(secret.encode(), self._hear, lambda: clock() / 1000)

    def arm(self, where: str, kind: str, times: int) -> None:  # noqa: ARG002 - one place only
        """The next ``times`` deliveries fail as ``kind``."""
        self._faults.extend([kind] * times)

    def disarm(self) -> None:
        """No delivery fails any more."""
        self._faults.clear()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        if scope["type"] == "http":
            _request_id.set(Headers(scope=scope).get("request-id"))
            if self._faults and not await _fail(self._faults.popleft(), send):
                return
        await self._receive(scope, receive, send)

    async def _hear(self, event: WebhookEvent) -> None:
        entry = {
            "request_id": _request_id.get(),
            "received_at": rfc3339(self._clock()),
            "event": event.model_dump(mode="json", exclude_none=True),
        }
        async with self.heard:
            self.deliveries.append(entry)
            self.heard.notify_all()


async def _fail(kind: str, send: Any) -> bool:
    """Fail a request as ``kind``; true when it is to be answered after all, only late."""
    if kind == "slow":
        await asyncio.sleep(SLOW_SECONDS)
        return True
    if kind == "timeout":
        await asyncio.sleep(TIMEOUT_SECONDS)
        return True
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    # A body shorter than it was announced makes the server cut the connection.
    body = b"{}" if kind == "error_500" else b""
    await send({"type": "http.response.body", "body": body, "more_body": kind != "error_500"})
    return False
