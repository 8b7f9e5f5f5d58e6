"""Carts: items put aside before any checkout, without status, payment or fulfillment (CART)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from acpref_protocol.base import DateTime, Model, Opt, Uri
from acpref_protocol.models.common import Buyer, Total
from acpref_protocol.models.line_item import LineItem, RequestItem
from acpref_protocol.models.messages import Message


class Cart(Model):
    """A cart (CART-04)."""

    id: str
    """The seller's id of the cart."""
    line_items: list[LineItem]
    """What it contains."""
    buyer: Opt[Buyer] = None
    """Whose cart it is."""
    currency: str
    """ISO 4217 code of every amount."""
    totals: list[Total]
    """What it would cost."""
    messages: Opt[list[Message]] = None
    """What the agent and the buyer should know."""
    continue_url: Opt[Uri] = None
    """Where the buyer can go on with the seller."""
    expires_at: Opt[DateTime] = None
    """When it ends."""


class CartCreateRequest(Model):
    """Opens a cart (CART-05)."""

    line_items: Annotated[list[RequestItem], Field(min_length=1)]
    """What goes in."""
    buyer: Opt[Buyer] = None
    """Whose cart it is."""
    locale: Opt[str] = None
    """Language that the buyer reads."""


class CartUpdateRequest(Model):
    """Replaces what a cart contains (CART-05)."""

    line_items: Annotated[list[RequestItem], Field(min_length=1)]
    """What it contains from now on."""
    buyer: Opt[Buyer] = None
    """Whose cart it is."""
