"""How extensions are named and described (EXT-04, EXT-05, EXT-15). Published, but referred to by no message."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acpref_protocol.base import OpenModel, Opt, Uri
from acpref_protocol.models.capabilities import ExtendsTarget, ExtensionName


class ExtensionMetadata(OpenModel):
    """The description of an extension in a registry."""

    id: ExtensionName
    """Identifier."""
    name: str
    """Name for people."""
    description: Opt[str] = None
    """What it adds."""
    extends: Opt[list[ExtendsTarget]] = None
    """Members that it adds."""
    spec: Opt[Uri] = None
    """Where it is described."""
    schema_: Annotated[Opt[Uri], Field(alias="schema")] = None
    """Its JSON Schema."""
    status: Opt[Literal["draft", "experimental", "stable", "deprecated", "retired"]] = None
    """How settled it is."""
    depends_on: Opt[list[ExtensionName]] = None
    """Extensions that it needs."""
