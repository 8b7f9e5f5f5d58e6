"""The buying agent's side of the protocol: clients, a scripted purchase, checks, and a webhook receiver."""

from __future__ import annotations

from acpref_agent.buyer import Purchase, Wanted, match, purchase, purchase_async
from acpref_agent.client import AsyncClient, AsyncPaymentProviderClient, Client, PaymentProviderClient
from acpref_agent.exceptions import (
    AcprefError,
    AmountExceeded,
    ApiError,
    CurrencyChanged,
    IdempotencyConflict,
    InFlight,
    InvalidRequest,
    NotFound,
    NotPurchasable,
    PaymentDeclined,
    ProtocolViolation,
    PurchaseRefused,
    RateLimited,
    ServerError,
    TotalsMismatch,
    TransportError,
    Unauthorized,
    WebhookPayloadInvalid,
    WebhookRefused,
    WebhookSignatureInvalid,
    WebhookTooLarge,
)
from acpref_agent.flow import Retry
from acpref_agent.operations import Options
from acpref_agent.verification import check_session, check_totals
from acpref_agent.webhooks import dedupe_key, receive, webhook_app

__all__ = [
    "AcprefError",
    "AmountExceeded",
    "ApiError",
    "AsyncClient",
    "AsyncPaymentProviderClient",
    "Client",
    "CurrencyChanged",
    "IdempotencyConflict",
    "InFlight",
    "InvalidRequest",
    "NotFound",
    "NotPurchasable",
    "Options",
    "PaymentDeclined",
    "PaymentProviderClient",
    "ProtocolViolation",
    "Purchase",
    "PurchaseRefused",
    "RateLimited",
    "Retry",
    "ServerError",
    "TotalsMismatch",
    "TransportError",
    "Unauthorized",
    "Wanted",
    "WebhookPayloadInvalid",
    "WebhookRefused",
    "WebhookSignatureInvalid",
    "WebhookTooLarge",
    "check_session",
    "check_totals",
    "dedupe_key",
    "match",
    "purchase",
    "purchase_async",
    "receive",
    "webhook_app",
]
