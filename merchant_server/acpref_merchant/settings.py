"""Configuration of ``acpref merchant serve``: environment variables (``ACPREF_...``) over a TOML file over defaults.

Nested members use two underscores: ``ACPREF_PAYMENT__BASE_URL``. ``ACPREF_AGENTS`` is a JSON list.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from acpref_protocol import configuration

PREFIX = "ACPREF_"
SANDBOX_TOKEN_PREFIX = "sandbox_"  # noqa: S105 - a mark, not a secret
CONFIG_FILE_VARIABLE = "ACPREF_CONFIG"


class AgentSettings(BaseModel):
    """One buying agent that may use this server (AUTH-02), and where it wants to hear about orders."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    token: SecretStr
    webhook_base_url: str | None = None
    webhook_secret: SecretStr | None = None
    public_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Key id to PEM public key (Ed25519 or P-256) of the agent's request signatures.",
    )

    @field_validator("token")
    @classmethod
    def _long_enough(cls, token: SecretStr) -> SecretStr:
        if len(token.get_secret_value()) < 16:
            raise ValueError("a bearer token has at least 16 characters")
        return token


class PaymentSettings(BaseModel):
    """The merchant's payment provider. ``timeout_seconds`` bounds one call; its outcome is then unknown and retried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["sandbox", "stripe"] = "sandbox"
    base_url: str = "http://127.0.0.1:8001"
    token: SecretStr = SecretStr("sandbox_merchant_token")
    stripe_api_key: SecretStr | None = None
    stripe_api_base: str | None = None
    timeout_seconds: float = Field(default=10.0, gt=0, le=60)


class Settings(BaseSettings):
    """Everything a merchant decides about its server. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    database_url: str = "sqlite:///acpref.db"
    catalog: Path | None = Field(default=None, description="A catalog folder (shop.json and products.jsonl).")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_base_url: str | None = Field(default=None, description="How agents reach this server (DIS-06).")
    agents: tuple[AgentSettings, ...] = ()
    payment: PaymentSettings = PaymentSettings()
    signatures: Literal["optional", "required"] = "optional"
    body_limit: int = Field(default=1_048_576, ge=1024)
    idempotency_retention_seconds: int = Field(default=24 * 3600, ge=24 * 3600)
    completion_lease_seconds: float = Field(
        default=15.0, gt=0, description="How long a completion may take before another process finishes it."
    )
    webhook_timeout_seconds: float = Field(
        default=10.0, gt=0, le=60, description="How long a receiver may take to answer an event."
    )
    allow_sandbox_credentials: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not read: a stray .env must not configure money
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then secret files, then the TOML file that ``ACPREF_CONFIG`` names."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings, file_secret_settings)
        if path := os.environ.get(CONFIG_FILE_VARIABLE):
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=Path(path)),)
        return sources

    def catalog_path(self) -> Path:
        """The catalog folder. Raises ConfigurationError when none is configured."""
        if self.catalog is None:
            raise ConfigurationError(
                _absent(
                    "no catalog is configured", "ACPREF_CATALOG to a catalog folder", 'catalog = "FOLDER"'
                )
            )
        return self.catalog

    def base_url(self) -> str:
        """The URL under which agents call this server, without a trailing slash."""
        return (self.api_base_url or f"http://{self.host}:{self.port}").rstrip("/")


class ConfigurationError(Exception):
    """The settings cannot be used: unreadable, wrong, incomplete, or such that sandbox credentials face a network.

    ``args`` are the problems, one line each.
    """


def load_settings(config: Path | None = None, **overrides: object) -> Settings:
    """The settings of this process; ``overrides`` that are not None win. Raises ConfigurationError.

    ``config`` is the TOML file; without it, ``ACPREF_CONFIG`` names one or there is none.
    """
    if config is not None:
        os.environ[CONFIG_FILE_VARIABLE] = str(config)
    file = _config_file()
    if file is not None and not file.is_file():
        where = "--config" if config is not None else CONFIG_FILE_VARIABLE
        raise ConfigurationError(f"there is no configuration file at {file}: correct {where}")
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = configuration.problems(
            error,
            prefix=PREFIX,
            environment=os.environ,
            file=file,
            options={name: f"--{name.removesuffix('_url')}" for name in given},
        )
        raise ConfigurationError(*lines) from None
    except SettingsError as error:
        raise ConfigurationError(configuration.not_json(error, prefix=PREFIX)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file}: cannot be read as TOML: {error}") from None


def require_agents(settings: Settings) -> None:
    """Raise ConfigurationError when no agent may call."""
    if not settings.agents:
        example = '\'[{"id": "agent", "token": "a long secret"}]\''
        raise ConfigurationError(
            _absent("no agents", f"ACPREF_AGENTS, such as {example}", "[[agents]] with id and token")
        )


def unknown_variables() -> list[str]:
    """A line for each variable of the environment that looks like a setting and is none."""
    fields = Settings.model_fields
    return configuration.unknown_variables(
        (name for name in os.environ if not _is_the_providers(name)),
        prefix=PREFIX,
        known=[*fields, CONFIG_FILE_VARIABLE.removeprefix(PREFIX)],
        tables=[name for name, field in fields.items() if field.annotation is PaymentSettings],
    )


def _is_the_providers(name: str) -> bool:
    """Whether the sandbox payment provider, which may share this environment, looks after the variable."""
    rest = name.upper().removeprefix("ACPREF_PSP_")
    return rest != name.upper() and not rest.startswith("_")


def _config_file() -> Path | None:
    path = os.environ.get(CONFIG_FILE_VARIABLE)
    return Path(path) if path else None


def _absent(what: str, variable: str, member: str) -> str:
    file = _config_file()
    return (
        f"{what}: set {variable}" if file is None else f"{what}: put {member} into {file}, or set {variable}"
    )


def refuse_sandbox_outside_loopback(settings: Settings) -> None:
    """Raise ConfigurationError when sandbox credentials would be served beyond this machine."""
    if settings.allow_sandbox_credentials or _is_loopback(settings.host):
        return
    tokens = [agent.token.get_secret_value() for agent in settings.agents]
    if settings.payment.provider == "sandbox":
        raise ConfigurationError(
            f"the sandbox payment provider moves no money and must not be served on {settings.host}: "
            "set ACPREF_PAYMENT__PROVIDER=stripe, bind to 127.0.0.1, or set ACPREF_ALLOW_SANDBOX_CREDENTIALS=true"
        )
    if any(token.startswith(SANDBOX_TOKEN_PREFIX) for token in tokens):
        raise ConfigurationError(
            f"an agent's token is a sandbox token and the server would listen on {settings.host}: "
            "give it a secret of its own, or set ACPREF_ALLOW_SANDBOX_CREDENTIALS=true"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
