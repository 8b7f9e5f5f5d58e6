"""Signatures: of agents over their requests (SIGN-01 to SIGN-07), and of merchants over webhooks (WH-04,
WH-09).

Request signatures are detached: the agent signs the RFC 8785 form of the body's JSON with Ed25519 or ES256
and sends the result, base64url without padding, as ``Signature`` beside an RFC 3339 ``Timestamp``. An ES256
signature is the 64 bytes ``r || s``, as in JOSE. A request without a body signs zero bytes. Whether the
timestamp is part of what is signed is unspecified; it is not, unless both sides bind it, and then
``<timestamp>.<canonical body>`` is signed.

Webhook signatures are HMAC-SHA256 under a shared secret over ``<unix seconds>.<raw body>``.

Times are seconds since 1970-01-01 UTC. Every refusal is a ``SignatureError``, which answers 401
``invalid_signature``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from acpref_protocol import headers
from acpref_protocol.errors import ProtocolError

TOLERANCE_SECONDS: Final = 300
"""How far a timestamp may be from now, inclusive (WH-10; reused for requests, SIGN-03)."""

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_Key = TypeVar("_Key", bound=PrivateKey | PublicKey)


class _NoBody:
    """The body of a request that has none."""


NO_BODY: Final = _NoBody()
"""Pass as the body of a request that has none; ``None`` is the JSON value null."""


class SignatureError(ProtocolError):
    """A signature is missing, malformed, stale or wrong: 401, code ``invalid_signature``."""

    def __init__(self, message: str) -> None:
        super().__init__(401, "invalid_request", "invalid_signature", message)


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value.

    Raises ValueError for what that form cannot hold (integers over 2**53).
    """
    return rfc8785.dumps(value)


# --- requests ---------------------------------------------------------------------------------------------


class RequestSigner:
    """Signs an agent's requests with one private key (SIGN-02, SIGN-04).

    The key is Ed25519 or on the curve P-256; the latter signs ES256. ``bind_timestamp`` must match the
    verifier's.
    """

    def __init__(self, key: PrivateKey, *, bind_timestamp: bool = False) -> None:
        self._key = _checked(key)
        self._bind_timestamp = bind_timestamp

    @classmethod
    def from_pem(cls, pem: bytes, *, bind_timestamp: bool = False) -> RequestSigner:
        """A signer with the PKCS #8 key in ``pem``. Raises ValueError for any other kind of key."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("the key is neither Ed25519 nor on P-256")
        return cls(key, bind_timestamp=bind_timestamp)

    @property
    def algorithm(self) -> str:
        """``Ed25519`` or ``ES256``."""
        return "Ed25519" if isinstance(self._key, ed25519.Ed25519PrivateKey) else "ES256"

    def headers(self, body: Any, now: float) -> dict[str, str]:
        """The ``Timestamp`` and ``Signature`` headers for ``body``, a JSON value or ``NO_BODY``."""
        timestamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = self._sign(_signed_bytes(body, timestamp if self._bind_timestamp else None))
        return {headers.TIMESTAMP: timestamp, headers.SIGNATURE: _base64url(signature)}

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        r, s = utils.decode_dss_signature(self._key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class RequestVerifier:
    """Verifies agents' requests against the public keys that each agent registered (SIGN-03, SIGN-05,
    SIGN-07).

    ``keys`` maps an agent's id to its keys; any of them may have signed, so that an agent can change its
    key without a gap. With ``required=False`` an unsigned request passes, but a signature that is present
    must be right.
    """

    def __init__(
        self, keys: Mapping[str, Iterable[PublicKey]], *, required: bool = False, bind_timestamp: bool = False
    ) -> None:
        self._keys = {agent: tuple(_checked(key) for key in agent_keys) for agent, agent_keys in keys.items()}
        self._required = required
        self._bind_timestamp = bind_timestamp

    def verify(self, agent: str, body: Any, signature: str | None, timestamp: str | None, now: float) -> bool:
        """Check the ``Signature`` and ``Timestamp`` headers of a request of ``agent`` with ``body``.

        ``body`` is the parsed JSON, or ``NO_BODY``. Returns whether the request was signed; raises
        SignatureError when it was signed wrongly, or not at all where a signature is required.
        """
        if signature is None:
            if self._required:
                raise SignatureError("Requests carry a Signature header.")
            return False
        if timestamp is None:
            raise SignatureError("A signed request carries a Timestamp header.")
        sent = parse_timestamp(timestamp)
        if sent is None:
            raise SignatureError("Timestamp is not an RFC 3339 date-time.")
        if not abs(now - sent) <= TOLERANCE_SECONDS:
            raise SignatureError("Timestamp is too far from the present.")
        given = _from_base64url(signature)
        try:
            data = _signed_bytes(body, timestamp if self._bind_timestamp else None)
        except ValueError:
            raise SignatureError("The body has no canonical form.") from None
        if given is None or not any(_is_signature(key, given, data) for key in self._keys.get(agent, ())):
            raise SignatureError("Signature does not match the request.")
        return True


def load_public_key(pem: bytes) -> PublicKey:
    """The Ed25519 or P-256 public key in ``pem`` (SubjectPublicKeyInfo). Raises ValueError for any other."""
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise ValueError("the key is neither Ed25519 nor on P-256")
    return _checked(key)


def parse_timestamp(text: str) -> float | None:
    """Seconds since 1970 of an RFC 3339 date-time with offset (HTTP-12), or ``None`` for any other text."""
    if not _DATE_TIME.match(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)


def _checked(key: _Key) -> _Key:
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and not isinstance(
        key.curve, ec.SECP256R1
    ):
        raise ValueError("an ES256 key is on the curve P-256")
    return key


def _signed_bytes(body: Any, bound_timestamp: str | None) -> bytes:
    data = b"" if body is NO_BODY else canonical_json(body)
    return data if bound_timestamp is None else bound_timestamp.encode("ascii") + b"." + data


def _is_signature(key: PublicKey, signature: bytes, data: bytes) -> bool:
    if len(signature) != 64:  # both algorithms; a DER-encoded ECDSA signature is refused
        return False
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        else:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _from_base64url(text: str) -> bytes | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    # One signature, one text: unused bits of the last character are zero.
    return data if _base64url(data) == text else None


# --- webhooks ---------------------------------------------------------------------------------------------

_MERCHANT_SIGNATURE = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-fA-F]{64})\Z")


def sign_webhook(secret: bytes, body: bytes, timestamp: int) -> str:
    """The ``Merchant-Signature`` of ``body`` sent at ``timestamp`` (WH-04).

    Make a new one for each attempt.
    """
    return f"t={timestamp},v1={_hmac(secret, str(timestamp), body)}"


def verify_webhook(
    secret: bytes, body: bytes, header: str | None, now: float, tolerance: int = TOLERANCE_SECONDS
) -> int:
    """Check a ``Merchant-Signature`` header against the raw ``body`` (WH-09, WH-10); returns its timestamp.

    Raises SignatureError when the header is missing, malformed, further than ``tolerance`` seconds from
    ``now``, or made with another secret or over another body.
    """
    if header is None:
        raise SignatureError("The Merchant-Signature header is missing.")
    match = _MERCHANT_SIGNATURE.match(header)
    if match is None:
        raise SignatureError("Merchant-Signature has the form t=<unix seconds>,v1=<64 hex digits>.")
    # The signature comes first, so that only who knows the secret learns anything from the other answer.
    if not hmac.compare_digest(_hmac(secret, match[1], body), match[2].lower()):
        raise SignatureError("Merchant-Signature does not match the body.")
    timestamp = int(match[1])
    if not abs(now - timestamp) <= tolerance:
        raise SignatureError("Merchant-Signature is too old or from the future.")
    return timestamp


def _hmac(secret: bytes, timestamp: str, body: bytes) -> str:
    if not secret:
        raise ValueError("the webhook secret is empty")
    return hmac.new(secret, timestamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()
