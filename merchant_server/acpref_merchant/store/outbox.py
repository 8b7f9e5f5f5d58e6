"""Statements on the outbox: webhook events that commit with what they tell of, and are delivered afterwards.

An event is ``pending`` until it is ``delivered`` or, given up, ``dead``; a dead one can be replayed. Only the oldest
pending event of an order is ever handed out, so the events of an order are delivered in their order. A dead event does
not hold up later ones: every event carries the whole order (WH-07), so a later one makes up for it.
"""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, Statement, Tx, constant, storable
from acpref_merchant.store.tables import OUTBOX as TABLE

_C = TABLE.c
_PENDING = constant("pending")
_EARLIER = TABLE.alias("earlier")


@dataclass(frozen=True, slots=True)
class Event:
    """A row. ``body`` is what is sent, byte for byte; ``attempts`` counts those that have failed."""

    id: str
    order_id: str
    sequence: int
    agent_id: str
    type: str
    body: bytes = field(repr=False)
    state: str
    attempts: int
    next_attempt_at: int
    lease_until: int
    last_error: str | None
    created_at: int
    delivered_at: int | None


_APPEND = Statement(
    sa.insert(TABLE).values(
        id=bindparam("event_id"),
        order_id=bindparam("order_id"),
        sequence=sa.select(sa.func.coalesce(sa.func.max(_C.sequence), constant(0)) + constant(1))
        .where(_C.order_id == bindparam("order_id"))
        .scalar_subquery(),
        agent_id=bindparam("agent_id"),
        type=bindparam("type"),
        body=bindparam("body"),
        state=_PENDING,
        attempts=constant(0),
        next_attempt_at=bindparam("now"),
        lease_until=constant(0),
        created_at=bindparam("now"),
    )
)
_HAS_EARLIER = sa.exists().where(
    _EARLIER.c.order_id == _C.order_id,
    _EARLIER.c.state == _PENDING,
    _EARLIER.c.sequence < _C.sequence,
)
_DUE = (
    sa.select(_C.id)
    .where(
        _C.state == _PENDING,
        _C.next_attempt_at <= bindparam("now"),
        _C.lease_until <= bindparam("now"),
        ~_HAS_EARLIER,
    )
    .order_by(_C.next_attempt_at, _C.id)
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
    .with_for_update(skip_locked=True, of=TABLE)
    .cte("due")  # locked rows in a subquery could be found again; those of a CTE are found once
)
_CLAIM = Statement(
    sa.update(TABLE)
    .where(_C.id.in_(sa.select(_DUE.c.id)))
    .values(lease_until=bindparam("new_lease"))
    .returning(TABLE)
)
_DELIVERED = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("event_id"), _C.state == _PENDING)
    .values(
        state=constant("delivered"),
        delivered_at=bindparam("now"),
        lease_until=constant(0),
        last_error=sa.null(),
    )
)
_FAILED = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("event_id"), _C.state == _PENDING)
    .values(
        state=bindparam("new_state"),
        attempts=_C.attempts + constant(1),
        next_attempt_at=sa.func.coalesce(bindparam("again", type_=sa.BigInteger), _C.next_attempt_at),
        lease_until=constant(0),
        last_error=bindparam("error"),
    )
)
_REPLAY = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("event_id"), _C.state == constant("dead"))
    .values(state=_PENDING, attempts=constant(0), next_attempt_at=bindparam("now"), lease_until=constant(0))
)
_MAKE_DUE = Statement(
    sa.update(TABLE)
    .where(_C.state == _PENDING, _C.next_attempt_at > bindparam("now"))
    .values(next_attempt_at=bindparam("now"))
)
_BEHIND_OTHERS = Statement(sa.select(_C.id).where(_C.state == _PENDING, _HAS_EARLIER))
_NEXT_DUE = Statement(
    sa.select(
        sa.func.min(sa.case((_C.lease_until > _C.next_attempt_at, _C.lease_until), else_=_C.next_attempt_at))
    ).where(_C.state == _PENDING, ~_HAS_EARLIER)
)
_LOAD = Statement(sa.select(TABLE).where(_C.id == bindparam("event_id")))
_OF_ORDER = Statement(sa.select(TABLE).where(_C.order_id == bindparam("order_id")).order_by(_C.sequence))
_RECENT = Statement(
    sa.select(TABLE)
    .where(sa.or_(_C.state == bindparam("state"), bindparam("state", type_=sa.Text).is_(None)))
    .order_by(_C.created_at.desc(), _C.id.desc())
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
)
_COUNTS = Statement(sa.select(_C.state, sa.func.count()).group_by(_C.state))


def append(tx: Tx, *, id: str, order_id: str, agent_id: str, type: str, body: bytes, now: int) -> None:
    """Add the next event of an order, due at once. Its ``sequence`` in the order counts from 1.

    The order must have been inserted, or loaded for update, in this transaction: that is what keeps sequences apart.
    """
    tx.write(_APPEND, event_id=id, order_id=order_id, agent_id=agent_id, type=type, body=body, now=now)


def claim(tx: Tx, *, now: int, lease_until: int, limit: int) -> list[Event]:
    """Take up to ``limit`` due events, longest due first and at most one of each order, until ``lease_until``.

    Events that another worker holds are passed over; workers that look at the same time get different events.
    """
    rows = tx.rows(_CLAIM, now=now, new_lease=lease_until, row_limit=limit)
    return sorted((Event(*row) for row in rows), key=lambda event: (event.next_attempt_at, event.id))


def delivered(tx: Tx, id: str, now: int) -> None:
    """The receiver has accepted the event, if it was still pending."""
    tx.write(_DELIVERED, event_id=id, now=now)


def retry(tx: Tx, id: str, next_attempt_at: int, error: str) -> None:
    """An attempt failed; the event, if still pending, is due again at ``next_attempt_at``."""
    tx.write(_FAILED, event_id=id, new_state="pending", again=next_attempt_at, error=_clean(error))


def give_up(tx: Tx, id: str, error: str) -> None:
    """The last attempt failed: the event, if still pending, is dead."""
    tx.write(_FAILED, event_id=id, new_state="dead", again=None, error=_clean(error))


def _clean(error: str) -> str:
    """What a receiver answered may hold anything; a database may not."""
    return error.encode(errors="replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def replay(tx: Tx, id: str, now: int) -> bool:
    """Make a dead event due again, with its attempts counted anew. False when it is unknown or not dead."""
    return storable(id) and bool(tx.execute(_REPLAY, event_id=id, now=now))


def load(tx: Tx, id: str) -> Event | None:
    """The event, or None."""
    row = tx.row(_LOAD, event_id=id) if storable(id) else None
    return None if row is None else Event(*row)


def of_order(tx: Tx, order_id: str) -> list[Event]:
    """Every event of the order, in sequence."""
    return [Event(*row) for row in tx.rows(_OF_ORDER, order_id=order_id)]


def recent(tx: Tx, limit: int, *, state: str | None = None) -> list[Event]:
    """Up to ``limit`` events, newest first; only those in ``state``, when that is given."""
    return [Event(*row) for row in tx.rows(_RECENT, state=state, row_limit=limit)]


def counts(tx: Tx) -> dict[str, int]:
    """How many events are in each state; states without any are absent."""
    return {state: int(number) for state, number in tx.rows(_COUNTS)}


def make_due(tx: Tx, now: int) -> int:
    """Let no pending event wait for its next attempt: all are due at ``now``. Returns how many waited."""
    return tx.execute(_MAKE_DUE, now=now)


def behind_others(tx: Tx) -> set[str]:
    """The pending events that wait for an earlier one of their order, whatever their own ``next_attempt_at``."""
    return {str(row[0]) for row in tx.rows(_BEHIND_OTHERS)}


def next_due(tx: Tx) -> int | None:
    """When the next pending event can be claimed, in milliseconds; None when none is pending.

    That may be in the past: the event is due.
    """
    row = tx.row(_NEXT_DUE)
    return None if row is None or row[0] is None else int(row[0])
