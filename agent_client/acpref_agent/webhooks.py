"""Receiving a merchant's order events (WH-09 to WH-12).

``receive`` is the whole of it without any framework; ``webhook_app`` puts it behind ASGI. There is no event
id in the protocol and a delivery may come twice (WH-13): ``dedupe_key`` is equal for equal events.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from acpref_agent import reading
from acpref_agent.exceptions import (
    ProtocolViolation,
    WebhookPayloadInvalid,
    WebhookRefused,
    WebhookSignatureInvalid,
    WebhookTooLarge,
)
from acpref_protocol import errors, headers
from acpref_protocol.errors import ProtocolError
from acpref_protocol.idempotency import fingerprint
from acpref_protocol.models import WebhookEvent
from acpref_protocol.signing import SignatureError, verify_webhook

PATH = "/agentic_checkout/webhooks/order_events"
"""Where merchants POST events on the agent's host (WH-02)."""

MAX_BODY = 1024 * 1024
"""The longest body that is read, in bytes."""

OnEvent = Callable[[WebhookEvent], Awaitable[None] | None]


def receive(request_headers: Mapping[str, str], body: bytes, secret: bytes, now: float) -> WebhookEvent:
    """The event in a delivery whose signature is right.

    ``body`` is the raw body, ``secret`` the one shared with the merchant, ``now`` seconds since 1970.
    Raises WebhookTooLarge, WebhookSignatureInvalid (WH-09) or WebhookPayloadInvalid (WH-11); each knows
    what to answer.
    """
    if len(body) > MAX_BODY:
        raise WebhookTooLarge(errors.payload_too_large(MAX_BODY))
    given = {name.lower(): value for name, value in request_headers.items()}
    try:
        verify_webhook(secret, body, given.get(headers.MERCHANT_SIGNATURE.lower()), now)
    except SignatureError as error:
        raise WebhookSignatureInvalid(error) from None
    # Only what the merchant signed is worth parsing.
    try:
        return reading.parse(WebhookEvent, body)
    except ProtocolViolation as violation:
        wrong = violation.complaint
        if wrong is None:
            raise WebhookPayloadInvalid(errors.invalid_request("The body is not an event.")) from None
        raise WebhookPayloadInvalid(errors.invalid_request(wrong.message, param=wrong.param)) from None


def dedupe_key(event: WebhookEvent) -> str:
    """Equal for deliveries of the same event: the order's id and a digest of the content (WH-13)."""
    return f"{event.data.id}:{fingerprint(event.to_object())}"


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def webhook_app(secret: bytes, on_event: OnEvent, clock: Callable[[], float]) -> App:
    """An ASGI application that accepts order events at ``PATH`` (WH-11).

    ``on_event`` is called with each event, once per delivery, and may be asynchronous; when it raises, the
    answer is 500 and the merchant delivers again. ``clock`` gives the seconds since 1970.
    """

    async def app(scope: Scope, receive_message: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive_message, send)
            return
        if scope["type"] != "http":
            return
        given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = headers.request_id(given.get(headers.REQUEST_ID.lower()))
        try:
            headers.refuse_repeated([(name.lower(), value) for name, value in scope["headers"]])
            _check_target(scope, given)
            event = receive(given, await _body(receive_message), secret, clock())
            outcome = on_event(event)
            if inspect.isawaitable(outcome):
                await outcome
        except WebhookRefused as refusal:
            await _answer(send, refusal.error, request_id)
        except ProtocolError as error:
            await _answer(send, error, request_id)
        except _DisconnectedError:
            return
        except Exception:
            await _answer(send, errors.processing_error(), request_id)
            raise  # the server logs it
        else:
            receipt = {"received": True} | ({"request_id": request_id} if request_id else {})
            await _respond(send, 200, receipt, {}, request_id)

    return app


class _DisconnectedError(Exception):
    """The merchant hung up before the body was complete."""


def _check_target(scope: Scope, given: Mapping[str, str]) -> None:
    if scope["path"] != PATH:
        raise errors.not_found("resource")
    if scope["method"] != "POST":
        error = errors.invalid_request("Events are sent by POST.", code="method_not_allowed", status=405)
        error.headers["Allow"] = "POST"
        raise error
    if not headers.is_json(given.get("content-type")):
        raise errors.invalid_request("Events are application/json.", param=headers.CONTENT_TYPE)


async def _body(receive_message: Receive) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive_message()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > MAX_BODY:
            raise WebhookTooLarge(errors.payload_too_large(MAX_BODY))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _answer(send: Send, error: ProtocolError, request_id: str | None) -> None:
    await _respond(send, error.status, error.body(), error.headers, request_id)


async def _respond(
    send: Send, status: int, document: dict[str, Any], extra: Mapping[str, str], request_id: str | None
) -> None:
    body = json.dumps(document).encode()
    fields = {headers.CONTENT_TYPE: headers.JSON, "Content-Length": str(len(body)), **extra}
    if request_id:
        fields[headers.REQUEST_ID] = request_id
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _live(receive_message: Receive, send: Send) -> None:
    while True:
        message = await receive_message()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
