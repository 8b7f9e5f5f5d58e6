"""Types that several areas of the protocol share: people, places, amounts and links."""

from __future__ import annotations

from typing import Annotated, Literal

from acpref_protocol.base import Date, DateTime, Email, Model, Opt, Uri, enumeration, number

TotalType = Literal[
    "items_base_amount",
    "items_discount",
    "subtotal",
    "discount",
    "fulfillment",
    "tax",
    "fee",
    "gift_wrap",
    "tip",
    "store_credit",
    "total",
    "amount_refunded",
]
"""What a totals entry stands for (CHK-TOT-02); ``amount_refunded`` belongs on orders."""


class Address(Model):
    """A postal address (CHK-ADR-01). Where a country has no states or postal codes, the text is empty."""

    name: str
    """Who receives what is sent here."""
    line_one: str
    """Street and number."""
    line_two: Opt[str] = None
    """Apartment, floor or the like."""
    city: str
    """City or town."""
    state: str
    """State, province or region."""
    country: str
    """Country, best as an ISO 3166-1 alpha-2 code."""
    postal_code: str
    """Postal or ZIP code."""
    company: Opt[str] = None
    """Company at this address."""


class CompanyInfo(Model):
    """The company that a business buyer acts for."""

    name: str
    """Registered name."""
    tax_id: Opt[str] = None
    """Tax number."""
    department: Opt[str] = None
    """Department that buys."""
    cost_center: Opt[str] = None
    """Cost center that is charged inside the company."""


class LoyaltyInfo(Model):
    """The buyer's standing in the seller's loyalty programme."""

    tier: Opt[str] = None
    """Name of the level."""
    points_balance: Opt[int] = None
    """Points not yet spent."""
    member_since: Opt[DateTime] = None
    """When the buyer joined."""


class TaxExemption(Model):
    """A certificate that frees the buyer from tax (CHK-BUY-04)."""

    certificate_id: str
    """number of the certificate."""
    certificate_type: Literal["resale", "exempt_organization", "government"]
    """On what ground the buyer is exempt."""
    exempt_regions: Opt[list[str]] = None
    """Regions in which the certificate holds."""
    expires_at: Opt[DateTime] = None
    """When it ceases to hold."""


class Buyer(Model):
    """The person or company that buys; only the email address is required (CHK-BUY-02)."""

    first_name: Opt[str] = None
    """Given name."""
    last_name: Opt[str] = None
    """Family name."""
    full_name: Opt[str] = None
    """Whole name, where it is not known in parts (CHK-BUY-03)."""
    email: Email
    """Where confirmations go."""
    phone_number: Opt[str] = None
    """Phone number, best in E.164 form."""
    customer_id: Opt[str] = None
    """The seller's id for this buyer."""
    account_type: Opt[Literal["guest", "registered", "business"]] = None
    """Kind of account that the buyer has with the seller."""
    authentication_status: Opt[Literal["authenticated", "guest", "requires_signin"]] = None
    """Whether the buyer has signed in with the seller."""
    company: Opt[CompanyInfo] = None
    """Company behind a business account."""
    loyalty: Opt[LoyaltyInfo] = None
    """Loyalty programme."""
    tax_exemption: Opt[TaxExemption] = None
    """Exemption that the buyer claims; the seller decides whether it holds."""


class TaxBreakdownItem(Model):
    """The part of a tax amount that one jurisdiction levies."""

    jurisdiction: str
    """Who levies the tax."""
    rate: Annotated[int | float, number()]
    """Rate as a fraction: 0.0825 is 8.25 per cent."""
    amount: int
    """Tax in minor units."""


class Total(Model):
    """One labelled amount of a line, an option, a session or an order (CHK-TOT-01, CHK-TOT-04)."""

    type: TotalType
    """What the amount stands for."""
    display_text: str
    """Label for the buyer."""
    amount: int
    """Minor units of the currency of the session."""
    presentment_amount: Opt[int] = None
    """Minor units of the currency in which the buyer sees prices."""
    description: Opt[str] = None
    """Explanation for the buyer."""
    breakdown: Opt[list[TaxBreakdownItem]] = None
    """Parts of a tax amount."""


class Link(Model):
    """A page of the seller that the buyer should be able to reach (CHK-LNK-01)."""

    type: Literal[
        "terms_of_use",
        "privacy_policy",
        "return_policy",
        "shipping_policy",
        "contact_us",
        "about_us",
        "faq",
        "support",
    ]
    """What the page is about."""
    title: Opt[str] = None
    """Text of the link."""
    url: Uri
    """Absolute address."""


class Disclosure(Model):
    """A text that the buyer must be shown with a line (CHK-LIN-04)."""

    type: Annotated[Literal["disclaimer"], enumeration("disclaimer")]
    """Kind of text."""
    content_type: Literal["plain", "markdown"]
    """How to render it (MD-01)."""
    content: str
    """The text."""


class ProtocolVersion(Model):
    """The protocol version that a session speaks."""

    version: Date
    """Date that names the version."""


class RiskSignals(Model):
    """What the agent observed about the buyer's device, to help the seller to judge fraud."""

    ip_address: Opt[str] = None
    """Address from which the buyer connects."""
    user_agent: Opt[str] = None
    """Browser or application."""
    accept_language: Opt[str] = None
    """Languages that the device asks for."""
    session_id: Opt[str] = None
    """The agent's own session."""
    device_fingerprint: Opt[str] = None
    """Digest that recognises the device."""


class MarketingConsentOption(Model):
    """A channel on which the seller would like to advertise, offered to the buyer."""

    channel: str
    """Channel, such as email or sms."""
    display_text: str
    """Question to show."""
    privacy_policy_url: Uri
    """Policy that governs the channel."""
    is_subscribed: Opt[bool] = None
    """Whether the buyer already receives it."""


class MarketingConsent(Model):
    """The buyer's answer for one channel."""

    channel: str
    """Channel of the option."""
    opted_in: bool
    """True only if the buyer agreed."""
