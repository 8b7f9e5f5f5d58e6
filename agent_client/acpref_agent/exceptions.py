"""What can go wrong for a buying agent, as one tree.

AcprefError
├── TransportError              no whole answer came back; the operation may or may not have happened
├── ProtocolViolation           the answer is not one that the protocol allows
├── ApiError                    the server answered with an error
│   ├── InvalidRequest          any other 4xx
│   ├── Unauthorized            401, 403
│   ├── NotFound                404
│   ├── IdempotencyConflict     422 idempotency_conflict: the key was used for another request
│   ├── InFlight                409 idempotency_in_flight: the first try is still running
│   ├── RateLimited             429
│   └── ServerError             5xx
├── PurchaseRefused             this side refused to go on, to protect the buyer
│   ├── TotalsMismatch          the amounts do not add up
│   ├── CurrencyChanged         the currency is not the one that was agreed
│   ├── AmountExceeded          the total is higher than what was authorised
│   ├── NotPurchasable          no such item, no way to deliver or to pay, or not ready
│   └── PaymentDeclined         the seller could not charge the payment method
└── WebhookRefused              a delivery was not accepted
    ├── WebhookSignatureInvalid
    ├── WebhookPayloadInvalid
    └── WebhookTooLarge
"""

# The names say what happened; an Error at the end of each would not say more.
# ruff: noqa: N818

from __future__ import annotations

from typing import Any

from acpref_protocol.errors import ProtocolError


class AcprefError(Exception):
    """Anything that this package raises on purpose.

    ``idempotency_key`` is the key under which the failed operation was sent, if any: give the same key and
    the same request again to find out how it ended, without a risk of doing it twice.
    """

    idempotency_key: str | None = None


class TransportError(AcprefError):
    """No whole answer came back. ``retryable`` is false for what cannot work the next time either."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class ProtocolViolation(AcprefError):
    """The server answered something that the protocol does not allow.

    ``status`` is the HTTP status, if known. ``complaint`` is what is wrong with the document and where, if that is it.
    """

    def __init__(
        self, message: str, *, status: int | None = None, complaint: ProtocolError | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.complaint = complaint


class ApiError(AcprefError):
    """The server answered with an error (ERR-01).

    ``retry_after`` is in seconds; ``param`` names the member or header at fault; ``request_id`` is for the
    server's support.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the wire name
        code: str,
        message: str,
        *,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """The server refused the request; sending it again changes nothing."""


class Unauthorized(ApiError):
    """The token is not accepted, or not for this."""


class NotFound(ApiError):
    """There is nothing under this id or address."""


class IdempotencyConflict(ApiError):
    """The idempotency key was used with another request (IDEM-15, IDEM-19)."""


class InFlight(ApiError):
    """The first request under this key is still running, and stayed so for all tries (IDEM-17)."""


class RateLimited(ApiError):
    """Too many requests; come back after ``retry_after`` seconds."""


class ServerError(ApiError):
    """The server failed, and went on failing for all tries."""


class PurchaseRefused(AcprefError):
    """This side refused to go on, to protect the buyer."""


class TotalsMismatch(PurchaseRefused):
    """The amounts of a session do not add up (CHK-TOT-03)."""


class CurrencyChanged(PurchaseRefused):
    """A session is priced in ``actual`` instead of ``expected``."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"the session is in {actual!r}, not in {expected!r}")
        self.expected = expected
        self.actual = actual


class AmountExceeded(PurchaseRefused):
    """A session costs ``total``, more than the ``limit`` that was authorised (minor units of
    ``currency``)."""

    def __init__(self, total: int, limit: int, currency: str) -> None:
        super().__init__(
            f"the session costs {total}, more than the authorised {limit} (minor units of {currency})"
        )
        self.total = total
        self.limit = limit
        self.currency = currency


class NotPurchasable(PurchaseRefused):
    """There is no such item, no way to deliver or to pay, or the session does not get ready for payment."""


class PaymentDeclined(PurchaseRefused):
    """The seller could not charge the payment method; the session can be paid for in another way."""


class WebhookRefused(AcprefError):
    """A delivery was not accepted. ``error`` is what to answer (WH-09, WH-11)."""

    def __init__(self, error: ProtocolError) -> None:
        super().__init__(error.message)
        self.error = error

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.error.status

    def body(self) -> dict[str, Any]:
        """Flat body of the answer."""
        return self.error.body()


class WebhookSignatureInvalid(WebhookRefused):
    """The signature is missing, malformed, stale or wrong: 401 (WH-09)."""


class WebhookPayloadInvalid(WebhookRefused):
    """The signature is right, but the body is not an event: 400 (WH-11)."""


class WebhookTooLarge(WebhookRefused):
    """The body is longer than is accepted: 413."""
