"""What every operation shares: who calls, under which key, and the rule that a key acts once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from acpref_merchant.agents import Agent, AgentRegistry
from acpref_merchant.clock import Clock, NewId
from acpref_merchant.domain.shop import Shop
from acpref_merchant.payments.port import PaymentProvider
from acpref_merchant.settings import Settings
from acpref_merchant.store import discount_uses, idempotency
from acpref_merchant.store.store import Store, Tx
from acpref_merchant.webhooks.delivery import DeliveryWorker
from acpref_protocol.errors import ProtocolError, idempotency_conflict, idempotency_in_flight
from acpref_protocol.models import CheckoutSession


class Renderer(Protocol):
    """The answers of one protocol version: canonical models in, bytes of that version out."""

    @property
    def version(self) -> str:
        """The dated version."""
        ...

    def session(self, view: CheckoutSession) -> bytes:
        """The body that shows ``view``."""
        ...


StepObserver = Callable[[str], None]
"""Hears the name of every recorded step as it is reached; fault tests end the process there."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """The parts that operations work with. Built once by the composition root; nothing here is global.

    ``renderers`` has one entry per served version: a completion that another process finishes is answered in the
    version in which it was asked for.
    """

    settings: Settings
    shop: Shop
    store: Store
    provider: PaymentProvider
    agents: AgentRegistry
    deliveries: DeliveryWorker
    clock: Clock
    new_id: NewId
    renderers: Mapping[str, Renderer]
    on_step: StepObserver


@dataclass(frozen=True, slots=True)
class Call:
    """One POST of an agent: its identity, the concrete path and key that make it unique, and its body's fingerprint."""

    agent: Agent
    path: str
    key: str
    fingerprint: str
    render: Renderer


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it becomes HTTP. ``replayed`` marks the stored answer of an earlier request (IDEM-12)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


def refusal(error: ProtocolError) -> Reply:
    """The reply that tells ``error`` (ERR-01)."""
    return Reply(error.status, json.dumps(error.body(), separators=(",", ":")).encode(), dict(error.headers))


def once(tx: Tx, merchant: Merchant, call: Call, now: int, act: Callable[[], Reply]) -> Reply:
    """Run ``act`` in this transaction unless its key was used before; then return the first answer (IDEM-11).

    ``act`` decides before it writes, so a refusal that it raises has written nothing; the refusal is stored as the
    answer of the key, like any other. Raises the 409 and 422 of IDEM-15 and IDEM-17, which are never stored.
    """
    claim = claim_key(tx, merchant, call, now, lease_until=now)
    if (reply := settled(claim, now)) is not None:
        return reply
    try:
        reply = act()
    except ProtocolError as error:
        reply = refusal(error)
    finish(tx, call, reply)
    return reply


def claim_key(
    tx: Tx, merchant: Merchant, call: Call, now: int, lease_until: int, resource_id: str | None = None
) -> idempotency.Claim:
    """Take the call's key, or learn what became of the request that has it (IDEM-04, IDEM-20).

    ``resource_id`` names what a request of several transactions begins, for whoever has to resume it.
    """
    return idempotency.claim(
        tx,
        agent_id=call.agent.id,
        path=call.path,
        key=call.key,
        fingerprint=call.fingerprint,
        now=now,
        lease_until=lease_until,
        expires_at=now + merchant.settings.idempotency_retention_seconds * 1000,
        resource_id=resource_id,
    )


def settled(claim: idempotency.Claim, now: int) -> Reply | None:
    """The stored answer if the key has one, ``None`` if this request is to act.

    Raises idempotency_conflict (IDEM-15) and idempotency_in_flight (IDEM-17, IDEM-18).
    """
    match claim:
        case idempotency.Replay(status_code=status, headers=headers, body=body):
            return Reply(status, body, headers, replayed=True)
        case idempotency.Conflict():
            raise idempotency_conflict()
        case idempotency.InFlight(lease_until=lease_until):
            raise idempotency_in_flight(max(1, -(-(lease_until - now) // 1000)))
        case _:
            return None


def finish(tx: Tx, call: Call, reply: Reply) -> None:
    """Store ``reply`` as the answer of the call's key, in the transaction of its effects (IDEM-22)."""
    idempotency.finish(
        tx,
        agent_id=call.agent.id,
        path=call.path,
        key=call.key,
        status_code=reply.status,
        headers=dict(reply.headers),
        body=reply.body,
    )


def announce_redeemed(tx: Tx, merchant: Merchant) -> None:
    """``redeemed`` will be asked for right after the next statement, which does not touch uses of discounts."""
    discount_uses.announce(tx, _limited(merchant))


def redeemed(tx: Tx, merchant: Merchant) -> dict[str, int]:
    """How often each discount with a usage limit was used, by the discount's id."""
    return discount_uses.count(tx, _limited(merchant))


def _limited(merchant: Merchant) -> list[str]:
    return [discount.id for discount in merchant.shop.discounts if discount.usage_limit is not None]
