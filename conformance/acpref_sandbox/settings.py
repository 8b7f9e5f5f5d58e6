"""Settings of the sandbox's parties: what the sandbox says, and nothing that the shell was told for a real shop."""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from acpref_merchant.settings import Settings
from acpref_psp.settings import Settings as PspSettings


class _Given:
    """Takes its members from arguments alone, not from ``ACPREF_...`` variables or files."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic passes it
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class SellerSettings(_Given, Settings):
    """The merchant's."""


class ProviderSettings(_Given, PspSettings):
    """The payment provider's."""
