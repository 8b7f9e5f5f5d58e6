"""Delegate payment as the specification has it, over real HTTP."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pydantic import TypeAdapter
from tests.psp.server import (
    AGENT,
    APPROVED,
    DELEGATE,
    MERCHANT,
    MERCHANT_ID,
    OTHER_AGENT,
    Psp,
    agent_headers,
    body,
    running,
)

from acpref_protocol.models import DelegatePaymentError, DelegatePaymentResponse
from acpref_protocol.signing import RequestSigner

ERROR = TypeAdapter(DelegatePaymentError)


def assert_refused(response: Any, status: int, param: str | None = None, code: str = "invalid_card") -> None:
    """A flat error inside the closed vocabulary (DP-ERR-02, DP-ERR-03, ERR-01)."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = ERROR.validate_json(response.content)
    assert error.code == code, response.text
    if param is not None:
        assert error.param == param, response.text


def test_a_card_becomes_a_token(psp: Psp) -> None:
    """DP-REQ-01, DP-RES-01, DP-RES-03, HTTP-03, HTTP-08, HTTP-12."""
    response = psp.delegate(Request_Id="req_1")
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.headers["request-id"] == "req_1"
    assert "idempotent-replayed" not in response.headers
    answer = DelegatePaymentResponse.model_validate_json(response.content)
    assert set(response.json()) == {"id", "created", "metadata"}
    assert answer.id.startswith("vt_")
    assert datetime.fromisoformat(answer.created).timestamp() * 1000 == psp.clock.now


def test_metadata_is_echoed_with_correlation_data(psp: Psp) -> None:
    """DP-RES-02."""
    response = psp.delegate(key="key-of-metadata")
    assert response.json()["metadata"] == {
        "campaign": "q4",
        "merchant_id": MERCHANT_ID,
        "idempotency_key": "key-of-metadata",
    }


def test_the_minimal_body_is_enough(psp: Psp) -> None:
    """DP-REQ-02, DP-REQ-05: everything else is optional."""
    card = {
        "type": "card",
        "card_number_type": "network_token",
        "number": APPROVED,
        "display_card_funding_type": "debit",
        "metadata": {},
    }
    minimal = body(payment_method=card, billing_address=..., risk_signals=[], metadata={})
    assert psp.delegate(minimal).status_code == 201


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"payment_method": ...}, "$.payment_method"),
        ({"allowance": ...}, "$.allowance"),
        ({"risk_signals": ...}, "$.risk_signals"),
        ({"metadata": ...}, "$.metadata"),
        ({"metadata__n": 1}, "$.metadata.n"),
        ({"extra": 1}, "$.extra"),
        ({"payment_method__number": ...}, "$.payment_method.number"),
        ({"payment_method__type": "bank"}, "$.payment_method.type"),
        ({"payment_method__card_number_type": "dpan"}, "$.payment_method.card_number_type"),
        (
            {"payment_method__display_card_funding_type": "charge"},
            "$.payment_method.display_card_funding_type",
        ),
        ({"payment_method__display_last4": "42"}, "$.payment_method.display_last4"),
        ({"payment_method__iin": "424242424"}, "$.payment_method.iin"),
        ({"payment_method__checks_performed": ["dna"]}, "$.payment_method.checks_performed[0]"),
        ({"payment_method__cvc": None}, "$.payment_method.cvc"),
        ({"payment_method__number": 4242424242424242}, "$.payment_method.number"),
        ({"allowance__reason": "recurring"}, "$.allowance.reason"),
        ({"allowance__max_amount": "2000"}, "$.allowance.max_amount"),
        ({"allowance__max_amount": 20.5}, "$.allowance.max_amount"),
        ({"allowance__max_amount": True}, "$.allowance.max_amount"),
        ({"allowance__currency": "USD"}, "$.allowance.currency"),
        ({"allowance__merchant_id": "m" * 257}, "$.allowance.merchant_id"),
        ({"allowance__expires_at": "tomorrow"}, "$.allowance.expires_at"),
        ({"allowance__expires_at": "2026-04-12T14:20:00"}, "$.allowance.expires_at"),
        ({"billing_address__line_one": "x" * 61}, "$.billing_address.line_one"),
        ({"billing_address__country": "USA"}, "$.billing_address.country"),
        ({"billing_address__postal_code": "9" * 21}, "$.billing_address.postal_code"),
        (
            {"risk_signals": [{"type": "card_testing", "score": 1.5, "action": "blocked"}]},
            "$.risk_signals[0].score",
        ),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_with_its_place(
    psp: Psp, changes: dict[str, Any], param: str
) -> None:
    """DP-REQ-02 to DP-REQ-11, DP-ERR-01 (400 for shape), ERR-04, ERR-06."""
    assert_refused(psp.delegate(body(**changes)), 400, param)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"payment_method__number": "4242424242424241"}, "$.payment_method.number"),
        ({"payment_method__number": "4242 4242 4242 4242"}, "$.payment_method.number"),
        ({"payment_method__number": ""}, "$.payment_method.number"),
        ({"payment_method__number": "\u0664" * 16}, "$.payment_method.number"),
        ({"payment_method__exp_month": "13"}, "$.payment_method.exp_month"),
        ({"payment_method__exp_month": "00"}, "$.payment_method.exp_month"),
        ({"payment_method__exp_month": "x"}, "$.payment_method.exp_month"),
        ({"payment_method__exp_year": "29"}, "$.payment_method.exp_year"),
        ({"payment_method__exp_year": "2025"}, "$.payment_method.exp_year"),
        (
            {"payment_method__exp_year": "2026", "payment_method__exp_month": "03"},
            "$.payment_method.exp_year",
        ),
        ({"payment_method__exp_year": ...}, "$.payment_method.exp_year"),
        ({"payment_method__cvc": "12"}, "$.payment_method.cvc"),
        ({"payment_method__cvc": "1234"}, "$.payment_method.cvc"),
        ({"payment_method__number": "378282246310005", "payment_method__cvc": "123"}, "$.payment_method.cvc"),
        ({"payment_method__eci_value": "x"}, "$.payment_method.eci_value"),
        ({"payment_method__iin": "4242x"}, "$.payment_method.iin"),
        ({"allowance__max_amount": 0}, "$.allowance.max_amount"),
        ({"allowance__max_amount": -1}, "$.allowance.max_amount"),
        ({"allowance__max_amount": 2**63}, "$.allowance.max_amount"),
        ({"allowance__expires_at": "2026-04-12T13:20:00Z"}, "$.allowance.expires_at"),
        ({"allowance__expires_at": "2026-04-12T14:20:00+02:00"}, "$.allowance.expires_at"),
        ({"billing_address__country": "1!"}, "$.billing_address.country"),
    ],
)
def test_card_data_that_no_card_has_is_refused_with_its_place(
    psp: Psp, changes: dict[str, Any], param: str
) -> None:
    """DP-REQ-06, DP-REQ-10, DP-ERR-01 (422 for well-formed but unacceptable)."""
    assert_refused(psp.delegate(body(**changes)), 422, param)


def test_a_card_is_good_through_the_last_month_on_it(psp: Psp) -> None:
    response = psp.delegate(body(payment_method__exp_month="04", payment_method__exp_year="2026"))
    assert response.status_code == 201, response.text


@pytest.mark.parametrize(
    "where",
    [
        "metadata__note",
        "payment_method__name",
        "payment_method__metadata__n",
        "allowance__checkout_session_id",
    ],
)
def test_a_card_number_in_the_wrong_place_is_refused_not_stored_or_echoed(psp: Psp, where: str) -> None:
    """HTTP-14, DP-SEC-01."""
    response = psp.delegate(body(**{where: "my 4242-4242-4242-4242"}))
    assert_refused(response, 422, "$." + where.replace("__", "."))
    assert_refused(psp.delegate(key=f"k-{APPROVED}"), 422, "Idempotency-Key")
    assert_refused(psp.delegate({**body(), APPROVED: 1}), 422, "$")


@pytest.mark.parametrize(("name", "status"), [("5555555555554444", 422), ("5555555555554445", 400)])
def test_an_unknown_member_named_like_a_card_number_is_not_repeated(psp: Psp, name: str, status: int) -> None:
    """HTTP-14: whether its check digit is right or not."""
    response = psp.delegate({**body(), name: 1})
    assert response.status_code == status
    assert name not in response.text


OTHER_CARD = "5555555555554444"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"metadata__note": OTHER_CARD}, "$.metadata.note"),
        ({"metadata__note": "was 5555-5555-5555-4444"}, "$.metadata.note"),
        ({"metadata__note": "4242/4242/4242/4242"}, "$.metadata.note"),
        ({"metadata__note": "4242\u00a04242\u20114242 4242"}, "$.metadata.note"),
        ({"metadata__note": "\uff14\uff12\uff14\uff12" * 4}, "$.metadata.note"),
        ({"metadata": {OTHER_CARD: "x"}}, "$.metadata"),
        ({"payment_method__name": OTHER_CARD}, "$.payment_method.name"),
        ({"payment_method__display_wallet_type": OTHER_CARD}, "$.payment_method.display_wallet_type"),
        ({"allowance__checkout_session_id": OTHER_CARD}, "$.allowance.checkout_session_id"),
        ({"allowance__merchant_id": OTHER_CARD}, "$.allowance.merchant_id"),
        (
            {"risk_signals": [{"type": "card_testing", "score": int(OTHER_CARD), "action": "authorized"}]},
            "$.risk_signals[0].score",
        ),
        ({"metadata__cvc": "137"}, "$.metadata.cvc"),
        ({"metadata": {"Card-CVV2": "8675"}}, "$.metadata"),
        (
            {"payment_method__metadata": {"card_security_code": "137"}},
            "$.payment_method.metadata.card_security_code",
        ),
    ],
)
def test_any_card_number_or_code_in_another_member_is_refused_and_kept_nowhere(
    psp: Psp, changes: dict[str, Any], param: str
) -> None:
    """HTTP-14, DP-SEC-01: this card's number or another's, however it is written."""
    response = psp.delegate(body(**changes))
    assert_refused(response, 422, param)
    assert OTHER_CARD not in response.text
    assert_refused(psp.delegate(key=OTHER_CARD), 422, "Idempotency-Key")
    for file in psp.folder.glob("psp.db*"):
        content = file.read_bytes()
        assert OTHER_CARD.encode() not in content
        assert b'"8675"' not in content


@pytest.mark.parametrize(
    "text",
    ["5555555555554445", "1776000000000000", "4006381333931", "a4242424242424241b", "cvc", "the cvv is 137"],
)
def test_what_only_resembles_card_data_is_kept(psp: Psp, text: str) -> None:
    """DP-RES-02."""
    response = psp.delegate(body(metadata={"note": text, "cvc_check": "pass"}))
    assert response.json()["metadata"]["note"] == text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b'{"metadata": {}, "metadata": {}}',
        b'{"a": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"metadata": {"a": "\\ud800"}}',
        b'{"allowance": {"max_amount": 1e400}}',
    ],
)
def test_a_body_that_is_not_the_json_we_read_is_refused(psp: Psp, raw: bytes) -> None:
    """ERR-06, DP-ERR-03."""
    headers = {**agent_headers(), "Content-Type": "application/json"}
    assert_refused(psp.http.post(DELEGATE, content=raw, headers=headers), 400)


def test_a_body_over_the_limit_is_refused_before_it_is_read(psp: Psp) -> None:
    headers = {**agent_headers(), "Content-Type": "application/json"}
    response = psp.http.post(DELEGATE, content=b" " * (1024 * 1024 + 1), headers=headers)
    assert_refused(response, 413)

    def chunks() -> Any:
        for _ in range(17):
            yield b" " * 65536

    assert_refused(psp.http.post(DELEGATE, content=chunks(), headers=headers), 413)


def test_another_content_type_is_refused(psp: Psp) -> None:
    """HTTP-05."""
    headers = {**agent_headers(), "Content-Type": "text/plain"}
    assert_refused(psp.http.post(DELEGATE, content=json.dumps(body()), headers=headers), 415)


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic abc", "Bearer", f"Bearer {MERCHANT}"])
def test_no_valid_bearer_token_no_service(psp: Psp, authorization: str | None) -> None:
    """AUTH-03, DP-ERR-04."""
    headers = agent_headers(Request_Id="req_2")
    del headers["Authorization"]
    if authorization:
        headers["Authorization"] = authorization
    response = psp.http.post(DELEGATE, json=body(), headers=headers)
    assert response.status_code == 401
    assert response.json()["type"] == "invalid_request"
    assert response.json()["code"] == "unauthorized"
    assert response.headers["request-id"] == "req_2"


@pytest.mark.parametrize(
    ("version", "code"),
    [
        (None, "missing_api_version"),
        ("2030-01-01", "unsupported_api_version"),
        ("x", "unsupported_api_version"),
    ],
)
def test_an_api_version_that_is_not_served_is_refused_with_those_that_are(
    psp: Psp, version: str | None, code: str
) -> None:
    """VER-02 to VER-05, VER-09."""
    headers = agent_headers()
    del headers["API-Version"]
    if version:
        headers["API-Version"] = version
    response = psp.http.post(DELEGATE, json=body(), headers=headers)
    assert response.status_code == 400
    assert response.json()["code"] == code
    assert response.json()["supported_versions"] == ["2026-04-17"]


@pytest.mark.parametrize("key", [None, ""])
def test_a_key_is_required(psp: Psp, key: str | None) -> None:
    """DP-IDEM-01, DP-IDEM-02, IDEM-05."""
    headers = agent_headers()
    del headers["Idempotency-Key"]
    if key is not None:
        headers["Idempotency-Key"] = key
    response = psp.http.post(DELEGATE, json=body(), headers=headers)
    assert_refused(response, 400, code="idempotency_key_required")


def test_a_key_has_at_most_255_characters(psp: Psp) -> None:
    """IDEM-02."""
    assert psp.delegate(key="k" * 255).status_code == 201
    assert_refused(psp.delegate(key="k" * 256), 400, "Idempotency-Key")


@pytest.mark.parametrize("kind", ["ed25519", "es256"])
def test_signatures_are_verified_when_present_and_can_be_required(tmp_path: Path, kind: str) -> None:
    """SIGN-04, SIGN-05."""
    key: Any = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    keys = {"agent_a": [pem.decode()]}
    with running(tmp_path, agent_keys=keys, require_signature=True) as psp:
        signer, now = RequestSigner(key), psp.clock.now / 1000
        signed = signer.headers(body(), now)
        assert psp.delegate(**signed).status_code == 201
        reordered = dict(reversed(body().items()))
        assert psp.delegate(reordered, **signed).status_code == 201, "the canonical form is what is signed"
        stale = signer.headers(body(), now - 301)
        for refused in (
            psp.delegate(),
            psp.delegate(Signature=signed["Signature"]),
            psp.delegate(body(metadata__x="1"), **signed),
            psp.delegate(token=OTHER_AGENT, **signed),
            psp.delegate(**stale),
            psp.delegate(Signature="AAAA", Timestamp=signed["Timestamp"]),
        ):
            assert refused.status_code == 401
            assert refused.json()["code"] == "invalid_signature"


def test_a_signature_that_cannot_be_verified_is_refused_even_where_none_is_required(psp: Psp) -> None:
    """SIGN-05."""
    signed = RequestSigner(ed25519.Ed25519PrivateKey.generate()).headers(body(), psp.clock.now / 1000)
    assert psp.delegate(**signed).status_code == 401


def test_a_rate_limit_answers_429_when_switched_on(tmp_path: Path) -> None:
    """DP-ERR-01, DP-ERR-03."""
    with running(tmp_path, rate_limit_per_minute=2) as psp:
        assert [psp.delegate().status_code for _ in range(2)] == [201, 201]
        refused = psp.delegate()
        assert_refused(refused, 429, code="too_many_requests")
        assert refused.json()["type"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) == 30
        assert psp.delegate(token=OTHER_AGENT).status_code == 201, "another agent has a limit of its own"
        psp.clock.advance(29)
        assert psp.delegate().status_code == 429
        psp.clock.advance(1)
        assert psp.delegate().status_code == 201


def test_unknown_paths_and_methods_get_flat_errors(psp: Psp) -> None:
    """ERR-01."""
    for response, status in ((psp.http.get("/nothing"), 404), (psp.http.get(DELEGATE), 405)):
        assert response.status_code == status
        assert set(response.json()) == {"type", "code", "message"}


def test_a_request_id_that_could_harm_a_header_is_not_repeated(psp: Psp) -> None:
    response = psp.http.post(
        DELEGATE, json=body(), headers={**agent_headers(AGENT), "Request-Id": "caf\u00e9".encode("latin-1")}
    )
    assert response.status_code == 201
    assert "request-id" not in response.headers


def test_the_service_says_that_it_is_alive(psp: Psp) -> None:
    assert psp.http.get("/healthz").json() == {"status": "ok"}
