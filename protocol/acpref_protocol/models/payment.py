"""What the agent presents to pay with, and the outcome of authenticating the buyer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from acpref_protocol.base import DateTime, Inline, Model, OpenModel, Opt, enumeration
from acpref_protocol.models.common import Address


class _Secretive(OpenModel):
    """An open object whose extra members never appear in ``repr``: they may be card data."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        declared = type(self).model_fields
        return ((name, value) for name, value in super().__repr_args__() if name in declared)


class PaymentCredential(Inline, _Secretive):
    """The secret that authorises the payment; handlers may add members (PAY-17, PAY-18)."""

    type: str
    """Kind of credential."""
    token: str = Field(repr=False)
    """The secret itself."""


class PaymentInstrument(Inline, _Secretive):
    """What is paid with; handlers may add members (PAY-13)."""

    type: str
    """Kind of instrument."""
    credential: PaymentCredential
    """The secret that goes with it."""


class PaymentData(Model):
    """How the purchase is paid: an instrument for one of the seller's handlers, or a purchase order (PAY-12)."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["handler_id", "instrument"]}, {"required": ["purchase_order_number"]}]
        }
    )

    handler_id: Opt[str] = None
    """Id of a handler that the session offers (PAY-14)."""
    instrument: Opt[PaymentInstrument] = None
    """Instrument for that handler."""
    billing_address: Opt[Address] = None
    """Address that belongs to the instrument."""
    purchase_order_number: Opt[str] = None
    """The buyer's purchase order."""
    payment_terms: Opt[Literal["immediate", "net_15", "net_30", "net_60", "net_90"]] = None
    """When a purchase order is paid (PAY-19)."""
    due_date: Opt[DateTime] = None
    """Latest time of payment."""
    approval_required: Opt[bool] = None
    """Whether somebody at the buyer must approve first."""

    @model_validator(mode="after")
    def _pays_somehow(self) -> Self:
        if (self.handler_id is None or self.instrument is None) and self.purchase_order_number is None:
            raise PydanticCustomError(
                "missing_alternative",
                "Either handler_id with instrument, or purchase_order_number, is required",
            )
        return self


class AcquirerDetails(Inline, Model):
    """The merchant as the card networks know it."""

    acquirer_bin: Annotated[str, Field(max_length=11)]
    """Bank identification number of the acquirer."""
    acquirer_country: Annotated[str, Field(min_length=2, max_length=2)]
    """Country of the acquirer."""
    acquirer_merchant_id: Annotated[str, Field(max_length=35)]
    """The acquirer's id of the merchant."""
    merchant_name: Annotated[str, Field(max_length=40)]
    """Name of the merchant."""
    requestor_id: Opt[Annotated[str, Field(max_length=35)]] = None
    """Id of the merchant with the directory server."""


class ChallengePreference(Inline, Model):
    """How strongly a challenge is wanted."""

    type: Opt[Literal["mandated", "preferred"]] = None
    """Strength of the wish."""


class FrictionlessPreference(Inline, Model):
    """Why no challenge is wanted."""

    type: Opt[Annotated[Literal["low_risk"], enumeration("low_risk")]] = None
    """Reason."""


class AuthenticationFlowPreference(Inline, Model):
    """Whether the seller wants the buyer to be challenged."""

    type: Literal["challenge", "frictionless"]
    """Which way is preferred."""
    challenge: Opt[ChallengePreference] = None
    """Details for a challenge."""
    frictionless: Opt[FrictionlessPreference] = None
    """Details for going without one."""


class AuthenticationMetadata(OpenModel):
    """What the agent needs from the seller to have the buyer authenticated by 3-D Secure."""

    acquirer_details: AcquirerDetails
    """The merchant at the card networks."""
    directory_server: Literal["american_express", "mastercard", "visa"]
    """Card network that authenticates."""
    flow_preference: Opt[AuthenticationFlowPreference] = None
    """Whether a challenge is wanted."""


class AuthenticationOutcomeDetails(Inline, Model):
    """Proof of the authentication, to be passed on with the payment."""

    three_ds_cryptogram: str = Field(repr=False)
    """Cryptogram of the issuer."""
    electronic_commerce_indicator: Literal["01", "02", "05", "06", "07"]
    """Who bears the liability."""
    transaction_id: str
    """Id of the authentication at the directory server."""
    version: str
    """Version of 3-D Secure."""


_PROVEN = ("authenticated", "informational", "attempt_acknowledged")


class AuthenticationResult(Model):
    """How the authentication of the buyer ended; three outcomes come with proof."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"outcome": {"enum": list(_PROVEN)}}},
                    "then": {"required": ["outcome_details"]},
                }
            ]
        }
    )

    outcome: Literal[
        "abandoned",
        "attempt_acknowledged",
        "authenticated",
        "canceled",
        "denied",
        "informational",
        "internal_error",
        "not_supported",
        "processing_error",
        "rejected",
    ]
    """How it ended."""
    outcome_details: Opt[AuthenticationOutcomeDetails] = None
    """Proof; required for authenticated, informational and attempt_acknowledged."""

    @model_validator(mode="after")
    def _proof_is_given(self) -> Self:
        if self.outcome_details is None and self.outcome in _PROVEN:
            raise PydanticCustomError(
                "missing_outcome_details",
                "outcome_details is required for the outcome {outcome}",
                {"outcome": self.outcome},
            )
        return self
