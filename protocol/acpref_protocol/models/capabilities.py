"""What each side can do in this purchase: payment handlers, interventions and extensions (CAP, EXT).

Both sides use one type. An agent declares what it can show; the seller answers with what holds for the session.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from acpref_protocol.base import UNIQUE, Date, JsonObject, Model, OneOf, Opt, Uri, text

InterventionType = Literal["3ds", "biometric", "address_verification"]
RequiredIntervention = Literal["3ds", "biometric"]
Enforcement = Literal["always", "conditional", "optional"]
DisplayContext = Literal["native", "webview", "modal", "redirect"]
RedirectContext = Literal["in_app", "external_browser", "none"]

# The published patterns write \d, which some engines read as any digit of Unicode; the checked ones say [0-9].
_NAME_PATTERN = (
    r"^[a-z][a-z0-9_-]*(@\d{4}-\d{2}-\d{2})?$|^[a-z][a-z0-9]*(?:\.[a-z][a-z0-9_-]*)+(@\d{4}-\d{2}-\d{2})?$"
)

_EXTENDS_PATTERN = r"^\$\.[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9_]*)*$"

ExtensionName = Annotated[
    str,
    text(
        _NAME_PATTERN.replace(r"\d", "[0-9]"),
        "Must be an extension identifier, optionally with @YYYY-MM-DD",
        pattern=_NAME_PATTERN,
    ),
]
"""A simple lower-case word or a reverse-domain name, with an optional ``@YYYY-MM-DD`` (EXT-04)."""

ExtendsTarget = Annotated[
    str, text(_EXTENDS_PATTERN, "Must have the form $.SchemaName.member", pattern=_EXTENDS_PATTERN)
]
"""``$.SchemaName.member``: where an extension adds its member (EXT-05)."""


class PaymentHandler(Model):
    """A way to pay that the seller accepts in this session (PAY-04, PAY-05)."""

    id: str
    """Names the handler within the session; ``payment_data.handler_id`` repeats it."""
    name: str
    """Reverse-domain name of the handler's specification."""
    display_name: Opt[str] = None
    """Label for the buyer (PAY-10)."""
    version: Date
    """Version of the handler's specification."""
    spec: Uri
    """Where the specification can be read."""
    requires_delegate_payment: bool
    """Whether the agent must get a token from the payment provider first (PAY-15)."""
    requires_pci_compliance: bool
    """Whether the agent must be allowed to handle card data."""
    psp: str
    """Payment provider behind the handler (PAY-16)."""
    config_schema: Uri
    """JSON Schema of ``config``."""
    instrument_schemas: list[Uri]
    """JSON Schemas of the instruments that the handler takes."""
    config: JsonObject
    """Settings of the handler, among them ``merchant_id`` and ``psp`` (PAY-07)."""
    display_order: Opt[int] = None
    """The seller's preference; lower comes first (PAY-10)."""


class Payment(Model):
    """The payment side of a session."""

    handlers: list[PaymentHandler]
    """Every way to pay; ids are distinct."""


class InterventionCapabilities(Model):
    """How far the buyer can be asked to step in, for example to authenticate (CAP-05 to CAP-08)."""

    supported: Opt[list[InterventionType]] = None
    """Interventions that can be carried out; in a response, those that both sides support."""
    required: Opt[list[RequiredIntervention]] = None
    """Seller only: interventions that this purchase needs."""
    enforcement: Opt[Enforcement] = None
    """Seller only: when the required interventions are demanded; absent means conditional."""
    display_context: Opt[DisplayContext] = None
    """Agent only: where an intervention can be shown."""
    redirect_context: Opt[RedirectContext] = None
    """Agent only: how a redirect is opened."""
    max_redirects: Opt[Annotated[int, Field(ge=0)]] = None
    """Agent only: how many redirects are bearable; absent means none."""
    max_interaction_depth: Opt[Annotated[int, Field(ge=1)]] = None
    """Agent only: how many steps in a row are bearable; absent means one."""


class ExtensionDeclaration(Model):
    """An active extension, as a response lists it (EXT-03)."""

    name: ExtensionName
    """Identifier, optionally with the version after an at sign (EXT-04)."""
    extends: Opt[Annotated[list[ExtendsTarget], UNIQUE]] = None
    """Members that the extension adds."""
    schema_: Annotated[Opt[Uri], Field(alias="schema")] = None
    """JSON Schema of the extension (EXT-06)."""
    spec: Opt[Uri] = None
    """Where the extension is described."""


class Capabilities(Model):
    """Capabilities of one side. An agent lists extension names, a seller lists declarations (EXT-01, EXT-03)."""

    payment: Opt[Payment] = None
    """Seller only: how to pay (CAP-07)."""
    interventions: Opt[InterventionCapabilities] = None
    """Interventions."""
    extensions: Opt[
        Annotated[
            Annotated[list[str], UNIQUE] | Annotated[list[ExtensionDeclaration], UNIQUE],
            OneOf("Must be a list of distinct extension names or of distinct declarations"),
        ]
    ] = None
    """Extensions. An empty list is taken from agents and means the same as absence; it is never sent (EXT-08)."""


def lenient_capabilities(value: object) -> object:
    """A copy of the agent's raw ``capabilities`` without what this version does not know (CAP-09).

    Unknown members and unknown values of enumerations go; members with a value of the wrong JSON type stay, so that
    validation still refuses them. ``payment`` goes as well, because it means nothing in a request (CAP-07). A value
    that is no object is returned as it is.
    """
    if not isinstance(value, dict):
        return value
    kept = {name: value[name] for name in ("interventions", "extensions") if name in value}
    interventions = kept.get("interventions")
    if isinstance(interventions, dict):
        kept["interventions"] = _known_interventions(interventions)
    return kept


_LISTS: dict[str, frozenset[str]] = {
    "supported": frozenset(get_args(InterventionType)),
    "required": frozenset(get_args(RequiredIntervention)),
}
_CHOICES: dict[str, frozenset[str]] = {
    "enforcement": frozenset(get_args(Enforcement)),
    "display_context": frozenset(get_args(DisplayContext)),
    "redirect_context": frozenset(get_args(RedirectContext)),
}


def _known_interventions(raw: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name in InterventionCapabilities.model_fields:
        if name not in raw:
            continue
        value = raw[name]
        if name in _LISTS and isinstance(value, list):
            known[name] = [entry for entry in value if not isinstance(entry, str) or entry in _LISTS[name]]
        elif name not in _CHOICES or not isinstance(value, str) or value in _CHOICES[name]:
            known[name] = value
    return known
