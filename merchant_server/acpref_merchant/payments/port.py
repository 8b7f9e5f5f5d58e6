"""The port through which the merchant moves money: four calls, each safe to repeat under the same key.

Amounts are minor units of ``currency``. Every call carries an idempotency key derived from the recorded payment, so
that repeating a call after a crash returns the first outcome instead of moving money twice (decision 7 of the design).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """An authorisation against a delegated token.

    ``idempotency_key`` identifies this attempt for good; ``capture`` also takes the money in the same call.
    """

    idempotency_key: str
    token: str
    amount: int
    currency: str
    merchant_id: str
    checkout_session_id: str
    capture: bool


@dataclass(frozen=True, slots=True)
class Authorized:
    """The provider holds (or, with ``captured``, has taken) the money under ``provider_payment_id``."""

    provider_payment_id: str
    captured: bool


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider refused for good. ``reason`` is for the operator; buyers get generic words.

    ``allowance_violation`` is true when the token does not permit this charge at all (wrong merchant, session,
    currency, amount, expired or used), as opposed to an issuer's refusal.
    """

    code: str
    reason: str
    allowance_violation: bool = False
    requires_3ds: bool = False


class ProviderUnavailable(Exception):  # noqa: N818 - an outcome of the port, not a defect
    """The outcome is unknown: the provider was unreachable, slow or failed. Repeat with the same key."""


class PaymentProvider(Protocol):
    """What a payment service must offer to be the merchant's provider."""

    name: str

    async def authorize(self, charge: ChargeRequest) -> Authorized | Declined:
        """Authorise (and with ``charge.capture`` capture). Raises ProviderUnavailable when the outcome is unknown."""
        ...

    async def capture(
        self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str
    ) -> None:
        """Take the authorised money. Raises ProviderUnavailable, or ProviderRefused when it cannot be taken."""
        ...

    async def void(self, provider_payment_id: str, idempotency_key: str) -> None:
        """Release an authorisation that was not captured."""
        ...

    async def refund(self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str) -> str:
        """Give money back; returns the provider's refund id."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class ProviderRefused(Exception):  # noqa: N818 - an outcome of the port, not a defect
    """The provider refused a capture, void or refund for good; ``code`` says why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
