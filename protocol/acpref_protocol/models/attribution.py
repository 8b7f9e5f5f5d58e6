"""Why a purchase happened or did not: affiliate attribution and the intent trace of a cancellation."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from acpref_protocol.base import DateTime, Model, OpenModel, Opt, Uri, scalar

_SCALARS = ["string", "number", "boolean"]

AffiliateAttributionMetadata = TypeAliasType(
    "AffiliateAttributionMetadata",
    Annotated[
        dict[
            str, Annotated[str | bool | int | float, scalar({"oneOf": [{"type": name} for name in _SCALARS]})]
        ],
        Field(
            description="Flat facts that the affiliate network wants back: text, numbers and truth values."
        ),
    ],
)
"""Flat facts that the affiliate network wants back: text, numbers and truth values."""

_TraceMetadata = dict[str, Annotated[str | bool | int | float, scalar({"type": _SCALARS})]]


class AffiliateAttributionSource(Model):
    """Where the agent met the affiliate."""

    type: Literal["url", "platform", "unknown"]
    """Kind of place."""
    url: Opt[Uri] = None
    """The page, for ``url``."""


class AffiliateAttribution(OpenModel):
    """Which affiliate led to the purchase; it carries a token or a publisher id, or both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["token"]}, {"required": ["publisher_id"]}]}
    )

    provider: str
    """Attribution network."""
    token: Opt[str] = None
    """Opaque token of the network."""
    publisher_id: Opt[str] = None
    """The network's id for the publisher."""
    campaign_id: Opt[str] = None
    """Campaign."""
    creative_id: Opt[str] = None
    """Advertisement."""
    sub_id: Opt[str] = None
    """The publisher's own mark."""
    source: Opt[AffiliateAttributionSource] = None
    """Where it was met."""
    issued_at: Opt[DateTime] = None
    """When the token was issued."""
    expires_at: Opt[DateTime] = None
    """When the token loses its worth."""
    metadata: Opt[AffiliateAttributionMetadata] = None
    """Facts for the network."""
    touchpoint: Opt[Literal["first", "last"]] = None
    """Whether this was the first or the last contact before the purchase."""

    @model_validator(mode="after")
    def _names_the_affiliate(self) -> Self:
        if self.token is None and self.publisher_id is None:
            raise PydanticCustomError("missing_alternative", "Either token or publisher_id is required")
        return self


class IntentTrace(OpenModel):
    """Why the buyer did not buy, in a form that holds no personal data."""

    reason_code: Literal[
        "price_sensitivity",
        "shipping_cost",
        "shipping_speed",
        "product_fit",
        "trust_security",
        "returns_policy",
        "payment_options",
        "comparison",
        "timing_deferred",
        "other",
    ]
    """Main reason."""
    trace_summary: Opt[Annotated[str, Field(max_length=500)]] = None
    """Short explanation."""
    metadata: Opt[_TraceMetadata] = None
    """Flat facts: text, numbers and truth values."""


class CancelSessionRequest(OpenModel):
    """The optional body of a cancellation."""

    intent_trace: Opt[IntentTrace] = None
    """Why the session is given up."""


_REASONS = frozenset(get_args(IntentTrace.model_fields["reason_code"].annotation))


def lenient_cancel(value: object) -> object:
    """The parsed body of a cancellation, with a reason that is not known read as ``other`` (INT-02, INT-05).

    Anything else is left for validation to judge.
    """
    trace = value.get("intent_trace") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(trace, dict):
        return value
    reason = trace.get("reason_code")
    if not isinstance(reason, str) or reason in _REASONS:
        return value
    return {**value, "intent_trace": {**trace, "reason_code": "other"}}
