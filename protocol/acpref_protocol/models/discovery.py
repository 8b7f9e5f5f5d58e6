"""The discovery document: what a seller offers to any agent, before the two meet (DIS)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import UNIQUE, Currency, Date, Model, Opt, Uri
from acpref_protocol.models.capabilities import InterventionType


class DiscoveryProtocol(Model):
    """Versions of the protocol that are spoken (DIS-03, DIS-07)."""

    name: Literal["acp"]
    """Name of the protocol."""
    version: Date
    """Latest version."""
    supported_versions: Annotated[list[Date], UNIQUE]
    """Every version, oldest first."""
    documentation_url: Opt[Uri] = None
    """Documentation of the seller."""


class DiscoveryExtension(Model):
    """An extension that the seller offers."""

    name: str
    """Identifier."""
    spec: Opt[Uri] = None
    """Where it is described."""
    schema_: Annotated[Opt[Uri], Field(alias="schema")] = None
    """Its JSON Schema."""


class DiscoveryCapabilities(Model):
    """What the seller offers (DIS-05)."""

    services: Annotated[list[Literal["checkout", "orders", "delegate_payment", "carts"]], UNIQUE]
    """Services."""
    extensions: Opt[list[DiscoveryExtension]] = None
    """Extensions."""
    intervention_types: Opt[Annotated[list[InterventionType], UNIQUE]] = None
    """Interventions that may be asked for."""
    supported_currencies: Opt[Annotated[list[Currency], UNIQUE]] = None
    """Currencies in which it sells."""
    supported_locales: Opt[Annotated[list[str], UNIQUE]] = None
    """Languages, as BCP 47 tags."""


class DiscoveryResponse(Model):
    """The document at ``/.well-known/acp.json`` (DIS-02)."""

    protocol: DiscoveryProtocol
    """Protocol."""
    api_base_url: Uri
    """Prefix of every endpoint (DIS-06)."""
    transports: Annotated[list[Literal["rest", "mcp"]], UNIQUE]
    """Ways to call it (DIS-04)."""
    capabilities: DiscoveryCapabilities
    """What is offered."""
