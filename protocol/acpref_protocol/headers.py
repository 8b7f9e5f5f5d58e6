"""Names and syntax of the protocol's headers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from acpref_protocol import errors

API_VERSION = "API-Version"
AUTHORIZATION = "Authorization"
IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENT_REPLAYED = "Idempotent-Replayed"
REQUEST_ID = "Request-Id"
SIGNATURE = "Signature"
TIMESTAMP = "Timestamp"
MERCHANT_SIGNATURE = "Merchant-Signature"
RETRY_AFTER = "Retry-After"
ACCEPT_LANGUAGE = "Accept-Language"
USER_AGENT = "User-Agent"
CONTENT_TYPE = "Content-Type"
JSON = "application/json"

_ONCE = {
    name.lower().encode(): name
    for name in (
        AUTHORIZATION,
        API_VERSION,
        IDEMPOTENCY_KEY,
        REQUEST_ID,
        CONTENT_TYPE,
        SIGNATURE,
        TIMESTAMP,
        MERCHANT_SIGNATURE,
        "Host",
    )
}
_MAX_LENGTH = 255
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}\Z")
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*) *\Z")


def refuse_repeated(given: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise 400 when a header that says one thing comes more than once: others on the way may read the other one.

    ``given`` are the names, in small letters, and values of a request.
    """
    names = [name for name, _ in given]
    if len(set(names)) < len(names):
        for name in _ONCE.keys() & names:
            if names.count(name) > 1:
                raise errors.invalid_request(f"{_ONCE[name]} comes more than once.", param=_ONCE[name])


def idempotency_key(value: str | None) -> str:
    """The key of a POST: 1 to 255 printable ASCII characters, otherwise opaque (IDEM-02, IDEM-05).

    Raises ``idempotency_key_required`` when absent or empty, and ``invalid`` when over-long or not printable.
    """
    if not value:
        raise errors.idempotency_key_required()
    if not _PRINTABLE.match(value):
        raise errors.invalid_request(
            f"Idempotency-Key has 1 to {_MAX_LENGTH} printable ASCII characters.", param=IDEMPOTENCY_KEY
        )
    return value


def bearer_token(value: str | None) -> str:
    """The token of an Authorization header (AUTH-01, RFC 6750). Raises ``unauthorized`` for anything else."""
    match = _BEARER.match(value or "")
    if match is None:
        raise errors.unauthorized()
    return match[1]


def request_id(value: str | None) -> str | None:
    """The Request-Id to repeat in the answer (HTTP-08), or ``None`` when absent or unfit for a header or a
    log."""
    return value if value and _PRINTABLE.match(value) else None


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type means JSON (HTTP-05): ``application/json``, any parameters but a foreign
    charset."""
    media_type, _, parameters = (content_type or "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([\w-]+)", parameters, re.IGNORECASE)
    return media_type.strip().lower() == JSON and (charset is None or charset[1].lower() in {"utf-8", "utf8"})


def retry_after_seconds(value: str | None) -> int | None:
    """A Retry-After of whole seconds (IDEM-18), or ``None`` when absent or in another form."""
    return int(value) if value and re.fullmatch(r"[0-9]{1,9}", value.strip()) else None
