"""Which JSON Schema documents a version consists of, and which types each of them defines under which name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from typing_extensions import TypeAliasType

from acpref_protocol.base import Inline
from acpref_protocol.models import (
    attribution,
    capabilities,
    cart,
    checkout,
    common,
    delegate_authentication,
    delegate_payment,
    discounts,
    discovery,
    error,
    extension,
    feed,
    fulfillment,
    line_item,
    messages,
    order,
    payment,
    unused,
    webhook,
)
from acpref_protocol.schema_tree import Schema
from acpref_protocol.schemas import identifier
from acpref_protocol.wire import v2026_04_17


@dataclass(frozen=True)
class Document:
    """What one document contains.

    ``types`` maps published names to models or type aliases. ``literal`` holds definitions that no model stands for.
    ``shared`` names those of ``types`` that are texts without a name in Python; a reference replaces every such text.
    ``uses`` names the document that defines the types which this one refers to but does not define.
    """

    title: str
    types: Mapping[str, Any]
    literal: Mapping[str, Schema] = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    uses: str | None = None


def _types(*modules: ModuleType, **published: type[BaseModel]) -> dict[str, Any]:
    """Every type with a name that ``modules`` define, and ``published``: types that go by another name here."""
    renamed = set(published.values())
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if getattr(kind, "__module__", None) == module.__name__
        and not name.startswith("_")
        and (isinstance(kind, TypeAliasType) or _is_named(kind))
        and kind not in renamed
    } | published


def _is_named(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, Inline)


def _without(prefix: str, types: Mapping[str, Any], *, keep: str = "") -> dict[str, Any]:
    """``types`` under names without ``prefix``, but for the name ``keep``."""
    return {name if name == keep else name.removeprefix(prefix): kind for name, kind in types.items()}


def _with_discounts(version: str, what: str, base: str, member: str) -> Schema:
    """``base`` of the checkout document with the discount extension."""
    return {
        "description": f"{what} with the discount extension.",
        "allOf": [
            {"$ref": f"{identifier(version, 'agentic_checkout')}#/$defs/{base}"},
            {"type": "object", "properties": {"discounts": {"$ref": f"#/$defs/{member}"}}},
        ],
    }


_DISCOUNT_TARGETS = [
    "$.CheckoutSessionCreateRequest.discounts",
    "$.CheckoutSessionUpdateRequest.discounts",
    "$.CheckoutSession.discounts",
]


def _v2026_04_17(version: str) -> dict[str, Document]:
    return {
        "agentic_checkout": Document(
            f"Agentic checkout, version {version}",
            _types(
                attribution,
                capabilities,
                checkout,
                common,
                discounts,
                discovery,
                fulfillment,
                line_item,
                messages,
                order,
                payment,
                unused,
                Error=error.ErrorBody,
            ),
        ),
        "cart": Document(f"Carts, version {version}", _types(cart), uses="agentic_checkout"),
        "delegate_authentication": Document(
            f"Delegate authentication, version {version}",
            _without(
                "ThreeDs",
                _types(
                    delegate_authentication,
                    Address=delegate_payment.BillingAddress,
                    AuthenticationResult=delegate_authentication.ThreeDsResult,
                    Error=delegate_authentication.DelegateAuthenticationError,
                ),
            ),
        ),
        "delegate_payment": Document(
            f"Delegate payment, version {version}",
            _types(
                delegate_payment,
                Address=delegate_payment.BillingAddress,
                Error=delegate_payment.DelegatePaymentError,
            ),
        ),
        "discount": Document(
            f"Discount extension, version {version}",
            {
                "allocation": discounts.DiscountAllocation,
                "coupon": discounts.Coupon,
                "applied_discount": discounts.AppliedDiscount,
                "rejected_discount": discounts.RejectedDiscount,
                "discounts_request": discounts.DiscountsRequest,
                "discounts_response": discounts.DiscountsResponse,
                "discount_error_codes": discounts.DiscountErrorCode,
            },
            literal={
                "checkout_with_discount": _with_discounts(
                    version, "A session", "CheckoutSessionBase", "discounts_response"
                ),
                "checkout_create_request_with_discount": _with_discounts(
                    version, "A create request", "CheckoutSessionCreateRequest", "discounts_request"
                ),
                "checkout_update_request_with_discount": _with_discounts(
                    version, "An update request", "CheckoutSessionUpdateRequest", "discounts_request"
                ),
            },
        ),
        "extension": Document(
            f"Extensions, version {version}",
            {
                "extension_identifier": capabilities.ExtensionName,
                "extends_target": capabilities.ExtendsTarget,
                "extension_declaration": capabilities.ExtensionDeclaration,
                "extension_metadata": extension.ExtensionMetadata,
            },
            shared=("extension_identifier", "extends_target"),
            literal={
                "request_extensions": {
                    "type": "array",
                    "description": "Extensions that an agent understands.",
                    "items": {"$ref": "#/$defs/extension_identifier"},
                    "uniqueItems": True,
                },
                "response_extensions": {
                    "type": "array",
                    "description": "Extensions that are active.",
                    "items": {"$ref": "#/$defs/extension_declaration"},
                    "uniqueItems": True,
                },
                "core_extensions": {
                    "type": "object",
                    "description": "Extensions that belong to the protocol itself.",
                    "properties": {
                        "discount": {
                            "allOf": [
                                {"$ref": "#/$defs/extension_metadata"},
                                {
                                    "type": "object",
                                    "properties": {
                                        "id": {"const": "discount"},
                                        "name": {"const": "Discount Extension"},
                                        "extends": {"const": _DISCOUNT_TARGETS},
                                    },
                                },
                            ]
                        }
                    },
                },
            },
        ),
        "feed": Document(
            f"Product feed, version {version}", _without("Feed", _types(feed), keep="FeedMetadata")
        ),
        "webhook": Document(f"Order webhooks, version {version}", _types(webhook), uses="agentic_checkout"),
    }


def documents() -> dict[str, dict[str, Document]]:
    """Every document by version and name. Names are stems of the published files, without ``schema.``."""
    return {v2026_04_17.VERSION: _v2026_04_17(v2026_04_17.VERSION)}
