"""Where our schema documents differ from the published ones, and why.

Each entry states the published value. When the publishers change it, the entry no longer applies and the comparison
fails until somebody has looked.
"""

from __future__ import annotations

from acpref_protocol.schema_diff import Known

_QUANTITY = (
    "The published request item cannot ask for two of a kind; ours takes an optional quantity, as the published prose "
    "and examples do (CHK-CRE-06)."
)
_CHECKOUT_ITEM = "agentic_checkout#Item"

KNOWN: dict[str, tuple[Known, ...]] = {
    "2026-04-17": (
        Known(
            "agentic_checkout",
            "/$defs/CheckoutSessionCreateRequest/properties/line_items/items/$ref",
            "changed",
            "#Item",
            _QUANTITY,
        ),
        Known(
            "agentic_checkout",
            "/$defs/CheckoutSessionUpdateRequest/properties/line_items/items/$ref",
            "changed",
            "#Item",
            _QUANTITY,
        ),
        Known("agentic_checkout", "/$defs/RequestItem", "added", None, _QUANTITY),
        Known(
            "cart",
            "/$defs/CartCreateRequest/properties/line_items/items/$ref",
            "changed",
            _CHECKOUT_ITEM,
            _QUANTITY,
        ),
        Known(
            "cart",
            "/$defs/CartUpdateRequest/properties/line_items/items/$ref",
            "changed",
            _CHECKOUT_ITEM,
            _QUANTITY,
        ),
        Known(
            "delegate_authentication",
            "/$defs/DelegateAuthenticationSessionBase/properties/authentication_result",
            "added",
            None,
            "The published base type is closed and lacks this member, so no session with a result is valid there "
            "(DA-GET-01).",
        ),
        Known(
            "extension",
            "/$defs/core_extensions/properties/discount/allOf/1/properties/description",
            "missing",
            "sha256:d4cf90ffa07a83b84f9284b86c75415f4a242647eb4cf676477cbc30c9a2f90a",
            "A sentence for people is no constant that another implementation must repeat.",
        ),
        Known(
            "webhook",
            "",
            "added",
            None,
            "The order events are published in OpenAPI only; this is their JSON Schema.",
        ),
    ),
}
"""By version."""
