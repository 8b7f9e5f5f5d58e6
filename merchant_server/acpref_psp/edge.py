"""From HTTP to an operation and back: headers, size, token, version, key, JSON, signature, card data, shape, then one
transaction.

Only what passes all of that reaches an operation, so none of these refusals is recorded under a key. Every answer is
JSON, repeats Request-Id (HTTP-08), and holds neither card data nor anything about the inside of the service.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from acpref_protocol import card_numbers, headers, strict_json, versions
from acpref_protocol.errors import (
    ProtocolError,
    from_validation,
    invalid_request,
    payload_too_large,
    processing_error,
    service_unavailable,
)
from acpref_protocol.models import DelegatePaymentRequest
from acpref_protocol.signing import RequestVerifier
from acpref_psp import charges, delegation
from acpref_psp.clock import Clock, NewId
from acpref_psp.faults import Faults, Kind, Where
from acpref_psp.idempotency import Idempotency, Reply
from acpref_psp.identities import Identities
from acpref_psp.keys import KeyRing
from acpref_psp.limits import RateLimit
from acpref_psp.settings import Settings
from acpref_psp.store import Store, Transaction

M = TypeVar("M", bound=BaseModel)
log = structlog.get_logger(__name__)

# DP-ERR-03 closes the set of codes of delegate payment. Authentication, version and server errors have codes of their
# own all the same (DP-ERR-04, VER-04).
_DELEGATE_CODES = frozenset(
    {
        "invalid_card",
        "duplicate_request",
        "idempotency_conflict",
        "too_many_requests",
        "idempotency_key_required",
        "idempotency_in_flight",
    }
)
MAX_VALUES = 10_000
"""Values in a body; far more than any request has."""
_CURSOR = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True)
class Service:
    """What requests need; one for each application."""

    settings: Settings
    clock: Clock
    new_id: NewId
    store: Store
    keys: KeyRing
    idempotency: Idempotency
    agents: Identities
    merchants: Identities
    verifier: RequestVerifier
    rate_limit: RateLimit | None = None
    faults: Faults = field(default_factory=Faults)


class DroppedConnection(Response):
    """An answer that breaks off: the server closes the connection, since the promised body never comes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        """Send the head of a 503 and nothing after it."""
        await send(
            {
                "type": "http.response.start",
                "status": 503,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"1")],
            }
        )


Handler = Callable[["Edge", Request], Awaitable[Response]]


def _answering(handler: Handler) -> Handler:
    """Turn what ``handler`` raises into a flat error."""

    async def answer(self: Edge, request: Request) -> Response:
        try:
            return await handler(self, request)
        except ProtocolError as error:
            return refusal(request, error)
        except sqlite3.OperationalError as error:  # locked or full: nothing was committed
            log.error("database unavailable", path=_loggable_path(request), error=error.sqlite_errorname)
            return refusal(request, service_unavailable(1))
        except Exception as error:  # noqa: BLE001 - the outermost place: nothing may escape to a traceback
            # The place and kind of the failure, but no message: messages quote values.
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            place = f"{frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}" if frame is not None else "?"
            log.error("request failed", path=_loggable_path(request), error=type(error).__name__, place=place)
            return refusal(request, processing_error())

    return answer


class Edge:
    """The endpoints as methods from request to response."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @_answering
    async def delegate_payment(self, request: Request) -> Response:
        """``POST /agentic_commerce/delegate_payment`` (DP-REQ-01)."""
        try:
            return await self._delegate_payment(request)
        except ProtocolError as error:
            raise _in_delegate_vocabulary(error) from None

    async def _delegate_payment(self, request: Request) -> Response:
        service, incoming = self.service, request.headers
        now = service.clock()
        raw = await self._read(request)
        agent = service.agents.authenticate(incoming.get("authorization"))
        versions.negotiate(incoming.get("api-version"))
        key = headers.idempotency_key(incoming.get("idempotency-key"))
        if service.rate_limit is not None:
            service.rate_limit.admit(agent, now)
        body = _parse(raw, incoming)
        service.verifier.verify(agent, body, incoming.get("signature"), incoming.get("timestamp"), now / 1000)
        delegation.refuse_exposed_card(body, key)
        model = _model(DelegatePaymentRequest, body)
        operation = partial(
            delegation.delegate,
            request=model,
            agent=agent,
            idempotency_key=key,
            keys=service.keys,
            new_id=service.new_id,
            now=now,
        )
        return await self._once(request, agent, key, body, operation, Where.DELEGATE_PAYMENT, now)

    @_answering
    async def create_charge(self, request: Request) -> Response:
        """``POST /v1/charges``."""
        service = self.service
        merchant, key, body, now = await self._post(request)
        model = _model(charges.ChargeBody, body)
        operation = partial(
            charges.create,
            body=model,
            merchant=merchant,
            request_id=service.idempotency.scope(merchant, request.scope["path"], key),
            keys=service.keys,
            new_id=service.new_id,
            now=now,
        )
        return await self._once(request, merchant, key, body, operation, Where.AUTHORIZE, now)

    @_answering
    async def capture_charge(self, request: Request) -> Response:
        """``POST /v1/charges/{id}/capture``."""
        merchant, key, body, now = await self._post(request)
        model = _model(charges.CaptureBody, body)
        operation = partial(
            charges.capture, body=model, charge_id=request.path_params["charge_id"], merchant=merchant
        )
        return await self._once(request, merchant, key, body, operation, Where.CAPTURE, now)

    @_answering
    async def void_charge(self, request: Request) -> Response:
        """``POST /v1/charges/{id}/void``."""
        merchant, key, body, now = await self._post(request)
        _model(charges.VoidBody, body)
        operation = partial(charges.void, charge_id=request.path_params["charge_id"], merchant=merchant)
        return await self._once(request, merchant, key, body, operation, None, now)

    @_answering
    async def refund_charge(self, request: Request) -> Response:
        """``POST /v1/charges/{id}/refund``."""
        merchant, key, body, now = await self._post(request)
        model = _model(charges.RefundBody, body)
        operation = partial(
            charges.refund,
            body=model,
            charge_id=request.path_params["charge_id"],
            merchant=merchant,
            new_id=self.service.new_id,
            now=now,
        )
        return await self._once(request, merchant, key, body, operation, Where.REFUND, now)

    @_answering
    async def get_charge(self, request: Request) -> Response:
        """``GET /v1/charges/{id}``."""
        headers.refuse_repeated(request.scope["headers"])
        merchant = self.service.merchants.authenticate(request.headers.get("authorization"))
        operation = partial(charges.show, charge_id=request.path_params["charge_id"], merchant=merchant)
        return _response(request, await self.service.store.run(operation))

    @_answering
    async def list_charges(self, request: Request) -> Response:
        """``GET /v1/charges?checkout_session_id=&status=&after=&limit=``."""
        headers.refuse_repeated(request.scope["headers"])
        merchant = self.service.merchants.authenticate(request.headers.get("authorization"))
        query = request.query_params
        if query.get("status", "captured") not in charges.STATUSES:
            raise invalid_request(f"status is one of {', '.join(charges.STATUSES)}.", param="status")
        operation = partial(
            charges.listing,
            merchant=merchant,
            session=query.get("checkout_session_id"),
            status=query.get("status"),
            after=_number(query.get("after"), "after", default=0, low=0, high=10**18),
            limit=_number(query.get("limit"), "limit", default=100, low=1, high=1000),
        )
        return _response(request, await self.service.store.run(operation))

    async def _post(self, request: Request) -> tuple[str, str, Any, int]:
        """Merchant, key, JSON body (an empty object when there is none) and time of a POST of the charge API."""
        incoming = request.headers
        raw = await self._read(request)
        merchant = self.service.merchants.authenticate(incoming.get("authorization"))
        key = headers.idempotency_key(incoming.get("idempotency-key"))
        return merchant, key, _parse(raw, incoming) if raw else {}, self.service.clock()

    async def _once(
        self,
        request: Request,
        identity: str,
        key: str,
        body: Any,
        operation: Callable[[Transaction], Reply],
        where: Where | None,
        now: int,
    ) -> Response:
        """Run ``operation`` once under its key, and fail on the way as armed (``faults.Kind`` says how)."""
        service = self.service
        attempt = service.idempotency.request(identity, request.scope["path"], key, body)
        with service.idempotency.in_flight(attempt):
            fault = service.faults.take(where) if where is not None else None
            if fault is Kind.ERROR_500:
                raise processing_error()
            if fault is Kind.SLOW:
                await asyncio.sleep(service.settings.slow_seconds)
            reply = await service.store.run(
                lambda transaction: service.idempotency.once(transaction, attempt, now, operation)
            )
            if reply.slow:
                await asyncio.sleep(service.settings.slow_seconds)
        if fault is Kind.TIMEOUT:
            await asyncio.sleep(service.settings.timeout_seconds)
        if fault is Kind.DROP_CONNECTION:
            return DroppedConnection()
        return _response(request, reply)

    async def _read(self, request: Request) -> bytes:
        """The body. Raises 413 as soon as it is known to be too long, and 400 for a repeated header."""
        headers.refuse_repeated(request.scope["headers"])
        limit = self.service.settings.body_limit
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise payload_too_large(limit)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise payload_too_large(limit)
        except ClientDisconnect:
            raise invalid_request("The request ended before its body did.") from None
        return bytes(body)


def refusal(request: Request, error: ProtocolError) -> Response:
    """The flat answer for ``error`` (ERR-01), with anything like a card number taken out."""
    body = error.body()
    for member in ("message", "param"):
        if member in body:
            # Names of unknown members are the sender's words.
            body[member] = card_numbers.masked(body[member])
    response = _response(request, Reply(error.status, json.dumps(body, separators=(",", ":")).encode()))
    response.headers.update(error.headers)
    return response


def _response(request: Request, reply: Reply) -> Response:
    outgoing: dict[str, str] = {}
    if (request_id := headers.request_id(request.headers.get("request-id"))) is not None:
        outgoing[headers.REQUEST_ID] = request_id
    if reply.replayed:
        outgoing[headers.IDEMPOTENT_REPLAYED] = "true"
    return Response(reply.body, reply.status, outgoing, media_type=headers.JSON)


def _in_delegate_vocabulary(error: ProtocolError) -> ProtocolError:
    free = error.status == 401 or error.status >= 500 or error.supported_versions is not None
    if not free and error.code not in _DELEGATE_CODES:
        error.code = "invalid_card"
    return error


def _loggable_path(request: Request) -> str:
    path: str = request.scope["path"]
    return "withheld" if card_numbers.holds_number(path) else path


def _parse(raw: bytes, incoming: Any) -> Any:
    if raw and not headers.is_json(incoming.get("content-type")):
        raise invalid_request(
            "The body's Content-Type must be application/json.",
            code="unsupported_media_type",
            param=headers.CONTENT_TYPE,
            status=415,
        )
    return strict_json.loads(raw, max_values=MAX_VALUES)


def _model(model: type[M], body: Any) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise from_validation(error, body) from None


def _number(text: str | None, name: str, *, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    if not _CURSOR.match(text) or not low <= int(text) <= high:
        raise invalid_request(f"{name} is an integer of {low} to {high}.", param=name)
    return int(text)
