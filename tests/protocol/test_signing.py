"""Request and webhook signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from acpref_protocol import signing
from acpref_protocol.signing import NO_BODY, RequestSigner, RequestVerifier, SignatureError

NOW = 1_780_000_000
BODY = {"b": [1, True, None, "é"], "a": {"z": 1.0, "y": "x"}}
KEYS: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
}
SECRET = b"whsec_example"


@pytest.fixture(params=sorted(KEYS))
def signer(request: pytest.FixtureRequest) -> RequestSigner:
    return RequestSigner(KEYS[request.param])


def verifier(*, required: bool = True, bind_timestamp: bool = False) -> RequestVerifier:
    keys = [key.public_key() for key in KEYS.values()]
    return RequestVerifier({"agent": keys, "other": []}, required=required, bind_timestamp=bind_timestamp)


def test_a_signed_request_is_accepted_however_its_json_was_written(signer: RequestSigner) -> None:
    """SIGN-02, SIGN-03."""
    sent = signer.headers(BODY, NOW)
    rewritten = {"a": {"y": "x", "z": 1}, "b": [1, True, None, "é"]}
    assert verifier().verify("agent", rewritten, sent["Signature"], sent["Timestamp"], NOW) is True
    assert "=" not in sent["Signature"]
    assert len(base64.urlsafe_b64decode(sent["Signature"] + "==")) == 64
    assert sent["Timestamp"] == datetime.fromtimestamp(NOW, UTC).isoformat().replace("+00:00", "Z")


def test_a_request_without_body_signs_zero_bytes(signer: RequestSigner) -> None:
    """SIGN-06."""
    sent = signer.headers(NO_BODY, NOW)
    assert verifier().verify("agent", NO_BODY, sent["Signature"], sent["Timestamp"], NOW)
    with pytest.raises(SignatureError):
        verifier().verify("agent", None, sent["Signature"], sent["Timestamp"], NOW)


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_a_timestamp_up_to_300_seconds_away_is_accepted(signer: RequestSigner, offset: int) -> None:
    """SIGN-03."""
    sent = signer.headers(BODY, NOW)
    assert verifier().verify("agent", BODY, sent["Signature"], sent["Timestamp"], NOW + offset)


@pytest.mark.parametrize("offset", [-301, 300.5, 301, float("nan")])
def test_a_timestamp_further_away_is_refused(signer: RequestSigner, offset: float) -> None:
    """SIGN-03, SIGN-05."""
    sent = signer.headers(BODY, NOW)
    with pytest.raises(SignatureError, match="too far"):
        verifier().verify("agent", BODY, sent["Signature"], sent["Timestamp"], NOW + offset)


def test_another_body_another_agent_or_a_changed_signature_is_refused(signer: RequestSigner) -> None:
    """SIGN-03."""
    sent = signer.headers(BODY, NOW)
    signature, timestamp = sent["Signature"], sent["Timestamp"]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    padded = signature + "=="
    loose_end = signature[:-1] + chr(ord(signature[-1]) + 1)  # same bytes with unused bits set
    for agent, body, given_signature in [
        ("agent", {**BODY, "c": 1}, signature),
        ("other", BODY, signature),
        ("nobody", BODY, signature),
        ("agent", BODY, flipped),
        ("agent", BODY, padded),
        ("agent", BODY, loose_end),
        ("agent", BODY, ""),
        ("agent", BODY, "é"),
        ("agent", BODY, signature[:40]),
        ("agent", {"n": 2**60}, signature),
    ]:
        with pytest.raises(SignatureError) as refusal:
            verifier().verify(agent, body, given_signature, timestamp, NOW)
        assert (refusal.value.status, refusal.value.type) == (401, "invalid_request")
        assert refusal.value.code == "invalid_signature"


def test_an_es256_signature_in_der_is_refused() -> None:
    """SIGN-02."""
    key = KEYS["ES256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = key.sign(signing.canonical_json(BODY), ec.ECDSA(hashes.SHA256()))
    text = base64.urlsafe_b64encode(der).rstrip(b"=").decode()
    with pytest.raises(SignatureError):
        verifier().verify("agent", BODY, text, "2026-05-28T20:26:40Z", NOW)


def test_an_unsigned_request_passes_only_where_no_signature_is_required(signer: RequestSigner) -> None:
    """SIGN-04, SIGN-07."""
    assert verifier(required=False).verify("agent", BODY, None, None, NOW) is False
    with pytest.raises(SignatureError):
        verifier(required=True).verify("agent", BODY, None, None, NOW)
    with pytest.raises(SignatureError, match="Timestamp"):
        verifier(required=False).verify("agent", BODY, signer.headers(BODY, NOW)["Signature"], None, NOW)


def test_a_bound_timestamp_cannot_be_exchanged(signer: RequestSigner) -> None:
    """SIGN-02."""
    binding = RequestSigner(KEYS[signer.algorithm], bind_timestamp=True)
    sent = binding.headers(BODY, NOW)
    later = signer.headers(BODY, NOW + 10)["Timestamp"]
    bound = verifier(bind_timestamp=True)
    assert bound.verify("agent", BODY, sent["Signature"], sent["Timestamp"], NOW)
    with pytest.raises(SignatureError):
        bound.verify("agent", BODY, sent["Signature"], later, NOW)
    with pytest.raises(SignatureError):
        verifier().verify("agent", BODY, sent["Signature"], sent["Timestamp"], NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01t01:00:10.5+01:00", 10.5),
        ("1970-01-01T00:00:10", None),
        ("1970-01-01", None),
        ("1970-01-01 00:00:10Z", None),
        ("1970-02-30T00:00:10Z", None),
        ("10", None),
        ("1970-01-01T00:00:10Z\n", None),
    ],
)
def test_timestamps_are_rfc_3339_with_an_offset(text: str, seconds: float | None) -> None:
    """HTTP-12."""
    assert signing.parse_timestamp(text) == seconds


@pytest.mark.parametrize("name", sorted(KEYS))
def test_keys_are_read_from_pem(name: str) -> None:
    """SIGN-01."""
    private = KEYS[name].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = KEYS[name].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signer = RequestSigner.from_pem(private)
    sent = signer.headers(BODY, NOW)
    reader = RequestVerifier({"agent": [signing.load_public_key(pem)]})
    assert signer.algorithm == name
    assert reader.verify("agent", BODY, sent["Signature"], sent["Timestamp"], NOW)


def test_keys_of_other_kinds_are_refused() -> None:
    """SIGN-01."""
    other_curve = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(ValueError, match="P-256"):
        RequestSigner(other_curve)
    with pytest.raises(ValueError, match="P-256"):
        RequestVerifier({"agent": [other_curve.public_key()]})
    wrong = rsa.generate_private_key(65537, 2048)
    pem = wrong.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="neither"):
        RequestSigner.from_pem(pem)


def test_the_webhook_signature_is_hmac_sha256_of_time_full_stop_and_raw_body() -> None:
    """WH-04."""
    body = b'{"type":"order_create"}'
    expected = hmac.new(SECRET, b"1780000000." + body, hashlib.sha256).hexdigest()
    assert signing.sign_webhook(SECRET, body, NOW) == f"t=1780000000,v1={expected}"


@given(st.binary(max_size=200), st.integers(-300, 300))
def test_a_webhook_within_300_seconds_is_accepted(body: bytes, offset: int) -> None:
    """WH-10."""
    header = signing.sign_webhook(SECRET, body, NOW)
    assert signing.verify_webhook(SECRET, body, header, NOW + offset) == NOW
    upper = header.replace(header[-64:], header[-64:].upper())
    assert signing.verify_webhook(SECRET, body, upper, NOW + offset) == NOW


GOOD = signing.sign_webhook(SECRET, b"{}", NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        GOOD + ",",
        " " + GOOD,
        GOOD + "\n",
        GOOD.replace(",", ", "),
        GOOD.replace("t=", "T="),
        GOOD[:-1],
        GOOD + "0",
        GOOD[:-1] + "g",
        GOOD.replace("t=", "t=+"),
        GOOD.replace("t=", "t=0"),
        ",".join(reversed(GOOD.split(","))),
        GOOD + "," + GOOD.split(",")[1],
        "t=,v1=" + "0" * 64,
        "t=٣,v1=" + "0" * 64,
        f"t={NOW},v1=" + "0" * 64,
        f"t={NOW + 1},v1=" + GOOD[-64:],
    ],
)
def test_a_missing_malformed_or_wrong_signature_is_refused(header: str | None) -> None:
    """WH-09."""
    with pytest.raises(SignatureError) as refusal:
        signing.verify_webhook(SECRET, b"{}", header, NOW)
    assert (refusal.value.status, refusal.value.code) == (401, "invalid_signature")


@pytest.mark.parametrize("offset", [-301, 301, float("nan"), float("inf")])
def test_a_stale_or_future_webhook_is_refused(offset: float) -> None:
    """WH-09, WH-10."""
    with pytest.raises(SignatureError, match="too old"):
        signing.verify_webhook(SECRET, b"{}", GOOD, NOW + offset)


def test_another_body_or_secret_is_refused_and_an_empty_secret_is_a_mistake() -> None:
    """WH-09."""
    with pytest.raises(SignatureError):
        signing.verify_webhook(SECRET, b"{} ", GOOD, NOW)
    with pytest.raises(SignatureError):
        signing.verify_webhook(b"other", b"{}", GOOD, NOW)
    with pytest.raises(ValueError, match="empty"):
        signing.verify_webhook(b"", b"{}", GOOD, NOW)
