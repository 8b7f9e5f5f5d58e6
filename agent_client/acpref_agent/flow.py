"""The conversation with a server without any I/O: generators that yield requests and receive responses.

A driver (see ``client``) sends what a flow yields and hands back the response, or throws a TransportError
into the flow when none came. All rules about retrying live here, so that the synchronous and the
asynchronous client cannot differ, and a test can play the network.

Retries are safe by construction: the request, its Idempotency-Key included, is built once, and every try
sends the same one (IDEM-19). Tried again are lost answers, 5xx, and 409 ``idempotency_in_flight``; nothing
else is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import BaseModel

from acpref_agent import reading
from acpref_agent.exceptions import (
    ApiError,
    IdempotencyConflict,
    InFlight,
    InvalidRequest,
    NotFound,
    ProtocolViolation,
    RateLimited,
    ServerError,
    TransportError,
    Unauthorized,
)
from acpref_protocol import headers, strict_json
from acpref_protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send after ``delay`` seconds; give up on its answer after ``timeout`` seconds."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)  # holds the token
    body: bytes | None = field(default=None, repr=False)  # may hold a card number
    delay: float = 0.0
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. The names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Flow = Generator[Request, Response, T]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how long to try. All times are seconds.

    The wait before try *n* + 1 grows from ``base_seconds`` by doubling up to ``max_seconds``, of which
    ``jitter`` (a number in [0, 1)) takes away up to half, so that many agents do not come back at once. A
    Retry-After is honoured up to ``max_retry_after``; when the server asks for more, the operation ends
    with its error, rather than coming back early. ``clock`` only measures spans.
    """

    attempts: int = 4
    total_seconds: float = 60.0
    attempt_seconds: float = 15.0
    base_seconds: float = 0.25
    max_seconds: float = 8.0
    max_retry_after: float = 30.0
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    def wait(self, attempt: int, retry_after: int | None) -> float | None:
        """Seconds to wait after failed try number ``attempt`` (from 1), or ``None`` to give up."""
        if attempt >= self.attempts or (retry_after or 0) > self.max_retry_after:
            return None
        backoff = min(self.max_seconds, self.base_seconds * float(2 ** (attempt - 1)))
        return max(backoff * (1 - self.jitter() / 2), retry_after or 0)


def exchange(
    request: Request, retry: Retry, fresh_headers: Callable[[], Mapping[str, str]] = dict
) -> Flow[Response]:
    """Send ``request`` until an answer comes that is not worth another try, or the limits of ``retry`` are
    reached.

    ``fresh_headers`` are made anew for each try (a signature's timestamp must not grow old). Returns the
    last answer; raises the last TransportError when the last try got none.
    """
    deadline = retry.clock() + request.delay + retry.total_seconds
    delay = request.delay
    attempt = 0
    while True:
        attempt += 1
        left = max(deadline - retry.clock() - delay, 0.001)
        answer: Response | None = None
        failure: TransportError | None = None
        try:
            answer = yield replace(
                request,
                headers={**request.headers, **fresh_headers()},
                delay=delay,
                timeout=min(retry.attempt_seconds, left),
            )
        except TransportError as error:
            if not error.retryable:
                raise
            failure = error
        if answer is not None and not _is_worth_another_try(answer):
            return answer
        wait = retry.wait(attempt, None if answer is None else _retry_after(answer))
        if wait is None or retry.clock() + wait >= deadline:
            if answer is not None:
                return answer
            raise failure or TransportError("no answer")
        delay = wait


def decode(response: Response, model: type[M], *, status: int) -> M:
    """The ``model`` in an answer of ``status``; raises ApiError for error answers, else ProtocolViolation."""
    if response.status != status:
        raise failure_of(response)
    _require_json(response)
    return reading.parse(model, response.body)


def failure_of(response: Response) -> ApiError | ProtocolViolation:
    """The exception that an answer other than the expected one stands for."""
    status = response.status
    retry_after = _retry_after(response)
    request_id = headers.request_id(response.headers.get("request-id"))
    flat = _flat_error(response.body)
    if flat is None:
        if status < 500:
            return ProtocolViolation(f"HTTP {status} without a body that the protocol allows", status=status)
        # A proxy in front of the seller may answer in words of its own.
        flat = {"type": "processing_error", "code": "unknown", "message": "The server failed."}
    return _kind(status, flat["code"])(
        status,
        flat["type"],
        flat["code"],
        flat["message"],
        param=flat.get("param"),
        request_id=request_id,
        retry_after=retry_after,
    )


def _kind(status: int, code: str) -> type[ApiError]:
    if status >= 500:
        return ServerError
    if status == 409 and code == "idempotency_in_flight":
        return InFlight
    if status == 422 and code == "idempotency_conflict":
        return IdempotencyConflict
    return {401: Unauthorized, 403: Unauthorized, 404: NotFound, 429: RateLimited}.get(status, InvalidRequest)


def _is_worth_another_try(response: Response) -> bool:
    if response.status >= 500:
        return True
    if response.status != 409:
        return False
    flat = _flat_error(response.body)
    return flat is not None and flat["code"] == "idempotency_in_flight"


def _retry_after(response: Response) -> int | None:
    return headers.retry_after_seconds(response.headers.get("retry-after"))


def _flat_error(body: bytes) -> dict[str, str] | None:
    """The members of a flat error (ERR-01) that are texts, cut to a sane length; ``None`` for any other
    body."""
    try:
        document = strict_json.loads(body)
    except ProtocolError:
        return None
    if not isinstance(document, dict):
        return None
    texts = {name: value[:1000] for name, value in document.items() if isinstance(value, str)}
    return texts if {"type", "code", "message"} <= texts.keys() else None


def _require_json(response: Response) -> None:
    if not headers.is_json(response.headers.get("content-type")):
        raise ProtocolViolation(f"HTTP {response.status} is not application/json", status=response.status)
