"""Moving the money of an order: capture, void and refund, each a recorded step around one call of the provider.

*Capture and void* change the payment. Taking its lease, in the transaction that decides on the step, records that one
was begun; which one and how much follows from the order, because every change of an order finishes such a step first:
an order of which nothing is left is released, any other is charged what is due.

*Refunds* have rows of their own. The intent commits together with the ``pending`` adjustment of the order.

The provider is called under keys derived from the payment or the refund, so that finishing a step twice, at the same
time or after a crash, moves the money once; the database records the first outcome only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import BaseModel, ConfigDict

from acpref_merchant.clock import Clock, NewId, new_id, system_clock
from acpref_merchant.domain.order_money import amount_due, request_refund, settle_refund
from acpref_merchant.domain.orders import OrderError
from acpref_merchant.payments.port import PaymentProvider, ProviderRefused, ProviderUnavailable
from acpref_merchant.store import orders, outbox, payments, refunds
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store
from acpref_protocol.models import Order

log = structlog.get_logger(__name__)

LEASE_MS = 30_000
"""How long a step may take before the recovery loop takes it over; longer than a provider's slowest answer."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the operator's functions work with. ``notify`` is told that an event was written."""

    store: Store
    provider: PaymentProvider
    clock: Clock = system_clock
    new_id: NewId = new_id
    notify: Callable[[], None] = lambda: None


class RefundIntent(BaseModel):
    """What a refund was asked for: enough to finish it, and to know a repeated request again."""

    model_config = ConfigDict(frozen=True)

    adjustment_id: str
    kind: Literal["refund", "cancel", "return"]
    lines: dict[str, int] | None = None
    reason: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """An order under change in a transaction: its row, its document and its payment."""

    row: orders.Stored
    order: Order
    payment: payments.Payment


def load(tx: Tx, order_id: str) -> Loaded:
    """The order, held until the transaction ends. Raises OrderError ``unknown_order``."""
    row = orders.load(tx, order_id, for_update=True)
    if row is None:
        raise OrderError("unknown_order", f"there is no order {order_id!r}")
    payment = payments.of_session(tx, row.session_id)[-1]  # an order is made of a session's last payment
    return Loaded(row, Order.model_validate_json(row.data), payment)


def save(tx: Tx, desk: Desk, row: orders.Stored, order: Order, now: int) -> None:
    """Store the changed order and append its ``order_update``, the whole order, to the outbox (WH-01, WH-07)."""
    document = order.to_json()
    orders.save(tx, row.id, status=order.status or "", data=document.decode(), updated_at=now)
    outbox.append(
        tx,
        id=desk.new_id("evt"),
        order_id=row.id,
        agent_id=row.agent_id,
        type="order_update",
        body=order_event_body("order_update", document),
        now=now,
    )


def order_event_body(kind: Literal["order_create", "order_update"], order: bytes) -> bytes:
    """The body of a webhook event: ``kind`` as its type and the complete order as ``data`` (WH-06, WH-07, WH-12).

    ``order`` is the JSON document of an order that says that it is one and has a status, as every stored one does.
    """
    return b'{"type":"%b","data":%b}' % (kind.encode(), order)


# --- Capture and void ----------------------------------------------------------------------------------------------


def begin_step(tx: Tx, payment: payments.Payment, now: int) -> None:
    """Record that a capture or void of this authorised payment begins."""
    if payments.take_lease(tx, payment.id, now, now + LEASE_MS) is None:
        raise busy()


def busy() -> OrderError:
    """Another process holds the lease of the order's payment."""
    return OrderError("busy", "another process is moving this order's money: try again")


def handed_over(order: Order) -> bool:
    """Whether any goods have left: then what is due must have been captured."""
    return any(line.quantity.fulfilled for line in order.line_items or ())


def begin_due_capture(tx: Tx, payment_id: str, order: Order, now: int) -> None:
    """For a new order whose money is only held: if goods were delivered with the purchase, its capture begins.

    The recovery loop finishes it at its next look, since the lease that records it has lapsed already.
    """
    payment = payments.load(tx, payment_id)
    if payment is not None and payment.status == "authorized" and handed_over(order):
        payments.take_lease(tx, payment_id, now, now)


async def finish_step(desk: Desk, order_id: str) -> bool:
    """Finish the capture or void of this order that was begun, if one was; returns whether.

    Raises OrderError ``capture_refused`` or ``void_refused`` when the provider refuses for good, and
    ``provider_unavailable`` when its answer is unknown: the step then stays begun.
    """
    begun = await desk.store.read(lambda tx: _begun(tx, order_id))
    if begun is None:
        return False
    payment, order = begun
    provider_id, key = payment.provider_payment_id or "", f"{payment.id}:"
    due = amount_due(order)
    try:
        if due:
            await desk.provider.capture(provider_id, due, payment.currency, key + "capture")
        else:
            await desk.provider.void(provider_id, key + "void")
    except ProviderUnavailable as error:
        await desk.store.run(lambda tx: payments.give_up_lease(tx, payment.id, desk.clock()))
        raise _unavailable("capture" if due else "void", error) from None
    except ProviderRefused as error:
        await desk.store.run(lambda tx: payments.drop_lease(tx, payment.id))
        what = "capture" if due else "void"
        raise OrderError(
            f"{what}_refused", f"the payment provider refused to {what} the payment: {error}"
        ) from None
    record = payments.record_captured if due else payments.record_voided
    await desk.store.run(lambda tx: record(tx, payment.id, desk.clock()))
    return True


def _begun(tx: Tx, order_id: str) -> tuple[payments.Payment, Order] | None:
    row = orders.load(tx, order_id)
    if row is None:
        raise OrderError("unknown_order", f"there is no order {order_id!r}")
    payment = payments.of_session(tx, row.session_id)[-1]
    if payment.status != "authorized" or payment.lease_until is None:
        return None
    return payment, Order.model_validate_json(row.data)


# --- Refunds -------------------------------------------------------------------------------------------------------


def known_refund(
    tx: Tx,
    order_id: str,
    *,
    kind: Literal["refund", "cancel", "return"],
    amount: int | None,
    lines: Mapping[str, int] | None,
    reason: str | None,
    reference: str | None = None,
) -> refunds.Refund | None:
    """The refund that this request has begun before.

    With a ``reference`` it is the order's refund under that reference, finished or not. Without one it is an
    unfinished refund for the same purpose: the request of an operator whose first command died half-way.
    """
    for refund in refunds.of_order(tx, order_id):
        intent = RefundIntent.model_validate_json(refund.data)
        if reference is not None:
            if intent.reference == reference:
                return refund
        elif (
            refund.status == "intended"
            and intent.kind == kind
            and intent.lines == (dict(lines) if lines is not None else None)
            and intent.reason == reason
            and amount in (None, refund.amount)
        ):
            return refund
    return None


def begin_refund(
    tx: Tx,
    desk: Desk,
    loaded: Loaded,
    order: Order,
    amount: int,
    *,
    kind: Literal["refund", "cancel", "return"],
    lines: Mapping[str, int] | None,
    asked: Mapping[str, int] | None,
    reason: str | None,
    reference: str | None = None,
    now: int,
) -> tuple[Order, refunds.Refund]:
    """Record the intent and put the pending refund into ``order``; the caller saves the order.

    ``lines`` are shown to the buyer, ``asked`` is what the operator asked for. Raises OrderError ``not_captured``,
    ``invalid_amount`` or ``exceeds_captured``.
    """
    payment = loaded.payment
    if payment.status != "captured":
        raise OrderError("not_captured", f"the payment is {payment.status}: there is nothing to refund")
    order = request_refund(
        order, amount, payment.currency, captured=captured_amount(loaded), lines=lines, reason=reason, now=now
    )
    assert order.adjustments  # noqa: S101 - the refund was just appended
    refund = refunds.intend(
        tx,
        id=desk.new_id("ref"),
        payment_id=payment.id,
        order_id=loaded.row.id,
        amount=amount,
        lease_until=now + LEASE_MS,
        data=RefundIntent(
            adjustment_id=order.adjustments[-1].id,
            kind=kind,
            lines=dict(asked) if asked is not None else None,
            reason=reason,
            reference=reference,
        ).model_dump_json(),
        now=now,
    )
    if refund is None:
        raise OrderError("exceeds_captured", "the payment has less left than this refund")
    return order, refund


def captured_amount(loaded: Loaded) -> int:
    """What the provider took: the payment's amount less what was canceled before it was captured."""
    adjustments = loaded.order.adjustments or ()
    return loaded.payment.amount - sum(a.amount or 0 for a in adjustments if a.type == "cancellation")


async def finish_refund(desk: Desk, refund_id: str) -> Order:
    """Ask the provider and record its answer; the order as it is then.

    Raises OrderError ``refund_refused`` (recorded as failed, the amount can be refunded again) and
    ``provider_unavailable`` (unknown; the refund stays intended and is tried again).
    """

    def read(tx: Tx) -> tuple[refunds.Refund, payments.Payment]:
        refund = refunds.load(tx, refund_id)
        payment = payments.load(tx, refund.payment_id) if refund else None
        if refund is None or payment is None:
            raise OrderError("unknown_refund", f"there is no refund {refund_id!r}")
        return refund, payment

    refund, payment = await desk.store.read(read)
    refusal: ProviderRefused | None = None
    if refund.status == "intended":
        try:
            provider_refund_id = await desk.provider.refund(
                payment.provider_payment_id or "", refund.amount, payment.currency, refund.id
            )
        except ProviderUnavailable as error:
            await desk.store.run(lambda tx: refunds.give_up_lease(tx, refund.id, desk.clock()))
            raise _unavailable("refund", error) from None
        except ProviderRefused as error:
            refusal, provider_refund_id = error, ""
        code = refusal.code if refusal else None
        order = await desk.store.run(lambda tx: _record_refund(tx, desk, refund, provider_refund_id, code))
        desk.notify()
    else:
        order = await desk.store.read(lambda tx: load_only(tx, refund.order_id))
    if refusal or refund.status == "failed":
        raise OrderError(
            "refund_refused", f"the payment provider refused the refund: {refusal or refund.failure_code}"
        )
    return order


def load_only(tx: Tx, order_id: str) -> Order:
    """The order as it is. Raises OrderError ``unknown_order``."""
    row = orders.load(tx, order_id)
    if row is None:
        raise OrderError("unknown_order", f"there is no order {order_id!r}")
    return Order.model_validate_json(row.data)


def _record_refund(
    tx: Tx, desk: Desk, refund: refunds.Refund, provider_refund_id: str, failure_code: str | None
) -> Order:
    now = desk.clock()
    loaded = load(tx, refund.order_id)
    if failure_code is None:
        recorded = refunds.record_completed(tx, refund.id, provider_refund_id, now)
    else:
        recorded = refunds.record_failed(tx, refund.id, failure_code, now)
    if not recorded:  # another process has recorded the outcome
        return loaded.order
    intent = RefundIntent.model_validate_json(refund.data)
    order = settle_refund(loaded.order, intent.adjustment_id, succeeded=failure_code is None)
    save(tx, desk, loaded.row, order, now)
    return order


def _unavailable(what: str, error: ProviderUnavailable) -> OrderError:
    return OrderError(
        "provider_unavailable",
        f"the {what} was recorded, but {error}; it is finished by the server, or by repeating this command",
    )


# --- Recovery ------------------------------------------------------------------------------------------------------

BATCH = 20


async def finish_pending(desk: Desk) -> int:
    """Finish every refund, capture and void whose process did not; returns how many were taken over."""
    now = desk.clock()
    lease = now + LEASE_MS

    def take(tx: Tx) -> tuple[list[refunds.Refund], list[str]]:
        begun = payments.take_over_lapsed(tx, now, lease, BATCH, status="authorized")
        owners = (orders.of_session(tx, payment.session_id) for payment in begun)
        return refunds.take_over_lapsed(tx, now, lease, BATCH), [row.id for row in owners if row is not None]

    lapsed, steps = await desk.store.run(take)
    for refund in lapsed:
        try:
            await finish_refund(desk, refund.id)
        except OrderError as error:
            log.warning("refund_not_finished", refund=refund.id, code=error.code)
    for order_id in steps:
        try:
            await finish_step(desk, order_id)
        except OrderError as error:
            log.warning("payment_step_not_finished", order=order_id, code=error.code)
    return len(lapsed) + len(steps)
