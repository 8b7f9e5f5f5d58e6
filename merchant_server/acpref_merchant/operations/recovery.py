"""Finishing what a process that died, or a provider that did not answer, left undone."""

from __future__ import annotations

import asyncio

import structlog

from acpref_merchant.operations.call import Merchant
from acpref_merchant.operations.complete import pursue
from acpref_merchant.operations.order_payments import Desk, finish_pending
from acpref_merchant.store import payments
from acpref_protocol.errors import ProtocolError

log = structlog.get_logger(__name__)

BATCH = 20
"""Payments taken over in one go."""

INTERVAL_SECONDS = 1.0


async def run_recovery(merchant: Merchant) -> None:
    """Look for abandoned completions every second, for as long as the server runs.

    Whatever goes wrong with one of them is logged, and it comes up again when its lease has run out.
    """
    while True:
        try:
            if await recover(merchant) >= BATCH:
                continue
        except Exception as failure:  # noqa: BLE001 - the loop outlives whatever one round met
            log.error("recovery_failed", kind=type(failure).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def recover(merchant: Merchant) -> int:
    """Finish completions, captures, voids and refunds whose lease has run out; returns how many could be finished."""
    now = merchant.clock()
    lease_until = now + int(merchant.settings.completion_lease_seconds * 1000)
    taken = await merchant.store.run(lambda tx: payments.take_over_lapsed(tx, now, lease_until, BATCH))
    finished = 0
    for payment in taken:
        log.info("completion_resumed", payment=payment.id, session=payment.session_id)
        try:
            await pursue(merchant, payment)
            finished += 1
        except ProtocolError as error:
            log.warning("completion_still_open", payment=payment.id, code=error.code)
    desk = Desk(
        merchant.store, merchant.provider, merchant.clock, merchant.new_id, merchant.deliveries.notify
    )
    return finished + await finish_pending(desk)
