"""A merchant that plays a script over real HTTP, and the documents it speaks in."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from acpref_agent import Options, Retry

Step = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Seen:
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the play."""


@dataclass
class Script:
    """Plays one step for each request, in order; ``seen`` is what came in."""

    url: str
    steps: list[Step] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def reply(
        self,
        status: int,
        document: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Answer with JSON, or with ``raw`` bytes."""
        body = json.dumps(document).encode() if raw is None else raw

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", content_type)
            handler.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.steps.append(step)

    def error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        """Answer with a flat error."""
        document = {"type": "invalid_request", "code": code, "message": "No.", "param": "$.x"}
        self.reply(status, document, headers=headers)

    def reset(self, sent: bytes = b"") -> None:
        """Promise 1000 bytes, send some, and reset the connection."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            if sent:
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", "1000")
                handler.end_headers()
                handler.wfile.write(sent)
                handler.wfile.flush()
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()

        self.steps.append(step)

    def hold(self) -> None:
        """Say nothing until the test is over."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            self.over.wait(30)
            handler.close_connection = True

        self.steps.append(step)

    def endless(self, status: int, chunk: bytes) -> None:
        """Answer with ``chunk`` again and again until the client hangs up."""

        def step(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while not self.over.is_set():
                handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

        self.steps.append(step)


@pytest.fixture
def merchant() -> Iterator[Script]:
    yield from _serve()


@pytest.fixture
def provider() -> Iterator[Script]:
    yield from _serve()


def _serve() -> Iterator[Script]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _play(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            names = {name.lower(): value for name, value in self.headers.items()}
            script.seen.append(Seen(self.command, self.path, names, body))
            if not script.steps:
                self.send_error(500, "the script is over")
                return
            script.steps.pop(0)(self)

        do_GET = do_POST = _play  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    script = Script(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def options() -> Options:
    """Quick tries, so that no test waits."""
    return Options(retry=Retry(base_seconds=0.001, max_seconds=0.002, attempt_seconds=5.0))


HANDLER: dict[str, Any] = {
    "id": "card_tokenized",
    "name": "dev.acp.tokenized.card",
    "version": "2026-01-22",
    "spec": "https://example.com/spec",
    "requires_delegate_payment": True,
    "requires_pci_compliance": False,
    "psp": "sandbox",
    "config_schema": "https://example.com/config.json",
    "instrument_schemas": ["https://example.com/instrument.json"],
    "config": {"merchant_id": "merchant_1", "psp": "sandbox", "accepted_brands": ["visa"]},
}


def entry(kind: str, amount: int) -> dict[str, Any]:
    return {"type": kind, "display_text": kind, "amount": amount}


def _option(identifier: str, amount: int, kind: str = "shipping") -> dict[str, Any]:
    return {"type": kind, "id": identifier, "title": identifier, "totals": [entry("total", amount)]}


@pytest.fixture
def session() -> Callable[..., dict[str, Any]]:
    """Makes a valid session document: 2 x 1000, 100 off, 500 shipping, 200 tax: 2600 in all."""

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "id": "cs_1",
            "status": "ready_for_payment",
            "currency": "usd",
            "capabilities": {"payment": {"handlers": [HANDLER]}},
            "line_items": [
                {
                    "id": "li_1",
                    "item": {"id": "sku_1"},
                    "quantity": 2,
                    "totals": [
                        entry("items_base_amount", 2000),
                        entry("items_discount", 100),
                        entry("subtotal", 1900),
                        entry("tax", 200),
                        entry("total", 2100),
                    ],
                }
            ],
            "totals": [
                entry("items_base_amount", 2000),
                entry("items_discount", 100),
                entry("subtotal", 1900),
                entry("fulfillment", 500),
                entry("tax", 200),
                entry("total", 2600),
            ],
            "fulfillment_options": [
                _option("fast", 1500),
                _option("slow", 500),
                _option("desk", 0, "digital"),
            ],
            "messages": [],
            "links": [],
            **changes,
        }

    return make


@pytest.fixture
def order() -> dict[str, Any]:
    return {"id": "ord_1", "checkout_session_id": "cs_1", "permalink_url": "https://example.com/orders/ord_1"}
