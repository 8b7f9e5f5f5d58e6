"""Receiving order events, as a function and behind a real server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from acpref_agent import (
    WebhookPayloadInvalid,
    WebhookSignatureInvalid,
    WebhookTooLarge,
    dedupe_key,
    receive,
    webhook_app,
)
from acpref_agent.webhooks import MAX_BODY, PATH
from acpref_protocol.models import WebhookEvent
from acpref_protocol.signing import sign_webhook

SECRET = b"whsec_1"
NOW = 1_780_000_000


def event(**changes: Any) -> bytes:
    data = {
        "type": "order",
        "id": "ord_1",
        "checkout_session_id": "cs_1",
        "permalink_url": "https://example.com/o/1",
        "status": "created",
        **changes,
    }
    return json.dumps({"type": "order_create", "data": data}).encode()


def signed(body: bytes, *, at: int = NOW, secret: bytes = SECRET) -> dict[str, str]:
    return {"Content-Type": "application/json", "Merchant-Signature": sign_webhook(secret, body, at)}


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_a_signed_event_is_received_whatever_the_case_of_header_names(offset: int) -> None:
    """WH-04, WH-10, WH-12."""
    headers = {name.upper(): value for name, value in signed(event()).items()}
    got = receive(headers, event(), SECRET, NOW + offset)
    assert (got.type, got.data.id, got.data.status) == ("order_create", "ord_1", "created")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Merchant-Signature": ""},
        {"Merchant-Signature": "t=1,v1=zz"},
        signed(event(), secret=b"other"),
        signed(event(status="shipped")),
        signed(event(), at=NOW - 301),
        signed(event(), at=NOW + 301),
    ],
)
def test_a_missing_malformed_stale_or_wrong_signature_is_refused(headers: dict[str, str]) -> None:
    """WH-09, WH-10."""
    with pytest.raises(WebhookSignatureInvalid) as refusal:
        receive(headers, event(), SECRET, NOW)
    assert refusal.value.status == 401
    body = refusal.value.body()
    assert (body["type"], body["code"]) == ("invalid_request", "invalid_signature")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"type": "order_create"}',
        json.dumps({"type": "order_create", "data": {"type": "order", "id": "o"}}).encode(),
        event(totals=[{"type": "total", "display_text": "T", "amount": "1"}]),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    """WH-06, WH-11, WH-12."""
    with pytest.raises(WebhookPayloadInvalid) as refusal:
        receive(signed(body), body, SECRET, NOW)
    assert refusal.value.status == 400
    assert refusal.value.body()["type"] == "invalid_request"


def test_a_body_over_the_limit_is_refused_before_anything_is_computed() -> None:
    body = b" " * (MAX_BODY + 1)
    with pytest.raises(WebhookTooLarge) as refusal:
        receive({}, body, SECRET, NOW)
    assert refusal.value.status == 413


def test_the_same_event_has_the_same_key_and_another_has_another() -> None:
    """WH-13."""

    def key(body: bytes) -> str:
        return dedupe_key(receive(signed(body), body, SECRET, NOW))

    reordered = json.dumps(dict(reversed(json.loads(event()).items()))).encode()
    assert key(event()) == key(reordered)
    assert len({key(event()), key(event(status="shipped")), key(event(id="ord_2"))}) == 3
    assert key(event()).startswith("ord_1:")


class Receiver:
    """A real server with the application; ``events`` is what arrived."""

    def __init__(self, url: str, events: list[WebhookEvent]) -> None:
        self.url = url
        self.events = events

    def post(self, body: bytes, headers: dict[str, str], path: str = PATH) -> httpx.Response:
        return httpx.post(self.url + path, content=body, headers=headers)


@contextlib.contextmanager
def serving(on_event: Callable[[WebhookEvent], Any], events: list[WebhookEvent]) -> Iterator[Receiver]:
    app = webhook_app(SECRET, on_event, lambda: NOW)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}", events)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module", params=["sync", "async"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    events: list[WebhookEvent] = []

    def take(received: WebhookEvent) -> None:
        if received.type == "explode":
            raise RuntimeError("secret detail 4242")
        events.append(received)

    async def take_async(received: WebhookEvent) -> None:
        take(received)

    with serving(take_async if request.param == "async" else take, events) as running:
        yield running


def test_an_accepted_event_is_answered_with_a_receipt(receiver: Receiver) -> None:
    """WH-02, WH-11."""
    before = len(receiver.events)
    answer = receiver.post(event(), {**signed(event()), "Request-Id": "req_1"})
    assert (answer.status_code, answer.json()) == (200, {"received": True, "request_id": "req_1"})
    assert answer.headers["request-id"] == "req_1"
    assert receiver.post(event(), signed(event())).json() == {"received": True}
    assert len(receiver.events) == before + 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (event(), {"Content-Type": "application/json"}, 401, "invalid_signature"),
        (event(), signed(event(), at=NOW - 1000), 401, "invalid_signature"),
        (b"{}", signed(b"{}"), 400, "invalid"),
        (event(), {**signed(event()), "Content-Type": "text/plain"}, 400, "invalid"),
        (b" " * (MAX_BODY + 1), {"Content-Type": "application/json"}, 413, "payload_too_large"),
    ],
)
def test_a_refusal_is_a_flat_error_and_reaches_nobody(
    receiver: Receiver, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """WH-09, WH-11."""
    before = len(receiver.events)
    answer = receiver.post(body, headers)
    document = answer.json()
    assert (answer.status_code, document["type"], document["code"]) == (status, "invalid_request", code)
    assert answer.headers["content-type"] == "application/json"
    assert len(receiver.events) == before


def _without(member: str) -> bytes:
    document = json.loads(event())
    del document["data"][member]
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"type": "order_create"}', "$.data"),
        (b"[]", "$"),
        (_without("id"), "$.data.id"),
        (b'{"a": 1, "a": 2}', None),
        (b"{", None),
    ],
)
def test_a_refusal_of_an_event_names_the_place(receiver: Receiver, body: bytes, param: str | None) -> None:
    """WH-11, ERR-04: in words about an event, not about an answer."""
    error = receiver.post(body, signed(body)).json()
    assert (error["code"], error.get("param")) == ("invalid", param)
    assert "answer" not in error["message"]


@pytest.mark.parametrize("name", ["Merchant-Signature", "Content-Type", "Request-Id"])
def test_a_header_that_says_one_thing_comes_once(receiver: Receiver, name: str) -> None:
    """WH-09: of two signatures, none is the one that was checked."""
    before = len(receiver.events)
    good = {**signed(event()), "Request-Id": "req_1"}
    for repeated in ([*good.items(), (name, "other")], [(name, "other"), *good.items()]):
        answer = httpx.post(receiver.url + PATH, content=event(), headers=repeated)
        assert (answer.status_code, answer.json()["param"]) == (400, name)
    assert len(receiver.events) == before


def test_no_bearer_token_is_asked_for(receiver: Receiver) -> None:
    """AUTH-06."""
    assert receiver.post(event(), signed(event())).status_code == 200


def test_a_handler_that_fails_is_answered_with_500_and_no_detail(receiver: Receiver) -> None:
    """WH-11."""
    body = json.dumps({**json.loads(event()), "type": "explode"}).encode()
    answer = receiver.post(body, signed(body))
    assert (answer.status_code, answer.json()["type"]) == (500, "processing_error")
    assert "4242" not in answer.text


def test_other_addresses_and_methods_are_flat_errors(receiver: Receiver) -> None:
    answer = receiver.post(event(), signed(event()), path="/other")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = httpx.get(receiver.url + PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_body_in_many_chunks_is_bounded_too(receiver: Receiver) -> None:
    chunks = (b" " * 65536 for _ in range(17))
    answer = httpx.post(receiver.url + PATH, content=chunks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
