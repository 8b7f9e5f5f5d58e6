"""Replaying events that were given up, without turning back what an agent knows.

Every event carries the whole order and nothing on the wire says which of two is newer, so an old event that arrives
after a newer one makes the agent believe the old state. A dead event of whose order a later event was delivered is
*superseded*: it is replayed only when forced.
"""

from __future__ import annotations

from typing import Literal

from acpref_merchant.store import outbox
from acpref_merchant.store.statement import Tx

Replay = Literal["replayed", "superseded", "not_dead", "unknown"]


def replay(tx: Tx, event_id: str, now: int, *, force: bool = False) -> Replay:
    """Make a dead event due again, its attempts counted anew; says what came of it. ``now`` is in milliseconds."""
    event = outbox.load(tx, event_id)
    if event is None:
        return "unknown"
    if event.state != "dead":
        return "not_dead"
    if not force and _superseded(tx, event):
        return "superseded"
    return "replayed" if outbox.replay(tx, event_id, now) else "not_dead"


def _superseded(tx: Tx, event: outbox.Event) -> bool:
    return any(
        later.sequence > event.sequence and later.state == "delivered"
        for later in outbox.of_order(tx, event.order_id)
    )
