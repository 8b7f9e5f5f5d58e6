"""What the operator does to an order after the purchase: load, change, store, tell the agent, move the money.

Each function makes its change, the stock's and the outbox's in one transaction (WH-07), and moves money through the
recorded steps of ``order_payments``. All raise OrderError, having changed nothing, for a change that the order does not
allow; ``provider_unavailable`` alone means that the change is made and its money still moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from acpref_merchant.domain import order_changes
from acpref_merchant.domain.order_changes import Quantities
from acpref_merchant.domain.order_money import amount_due, require_paid, value_of_removal, value_of_units
from acpref_merchant.domain.orders import OrderError, outstanding, returnable
from acpref_merchant.operations.order_payments import (
    Desk,
    begin_refund,
    begin_step,
    busy,
    finish_pending,
    finish_refund,
    finish_step,
    handed_over,
    known_refund,
    load,
    order_event_body,
    save,
)
from acpref_merchant.store import items, refunds, sessions
from acpref_merchant.store.statement import Tx
from acpref_protocol.models import Order

__all__ = ["Desk", "advance", "cancel", "finish_pending", "order_event_body", "refund", "ship", "take_back"]


async def ship(
    desk: Desk,
    order_id: str,
    lines: Quantities | None = None,
    *,
    carrier: str | None = None,
    tracking_number: str | None = None,
    tracking_url: str | None = None,
    force: bool = False,
) -> Order:
    """Hand units (all outstanding ones without ``lines``) to a carrier. Money held until then is taken first.

    Raises OrderError ``nothing_paid`` when all that was paid has been given back, unless ``force`` is set.
    """
    return await _fulfil(
        desk,
        order_id,
        lambda order, now: order_changes.ship(
            order,
            lines,
            carrier=carrier,
            tracking_number=tracking_number,
            tracking_url=tracking_url,
            now=now,
        ),
        force=force,
    )


async def advance(
    desk: Desk,
    order_id: str,
    event: str,
    fulfillment_id: str | None = None,
    *,
    description: str | None = None,
    location: str | None = None,
    force: bool = False,
) -> Order:
    """Let a fulfillment go through ``event`` (see ``order_changes.STEPS``), such as ``delivered``.

    Without an id: every fulfillment for which the event is possible, of which there must be one. Handing goods over
    takes money held until then first, and raises OrderError ``nothing_paid`` as ``ship`` does.
    """

    def change(order: Order, now: int) -> Order:
        if fulfillment_id is not None:
            return order_changes.advance(
                order, fulfillment_id, event, now=now, description=description, location=location
            )
        changed = order
        for fulfillment in order.fulfillments or ():
            if order_changes.possible(fulfillment, event):
                changed = order_changes.advance(
                    changed, fulfillment.id, event, now=now, description=description, location=location
                )
        if changed is order:
            raise OrderError("illegal_step", f"nothing of order {order.id} can be {event} now")
        return changed

    return await _fulfil(desk, order_id, change, force=force)


async def cancel(
    desk: Desk,
    order_id: str,
    lines: Quantities | None = None,
    *,
    reason: str | None = None,
    restock: bool = True,
) -> Order:
    """Take units (all outstanding ones without ``lines``) off the order.

    What was paid for them is refunded, or not captured in the first place; with the last units of an order whose
    money is only held, it is released. ``restock`` puts the units back on sale. Repeating a command that died
    half-way finishes it.
    """
    finished = await finish_step(desk, order_id)

    def change(tx: Tx) -> Order | refunds.Refund:
        now = desk.clock()
        loaded = load(tx, order_id)
        known = known_refund(tx, order_id, kind="cancel", amount=None, lines=lines, reason=reason)
        if known is not None:
            return known
        order, payment = loaded.order, loaded.payment
        if finished and lines is None and order.status == "canceled":
            return order  # the repeated command had begun to release the money
        gone = dict(outstanding(order)) if lines is None else lines
        # The change checks the request, so it comes before anything is computed from it.
        changed = order_changes.cancel_lines(order, lines, reason=reason, now=now)
        value = value_of_removal(order, gone)
        begun = None
        if payment.status == "authorized":
            credit = (value, payment.currency) if value else None
            changed = order_changes.cancel_lines(order, gone, reason=reason, credit=credit, now=now)
            if amount_due(changed) == 0 or handed_over(changed):
                begin_step(tx, payment, now)
            elif payment.lease_until is not None:
                raise busy()
        elif value:
            changed, begun = begin_refund(
                tx,
                desk,
                loaded,
                changed,
                value,
                kind="cancel",
                lines=gone,
                asked=lines,
                reason=reason,
                now=now,
            )
        if restock:
            _restock(tx, loaded.row.session_id, gone)
        save(tx, desk, loaded.row, changed, now)
        return begun or changed

    result = await _told(desk, change)
    if isinstance(result, refunds.Refund):
        return await finish_refund(desk, result.id)
    await finish_step(desk, order_id)
    return result


async def take_back(
    desk: Desk,
    order_id: str,
    lines: Quantities | None = None,
    *,
    reason: str | None = None,
    restock: bool = True,
    refunded: bool = True,
) -> Order:
    """Record the return of fulfilled units (all of them without ``lines``).

    What was paid for them is refunded unless ``refunded`` is false; ``restock`` puts them back on sale. Repeating a
    command that died half-way finishes its refund.
    """

    def change(tx: Tx) -> Order | refunds.Refund:
        now = desk.clock()
        loaded = load(tx, order_id)
        known = known_refund(tx, order_id, kind="return", amount=None, lines=lines, reason=reason)
        if known is not None:
            return known
        back = dict(returnable(loaded.order)) if lines is None else lines
        changed = order_changes.return_lines(loaded.order, lines, reason=reason, now=now)
        value = value_of_removal(loaded.order, back) if refunded else 0
        begun = None
        if value:
            changed, begun = begin_refund(
                tx,
                desk,
                loaded,
                changed,
                value,
                kind="return",
                lines=back,
                asked=lines,
                reason=reason,
                now=now,
            )
        if restock:
            _restock(tx, loaded.row.session_id, back)
        save(tx, desk, loaded.row, changed, now)
        return begun or changed

    result = await _told(desk, change)
    return await finish_refund(desk, result.id) if isinstance(result, refunds.Refund) else result


async def refund(
    desk: Desk,
    order_id: str,
    amount: int | None = None,
    lines: Quantities | None = None,
    *,
    reason: str | None = None,
    reference: str | None = None,
) -> Order:
    """Give money back: ``amount`` in minor units, or what was paid for ``lines``, or, with neither, all that is left.

    Repeating a command that died half-way finishes its refund. A ``reference`` of the operator's own makes repetition
    safe for good: an order has one refund under it.
    """

    def change(tx: Tx) -> refunds.Refund:
        now = desk.clock()
        loaded = load(tx, order_id)
        known = known_refund(
            tx, order_id, kind="refund", amount=amount, lines=lines, reason=reason, reference=reference
        )
        if known is not None:
            return known
        value = amount
        if value is None:
            value = amount_due(loaded.order) if lines is None else value_of_units(loaded.order, lines)
            if value == 0:
                raise OrderError("nothing_to_refund", f"order {order_id} has nothing left to refund")
        changed, begun = begin_refund(
            tx,
            desk,
            loaded,
            loaded.order,
            value,
            kind="refund",
            lines=lines,
            asked=lines,
            reason=reason,
            reference=reference,
            now=now,
        )
        save(tx, desk, loaded.row, changed, now)
        return begun

    begun = await desk.store.run(change)
    desk.notify()
    return await finish_refund(desk, begun.id)


async def _fulfil(desk: Desk, order_id: str, change: Callable[[Order, int], Order], *, force: bool) -> Order:
    """Apply a change that may hand goods over; money that is only held is taken before they leave."""
    await finish_step(desk, order_id)

    def apply(tx: Tx) -> Order | None:
        now = desk.clock()
        loaded = load(tx, order_id)
        changed = change(loaded.order, now)
        if not force:
            require_paid(loaded.order, changed)
        if handed_over(changed) and loaded.payment.status == "authorized":
            begin_step(tx, loaded.payment, now)
            return None
        save(tx, desk, loaded.row, changed, now)
        return changed

    changed = await desk.store.run(apply)
    if changed is None:
        await finish_step(desk, order_id)
        changed = await desk.store.run(apply)
    if changed is None:
        raise busy()
    desk.notify()
    return changed


async def _told(desk: Desk, change: Callable[[Tx], Order | refunds.Refund]) -> Order | refunds.Refund:
    result = await desk.store.run(change)
    desk.notify()
    return result


def _restock(tx: Tx, session_id: str, units: Mapping[str, int]) -> None:
    stored = sessions.load(tx, session_id)
    item_of = {line.id: line.item_id for line in stored.session.lines} if stored else {}
    quantities: dict[str, int] = {}
    for line, count in units.items():
        if item := item_of.get(line):
            quantities[item] = quantities.get(item, 0) + count
    items.restock(tx, quantities)
