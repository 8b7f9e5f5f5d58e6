"""A local server with the shapes of Stripe's API that charging a shared payment token needs, as documented.

Requests are form-encoded with brackets, answers are JSON objects with ``object`` and errors with an ``error`` object.
Keys replay the first answer with ``Idempotent-Replayed: true`` and refuse other parameters. Every answer carries
Request-Id. It keeps the books, so that tests can ask what money moved.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

KEY = "sk_test_local"

# What the issuer says to a card behind a token: HTTP 402 with these members, or a status of the intent.
DECLINES = {
    "insufficient_funds": {"code": "card_declined", "decline_code": "insufficient_funds"},
    "authentication_required": {"code": "authentication_required", "decline_code": "authentication_required"},
    "expired_card": {"code": "expired_card"},
}


@dataclass
class Answer:
    """A status with a JSON body."""

    status: int
    body: dict[str, Any]


@dataclass
class StripeServer:
    """The state of the pretended account and the ASGI application over it."""

    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    _records: dict[str, tuple[str, Answer]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def grant(self, *, card: str = "approved", **limits: Any) -> str:
        """A token granted to this seller; ``card`` chooses what its issuer says."""
        token = f"spt_{next(self._numbers)}"
        usage = {"currency": "usd", "max_amount": 2000, "expires_at": 2_000_000_000, **limits}
        self.cards[token] = card
        self.grants[token] = {
            "id": token,
            "object": "shared_payment.granted_token",
            "usage_limits": usage,
            "usage_details": {"amount_captured": 0},
            "deactivated_at": None,
            "deactivated_reason": None,
        }
        return token

    def revoke(self, token: str) -> None:
        self.grants[token].update(deactivated_at=1_700_000_000, deactivated_reason="revoked")

    def moved(self) -> int:
        """All money taken, in minor units."""
        return sum(intent["amount_received"] for intent in self.intents.values())

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._handle, methods=["GET", "POST"])])

    async def _handle(self, request: Request) -> Response:
        parameters = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        headers = dict(request.headers)
        self.requests.append((f"{request.method} {request.url.path}", headers, parameters))
        request_id = {"Request-Id": f"req_{next(self._numbers)}"}
        # Faults strike the calls that move money; reading a token is left alone.
        fault = self.faults.popleft() if self.faults and request.method == "POST" else None
        early = self._authenticate(headers) or _early(fault)
        if early is not None:
            return _response(early, request_id)
        answer, replayed = self._once(request, headers.get("idempotency-key"), parameters)
        if fault == "stall":
            await asyncio.sleep(1)
        if fault == "drop":
            request_id["Content-Length"] = "100000"  # promised, never sent: the server closes the connection
        if replayed:
            request_id["Idempotent-Replayed"] = "true"
        return _response(answer, request_id)

    def _authenticate(self, headers: dict[str, str]) -> Answer | None:
        if headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "invalid_request_error", "Invalid API Key provided.")
        return None

    def _once(self, request: Request, key: str | None, parameters: dict[str, str]) -> tuple[Answer, bool]:
        path = request.url.path
        content = hashlib.sha256(json.dumps([path, sorted(parameters.items())]).encode()).hexdigest()
        if key is not None and key in self._records:
            fingerprint, answer = self._records[key]
            if fingerprint != content:
                message = "Keys for idempotent requests can only be used with the same parameters."
                return _error(400, "idempotency_error", message), False
            return answer, True
        answer = self._route(request.method, path, parameters, request.headers.get("stripe-version", ""))
        if key is not None:
            self._records[key] = (content, Answer(answer.status, json.loads(json.dumps(answer.body))))
        return answer, False

    def _route(self, method: str, path: str, parameters: dict[str, str], version: str) -> Answer:
        if method == "GET" and (match := re.fullmatch(r"/v1/shared_payment/granted_tokens/(\w+)", path)):
            if not version.endswith(".preview"):
                return _error(404, "invalid_request_error", f"Unrecognized request URL (GET: {path}).")
            grant = self.grants.get(match[1])
            return Answer(200, grant) if grant else _missing("shared_payment.granted_token", match[1])
        if method == "POST" and path == "/v1/payment_intents":
            return self._create(parameters)
        if match := re.fullmatch(r"/v1/payment_intents/(\w+)(?:/(capture|cancel))?", path):
            intent = self.intents.get(match[1])
            if intent is None:
                return _missing("payment_intent", match[1])
            return self._change(intent, match[2], parameters)
        if method == "POST" and path == "/v1/refunds":
            return self._refund(parameters)
        return _error(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")

    def _create(self, parameters: dict[str, str]) -> Answer:
        token = parameters["payment_method_data[shared_payment_granted_token]"]
        grant, amount = self.grants[token], int(parameters["amount"])
        if amount < 50:
            return _error(
                400, "invalid_request_error", "Amount is too small.", code="amount_too_small", param="amount"
            )
        intent: dict[str, Any] = {
            "id": f"pi_{next(self._numbers)}",
            "object": "payment_intent",
            "amount": amount,
            "currency": parameters["currency"],
            "amount_received": 0,
            "amount_refunded": 0,
            "capture_method": parameters["capture_method"],
            "metadata": {"checkout_session_id": parameters["metadata[checkout_session_id]"]},
            "status": "requires_confirmation",
        }
        if parameters["confirm"] == "true":
            if grant["deactivated_at"] is not None:
                return _error(
                    400,
                    "invalid_request_error",
                    "The shared payment token is no longer active.",
                    code="shared_payment_token_inactive",
                    param="payment_method_data[shared_payment_granted_token]",
                )
            card = self.cards[token]
            if card in DECLINES:
                intent["status"] = "requires_payment_method"
                self.intents[intent["id"]] = intent
                return _error(
                    402, "card_error", "Your card was declined.", payment_intent=intent, **DECLINES[card]
                )
            if card == "requires_action" or card == "processing":
                intent["status"] = card
            else:
                grant["usage_details"]["amount_captured"] += amount
                grant.update(deactivated_at=1_700_000_001, deactivated_reason="consumed")
                manual = intent["capture_method"] == "manual"
                intent["status"] = "requires_capture" if manual else "succeeded"
                intent["amount_received"] = 0 if manual else amount
        self.intents[intent["id"]] = intent
        return Answer(200, intent)

    def _change(self, intent: dict[str, Any], action: str | None, parameters: dict[str, str]) -> Answer:
        if action == "capture":
            amount = int(parameters["amount_to_capture"])
            if intent["status"] != "requires_capture":
                return _unexpected(intent)
            if amount > intent["amount"]:
                return _error(
                    400,
                    "invalid_request_error",
                    "Too much.",
                    code="amount_too_large",
                    param="amount_to_capture",
                )
            intent.update(status="succeeded", amount_received=amount)
        if action == "cancel":
            if intent["status"] == "succeeded":
                return _unexpected(intent)
            intent["status"] = "canceled"
        return Answer(200, intent)

    def _refund(self, parameters: dict[str, str]) -> Answer:
        intent, amount = self.intents[parameters["payment_intent"]], int(parameters["amount"])
        if intent["amount_refunded"] + amount > intent["amount_received"]:
            message = "Refund amount is greater than unrefunded amount on charge."
            return _error(
                400, "invalid_request_error", message, code="charge_already_refunded", param="amount"
            )
        intent["amount_refunded"] += amount
        refund = {
            "id": f"re_{next(self._numbers)}",
            "object": "refund",
            "amount": amount,
            "status": "succeeded",
        }
        self.refunds.append(refund)
        return Answer(200, refund)


def _early(fault: str | None) -> Answer | None:
    """Faults before anything happens."""
    match fault:
        case "rate_limit":
            return _error(429, "invalid_request_error", "Request rate limit exceeded.", code="rate_limit")
        case "error_500":
            return _error(500, "api_error", "An unknown error occurred.")
        case "in_use":
            message = "There is currently another in-progress request using this key."
            return _error(409, "invalid_request_error", message, code="idempotency_key_in_use")
        case "html":
            return Answer(502, {"html": True})
    return None


def _error(status: int, kind: str, message: str, **more: Any) -> Answer:
    return Answer(status, {"error": {"type": kind, "message": message, **more}})


def _missing(what: str, name: str) -> Answer:
    return _error(
        404, "invalid_request_error", f"No such {what}: '{name}'", code="resource_missing", param="id"
    )


def _unexpected(intent: dict[str, Any]) -> Answer:
    message = f"This PaymentIntent has a status of {intent['status']}."
    return _error(400, "invalid_request_error", message, code="payment_intent_unexpected_state")


def _response(answer: Answer, headers: dict[str, str]) -> Response:
    if answer.body == {"html": True}:
        return Response("<html>Bad gateway</html>", answer.status, headers, media_type="text/html")
    return Response(json.dumps(answer.body), answer.status, headers, media_type="application/json")
