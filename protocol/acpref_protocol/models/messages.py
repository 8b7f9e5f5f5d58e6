"""What a seller tells the agent and the buyer inside a valid session or cart (ERR-08 to ERR-16)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from acpref_protocol.base import Model, Opt

ContentType = Literal["plain", "markdown"]
Severity = Literal["info", "low", "medium", "high", "critical"]
Resolution = Literal["recoverable", "requires_buyer_input", "requires_buyer_review"]
WarningCode = Literal[
    "low_stock",
    "high_demand",
    "shipping_delay",
    "price_change",
    "expiring_promotion",
    "limited_availability",
    "discount_code_expired",
    "discount_code_invalid",
    "discount_code_already_applied",
    "discount_code_combination_disallowed",
    "discount_code_minimum_not_met",
    "discount_code_user_not_logged_in",
    "discount_code_user_ineligible",
    "discount_code_usage_limit_reached",
]
ErrorCode = Literal[
    "missing",
    "invalid",
    "out_of_stock",
    "payment_declined",
    "requires_sign_in",
    "requires_3ds",
    "low_stock",
    "quantity_exceeded",
    "coupon_invalid",
    "coupon_expired",
    "minimum_not_met",
    "maximum_exceeded",
    "region_restricted",
    "age_verification_required",
    "approval_required",
    "unsupported",
    "not_found",
    "conflict",
    "rate_limited",
    "expired",
    "intervention_required",
]


class MessageInfo(Model):
    """Something worth knowing (ERR-08)."""

    type: Literal["info"]
    """Tells the kind of message."""
    severity: Opt[Severity] = None
    """How much it matters."""
    resolution: Opt[Resolution] = None
    """Who can act on it."""
    param: Opt[str] = None
    """JSONPath of the member of the session that is meant."""
    content_type: ContentType
    """How to render the content."""
    content: str
    """Text for the buyer."""


class MessageWarning(Model):
    """Something that may spoil the purchase, though it does not stop it (ERR-12)."""

    type: Literal["warning"]
    """Tells the kind of message."""
    code: WarningCode
    """What the warning is about."""
    severity: Opt[Severity] = None
    """How much it matters."""
    resolution: Opt[Resolution] = None
    """Who can act on it."""
    param: Opt[str] = None
    """JSONPath of the member of the session that is meant."""
    content_type: ContentType
    """How to render the content."""
    content: str
    """Text for the buyer."""


class MessageError(Model):
    """Something that must be put right before the purchase can go on (ERR-09, ERR-11)."""

    type: Literal["error"]
    """Tells the kind of message."""
    code: ErrorCode
    """What is wrong."""
    severity: Opt[Severity] = None
    """How much it matters."""
    resolution: Opt[Resolution] = None
    """Who can put it right (ERR-14)."""
    param: Opt[str] = None
    """JSONPath of the member of the session that is meant (ERR-15)."""
    content_type: ContentType
    """How to render the content."""
    content: str
    """Text for the buyer."""


Message = Annotated[
    MessageInfo | MessageWarning | MessageError, Field(discriminator="type"), SerializeAsAny()
]
"""Any message, told apart by ``type``."""
