"""The state of a checkout session: what the agent asked for and what has happened, but nothing computed.

Prices, taxes, options, messages and totals are computed from this state, the shop, the items and the time
whenever the session is shown (``checkout.present``), so that they can never contradict the catalog. What has
been agreed with the buyer is frozen in ``frozen_view`` and ``order``.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from acpref_protocol.lifecycle import Status
from acpref_protocol.models import (
    AffiliateAttribution,
    Buyer,
    Capabilities,
    FulfillmentDetails,
    FulfillmentGroup,
    IntentTrace,
    MarketingConsent,
    MessageError,
    Order,
    SelectedFulfillmentOption,
)


class Line(BaseModel):
    """A line of the session; its ``id`` stays for as long as the item stays in the session (CHK-UPD-03)."""

    model_config = ConfigDict(frozen=True)

    id: str
    item_id: str
    quantity: int


class Session(BaseModel):
    """Stored state of a checkout session. Times are milliseconds since 1970-01-01 UTC.

    ``status`` holds only what has been decided (open sessions are ``incomplete`` until a payment was tried; whether
    one is ready for payment is computed). ``shown_total`` is the total that the agent saw last, in minor units:
    completion charges no other. ``frozen_view`` is the session, as JSON, that was agreed upon when payment began.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    agent_id: str
    status: Status
    currency: str
    lines: tuple[Line, ...]
    buyer: Buyer | None = None
    fulfillment_details: FulfillmentDetails | None = None
    fulfillment_groups: tuple[FulfillmentGroup, ...] = ()
    selections: tuple[SelectedFulfillmentOption, ...] = ()
    discount_codes: tuple[str, ...] = ()
    declared_capabilities: Capabilities | None = None
    locale: str | None = None
    timezone: str | None = None
    quote_id: str | None = None
    metadata: dict[str, Any] | None = None
    order_notes: str | None = None
    attribution: tuple[AffiliateAttribution, ...] = ()
    marketing_consents: tuple[MarketingConsent, ...] = ()
    shown_total: int | None = None
    payment_message: MessageError | None = None
    order: Order | None = None
    intent_trace: IntentTrace | None = None
    frozen_view: str | None = None
    created_at: int
    updated_at: int
    expires_at: int
