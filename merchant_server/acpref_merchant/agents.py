"""Who may call: the agents a merchant has admitted, found by their bearer token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from acpref_merchant.settings import AgentSettings
from acpref_merchant.webhooks.endpoints import WebhookEndpoint
from acpref_protocol import headers
from acpref_protocol.errors import unauthorized
from acpref_protocol.signing import NO_BODY, RequestVerifier, load_public_key


@dataclass(frozen=True, slots=True)
class Agent:
    """An admitted agent: sessions, orders and idempotency keys belong to its ``id`` (IDEM-04)."""

    id: str
    webhook: WebhookEndpoint | None = None


class AgentRegistry:
    """Maps bearer tokens to agents. Only digests of tokens are kept, so that a memory dump or a log shows none.

    Looking a digest up takes a time that depends on the digest alone, which tells an attacker nothing about a token.
    """

    def __init__(self, agents: Iterable[AgentSettings], *, require_signatures: bool = False) -> None:
        self._by_digest: dict[bytes, Agent] = {}
        self._by_id: dict[str, Agent] = {}
        keys = {}
        for settings in agents:
            webhook = None
            if settings.webhook_base_url and settings.webhook_secret:
                webhook = WebhookEndpoint(
                    settings.webhook_base_url, settings.webhook_secret.get_secret_value().encode()
                )
            agent = Agent(settings.id, webhook)
            keys[agent.id] = [load_public_key(pem.encode()) for pem in settings.public_keys.values()]
            digest = _digest(settings.token.get_secret_value())
            if digest in self._by_digest or settings.id in self._by_id:
                raise ValueError(f"agent {settings.id!r} repeats an id or a token")
            self._by_digest[digest] = agent
            self._by_id[settings.id] = agent
        self._verifier = RequestVerifier(keys, required=require_signatures)

    def authenticate(self, authorization: str | None) -> Agent:
        """The agent of an ``Authorization: Bearer`` header. Raises the 401 error of AUTH-02 for anything else."""
        agent = self._by_digest.get(_digest(headers.bearer_token(authorization)))
        if agent is None:
            raise unauthorized()
        return agent

    def verify_signature(
        self, agent: Agent, body: Any, signature: str | None, timestamp: str | None, now: int
    ) -> None:
        """Check the Signature and Timestamp of a request, ``now`` in milliseconds (SIGN-03).

        ``body`` is the parsed JSON, ``None`` for a request without one. Raises the 401 of a wrong, stale or (where
        required) absent signature.
        """
        signed = NO_BODY if body is None else body
        self._verifier.verify(agent.id, signed, signature, timestamp, now / 1000)

    def webhook_endpoint(self, agent_id: str) -> WebhookEndpoint | None:
        """Where order events of this agent go; ``None`` for an agent that wants none."""
        agent = self._by_id.get(agent_id)
        return agent.webhook if agent else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
