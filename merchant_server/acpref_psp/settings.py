"""Configuration of the sandbox payment provider, from arguments or ``ACPREF_PSP_...`` environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DAY_MS = 24 * 3600 * 1000


class Settings(BaseSettings):
    """What an operator chooses. Secrets have no readable repr.

    Tokens are given by identity, as JSON in the environment:
    ``ACPREF_PSP_AGENTS='{"agent_a": "token"}'``.
    """

    model_config = SettingsConfigDict(env_prefix="ACPREF_PSP_", frozen=True, extra="forbid")

    database: Path = Field(default=Path("psp.db"), description="The SQLite file; made when absent.")
    agents: dict[str, SecretStr] = Field(description="Bearer token by agent id (delegate payment).")
    merchants: dict[str, SecretStr] = Field(description="Bearer token by merchant id (charges).")
    agent_keys: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Public signature keys (PEM, Ed25519 or P-256) by agent id (SIGN-05).",
    )
    require_signature: bool = Field(default=False, description="Refuse delegate payment without a signature.")
    keys: SecretStr | None = Field(default=None, description="The key document; instead of key_file.")
    key_file: Path | None = Field(default=None, description="Default: the database's name plus .keys.json.")
    rate_limit_per_minute: int | None = Field(
        default=None, ge=1, description="Delegate payments per agent and minute; no limit when absent."
    )
    body_limit: int = Field(default=1024 * 1024, ge=1024, description="Bytes.")
    retention_ms: int = Field(default=DAY_MS, ge=DAY_MS, description="How long idempotency records live.")
    busy_seconds: float = Field(default=5.0, ge=0, le=60, description="Patience with another process's lock.")
    slow_seconds: float = Field(
        default=2.0, ge=0, le=60, description="Delay of the slow card and slow faults."
    )
    timeout_seconds: float = Field(default=30.0, ge=0, le=120, description="Delay of timeout faults.")

    @field_validator("agents", "merchants")
    @classmethod
    def _tokens_differ(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        tokens = [token.get_secret_value() for token in value.values()]
        if "" in tokens or len(set(tokens)) != len(tokens):
            raise ValueError("every identity has a token of its own")
        return value

    @property
    def key_path(self) -> Path:
        """The key file in use when no key document is given."""
        return self.key_file or self.database.with_name(self.database.name + ".keys.json")
