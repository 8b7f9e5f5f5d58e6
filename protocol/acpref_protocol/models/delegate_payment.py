"""Delegate payment: a card goes in, a token with an allowance comes out (DP)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import Currency, Date, DateTime, Model, Opt, enumeration


class BillingAddress(Model):
    """Address of the card's owner, with the lengths that card networks take (DP-REQ-11)."""

    name: Annotated[str, Field(max_length=256)]
    """Owner of the card."""
    line_one: Annotated[str, Field(max_length=60)]
    """Street and number."""
    line_two: Opt[Annotated[str, Field(max_length=60)]] = None
    """Apartment, floor or the like."""
    city: Annotated[str, Field(max_length=60)]
    """City or town."""
    state: str
    """State, province or region."""
    country: Annotated[str, Field(min_length=2, max_length=2)]
    """ISO 3166-1 alpha-2 code."""
    postal_code: Annotated[str, Field(max_length=20)]
    """Postal or ZIP code."""


class PaymentMethodCard(Model):
    """A card. Its number, cryptogram and security code appear in no ``repr`` (DP-REQ-05 to DP-REQ-09)."""

    type: Literal["card"]
    """Kind of credential; the only one so far."""
    card_number_type: Literal["fpan", "network_token"]
    """Whether the number is the card's own or a network's token for it."""
    number: str = Field(repr=False)
    """Card number."""
    exp_month: Opt[Annotated[str, Field(max_length=2)]] = None
    """Month of expiry, 01 to 12."""
    exp_year: Opt[Annotated[str, Field(max_length=4)]] = None
    """Year of expiry, four digits."""
    name: Opt[str] = None
    """Name on the card."""
    cvc: Opt[Annotated[str, Field(max_length=4)]] = Field(default=None, repr=False)
    """Security code; never stored."""
    cryptogram: Opt[str] = Field(default=None, repr=False)
    """Cryptogram that goes with a network token."""
    eci_value: Opt[Annotated[str, Field(max_length=2)]] = None
    """Electronic commerce indicator."""
    checks_performed: Opt[list[Literal["avs", "cvv", "ani", "auth0"]]] = None
    """Checks that the agent has already made."""
    iin: Opt[Annotated[str, Field(max_length=8)]] = None
    """First digits, which tell the issuer."""
    display_card_funding_type: Literal["credit", "debit", "prepaid"]
    """How the card is funded."""
    display_wallet_type: Opt[str] = None
    """Wallet from which it came."""
    display_brand: Opt[str] = None
    """Brand to show."""
    display_last4: Opt[Annotated[str, Field(min_length=4, max_length=4, pattern="^[0-9]{4}$")]] = None
    """Last four digits, to show."""
    metadata: dict[str, str]
    """Notes."""
    virtual: Opt[bool] = None
    """Whether the card was issued for one use."""


class Allowance(Model):
    """What the token may be used for (DP-REQ-10, DP-TOK-01)."""

    reason: Annotated[Literal["one_time"], enumeration("one_time")]
    """How often it pays."""
    max_amount: int
    """Most that may be charged, in minor units."""
    currency: Currency
    """Currency of the amount."""
    checkout_session_id: str
    """The only session that may use it."""
    merchant_id: Annotated[str, Field(max_length=256)]
    """The only merchant that may use it."""
    expires_at: DateTime
    """From when it is worthless (DP-TOK-02)."""


class RiskSignal(Model):
    """One result of the agent's own fraud checks (DP-REQ-04)."""

    type: Annotated[Literal["card_testing"], enumeration("card_testing")]
    """What was checked."""
    score: int
    """Result."""
    action: Literal["blocked", "manual_review", "authorized"]
    """What the agent made of it."""


class DelegatePaymentRequest(Model):
    """Asks the payment provider for a token (DP-REQ-02)."""

    payment_method: PaymentMethodCard
    """Card to put away."""
    allowance: Allowance
    """Limits of the token."""
    billing_address: Opt[BillingAddress] = None
    """Address of the card's owner."""
    risk_signals: list[RiskSignal]
    """The agent's fraud checks."""
    metadata: dict[str, str]
    """Notes, returned with the token."""


class DelegatePaymentResponse(Model):
    """The token (DP-RES-01)."""

    id: str
    """The token itself."""
    created: DateTime
    """When it was made."""
    metadata: dict[str, str]
    """Notes of the request and of the provider (DP-RES-02)."""


class DelegatePaymentError(Model):
    """Why no token was given (DP-ERR-02, DP-ERR-03)."""

    type: Literal["invalid_request", "rate_limit_exceeded", "processing_error", "service_unavailable"]
    """Kind of error."""
    code: Literal[
        "invalid_card",
        "duplicate_request",
        "idempotency_conflict",
        "too_many_requests",
        "idempotency_key_required",
        "idempotency_in_flight",
    ]
    """The error itself."""
    message: str
    """Explanation for a person."""
    param: Opt[str] = None
    """JSONPath of the member that is at fault."""
    supported_versions: Opt[list[Date]] = None
    """Versions that are spoken here, if the version was at fault."""
