"""Where an agent wants to hear about its orders, and which addresses a merchant may be configured to call."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from acpref_merchant.transport import Target, UnsendableError

EVENTS_PATH = "/agentic_checkout/webhooks/order_events"
"""Path of the agent's receiver below its base URL (WH-02)."""

MIN_SECRET_BYTES = 16


class UnsafeEndpointError(ValueError):
    """The configured webhook address is one that this server refuses to call."""


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An agent's receiver of order events: the base URL of its host and the secret shared with it.

    ``url`` is the full address, ``target`` the same prepared for requests. Construction raises UnsafeEndpointError for
    anything but https, except that plain http may reach this machine itself (a development receiver); for credentials,
    a query or a fragment in the URL; and for a secret under 16 bytes. Addresses come from the merchant's configuration,
    never from a request.
    """

    base_url: str
    secret: bytes = field(repr=False)
    url: str = field(init=False)
    target: Target = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            _ = parts.port  # parsed on access: raises for a port that is not one
        except ValueError as error:
            raise UnsafeEndpointError(f"webhook address is not a URL: {error}") from error
        _refuse_unsafe(parts)
        if len(self.secret) < MIN_SECRET_BYTES:
            raise UnsafeEndpointError(f"a webhook secret has at least {MIN_SECRET_BYTES} bytes")
        url = self.base_url.rstrip("/") + EVENTS_PATH
        try:
            target = Target.at(url, {"Content-Type": "application/json"})
        except UnsendableError as error:
            raise UnsafeEndpointError(f"webhook address is not a URL: {error}") from error
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "target", target)


def _refuse_unsafe(parts: SplitResult) -> None:
    if parts.scheme not in {"http", "https"}:
        raise UnsafeEndpointError(f"webhook addresses are https URLs, not {parts.scheme or 'relative'} ones")
    if not parts.hostname:
        raise UnsafeEndpointError("webhook address names no host")
    if parts.username is not None or parts.password is not None:
        raise UnsafeEndpointError("webhook address must not carry credentials")
    if parts.query or parts.fragment:
        raise UnsafeEndpointError("webhook address must not have a query or a fragment")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise UnsafeEndpointError("webhook addresses beyond this machine must use https")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
