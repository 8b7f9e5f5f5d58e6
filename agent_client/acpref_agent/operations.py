"""The protocol's operations as flows: which request each one is, and what its answer must be.

``Merchant`` and ``PaymentProvider`` know addresses, headers, bodies and statuses; they do no I/O. Every
flow that they return can be driven by either client.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from acpref_agent import verification
from acpref_agent.clock import seconds_since_1970
from acpref_agent.exceptions import AcprefError, ProtocolViolation
from acpref_agent.flow import Flow, Request, Response, Retry, decode, exchange
from acpref_protocol import headers, versions
from acpref_protocol.base import Model, OpenModel
from acpref_protocol.errors import ProtocolError
from acpref_protocol.models import (
    CancelSessionRequest,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    DelegatePaymentRequest,
    DelegatePaymentResponse,
    DiscoveryResponse,
    IntentTrace,
    Order,
)
from acpref_protocol.signing import NO_BODY, RequestSigner

M = TypeVar("M", bound=Model)

DISCOVERY_PATH = "/.well-known/acp.json"
FEED_PATH = "/feeds/products.jsonl"


def _uuid4() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Options:
    """What both clients take beside an address and a token.

    ``signer`` signs each request (SIGN-02, SIGN-04). ``new_id`` makes idempotency keys and request ids
    (UUID v4: IDEM-03). ``clock`` gives the seconds since 1970 for signatures. ``allow_http`` permits plain
    HTTP beyond this machine, which the protocol forbids (HTTP-01). ``feed_url`` is where the merchant's
    ``products.jsonl`` is, when not at its usual place.
    """

    signer: RequestSigner | None = None
    retry: Retry = field(default_factory=Retry)
    accept_language: str = "en-US"
    user_agent: str = "acpref-agent"
    new_id: Callable[[], str] = _uuid4
    clock: Callable[[], float] = seconds_since_1970
    allow_http: bool = False
    feed_url: str | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A server and the way this agent talks to it."""

    base_url: str
    token: str = field(repr=False)
    options: Options = field(default=Options(), repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError for a malformed token, and for an address that is neither https nor on this machine."""
        parts = urlsplit(self.base_url)
        insecure = self.options.allow_http or _is_this_machine(parts.hostname or "")
        if not parts.hostname or parts.scheme not in ({"https", "http"} if insecure else {"https"}):
            raise ValueError("the base URL is an https address (http is for this machine only)")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError("the base URL has neither credentials nor a query")
        try:
            headers.bearer_token(f"Bearer {self.token}")
        except ProtocolError:
            raise ValueError("the token has characters that a bearer token cannot have") from None

    def url(self, *segments: str) -> str:
        """The address of a resource; each segment is quoted, so that no id can lead elsewhere (DIS-06)."""
        if any(segment in {"", ".", ".."} for segment in segments):
            raise ValueError("an id is neither empty nor made of dots")
        return "/".join([self.base_url.rstrip("/"), *(quote(segment, safe="") for segment in segments)])

    def at_origin(self, path: str) -> str:
        """The address of ``path`` on the same origin."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}{path}"

    def get(self, url: str, model: type[M], *, delay: float = 0.0) -> Flow[M]:
        """GET ``url`` after ``delay`` seconds; 200 with a ``model`` is expected."""
        response = yield from self.fetch(url, with_token=True, delay=delay)
        return decode(response, model, status=200)

    def fetch(
        self, url: str, *, with_token: bool, accept: str = headers.JSON, delay: float = 0.0
    ) -> Flow[Response]:
        """GET ``url`` with retries, whatever it answers in the end."""
        base = {**self._headers(with_token=with_token), "Accept": accept}
        request = Request("GET", url, base, delay=delay)
        return exchange(request, self.options.retry, lambda: self._signature(NO_BODY) if with_token else {})

    def post(
        self, url: str, document: Any, model: type[M], *, status: int, idempotency_key: str | None
    ) -> Flow[M]:
        """POST ``document`` (``NO_BODY`` for none) under one idempotency key for all tries (IDEM-01,
        IDEM-19)."""
        key = self._key(idempotency_key)
        base = {**self._headers(with_token=True), headers.IDEMPOTENCY_KEY: key}
        body = None
        if document is not NO_BODY:
            base[headers.CONTENT_TYPE] = headers.JSON
            body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        request = Request("POST", url, base, body)
        try:
            response = yield from exchange(request, self.options.retry, lambda: self._signature(document))
            return decode(response, model, status=status)
        except AcprefError as error:
            error.idempotency_key = key
            raise

    def _key(self, given: str | None) -> str:
        try:
            return headers.idempotency_key(self.options.new_id() if given is None else given)
        except ProtocolError as error:
            raise ValueError(error.message) from None

    def _headers(self, *, with_token: bool) -> dict[str, str]:
        return {
            headers.API_VERSION: versions.LATEST,
            headers.REQUEST_ID: self.options.new_id(),
            headers.USER_AGENT: self.options.user_agent,
            headers.ACCEPT_LANGUAGE: self.options.accept_language,
            "Accept": headers.JSON,
            # Answers are small; a compressed one could unfold to any size.
            "Accept-Encoding": "identity",
        } | ({headers.AUTHORIZATION: f"Bearer {self.token}"} if with_token else {})

    def _signature(self, document: Any) -> Mapping[str, str]:
        signer = self.options.signer
        return {} if signer is None else signer.headers(document, self.options.clock())


class Merchant(Peer):
    """The operations of a seller (HTTP-13)."""

    __slots__ = ()

    def discover(self) -> Flow[DiscoveryResponse]:
        """The discovery document, without authentication (DIS-01).

        NotFound or ProtocolViolation: no ACP here (DIS-10).
        """
        response = yield from self.fetch(self.at_origin(DISCOVERY_PATH), with_token=False)
        return decode(response, DiscoveryResponse, status=200)

    def create_checkout_session(
        self, request: CheckoutSessionCreateRequest, idempotency_key: str | None = None
    ) -> Flow[CheckoutSession]:
        """Open a session (CHK-CRE-01)."""
        url = self.url("checkout_sessions")
        return self._session(url, _body(request), status=201, key=idempotency_key)

    def get_checkout_session(self, session_id: str, *, delay: float = 0.0) -> Flow[CheckoutSession]:
        """The session as it is after ``delay`` seconds (CHK-GET-01)."""
        url = self.url("checkout_sessions", session_id)
        session = yield from self.get(url, CheckoutSession, delay=delay)
        verification.check_session(session, session_id=session_id)
        return session

    def update_checkout_session(
        self,
        session_id: str,
        request: CheckoutSessionUpdateRequest,
        idempotency_key: str | None = None,
        clear: Iterable[str] = (),
    ) -> Flow[CheckoutSession]:
        """Change a session: members of ``request`` are set, those named in ``clear`` are removed
        (CHK-UPD-05, IDEM-23).

        Raises ValueError for an update that changes nothing (CHK-UPD-04), and for one that sets and clears
        a member.
        """
        document = _body(request)
        for name in clear:
            if name not in CheckoutSessionUpdateRequest.model_fields or name in document:
                raise ValueError(f"{name} cannot be cleared by this update")
            document[name] = None
        if not document:
            raise ValueError("an update has at least one member")
        url = self.url("checkout_sessions", session_id)
        return self._session(url, document, key=idempotency_key, session_id=session_id)

    def complete_checkout_session(
        self, session_id: str, request: CheckoutSessionCompleteRequest, idempotency_key: str | None = None
    ) -> Flow[CheckoutSession]:
        """Pay and order (CHK-CMP-01). The session may come back without an order (CHK-CMP-06, CHK-CMP-08)."""
        url = self.url("checkout_sessions", session_id, "complete")
        return self._session(url, _body(request), key=idempotency_key, session_id=session_id)

    def cancel_checkout_session(
        self, session_id: str, intent_trace: IntentTrace | None = None, idempotency_key: str | None = None
    ) -> Flow[CheckoutSession]:
        """Give the session up (CHK-CAN-01), perhaps with the buyer's reason."""
        document: Any = NO_BODY
        if intent_trace is not None:
            document = _body(CancelSessionRequest(intent_trace=intent_trace))
        url = self.url("checkout_sessions", session_id, "cancel")
        return self._session(url, document, key=idempotency_key, session_id=session_id)

    def get_order(self, order_id: str) -> Flow[Order]:
        """The current order (an extension of this seller's: ``GET /orders/{id}``)."""
        order = yield from self.get(self.url("orders", order_id), Order)
        if order.id != order_id:
            raise ProtocolViolation("the answer is about another order")
        return order

    def open_feed(self) -> Flow[Response]:
        """Open the product feed; the body of a 200 is for the driver to stream."""
        url = self.options.feed_url or self.at_origin(FEED_PATH)
        return self.fetch(url, with_token=False, accept="application/jsonl, application/x-ndjson, */*;q=0.1")

    def _session(
        self, url: str, document: Any, *, key: str | None, status: int = 200, session_id: str | None = None
    ) -> Flow[CheckoutSession]:
        session = yield from self.post(url, document, CheckoutSession, status=status, idempotency_key=key)
        verification.check_session(session, session_id=session_id)
        return session


class PaymentProvider(Peer):
    """The operation of a payment provider that an agent uses (DP-REQ-01)."""

    __slots__ = ()

    def delegate_payment(
        self, request: DelegatePaymentRequest, idempotency_key: str | None = None
    ) -> Flow[DelegatePaymentResponse]:
        """Exchange a card and an allowance for a token that is good for this one purchase (DP-RES-01)."""
        url = self.url("agentic_commerce", "delegate_payment")
        document = request.to_object()
        return self.post(url, document, DelegatePaymentResponse, status=201, idempotency_key=idempotency_key)


def _body(request: Model | OpenModel) -> dict[str, Any]:
    """The request as JSON; a quantity of one goes without saying, as the published type has none
    (CHK-CRE-06)."""
    document = request.to_object()
    for item in document.get("line_items", ()):
        if item.get("quantity") == 1:
            del item["quantity"]
    return document


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
