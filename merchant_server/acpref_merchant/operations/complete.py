"""Completing a session: the one operation with an effect outside the database, made of recorded steps.

1. *Intent*, one transaction: the key is claimed, the stock reserved, the payment recorded as intended, and the session
   is ``complete_in_progress`` with what is being bought frozen in it.
2. *Authorisation*: the provider is called, outside any transaction, under a key derived from the payment.
3. *Outcome*, one transaction: the payment's outcome, the order, the stock sold, the ``order_create`` event and the
   answer of the idempotency key; or the decline, the stock released and the session payable again.

A process that dies between two steps leaves a payment in the state ``intended`` whose lease runs out. The next retry of
the client, or the recovery loop, takes the lease over and continues at step 2: the provider answers a repeated key with
its first outcome, so there is one charge; step 3 happens only while the payment is still ``intended``, so there is one
order.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from pydantic import BaseModel, ConfigDict

from acpref_merchant.agents import Agent
from acpref_merchant.domain import checkout
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.orders import new_order
from acpref_merchant.domain.session import Session
from acpref_merchant.operations.call import (
    Call,
    Merchant,
    Reply,
    announce_redeemed,
    claim_key,
    finish,
    redeemed,
    refusal,
    settled,
)
from acpref_merchant.operations.checkout import load, shown, with_order
from acpref_merchant.operations.order_payments import begin_due_capture, order_event_body
from acpref_merchant.payments.port import Authorized, ChargeRequest, Declined, ProviderUnavailable
from acpref_merchant.store import discount_uses, idempotency, orders, outbox, payments, sessions
from acpref_merchant.store import items as item_rows
from acpref_merchant.store.errors import Overtaken
from acpref_merchant.store.store import Tx
from acpref_protocol.errors import ProtocolError, idempotency_in_flight, service_unavailable
from acpref_protocol.models import CheckoutSession, CheckoutSessionCompleteRequest

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 1
_ATTEMPTS = 6


class Purchase(BaseModel):
    """What the intent records beside the charge itself: enough to finish the completion without the client.

    What is being bought is the session's frozen view. ``version`` is the one in which the answer was asked for.
    """

    model_config = ConfigDict(frozen=True)

    version: str
    handler_id: str


@dataclass(frozen=True, slots=True)
class Purchased:
    """What is being bought, as the process that has just begun the completion knows it without looking again."""

    stored: sessions.Stored
    agreed: CheckoutSession
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class Begun:
    """A payment to pursue, and what it is for where this process has put that together."""

    payment: payments.Payment
    purchased: Purchased | None = None


async def complete(
    merchant: Merchant, call: Call, session_id: str, request: CheckoutSessionCompleteRequest
) -> Reply:
    """Pay for a session and turn it into an order (CHK-CMP-01): 200 with the session and its order.

    A decline is a 200 with the payable session and a ``payment_declined`` message (CHK-CMP-06). Raises 503 when the
    provider's answer is unknown; the same request under the same key then finishes what was begun.
    """
    merchant.on_step("before_intent")
    begun = await _begun(merchant, call, session_id, request)
    if isinstance(begun, Reply):
        return begun
    merchant.on_step("after_intent")
    return await pursue(merchant, begun.payment, begun.purchased)


async def _begun(
    merchant: Merchant, call: Call, session_id: str, request: CheckoutSessionCompleteRequest
) -> Reply | Begun:
    """Step 1. Whoever is overtaken, as by the buyer of the last unit, decides again and then sees what is lacking."""
    for _ in range(_ATTEMPTS):
        with suppress(Overtaken):
            return await merchant.store.run(lambda tx: _intend(tx, merchant, call, session_id, request))
    raise service_unavailable(RETRY_AFTER_SECONDS)


async def pursue(merchant: Merchant, payment: payments.Payment, purchased: Purchased | None = None) -> Reply:
    """Steps 2 and 3 for a payment that this process holds the lease of.

    Without ``purchased``, what is being bought is read from the session once more.
    """
    purchase = Purchase.model_validate_json(payment.request)
    if payment.amount == 0:
        outcome: Authorized | Declined = Authorized(provider_payment_id="", captured=True)
    else:
        try:
            outcome = await merchant.provider.authorize(
                ChargeRequest(
                    idempotency_key=payment.id,
                    token=payment.token or "",
                    amount=payment.amount,
                    currency=payment.currency,
                    merchant_id=merchant.shop.merchant_id,
                    checkout_session_id=payment.session_id,
                    capture=merchant.shop.capture == "automatic",
                )
            )
        except ProviderUnavailable as error:
            log.warning(
                "payment_outcome_unknown", payment=payment.id, session=payment.session_id, error=str(error)
            )
            await merchant.store.run(lambda tx: _give_up(tx, merchant, payment))
            raise service_unavailable(RETRY_AFTER_SECONDS) from None
    merchant.on_step("after_authorization")
    try:
        reply = await merchant.store.run(
            lambda tx: _settle(tx, merchant, payment, purchase, outcome, purchased)
        )
    except Overtaken:
        reply = await merchant.store.run(lambda tx: _settle(tx, merchant, payment, purchase, outcome, None))
    merchant.on_step("after_order")
    if isinstance(outcome, Authorized):
        merchant.deliveries.notify()
    return reply


def _intend(
    tx: Tx, merchant: Merchant, call: Call, session_id: str, request: CheckoutSessionCompleteRequest
) -> Reply | Begun:
    """Step 1: the payment to pursue, or the answer where there is nothing to pay for."""
    now = merchant.clock()
    lease_until = now + int(merchant.settings.completion_lease_seconds * 1000)
    payment_id = merchant.new_id("pay")
    sessions.announce(tx, session_id)
    claim = claim_key(tx, merchant, call, now, lease_until, payment_id)
    if (reply := settled(claim, now)) is not None:
        return reply
    if isinstance(claim, idempotency.Resumable) and claim.resource_id is not None:
        payment = payments.take_lease(tx, claim.resource_id, now, lease_until)
        if payment is None:  # the recovery loop was faster and is at it right now
            raise idempotency_in_flight(RETRY_AFTER_SECONDS)
        return Begun(payment)
    begun = _begin(tx, merchant, call, session_id, request, payment_id, now, lease_until)
    if isinstance(begun, Reply):
        finish(tx, call, begun)
    return begun


def _begin(
    tx: Tx,
    merchant: Merchant,
    call: Call,
    session_id: str,
    request: CheckoutSessionCompleteRequest,
    payment_id: str,
    now: int,
    lease_until: int,
) -> Reply | Begun:
    """Decide, and record what is intended. Whatever refuses does so before anything is written."""
    try:
        stored = load(tx, session_id, call.agent, for_update=True)
        announce_redeemed(tx, merchant)
        items = item_rows.load(tx, checkout.item_ids(stored.session))
        plan = checkout.plan_completion(
            stored.session,
            request,
            shop=merchant.shop,
            items=items,
            now=now,
            redeemed=redeemed(tx, merchant),
        )
    except ProtocolError as error:
        return refusal(error)
    match plan:
        case checkout.NotReady(error=obstacle):
            return refusal(obstacle)
        case checkout.Repriced(session=session, view=view):
            sessions.save(tx, stored, session)
            return Reply(200, call.render.session(view))
        case checkout.Charge(amount=amount, token=token):
            due: tuple[int, str | None] = (amount, token)
        case checkout.Free():
            due = (0, None)
    stored = sessions.save(tx, stored, plan.session)
    payment = payments.intend(
        tx,
        id=payment_id,
        session_id=plan.session.id,
        agent_id=call.agent.id,
        amount=due[0],
        currency=merchant.shop.currency,
        token=due[1],
        provider=merchant.provider.name,
        lease_until=lease_until,
        idempotency_path=call.path,
        idempotency_key=call.key,
        request=Purchase(version=call.render.version, handler_id=plan.handler_id).model_dump_json(),
        now=now,
    )
    _set_aside(tx, merchant, plan, items)
    return Begun(payment, Purchased(stored, plan.view, items))


def _set_aside(
    tx: Tx, merchant: Merchant, plan: checkout.Charge | checkout.Free, items: Mapping[str, Item]
) -> None:
    """Use the discounts of ``plan`` and reserve its goods.

    Both at the very end of the transaction, because others may wait for the same ones. Raises Overtaken where somebody
    was faster since the session was assessed, which only PostgreSQL lets happen.
    """
    limits = {discount.id: discount.usage_limit for discount in merchant.shop.discounts}
    for used in sorted(plan.redeemed):
        discount_uses.use(tx, used, plan.session.id, limits.get(used))
    goods = checkout.stock_needed(plan.session)
    item_rows.reserve(tx, {item: units for item, units in goods.items() if items[item].available is not None})


def _give_up(tx: Tx, merchant: Merchant, payment: payments.Payment) -> None:
    """Let go of a completion whose charge has an unknown outcome, so that the next to look continues at once."""
    now = merchant.clock()
    payments.give_up_lease(tx, payment.id, now)
    idempotency.extend(
        tx,
        agent_id=payment.agent_id,
        path=payment.idempotency_path,
        key=payment.idempotency_key,
        lease_until=now,
    )


def _settle(
    tx: Tx,
    merchant: Merchant,
    payment: payments.Payment,
    purchase: Purchase,
    outcome: Authorized | Declined,
    purchased: Purchased | None,
) -> Reply:
    """Step 3: record the outcome and everything that follows from it, unless another process has done so.

    Hardly anybody changes a session while its payment is intended, so this process takes it for what it was: raises
    StaleVersion when it was wrong.
    """
    now = merchant.clock()
    call = Call(
        agent=Agent(payment.agent_id),
        path=payment.idempotency_path,
        key=payment.idempotency_key,
        fingerprint="",
        render=merchant.renderers[purchase.version],
    )
    order_id = merchant.new_id("ord")
    if isinstance(outcome, Authorized):
        orders.announce_number(tx, order_id)
        recorded = payments.record_authorized(
            tx,
            payment.id,
            provider_payment_id=outcome.provider_payment_id,
            captured=outcome.captured,
            now=now,
        )
    else:
        recorded = payments.record_declined(tx, payment.id, outcome.code, now)
    if not recorded:  # settled by another process in the meantime: tell what came of it
        session = with_order(tx, load(tx, payment.session_id, call.agent).session)
        return Reply(200, call.render.session(_view(tx, merchant, session, now)))
    stored = (
        load(tx, payment.session_id, call.agent, for_update=True) if purchased is None else purchased.stored
    )
    if isinstance(outcome, Authorized):
        session, view = _order(tx, merchant, stored.session, purchased, order_id, now)
        if not outcome.captured and session.order is not None:
            begin_due_capture(tx, payment.id, session.order, now)
    else:
        log.info("payment_declined", payment=payment.id, code=outcome.code, reason=outcome.reason)
        item_rows.release(tx, checkout.stock_needed(stored.session))
        discount_uses.give_back(tx, stored.session.id)
        code = "requires_3ds" if outcome.requires_3ds else outcome.code
        session = checkout.declined(stored.session, code, now)
        session, view = shown(session, _view(tx, merchant, session, now))
    sessions.save(tx, stored, session)
    reply = Reply(200, call.render.session(view))
    finish(tx, call, reply)
    return reply


def _order(
    tx: Tx, merchant: Merchant, session: Session, purchased: Purchased | None, order_id: str, now: int
) -> tuple[Session, CheckoutSession]:
    """Make the order, sell the stock and append the event: one transaction with everything else."""
    if purchased is not None:
        agreed, items = purchased.agreed, purchased.items
    else:
        items = item_rows.load(tx, checkout.item_ids(session))
        agreed = checkout.present(session, merchant.shop, items, now)
    number = orders.next_number(tx, order_id)
    order = new_order(session, agreed, items, merchant.shop, order_id=order_id, number=number, now=now)
    document = order.to_json()
    orders.insert(
        tx,
        id=order.id,
        session_id=session.id,
        agent_id=session.agent_id,
        number=number,
        status=order.status or "created",
        data=document.decode(),
        created_at=now,
    )
    item_rows.commit_reservation(tx, checkout.stock_needed(session))
    outbox.append(
        tx,
        id=merchant.new_id("evt"),
        order_id=order.id,
        agent_id=session.agent_id,
        type="order_create",
        body=order_event_body("order_create", document),
        now=now,
    )
    done = checkout.completed(session, order, merchant.shop, items, now)
    return done, checkout.bring_up(agreed, done)


def _view(tx: Tx, merchant: Merchant, session: Session, now: int) -> CheckoutSession:
    items = item_rows.load(tx, checkout.item_ids(session))
    return checkout.present(session, merchant.shop, items, now, redeemed=redeemed(tx, merchant))
