"""The bodies of version 2026-04-17. It is the version that the canonical models follow, so nothing is defined anew."""

from __future__ import annotations

from acpref_protocol.models import (
    CancelSessionRequest,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    CheckoutSessionWithOrder,
    CreateFeedRequest,
    DelegatePaymentError,
    DelegatePaymentRequest,
    DelegatePaymentResponse,
    DiscoveryResponse,
    ErrorBody,
    FeedError,
    FeedMetadata,
    Order,
    ProductsResponse,
    UpsertProductsRequest,
    WebhookEvent,
    WebhookReceipt,
)

VERSION = "2026-04-17"

__all__ = [
    "VERSION",
    "CancelSessionRequest",
    "CheckoutSession",
    "CheckoutSessionCompleteRequest",
    "CheckoutSessionCreateRequest",
    "CheckoutSessionUpdateRequest",
    "CheckoutSessionWithOrder",
    "CreateFeedRequest",
    "DelegatePaymentError",
    "DelegatePaymentRequest",
    "DelegatePaymentResponse",
    "DiscoveryResponse",
    "ErrorBody",
    "FeedError",
    "FeedMetadata",
    "Order",
    "ProductsResponse",
    "UpsertProductsRequest",
    "WebhookEvent",
    "WebhookReceipt",
]
