"""The way of a request from bytes to an operation, and back (HTTP, VER, AUTH, SIGN, IDEM, ERR).

The order of the checks is fixed: repeated headers, size, bearer token, version, key, JSON, signature, card data, shape.
Only what passes all of them reaches an operation, so none of these refusals is stored under the key.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from acpref_merchant.agents import Agent
from acpref_merchant.http import card_data
from acpref_merchant.http.wire import WIRE, Wire
from acpref_merchant.operations.call import Call, Merchant, Reply
from acpref_merchant.store import StoreUnavailable
from acpref_merchant.store.statement import storable
from acpref_protocol import card_numbers, headers, strict_json, versions
from acpref_protocol.errors import (
    ProtocolError,
    idempotency_in_flight,
    invalid_request,
    payload_too_large,
    processing_error,
    service_unavailable,
)
from acpref_protocol.idempotency import fingerprint

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Post:
    """A checked POST: the call that identifies it, its version's wire forms and its JSON body (``None``: no body)."""

    call: Call
    wire: Wire
    body: Any


class Edge:
    """Turns requests into operations for one merchant."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant = merchant
        self._in_flight: set[tuple[str, str, str, str]] = set()

    async def post(
        self, request: Request, act: Callable[[Post], Awaitable[Reply]], *, body_required: bool = True
    ) -> Response:
        """Answer a POST: check it, run ``act`` once per key, and send what it says."""
        incoming = request.headers
        sent_key = incoming.get("idempotency-key")
        try:
            headers.refuse_repeated(request.scope["headers"])
            raw = await read_body(request, self.merchant.settings.body_limit)
            agent = self.merchant.agents.authenticate(incoming.get("authorization"))
            wire = WIRE[versions.negotiate(incoming.get("api-version"))]
            key = headers.idempotency_key(sent_key)
            body = self._parse(raw, incoming.get("content-type"), required=body_required)
            self.merchant.agents.verify_signature(
                agent, body, incoming.get("signature"), incoming.get("timestamp"), self.merchant.clock()
            )
            card_data.refuse(raw, body)
            call = Call(agent, _path(request), card_data.kept(key), fingerprint(body), wire)
            reply = await self._alone(call, act, Post(call, wire, body))
        except ProtocolError as error:
            return self._refuse(request, error, sent_key)
        outgoing = self.echo(request, sent_key)
        outgoing.update(reply.headers)
        if reply.replayed:
            outgoing["Idempotent-Replayed"] = "true"
        return Response(reply.body, reply.status, outgoing, media_type=headers.JSON)

    async def get(self, request: Request, act: Callable[[Agent, Wire], Awaitable[bytes]]) -> Response:
        """Answer a GET of a protocol resource."""
        try:
            headers.refuse_repeated(request.scope["headers"])
            agent = self.merchant.agents.authenticate(request.headers.get("authorization"))
            wire = WIRE[versions.negotiate(request.headers.get("api-version"))]
            body = await act(agent, wire)
        except ProtocolError as error:
            return self._refuse(request, error, None)
        return Response(body, 200, self.echo(request, None), media_type=headers.JSON)

    async def _alone(self, call: Call, act: Callable[[Post], Awaitable[Reply]], post: Post) -> Reply:
        """Run ``act`` unless the same request is running in this process (IDEM-17).

        Requests in other processes, and other bodies under this key (IDEM-15), are kept apart by the database.
        """
        identity = (call.agent.id, call.path, call.key, call.fingerprint)
        if identity in self._in_flight:
            raise idempotency_in_flight(1)
        self._in_flight.add(identity)
        try:
            return await act(post)
        finally:
            self._in_flight.discard(identity)

    @staticmethod
    def _parse(raw: bytes, content_type: str | None, *, required: bool) -> Any:
        if not raw:
            if required:
                raise invalid_request("This request needs a JSON body.", code="missing", param="$")
            return None
        if not headers.is_json(content_type):
            raise invalid_request(
                "The body's Content-Type must be application/json.",
                code="unsupported_media_type",
                param="Content-Type",
                status=415,
            )
        body = strict_json.loads(raw, max_values=MAX_VALUES)
        if body is None:  # which stands for a request without a body
            raise invalid_request("The body is a JSON object.", param="$")
        return body

    def _refuse(self, request: Request, error: ProtocolError, sent_key: str | None) -> Response:
        return error_response(error, self.echo(request, sent_key))

    @staticmethod
    def echo(request: Request, sent_key: str | None) -> dict[str, str]:
        """Request-Id and Idempotency-Key as they came (HTTP-08, HTTP-10), unless they could harm a header."""
        echoed: dict[str, str] = {}
        if (request_id := headers.request_id(request.headers.get("request-id"))) is not None:
            echoed["Request-Id"] = request_id
        if (key := headers.request_id(sent_key)) is not None:
            echoed["Idempotency-Key"] = key
        return echoed


MAX_VALUES = 10_000
"""Values in a body; the fullest session has about a tenth of it."""

PATH_LIMIT = 300
"""Characters; the longest path that is served is far shorter, and a database can index this many."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body. Raises 413 as soon as it is known to be longer than ``limit`` bytes."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise payload_too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise payload_too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise invalid_request("The request ended before its body did.") from None
    return b"".join(chunks)


def _path(request: Request) -> str:
    """The concrete path, which is part of what a key belongs to (IDEM-04); 404 for one that cannot be stored."""
    path: str = request.scope["path"]
    if len(path) > PATH_LIMIT or not storable(path) or card_numbers.holds_number(path):
        raise invalid_request("There is nothing at this path.", code="not_found", status=404)
    return path


def error_response(error: ProtocolError, outgoing: dict[str, str] | None = None) -> Response:
    """``error`` as HTTP (ERR-01)."""
    told = error.body()
    for member in told.keys() & {"message", "param"}:
        told[member] = card_numbers.masked(told[member])
    body = json.dumps(told, separators=(",", ":")).encode()
    return Response(body, error.status, {**(outgoing or {}), **error.headers}, media_type=headers.JSON)


class LastResort:
    """A middleware: what nobody expected becomes a flat 500 or 503 and a log entry (ERR-07).

    Only the kind of the failure is logged with its place in the code, never its message: that might repeat a body.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on; answer for it if it fails before its answer began."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def watch(message: Any) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as failure:
            error = service_unavailable(1) if isinstance(failure, StoreUnavailable) else processing_error()
            path = "withheld" if card_numbers.holds_number(scope["path"]) else scope["path"]
            log.error("request_failed", path=path, kind=type(failure).__name__, where=_place(failure))
            if began:
                raise
            request = Request(scope)
            echoed = Edge.echo(request, request.headers.get("idempotency-key"))
            await error_response(error, echoed)(scope, receive, send)


def _place(failure: BaseException) -> list[str]:
    """Where ``failure`` came from, innermost last, without values."""
    places: list[str] = []
    step = failure.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno}:{code.co_name}")
        step = step.tb_next
    return places[-6:]
