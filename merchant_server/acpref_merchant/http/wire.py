"""The wire forms of each protocol version: which models a body is read into and how answers are written (HTTP-11).

A version that is no key of ``WIRE`` is not served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acpref_merchant.http.parsing import parse
from acpref_protocol import versions
from acpref_protocol.models import (
    CancelSessionRequest,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    Order,
    lenient_cancel,
    lenient_capabilities,
)


@dataclass(frozen=True, slots=True)
class Wire:
    """One version's request models and renderers."""

    version: str
    create: type[CheckoutSessionCreateRequest]
    update: type[CheckoutSessionUpdateRequest]
    complete: type[CheckoutSessionCompleteRequest]
    cancel: type[CancelSessionRequest]

    def parse_create(self, body: Any) -> CheckoutSessionCreateRequest:
        """The body of a create. Capabilities that are not known are dropped, not refused (CAP-09)."""
        if isinstance(body, dict) and "capabilities" in body:
            body = {**body, "capabilities": lenient_capabilities(body["capabilities"])}
        return parse(self.create, body)

    def parse_update(self, body: Any) -> tuple[CheckoutSessionUpdateRequest, frozenset[str]]:
        """The body of an update, and the names of the members sent as null: those are to be cleared (CHK-UPD-05)."""
        if not isinstance(body, dict):
            return parse(self.update, body), frozenset()
        cleared = frozenset(name for name in body if body[name] is None and name in self.update.model_fields)
        return parse(self.update, {name: body[name] for name in body if name not in cleared}), cleared

    def parse_cancel(self, body: Any) -> CancelSessionRequest:
        """The body of a cancellation. A reason that is not known counts as another one (INT-02, INT-05)."""
        return parse(self.cancel, lenient_cancel(body))

    def session(self, view: CheckoutSession) -> bytes:
        """The body that shows ``view`` (CHK-STA-01). Absent members are left out, never null."""
        return view.to_json()

    def order(self, order: Order) -> bytes:
        """The body that shows ``order``."""
        return order.to_json()


WIRE: dict[str, Wire] = {
    versions.V2026_04_17: Wire(
        version=versions.V2026_04_17,
        create=CheckoutSessionCreateRequest,
        update=CheckoutSessionUpdateRequest,
        complete=CheckoutSessionCompleteRequest,
        cancel=CancelSessionRequest,
    )
}
