"""What the agent and the shop can do together: the ``capabilities`` of a session, computed anew whenever it is shown.

Only the declaration made at creation counts (CAP-19), and only to shape the flow: nothing here is a security
decision (CAP-10).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from acpref_merchant.domain.shop import CardHandler, Shop
from acpref_protocol.models import (
    Capabilities,
    ExtensionDeclaration,
    InterventionCapabilities,
    InterventionType,
    Payment,
    PaymentHandler,
)

DISCOUNT_EXTENSION = "discount"
DISCOUNT_EXTENSION_VERSIONS = frozenset({"2026-01-27", "2026-01-30", "2026-04-17"})
"""The versions of the discount extension that behave as this one does; a bare name means the newest (EXT-12)."""

_DISCOUNT_DECLARATION = ExtensionDeclaration(
    name=DISCOUNT_EXTENSION,
    extends=[
        "$.CheckoutSessionCreateRequest.discounts",
        "$.CheckoutSessionUpdateRequest.discounts",
        "$.CheckoutSession.discounts",
    ],
)

_HANDLER_SPEC = "https://acp.dev/handlers/tokenized.card"
_HANDLER_SCHEMAS = "https://acp.dev/schemas/handlers/tokenized.card"

INSTRUMENT_TYPE = "card"
CREDENTIAL_TYPE = "spt"
"""What the tokenized card handler takes: a card whose credential is a shared payment token (PAY-17)."""


def negotiate(shop: Shop, declared: Capabilities | None) -> Capabilities:
    """The capabilities of a session whose agent declared ``declared`` (CAP-02 to CAP-08, EXT-02, EXT-08).

    ``supported`` is exactly what both sides can do, and present even when empty (CAP-18). Nothing that only an agent
    may state is repeated (CAP-06); what an agent says about payment is ignored (CAP-07).
    """
    return _capabilities(shop, tuple(supported_interventions(shop, declared)), discounts_active(declared))


@lru_cache(maxsize=256)
def _capabilities(shop: Shop, supported: tuple[InterventionType, ...], discounts: bool) -> Capabilities:
    """One of the few answers that a shop can give; it is immutable and so can be shared."""
    return Capabilities(
        payment=Payment(handlers=[card_handler(shop.card_handler, shop.merchant_id)]),
        interventions=InterventionCapabilities(
            supported=list(supported),
            required=list(shop.interventions_required),
            enforcement=shop.intervention_enforcement,
        ),
        extensions=[_DISCOUNT_DECLARATION] if discounts else None,
    )


def supported_interventions(shop: Shop, declared: Capabilities | None) -> list[InterventionType]:
    """The interventions that both sides can do, in the shop's order (CAP-03)."""
    interventions = None if declared is None else declared.interventions
    theirs = () if interventions is None else interventions.supported or ()
    return [name for name in dict.fromkeys(shop.interventions_supported) if name in theirs]


def unmet_interventions(shop: Shop, declared: Capabilities | None) -> list[str]:
    """What the shop always demands and the agent cannot do (CAP-12)."""
    if shop.intervention_enforcement != "always":
        return []
    supported = supported_interventions(shop, declared)
    return [name for name in shop.interventions_required if name not in supported]


def discounts_active(declared: Capabilities | None) -> bool:
    """Whether the agent asked for the discount extension in a version that is known here (EXT-02, EXT-12)."""
    wanted: Sequence[str | ExtensionDeclaration] = () if declared is None else declared.extensions or ()
    for extension in wanted:
        identifier = extension if isinstance(extension, str) else extension.name
        name, _, version = identifier.partition("@")
        if name == DISCOUNT_EXTENSION and (not version or version in DISCOUNT_EXTENSION_VERSIONS):
            return True
    return False


def card_handler(card: CardHandler, merchant_id: str) -> PaymentHandler:
    """The tokenized card handler: the agent delegates the card and sends back a token (PAY-04 to PAY-09)."""
    config: dict[str, object] = {
        "merchant_id": merchant_id,
        "psp": card.psp,
        "accepted_brands": list(card.accepted_brands),
        "accepted_funding_types": list(card.accepted_funding_types),
        "supports_3ds": card.supports_3ds,
        "environment": card.environment,
    }
    if card.supports_3ds:
        config["3ds_versions"] = ["2.1", "2.2"]
    return PaymentHandler(
        id=card.id,
        name="dev.acp.tokenized.card",
        display_name=card.display_name,
        display_order=1,
        version="2026-01-22",
        spec=_HANDLER_SPEC,
        requires_delegate_payment=True,
        requires_pci_compliance=False,
        psp=card.psp,
        config_schema=f"{_HANDLER_SCHEMAS}/config.json",
        instrument_schemas=[f"{_HANDLER_SCHEMAS}/instrument.json"],
        config=config,
    )
