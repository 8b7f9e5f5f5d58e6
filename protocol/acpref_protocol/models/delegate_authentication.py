"""Delegate authentication: the agent has the buyer authenticated by 3-D Secure before it pays (DA).

The published names ``AuthenticationResult``, ``Action`` and others carry the prefix ``ThreeDs`` here, because checkout
uses some of them for other types.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from acpref_protocol.base import Composed, Email, FeedCurrency, Inline, Model, Opt, Uri, enumeration
from acpref_protocol.models.delegate_payment import BillingAddress
from acpref_protocol.models.payment import AcquirerDetails, ChallengePreference


class ThreeDsPaymentMethod(Model):
    """The card to authenticate. Its number appears in no ``repr``."""

    type: Annotated[Literal["card"], enumeration("card")]
    """Kind of payment method; the only one so far."""
    number: str = Field(repr=False)
    """Card number."""
    exp_month: Annotated[str, Field(max_length=2)]
    """Month of expiry."""
    exp_year: Annotated[str, Field(max_length=4)]
    """Year of expiry."""
    name: str
    """Name on the card."""


class ThreeDsAmount(Model):
    """What is to be paid."""

    value: int
    """Minor units."""
    currency: FeedCurrency
    """ISO 4217 code in upper case."""


_OF_SCRIPTED_BROWSERS = ("color_depth", "java_enabled", "screen_height", "screen_width", "timezone_offset")


class BrowserInfo(Model):
    """The buyer's browser; one that runs scripts tells its display too."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "if": {"properties": {"javascript_enabled": {"const": True}}},
                    "then": {"required": list(_OF_SCRIPTED_BROWSERS)},
                }
            ]
        }
    )

    accept_header: str
    """Content types that it takes."""
    ip_address: Annotated[str, Field(max_length=45)]
    """Address from which it connects."""
    javascript_enabled: bool
    """Whether it runs scripts."""
    language: Annotated[str, Field(max_length=35)]
    """Language, as a BCP 47 tag."""
    user_agent: str
    """Name and version."""
    color_depth: Opt[int] = None
    """Bits of a pixel."""
    java_enabled: Opt[bool] = None
    """Whether it runs Java."""
    screen_height: Opt[int] = None
    """Pixels down."""
    screen_width: Opt[int] = None
    """Pixels across."""
    timezone_offset: Opt[int] = None
    """Minutes from local time to UTC."""

    @model_validator(mode="after")
    def _tells_its_display(self) -> Self:
        if self.javascript_enabled and any(getattr(self, name) is None for name in _OF_SCRIPTED_BROWSERS):
            raise PydanticCustomError(
                "missing_display", "A browser that runs scripts needs the members about its display"
            )
        return self


class ThreeDsChannel(Model):
    """How the buyer reaches the agent."""

    type: Annotated[Literal["browser"], enumeration("browser")]
    """Kind of channel; the only one so far."""
    browser: BrowserInfo
    """The browser."""


class ThreeDsFrictionlessPreference(Inline, Model):
    """Nothing more is said about going without a challenge."""


class ThreeDsFlowPreference(Model):
    """Whether the buyer should be challenged."""

    type: Literal["challenge", "frictionless"]
    """Which way is preferred."""
    challenge: Opt[ChallengePreference] = None
    """Details for a challenge."""
    frictionless: Opt[ThreeDsFrictionlessPreference] = None
    """Details for going without one."""


class ShopperDetails(Model):
    """The buyer."""

    name: Opt[str] = None
    """Name."""
    email: Opt[Email] = None
    """Email address."""
    phone_number: Opt[str] = None
    """Phone number."""
    address: Opt[BillingAddress] = None
    """Postal address."""


class FingerprintAction(Model):
    """The issuer wants to recognise the browser."""

    three_ds_method_url: Uri
    """Page to load out of sight."""
    three_ds_server_trans_id: str
    """Id of the authentication at the server."""


class ChallengeAction(Model):
    """The issuer wants to ask the buyer."""

    acs_url: Uri
    """Page to show."""
    acs_trans_id: str
    """Id of the authentication at the issuer."""
    three_ds_server_trans_id: str
    """Id of the authentication at the server."""
    message_version: str
    """Version of 3-D Secure."""


class ThreeDsAction(Model):
    """What the agent must do next; the member named like the type says how."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"properties": {"type": {"const": kind}}, "required": [kind]}
                for kind in ("fingerprint", "challenge")
            ]
        }
    )

    type: Literal["fingerprint", "challenge"]
    """Kind of action."""
    fingerprint: Opt[FingerprintAction] = None
    """How to have the browser recognised."""
    challenge: Opt[ChallengeAction] = None
    """How to have the buyer asked."""

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if (self.fingerprint if self.type == "fingerprint" else self.challenge) is None:
            raise PydanticCustomError("missing_action", "The member named like the type is required")
        return self


class ThreeDsResult(Model):
    """How the authentication ended."""

    trans_status: str
    """Status letter of 3-D Secure."""
    electronic_commerce_indicator: Opt[str] = None
    """Who bears the liability."""
    three_ds_cryptogram: Opt[str] = Field(default=None, repr=False)
    """Cryptogram of the issuer."""
    transaction_id: str
    """Id at the directory server."""
    three_ds_server_trans_id: str
    """Id at the server."""
    version: str
    """Version of 3-D Secure."""
    authentication_value: Opt[str] = Field(default=None, repr=False)
    """The cryptogram under its older name."""
    trans_status_reason: Opt[str] = None
    """Reason for the status."""
    cardholder_info: Opt[str] = None
    """Text of the issuer for the buyer."""


class DelegateAuthenticationCreateRequest(Model):
    """Begins an authentication."""

    merchant_id: str
    """Merchant that is to be paid."""
    acquirer_details: Opt[AcquirerDetails] = None
    """The merchant at the card networks."""
    payment_method: ThreeDsPaymentMethod
    """Card."""
    amount: ThreeDsAmount
    """What is to be paid."""
    channel: Opt[ThreeDsChannel] = None
    """How the buyer reaches the agent."""
    checkout_session_id: Opt[str] = None
    """Session that is to be paid."""
    flow_preference: Opt[ThreeDsFlowPreference] = None
    """Whether the buyer should be challenged."""
    challenge_notification_url: Opt[Uri] = None
    """Where the outcome of a challenge is posted."""
    shopper_details: Opt[ShopperDetails] = None
    """The buyer."""


class DelegateAuthenticationAuthenticateRequest(Model):
    """Goes on with an authentication after the fingerprint."""

    fingerprint_completion: Literal["Y", "N", "U"]
    """Whether the fingerprint was taken: yes, no, unavailable."""
    channel: Opt[ThreeDsChannel] = None
    """How the buyer reaches the agent."""
    checkout_session_id: Opt[str] = None
    """Session that is to be paid."""
    challenge_notification_url: Opt[Uri] = None
    """Where the outcome of a challenge is posted."""
    shopper_details: Opt[ShopperDetails] = None
    """The buyer."""


class DelegateAuthenticationSessionBase(Model):
    """An authentication on its way."""

    authentication_session_id: str
    """Id of the authentication."""
    status: Literal[
        "action_required",
        "pending",
        "not_supported",
        "authenticated",
        "attempted",
        "not_authenticated",
        "rejected",
        "unavailable",
        "expired",
        "challenge_abandoned",
    ]
    """How far it is."""
    action: Opt[ThreeDsAction] = None
    """What the agent must do next."""
    authentication_result: Opt[ThreeDsResult] = None
    """How it ended. The published base type forgets it and so forbids what the type with a result adds (DA-GET-01)."""


class DelegateAuthenticationError(Model):
    """Why an authentication was refused."""

    type: Literal["invalid_request", "rate_limit_exceeded", "processing_error", "service_unavailable"]
    """Kind of error."""
    code: Literal["invalid_card", "duplicate_request", "idempotency_conflict"]
    """The error itself."""
    message: str
    """Explanation for a person."""
    param: Opt[str] = None
    """JSONPath of the member that is at fault."""


class DelegateAuthenticationSession(Composed, DelegateAuthenticationSessionBase):
    """What create and authenticate answer (DA-CRE-01, DA-AUT-01)."""


class DelegateAuthenticationSessionWithResult(Composed, DelegateAuthenticationSessionBase):
    """What retrieving answers (DA-GET-01)."""

    authentication_result: Opt[ThreeDsResult] = None
    """How it ended, once it has."""
