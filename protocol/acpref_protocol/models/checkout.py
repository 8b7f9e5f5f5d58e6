"""The checkout session and the requests that create, change, complete and cancel it (CHK)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import Composed, DateTime, JsonObject, Model, Opt, Uri, number
from acpref_protocol.models.attribution import AffiliateAttribution
from acpref_protocol.models.capabilities import Capabilities
from acpref_protocol.models.common import (
    Buyer,
    Link,
    MarketingConsent,
    MarketingConsentOption,
    ProtocolVersion,
    RiskSignals,
    Total,
)
from acpref_protocol.models.discounts import DiscountsRequest, DiscountsResponse
from acpref_protocol.models.fulfillment import (
    FulfillmentDetails,
    FulfillmentGroup,
    FulfillmentOption,
    SelectedFulfillmentOption,
)
from acpref_protocol.models.line_item import LineItem, RequestItem
from acpref_protocol.models.messages import Message
from acpref_protocol.models.order import Order
from acpref_protocol.models.payment import AuthenticationMetadata, AuthenticationResult, PaymentData

OrderNotes = Annotated[str, Field(max_length=5000)]


class CheckoutSessionBase(Model):
    """A checkout session, whole and authoritative (CHK-STA-01 to CHK-STA-06)."""

    id: str
    """The seller's id of the session."""
    protocol: Opt[ProtocolVersion] = None
    """Version that this body speaks."""
    capabilities: Capabilities
    """What holds for this session."""
    buyer: Opt[Buyer] = None
    """Who buys."""
    status: Literal[
        "incomplete",
        "not_ready_for_payment",
        "requires_escalation",
        "authentication_required",
        "ready_for_payment",
        "pending_approval",
        "complete_in_progress",
        "completed",
        "canceled",
        "in_progress",
        "expired",
    ]
    """How far the purchase is (CHK-STA-06)."""
    currency: str
    """ISO 4217 code of every amount, in lower case (CHK-STA-09)."""
    presentment_currency: Opt[str] = None
    """Currency in which the buyer sees prices."""
    exchange_rate: Opt[Annotated[int | float, number()]] = None
    """Units of the presentment currency for one unit of the currency."""
    exchange_rate_timestamp: Opt[DateTime] = None
    """When the rate was fixed."""
    locale: Opt[str] = None
    """Language of the texts, as a BCP 47 tag."""
    timezone: Opt[str] = None
    """Time zone of the buyer."""
    line_items: list[LineItem]
    """What is bought."""
    fulfillment_details: Opt[FulfillmentDetails] = None
    """Where it goes."""
    fulfillment_options: list[FulfillmentOption]
    """How it can reach the buyer."""
    selected_fulfillment_options: Opt[list[SelectedFulfillmentOption]] = None
    """How it will."""
    fulfillment_groups: Opt[list[FulfillmentGroup]] = None
    """Lines that go to different places."""
    totals: list[Total]
    """What the purchase costs."""
    messages: list[Message]
    """What the agent and the buyer should know."""
    links: list[Link]
    """Pages of the seller."""
    authentication_metadata: Opt[AuthenticationMetadata] = None
    """What is needed to authenticate the buyer."""
    created_at: Opt[DateTime] = None
    """When the session began."""
    updated_at: Opt[DateTime] = None
    """When it last changed."""
    expires_at: Opt[DateTime] = None
    """When it ends (CHK-STA-08)."""
    continue_url: Opt[Uri] = None
    """Where the buyer can go on with the seller (CHK-STA-07)."""
    metadata: Opt[JsonObject] = None
    """Notes of the agent and the seller."""
    quote_id: Opt[str] = None
    """Quote on which the prices rest."""
    quote_expires_at: Opt[DateTime] = None
    """Until when the quote holds."""
    discounts: Opt[DiscountsResponse] = None
    """Discounts that apply and codes that were refused."""
    marketing_consent_options: Opt[list[MarketingConsentOption]] = None
    """Advertising that the buyer may agree to."""
    order: Opt[Order] = None
    """The order, once the session is completed."""


class CheckoutSession(Composed, CheckoutSessionBase):
    """What create, update, retrieve and cancel answer."""


class CheckoutSessionWithOrder(Composed, CheckoutSessionBase):
    """What a successful completion answers."""

    order: Order
    """The order that the session became."""


class CheckoutSessionCreateRequest(Model):
    """Opens a session (CHK-CRE-03)."""

    buyer: Opt[Buyer] = None
    """Who buys."""
    line_items: Annotated[list[RequestItem], Field(min_length=1)]
    """What is wanted."""
    currency: str
    """Currency in which the session is to be priced (CHK-STA-10)."""
    fulfillment_details: Opt[FulfillmentDetails] = None
    """Where it goes."""
    capabilities: Capabilities
    """What the agent can do (CAP-01)."""
    fulfillment_groups: Opt[list[FulfillmentGroup]] = None
    """Lines that go to different places."""
    affiliate_attribution: Opt[AffiliateAttribution] = None
    """Who led the buyer here."""
    coupons: Opt[list[str]] = None
    """Discount codes in the old form."""
    discounts: Opt[DiscountsRequest] = None
    """Discount codes."""
    locale: Opt[str] = None
    """Language that the buyer reads."""
    timezone: Opt[str] = None
    """Time zone of the buyer."""
    quote_id: Opt[str] = None
    """Quote that the prices should rest on."""
    metadata: Opt[JsonObject] = None
    """The agent's notes."""
    order_notes: Opt[OrderNotes] = None
    """The buyer's notes to the seller."""


class CheckoutSessionUpdateRequest(Model):
    """Changes a session; what is absent stays as it is (CHK-UPD-02)."""

    buyer: Opt[Buyer] = None
    """Who buys."""
    line_items: Opt[list[RequestItem]] = None
    """What is wanted, in full."""
    fulfillment_details: Opt[FulfillmentDetails] = None
    """Where it goes."""
    fulfillment_groups: Opt[list[FulfillmentGroup]] = None
    """Lines that go to different places."""
    selected_fulfillment_options: Opt[list[SelectedFulfillmentOption]] = None
    """How it should reach the buyer."""
    coupons: Opt[list[str]] = None
    """Discount codes in the old form."""
    discounts: Opt[DiscountsRequest] = None
    """Discount codes, in full."""
    order_notes: Opt[OrderNotes] = None
    """The buyer's notes to the seller."""


class CheckoutSessionCompleteRequest(Model):
    """Pays for a session and orders."""

    buyer: Opt[Buyer] = None
    """Who buys."""
    payment_data: PaymentData
    """How it is paid."""
    authentication_result: Opt[AuthenticationResult] = None
    """Outcome of the authentication that the session asked for."""
    affiliate_attribution: Opt[AffiliateAttribution] = None
    """Who led the buyer here."""
    risk_signals: Opt[RiskSignals] = None
    """What the agent observed."""
    marketing_consents: Opt[list[MarketingConsent]] = None
    """Advertising that the buyer agreed to."""
    order_notes: Opt[OrderNotes] = None
    """The buyer's notes to the seller."""
