"""Events that a seller sends to the agent when an order comes to be or changes (WH)."""

from __future__ import annotations

from typing import Literal

from acpref_protocol.base import Composed, Model, Opt
from acpref_protocol.models.order import Order


class EventDataOrder(Composed, Order):
    """The whole order, never a part of it (WH-06, WH-07)."""

    type: Literal["order"]
    """Says that the data is an order."""
    status: str
    """How far the order is."""


class WebhookEvent(Model):
    """One event (WH-12)."""

    type: str
    """``order_create`` or ``order_update``; readers bear other values."""
    data: EventDataOrder
    """The order as it is now."""


class WebhookReceipt(Model):
    """The receiver's answer to an event that it took (WH-11)."""

    received: bool
    """True."""
    request_id: Opt[str] = None
    """The event's Request-Id, if it had one."""
