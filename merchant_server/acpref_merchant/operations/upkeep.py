"""Housekeeping: forgetting idempotency records past their retention (IDEM-20)."""

from __future__ import annotations

import asyncio

import structlog

from acpref_merchant.operations.call import Merchant
from acpref_merchant.store import idempotency

log = structlog.get_logger(__name__)

BATCH = 500
"""Rows deleted in one transaction: small, so that no request waits long behind it."""

INTERVAL_SECONDS = 60.0


async def run_upkeep(merchant: Merchant) -> None:
    """Purge once a minute, for as long as the server runs."""
    while True:
        try:
            await purge(merchant)
        except Exception as failure:  # noqa: BLE001 - the loop outlives whatever one round met
            log.error("upkeep_failed", kind=type(failure).__name__)
        await asyncio.sleep(INTERVAL_SECONDS)


async def purge(merchant: Merchant) -> int:
    """Delete every idempotency record whose retention is over; returns how many there were."""
    deleted = 0
    while True:
        now = merchant.clock()
        batch = await merchant.store.run(lambda tx: idempotency.purge(tx, now, BATCH))  # noqa: B023 - run at once
        deleted += batch
        if batch < BATCH:
            return deleted
