"""One whole purchase between real parties over HTTP, told as a transcript."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from acpref_agent import AsyncClient, AsyncPaymentProviderClient
from acpref_agent.buyer import Purchase, Wanted, purchase_async
from acpref_protocol.models import Address, Buyer, CheckoutSession, Order, PaymentMethodCard
from acpref_protocol.money import format_amount
from acpref_sandbox.sandbox import Sandbox

WEBHOOK_SECONDS = 10.0

Tell = Callable[[str, str], None]
"""Told each step: who did it, and what came of it."""


class DemoFailedError(Exception):
    """A purchase took place but something that must be true of it is not; the message says what."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was bought, charged and heard."""

    purchase: Purchase
    order: Order
    charge: dict[str, Any]
    delivery: dict[str, Any]


async def run_demo(sandbox: Sandbox, item: str, tell: Tell) -> Outcome:
    """Buy two units of ``item`` (an id, or words of a title) and check what every party says about it.

    Raises DemoFailedError when the order cannot be read back, the charge was not captured exactly once for exactly the
    agreed amount, or no verified ``order_create`` event was heard; and whatever the SDK raises.
    """
    target = sandbox.target
    seller, psp = target["seller"], target["psp"]
    async with (
        AsyncClient(seller["base_url"], seller["token"]) as client,
        AsyncPaymentProviderClient(psp["base_url"], psp["token"]) as provider,
    ):
        found = await client.discover()
        tell(
            "agent",
            f"reads {seller['base_url']}/.well-known/acp.json: versions {', '.join(found.protocol.supported_versions)}",
        )
        teller = _Teller(tell, target["currency"])
        bought = await purchase_async(client, provider, wanted(target, item), on_step=teller)
        order = await client.get_order(bought.order.id)
        tell("merchant", f"order {order.order_number} is {order.status}")
    if order.id != bought.order.id or order.checkout_session_id != bought.session.id:
        raise DemoFailedError("the order that the merchant shows is not the one that was made")
    charge = await _only_charge(sandbox, bought)
    tell(
        "provider", f"captured {format_amount(charge['amount'], bought.currency)} once, charge {charge['id']}"
    )
    delivery = await _order_created(sandbox, order)
    tell("receiver", f"heard order_create for order {order.order_number}, signature verified")
    return Outcome(bought, order, charge, delivery)


def wanted(target: dict[str, Any], item: str) -> Wanted:
    """Two of ``item`` for the sandbox's buyer, paid with its approved test card."""
    card = target["fixtures"]["cards"]["approved"]
    return Wanted(
        item=item,
        quantity=2,
        max_total=10_000_000,
        currency=target["currency"],
        buyer=Buyer(first_name="Ada", last_name="Park", email="ada@example.com", phone_number="15551230000"),
        address=Address(**target["fixtures"]["addresses"]["serviceable"]),
        card=PaymentMethodCard(
            type="card",
            card_number_type="fpan",
            display_card_funding_type="credit",
            display_brand="visa",
            display_last4=card["number"][-4:],
            metadata={},
            **card,
        ),
    )


class _Teller:
    """Puts the steps of the purchase into words."""

    def __init__(self, tell: Tell, currency: str) -> None:
        self._tell = tell
        self._currency = currency

    def __call__(self, step: str, session: CheckoutSession | None) -> None:
        if session is None:
            self._tell("agent", "finds the product in the merchant's feed")
        elif step == "created":
            line = session.line_items[0]
            self._tell("agent", f"opens checkout {session.id} for {line.quantity} x {line.name}")
            for message in session.messages:
                self._tell("merchant", f"says what is missing: {message.content}")
        elif step == "addressed":
            options = ", ".join(option.title for option in session.fulfillment_options)
            self._tell("merchant", f"can deliver by: {options}")
        elif step == "delivery_chosen":
            parts = ", ".join(
                f"{t.display_text} {format_amount(t.amount, self._currency)}" for t in session.totals
            )
            self._tell("merchant", f"{session.status}: {parts}")
        elif step == "payment_delegated":
            self._tell(
                "provider", "vaults the card and issues a token for this session, this merchant, this amount"
            )
        elif step == "completed" and session.order is not None:
            self._tell(
                "merchant",
                f"checkout {session.status}, order {session.order.order_number} at {session.order.permalink_url}",
            )


async def _only_charge(sandbox: Sandbox, bought: Purchase) -> dict[str, Any]:
    management = sandbox.target["management"]
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(
            f"{management['base_url']}/charges", headers={"Authorization": f"Bearer {management['token']}"}
        )
    answer.raise_for_status()
    charges: list[dict[str, Any]] = [
        charge for charge in answer.json()["charges"] if charge["checkout_session_id"] == bought.session.id
    ]
    if len(charges) != 1:
        raise DemoFailedError(f"the provider knows {len(charges)} charges for the session, not one")
    charge = charges[0]
    if charge["amount_captured"] != bought.charged:
        raise DemoFailedError(f"{charge['amount_captured']} was captured, {bought.charged} was agreed")
    return charge


async def _order_created(sandbox: Sandbox, order: Order) -> dict[str, Any]:
    receiver = sandbox.receiver

    def heard() -> dict[str, Any] | None:
        for delivery in receiver.deliveries:
            event = delivery["event"]
            if event["type"] == "order_create" and event["data"]["id"] == order.id:
                return delivery
        return None

    async def wait() -> dict[str, Any]:
        async with receiver.heard:
            await receiver.heard.wait_for(heard)
        found = heard()
        assert found is not None  # noqa: S101 - that is what was waited for
        return found

    try:
        return await asyncio.wait_for(wait(), WEBHOOK_SECONDS)
    except TimeoutError:
        raise DemoFailedError(f"no order_create event was heard within {WEBHOOK_SECONDS:g} s") from None
