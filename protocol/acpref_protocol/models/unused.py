"""Types that the specification publishes but nothing refers to. They exist for the schema documents alone."""

from __future__ import annotations

from typing import Literal

from acpref_protocol.base import JsonObject, Model, Opt


class PaymentMethodObject(Model):
    """Published but unused: a payment method with the brands that it takes."""

    method: str
    """Name of the method."""
    brands: Opt[
        list[
            Literal[
                "visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "eftpos", "interac"
            ]
        ]
    ] = None
    """Card brands."""
    funding_types: Opt[list[Literal["credit", "debit", "prepaid"]]] = None
    """How cards may be funded."""
    providers: Opt[list[str]] = None
    """Wallets or payment providers."""


class PaymentResponse(Model):
    """Published but unused: the payment side of a session, before capabilities had one."""

    provider: Opt[str] = None
    """Payment provider."""
    instruments: Opt[list[JsonObject]] = None
    """Instruments on file."""
    handlers: Opt[list[JsonObject]] = None
    """Ways to pay."""


class SplitPayment(Model):
    """Published but unused: a part of a payment."""

    amount: int
    """Minor units."""


class GiftWrap(Model):
    """Published but unused: wrapping as a gift."""

    enabled: bool
    """Whether to wrap."""
    style: Opt[Literal["birthday", "holiday", "elegant"]] = None
    """Kind of paper."""
    charge: Opt[int] = None
    """What it costs, in minor units."""
