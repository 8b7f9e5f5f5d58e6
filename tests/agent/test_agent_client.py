"""The clients over real HTTP, against a merchant that plays a script."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from acpref_agent import (
    AcprefError,
    ApiError,
    AsyncClient,
    AsyncPaymentProviderClient,
    Client,
    IdempotencyConflict,
    InFlight,
    InvalidRequest,
    NotFound,
    Options,
    PaymentProviderClient,
    ProtocolViolation,
    RateLimited,
    ServerError,
    TotalsMismatch,
    TransportError,
    Unauthorized,
)
from acpref_agent.operations import Merchant
from acpref_protocol.models import (
    Allowance,
    Capabilities,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    DelegatePaymentRequest,
    IntentTrace,
    PaymentData,
    PaymentMethodCard,
    RequestItem,
)
from acpref_protocol.signing import NO_BODY, RequestSigner, RequestVerifier

Make = Callable[..., dict[str, Any]]
NOW = 1_780_000_000
CREATE = CheckoutSessionCreateRequest(
    line_items=[RequestItem(id="sku_1", quantity=2), RequestItem(id="sku_2", quantity=1)],
    currency="usd",
    capabilities=Capabilities(),
)
UPDATE = CheckoutSessionUpdateRequest(order_notes="x")
COMPLETE = CheckoutSessionCompleteRequest(payment_data=PaymentData(purchase_order_number="po_1"))


class Both:
    """Calls the same method of the synchronous and of the asynchronous client, by name."""

    def __init__(self, kind: str) -> None:
        self._is_async = kind == "async"

    def call(self, script: Any, options: Options, method: str, *args: Any, **named: Any) -> Any:
        classes: tuple[type[Any], type[Any]] = (Client, AsyncClient)
        if method == "delegate_payment":
            classes = (PaymentProviderClient, AsyncPaymentProviderClient)
        if not self._is_async:
            with classes[0](script.url, "tok_1", options=options) as client:
                result = getattr(client, method)(*args, **named)
                return list(result) if isinstance(result, Iterator) else result

        async def run() -> Any:
            async with classes[1](script.url, "tok_1", options=options) as client:
                result = getattr(client, method)(*args, **named)
                return [item async for item in result] if hasattr(result, "__aiter__") else await result

        return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def test_create_sends_every_header_and_reads_the_session(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """VER-01, AUTH-01, IDEM-01, IDEM-03, HTTP-05, HTTP-06, HTTP-07, CHK-CRE-01, CHK-CRE-06."""
    merchant.reply(201, session())
    created = both.call(
        merchant, replace(options, accept_language="de-DE"), "create_checkout_session", CREATE
    )
    assert isinstance(created, CheckoutSession)
    assert created.to_object() == session()
    (seen,) = merchant.seen
    assert (seen.method, seen.path) == ("POST", "/checkout_sessions")
    assert seen.headers["api-version"] == "2026-04-17"
    assert seen.headers["authorization"] == "Bearer tok_1"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept-language"] == "de-DE"
    assert seen.headers["user-agent"] == "acpref-agent"
    assert uuid.UUID(seen.headers["idempotency-key"]).version == 4
    assert uuid.UUID(seen.headers["request-id"]).version == 4
    assert "signature" not in seen.headers
    assert seen.document == {
        "line_items": [{"id": "sku_1", "quantity": 2}, {"id": "sku_2"}],
        "currency": "usd",
        "capabilities": {},
    }


@pytest.mark.parametrize(
    ("method", "args", "path", "status"),
    [
        (
            "update_checkout_session",
            ("cs_1", UPDATE),
            "/checkout_sessions/cs_1",
            200,
        ),
        ("complete_checkout_session", ("cs_1", COMPLETE), "/checkout_sessions/cs_1/complete", 200),
        ("cancel_checkout_session", ("cs_1",), "/checkout_sessions/cs_1/cancel", 200),
    ],
)
def test_posts_go_to_their_addresses_under_the_given_key(
    both: Both, merchant: Any, options: Options, session: Make, method: str, args: Any, path: str, status: int
) -> None:
    """HTTP-13, IDEM-01, CHK-UPD-01, CHK-CAN-01."""
    merchant.reply(status, session())
    answer = both.call(merchant, options, method, *args, idempotency_key="my key")
    assert answer.id == "cs_1"
    (seen,) = merchant.seen
    assert (seen.method, seen.path, seen.headers["idempotency-key"]) == ("POST", path, "my key")


def test_gets_carry_no_key(both: Both, merchant: Any, options: Options, session: Make, order: Any) -> None:
    """CHK-GET-01, ORD-01."""
    merchant.reply(200, session())
    merchant.reply(200, order)
    assert both.call(merchant, options, "get_checkout_session", "cs_1").id == "cs_1"
    assert both.call(merchant, options, "get_order", "ord_1").id == "ord_1"
    assert [(seen.method, seen.path) for seen in merchant.seen] == [
        ("GET", "/checkout_sessions/cs_1"),
        ("GET", "/orders/ord_1"),
    ]
    assert all(
        "idempotency-key" not in seen.headers and "content-type" not in seen.headers for seen in merchant.seen
    )


def test_a_cancellation_has_a_body_only_with_a_reason(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """CHK-CAN-03, HTTP-05."""
    for _ in range(2):
        merchant.reply(200, session(status="canceled"))
    both.call(merchant, options, "cancel_checkout_session", "cs_1")
    both.call(merchant, options, "cancel_checkout_session", "cs_1", IntentTrace(reason_code="comparison"))
    without, with_reason = merchant.seen
    assert without.body == b""
    assert "content-type" not in without.headers
    assert with_reason.document == {"intent_trace": {"reason_code": "comparison"}}


def test_an_update_tells_clearing_from_leaving_alone(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """IDEM-23, CHK-UPD-04, CHK-UPD-05."""
    merchant.reply(200, session())
    change = CheckoutSessionUpdateRequest(order_notes="x")
    both.call(merchant, options, "update_checkout_session", "cs_1", change, clear=["discounts"])
    assert merchant.seen[0].document == {"order_notes": "x", "discounts": None}
    for request, clear in [
        (CheckoutSessionUpdateRequest(), []),
        (change, ["order_notes"]),
        (change, ["currency"]),
    ]:
        with pytest.raises(ValueError):
            both.call(merchant, options, "update_checkout_session", "cs_1", request, clear=clear)
    assert len(merchant.seen) == 1


def test_discovery_is_read_at_the_origin_without_a_token(both: Both, merchant: Any, options: Options) -> None:
    """DIS-01, DIS-10."""
    document = {
        "protocol": {"name": "acp", "version": "2026-04-17", "supported_versions": ["2026-04-17"]},
        "api_base_url": merchant.url,
        "transports": ["rest", "pigeon"],
        "capabilities": {"services": ["checkout", "feeds"]},
    }
    merchant.reply(200, document, content_type="application/json; charset=utf-8")
    found = both.call(merchant, options, "discover")
    assert (found.transports, found.capabilities.services) == (["rest"], ["checkout"])
    assert merchant.seen[0].path == "/.well-known/acp.json"
    assert "authorization" not in merchant.seen[0].headers
    merchant.reply(200, raw=b"<html>welcome</html>", content_type="text/html")
    merchant.reply(404, raw=b"<html>nothing</html>", content_type="text/html")
    for _ in range(2):
        with pytest.raises(ProtocolViolation):
            both.call(merchant, options, "discover")
    assert len(merchant.seen) == 3


def test_an_unavailable_merchant_is_asked_again_with_the_same_request(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """IDEM-16, IDEM-19."""
    merchant.reply(503, raw=b"<html>busy</html>", content_type="text/html")
    merchant.reset()
    merchant.reset(sent=b'{"id": "cs_')
    merchant.reply(201, session())
    assert both.call(merchant, options, "create_checkout_session", CREATE).id == "cs_1"
    assert len(merchant.seen) == 4
    assert (
        len(
            {
                (seen.headers["idempotency-key"], seen.headers["request-id"], seen.body)
                for seen in merchant.seen
            }
        )
        == 1
    )


def test_an_operation_in_flight_is_asked_again_after_the_named_time(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """IDEM-17, IDEM-18, IDEM-19."""
    merchant.error(409, "idempotency_in_flight", {"Retry-After": "1"})
    merchant.reply(201, session(), headers={"Idempotent-Replayed": "true"})
    started = time.monotonic()
    both.call(merchant, options, "create_checkout_session", CREATE)
    assert time.monotonic() - started >= 1
    assert len({seen.headers["idempotency-key"] for seen in merchant.seen}) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind", "tries"),
    [
        (400, "invalid", InvalidRequest, 1),
        (401, "unauthorized", Unauthorized, 1),
        (403, "forbidden", Unauthorized, 1),
        (404, "not_found", NotFound, 1),
        (405, "session_closed", InvalidRequest, 1),
        (409, "conflict", InvalidRequest, 1),
        (409, "idempotency_in_flight", InFlight, 4),
        (422, "idempotency_conflict", IdempotencyConflict, 1),
        (422, "invalid_card", InvalidRequest, 1),
        (429, "rate_limited", RateLimited, 1),
        (500, "internal", ServerError, 4),
    ],
)
def test_each_error_answer_is_its_own_exception(
    both: Both, merchant: Any, options: Options, status: int, code: str, kind: type[ApiError], tries: int
) -> None:
    """ERR-01, ERR-05, IDEM-15, IDEM-19."""
    for _ in range(tries):
        merchant.error(status, code, {"Request-Id": "req_1", "Retry-After": "0"})
    with pytest.raises(ApiError) as failure:
        both.call(merchant, options, "create_checkout_session", CREATE, idempotency_key="k1")
    error = failure.value
    assert type(error) is kind
    assert (error.status, error.code, error.param, error.request_id) == (status, code, "$.x", "req_1")
    assert (error.retry_after, error.idempotency_key) == (0, "k1")
    assert len(merchant.seen) == tries


def test_a_merchant_that_never_answers_is_given_up_within_the_time(
    both: Both, merchant: Any, options: Options
) -> None:
    for _ in range(2):
        merchant.hold()
    quick = replace(options, retry=replace(options.retry, attempts=2, attempt_seconds=0.1))
    with pytest.raises(TransportError) as failure:
        both.call(merchant, quick, "create_checkout_session", CREATE)
    assert failure.value.idempotency_key == merchant.seen[0].headers["idempotency-key"]
    assert len(merchant.seen) == 2


def test_an_unreachable_merchant_is_a_transport_error(both: Both, merchant: Any, options: Options) -> None:
    gone = type("Gone", (), {"url": "http://127.0.0.1:1"})
    with pytest.raises(TransportError):
        both.call(gone, options, "get_checkout_session", "cs_1")


def test_an_endless_answer_is_refused_and_not_asked_for_again(
    both: Both, merchant: Any, options: Options
) -> None:
    merchant.endless(200, b" " * 65536)
    with pytest.raises(ProtocolViolation, match="longer than 4194304 bytes"):
        both.call(merchant, options, "get_checkout_session", "cs_1")
    assert len(merchant.seen) == 1


def test_an_endless_error_is_refused_too(both: Both, merchant: Any, options: Options) -> None:
    merchant.endless(400, b" " * 65536)
    with pytest.raises(ProtocolViolation, match="longer than"):
        both.call(merchant, options, "get_checkout_session", "cs_1")


def test_a_redirect_is_not_followed(both: Both, merchant: Any, options: Options) -> None:
    merchant.reply(307, raw=b"", headers={"Location": merchant.url + "/elsewhere"})
    with pytest.raises(ProtocolViolation) as violation:
        both.call(merchant, options, "create_checkout_session", CREATE)
    assert violation.value.status == 307
    assert len(merchant.seen) == 1


def test_a_compressed_answer_is_not_unpacked(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    packed = gzip.compress(json.dumps(session()).encode())
    merchant.reply(200, raw=packed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(ProtocolViolation, match="compressed"):
        both.call(merchant, options, "get_checkout_session", "cs_1")
    assert merchant.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (200, b"<html></html>", "text/html"),
        (200, b"{}", "text/plain"),
        (200, b"{}", "application/json"),
        (200, b"{", "application/json"),
        (201, b"{}", "application/json"),
        (204, b"", "application/json"),
        (404, b"<html></html>", "text/html"),
        (400, b'{"error": {"type": "x"}}', "application/json"),
        (400, b'{"type": 1, "code": "x", "message": "y"}', "application/json"),
    ],
)
def test_an_answer_that_the_protocol_does_not_allow_is_a_violation(
    both: Both, merchant: Any, options: Options, status: int, body: bytes, content_type: str
) -> None:
    """HTTP-03, ERR-01, CHK-STA-02."""
    merchant.reply(status, raw=body, content_type=content_type)
    with pytest.raises(ProtocolViolation):
        both.call(merchant, options, "get_checkout_session", "cs_1")
    assert len(merchant.seen) == 1


def test_a_server_error_in_words_of_a_proxy_is_still_a_server_error(
    both: Both, merchant: Any, options: Options
) -> None:
    once = replace(options, retry=replace(options.retry, attempts=1))
    merchant.reply(502, raw=b"<html>bad gateway</html>", content_type="text/html")
    with pytest.raises(ServerError) as failure:
        both.call(merchant, once, "get_checkout_session", "cs_1")
    assert (failure.value.status, failure.value.code) == (502, "unknown")


@pytest.mark.parametrize(
    "method",
    [
        "create_checkout_session",
        "update_checkout_session",
        "get_checkout_session",
        "complete_checkout_session",
    ],
)
def test_a_session_whose_totals_lie_is_refused_whatever_brought_it(
    both: Both, merchant: Any, options: Options, session: Make, method: str
) -> None:
    """CHK-TOT-03."""
    lie = session()
    lie["totals"][-1]["amount"] += 1
    merchant.reply(201 if method == "create_checkout_session" else 200, lie)
    args: dict[str, tuple[Any, ...]] = {
        "create_checkout_session": (CREATE,),
        "update_checkout_session": ("cs_1", UPDATE),
        "get_checkout_session": ("cs_1",),
        "complete_checkout_session": ("cs_1", COMPLETE),
    }
    with pytest.raises(TotalsMismatch):
        both.call(merchant, options, method, *args[method])


def test_an_answer_about_something_else_is_refused(
    both: Both, merchant: Any, options: Options, session: Make, order: Any
) -> None:
    merchant.reply(200, session(id="cs_2"))
    merchant.reply(200, order)
    with pytest.raises(ProtocolViolation, match="another session"):
        both.call(merchant, options, "get_checkout_session", "cs_1")
    with pytest.raises(ProtocolViolation, match="another order"):
        both.call(merchant, options, "get_order", "ord_2")


def test_an_id_cannot_lead_to_another_address(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    for identifier in ["a/../../x", "a?b=c", "a b#c", "%2e%2e"]:
        merchant.reply(200, session(id=identifier))
        both.call(merchant, options, "get_checkout_session", identifier)
    assert [seen.path for seen in merchant.seen] == [
        "/checkout_sessions/a%2F..%2F..%2Fx",
        "/checkout_sessions/a%3Fb%3Dc",
        "/checkout_sessions/a%20b%23c",
        "/checkout_sessions/%252e%252e",
    ]
    for identifier in ["", ".", ".."]:
        with pytest.raises(ValueError):
            both.call(merchant, options, "get_checkout_session", identifier)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\r\nSet-Cookie: b", "é"])
def test_a_key_that_is_no_key_is_refused_before_anything_is_sent(
    both: Both, merchant: Any, options: Options, key: str
) -> None:
    """IDEM-02."""
    with pytest.raises(ValueError, match="Idempotency-Key"):
        both.call(merchant, options, "create_checkout_session", CREATE, idempotency_key=key)
    assert merchant.seen == []


def test_requests_are_signed_when_a_signer_is_given(
    both: Both, merchant: Any, options: Options, session: Make
) -> None:
    """SIGN-02, SIGN-06."""
    key = ed25519.Ed25519PrivateKey.generate()
    signing = replace(options, signer=RequestSigner(key), clock=lambda: NOW)
    verifier = RequestVerifier({"agent": [key.public_key()]}, required=True)
    merchant.reply(201, session())
    merchant.reply(200, session())
    merchant.reply(200, session())
    both.call(merchant, signing, "create_checkout_session", CREATE)
    both.call(merchant, signing, "get_checkout_session", "cs_1")
    both.call(merchant, signing, "cancel_checkout_session", "cs_1")
    for seen in merchant.seen:
        body = seen.document if seen.body else NO_BODY
        assert verifier.verify("agent", body, seen.headers["signature"], seen.headers["timestamp"], NOW)


CARD = PaymentMethodCard(
    type="card",
    card_number_type="fpan",
    number="4242424242424242",
    exp_month="12",
    exp_year="2030",
    cvc="123",
    display_card_funding_type="credit",
    metadata={},
)
DELEGATE = DelegatePaymentRequest(
    payment_method=CARD,
    allowance=Allowance(
        reason="one_time",
        max_amount=2600,
        currency="usd",
        checkout_session_id="cs_1",
        merchant_id="m",
        expires_at="2026-06-01T00:00:00Z",
    ),
    risk_signals=[],
    metadata={},
)


def test_delegate_payment_is_a_post_to_its_own_address(both: Both, provider: Any, options: Options) -> None:
    """DP-REQ-01, DP-IDEM-01, DP-RES-01."""
    provider.reply(201, {"id": "vt_1", "created": "2026-04-17T00:00:00Z", "metadata": {}, "object": "token"})
    answer = both.call(provider, options, "delegate_payment", DELEGATE)
    assert answer.id == "vt_1"
    (seen,) = provider.seen
    assert seen.path == "/agentic_commerce/delegate_payment"
    assert seen.document == DELEGATE.to_object()
    assert uuid.UUID(seen.headers["idempotency-key"]).version == 4


@pytest.mark.parametrize("answer", ["error", "html", "lie", "reset"])
def test_no_failure_shows_the_card(both: Both, provider: Any, options: Options, answer: str) -> None:
    """HTTP-14."""
    once = replace(options, retry=replace(options.retry, attempts=1))
    match answer:
        case "error":
            provider.error(422, "invalid_card")
        case "html":
            provider.reply(500, raw=b"oops", content_type="text/html")
        case "lie":
            provider.reply(201, {"id": 4242424242424242})
        case _:
            provider.reset()
    with pytest.raises(AcprefError) as failure:
        both.call(provider, once, "delegate_payment", DELEGATE)
    seen: BaseException | None = failure.value
    while seen is not None:
        assert "4242424242424242" not in f"{seen!r} {seen} {vars(seen)!r}"
        seen = seen.__cause__ or seen.__context__


def product(identifier: str) -> bytes:
    return json.dumps({"id": identifier, "variants": [{"id": f"{identifier}_v", "title": "V"}]}).encode()


def test_the_feed_is_read_line_by_line(both: Both, merchant: Any, options: Options) -> None:
    """FEED-11."""
    merchant.reply(503, raw=b"", content_type="text/plain")
    merchant.reply(
        200, raw=product("a") + b"\n\n" + product("b") + b"\r\n" + product("c"), content_type="text/plain"
    )
    products = both.call(merchant, options, "products")
    assert [found.id for found in products] == ["a", "b", "c"]
    assert [seen.path for seen in merchant.seen] == ["/feeds/products.jsonl"] * 2
    assert "authorization" not in merchant.seen[0].headers


def test_a_feed_elsewhere_or_none_or_broken(both: Both, merchant: Any, options: Options) -> None:
    merchant.reply(200, raw=b"", content_type="text/plain")
    elsewhere = replace(options, feed_url=merchant.url + "/other.jsonl")
    assert both.call(merchant, elsewhere, "products") == []
    assert merchant.seen[0].path == "/other.jsonl"
    merchant.error(404, "not_found")
    with pytest.raises(NotFound):
        both.call(merchant, options, "products")
    merchant.reply(200, raw=product("a") + b"\n{", content_type="text/plain")
    with pytest.raises(ProtocolViolation):
        both.call(merchant, options, "products")
    merchant.reset(sent=product("a"))
    with pytest.raises(TransportError):
        both.call(merchant, options, "products")


def test_a_feed_line_without_end_is_refused(both: Both, merchant: Any, options: Options) -> None:
    merchant.endless(200, b"x" * 65536)
    with pytest.raises(ProtocolViolation, match="a line is longer"):
        both.call(merchant, options, "products")


def test_a_feed_larger_than_any_answer_streams_and_may_be_left_early(merchant: Any, options: Options) -> None:
    merchant.endless(200, product("a") + b"\n")
    with (
        Client(merchant.url, "tok_1", options=options) as client,
        contextlib.closing(client.products()) as products,
    ):
        for _, found in zip(range(20_000), products, strict=False):
            assert found.id == "a"


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example",
        "ftp://127.0.0.1",
        "shop.example",
        "https://",
        "https://u:p@shop.example",
        "https://x/?a",
    ],
)
def test_only_safe_addresses_are_accepted(url: str) -> None:
    """HTTP-01."""
    with pytest.raises(ValueError):
        Client(url, "tok_1")
    with pytest.raises(ValueError):
        PaymentProviderClient(url, "tok_1")


@pytest.mark.parametrize(
    "url", ["https://shop.example/acp/", "http://localhost:1", "http://[::1]:1", "http://127.0.0.2"]
)
def test_https_and_this_machine_are_accepted(url: str) -> None:
    """HTTP-01, DIS-06."""
    assert Merchant(url, "t").url("orders", "x") == url.rstrip("/") + "/orders/x"
    assert (
        Merchant("http://shop.example", "t", Options(allow_http=True)).url("orders")
        == "http://shop.example/orders"
    )
    assert Merchant("https://shop.example/acp", "t").at_origin("/f") == "https://shop.example/f"


def test_a_client_of_ones_own_can_be_given_and_still_follows_no_redirect(
    merchant: Any, options: Options, session: Make
) -> None:
    merchant.reply(302, raw=b"", headers={"Location": "/x"})
    own = httpx.Client(follow_redirects=True, headers={"X-Own": "1"})
    with Client(merchant.url, "tok_1", options=options, http=own) as client, pytest.raises(ProtocolViolation):
        client.get_checkout_session("cs_1")
    assert merchant.seen[0].headers["x-own"] == "1"
    assert own.is_closed


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "é"])
def test_a_token_that_is_no_token_is_refused(token: str) -> None:
    """AUTH-01."""
    with pytest.raises(ValueError, match="token"):
        Client("https://shop.example", token)


def test_the_token_is_in_no_representation() -> None:
    """HTTP-14."""
    assert "tok_secret" not in repr(Merchant("https://shop.example", "tok_secret"))
