"""Statements on refunds: recorded as ``intended`` before the provider is asked, then ``completed`` or ``failed``.

Money is counted on the payment when the refund is intended, so that two refunds at once cannot exceed the charge; a
refund that fails is counted back.
"""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store import payments
from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, Statement, Tx, constant
from acpref_merchant.store.tables import REFUND as TABLE

_C = TABLE.c


@dataclass(frozen=True, slots=True)
class Refund:
    """A row. ``data`` is a JSON document: what finishing the refund needs. ``amount`` is in minor units."""

    id: str
    payment_id: str
    order_id: str
    amount: int
    status: str
    provider_refund_id: str | None
    failure_code: str | None
    lease_until: int | None
    data: str = field(repr=False)
    created_at: int
    updated_at: int


_INSERT = Statement(sa.insert(TABLE))
_LOAD = Statement(sa.select(TABLE).where(_C.id == bindparam("refund_id")))
_OF_ORDER = Statement(
    sa.select(TABLE).where(_C.order_id == bindparam("order_id")).order_by(_C.created_at, _C.id)
)
_LAPSED = (
    sa.select(_C.id)
    .where(_C.lease_until <= bindparam("now"))
    .order_by(_C.lease_until)
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
    .with_for_update(skip_locked=True)
    .cte("lapsed")
)
_TAKE_OVER = Statement(
    sa.update(TABLE)
    .where(_C.id.in_(sa.select(_LAPSED.c.id)))
    .values(lease_until=bindparam("new_lease"))
    .returning(TABLE)
)
_GIVE_UP_LEASE = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("refund_id"), _C.lease_until.is_not(None))
    .values(lease_until=bindparam("new_lease"))
)
_OUTCOME = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("refund_id"), _C.status == constant("intended"))
    .values(
        status=bindparam("new_status"),
        provider_refund_id=bindparam("provider_id"),
        failure_code=bindparam("new_failure"),
        lease_until=sa.null(),
        updated_at=bindparam("now"),
    )
    .returning(TABLE)
)


def intend(
    tx: Tx, *, id: str, payment_id: str, order_id: str, amount: int, lease_until: int, data: str, now: int
) -> Refund | None:
    """Record that money is about to be given back, and count it on the payment.

    None, and nothing recorded, when the payment is not captured or less than ``amount`` is left of it.
    """
    if not payments.add_refunded(tx, payment_id, amount, now):
        return None
    refund = Refund(
        id=id,
        payment_id=payment_id,
        order_id=order_id,
        amount=amount,
        status="intended",
        provider_refund_id=None,
        failure_code=None,
        lease_until=lease_until,
        data=data,
        created_at=now,
        updated_at=now,
    )
    tx.execute(_INSERT, {name: getattr(refund, name) for name in Refund.__slots__})
    return refund


def load(tx: Tx, id: str) -> Refund | None:
    """The refund, or None."""
    row = tx.row(_LOAD, refund_id=id)
    return None if row is None else Refund(*row)


def of_order(tx: Tx, order_id: str) -> list[Refund]:
    """Every refund of the order, oldest first."""
    return [Refund(*row) for row in tx.rows(_OF_ORDER, order_id=order_id)]


def take_over_lapsed(tx: Tx, now: int, lease_until: int, limit: int) -> list[Refund]:
    """Take the leases of up to ``limit`` refunds whose lease has lapsed; processes at once get different ones."""
    rows = tx.rows(_TAKE_OVER, now=now, new_lease=lease_until, row_limit=limit)
    return sorted((Refund(*row) for row in rows), key=lambda refund: (refund.created_at, refund.id))


def give_up_lease(tx: Tx, id: str, now: int) -> None:
    """Let the next who looks continue at once: the provider's answer is unknown."""
    tx.execute(_GIVE_UP_LEASE, refund_id=id, new_lease=now)


def record_completed(tx: Tx, id: str, provider_refund_id: str, now: int) -> bool:
    """The provider has given the money back. False when the refund is not intended any more."""
    return (
        tx.row(
            _OUTCOME,
            refund_id=id,
            new_status="completed",
            provider_id=provider_refund_id,
            new_failure=None,
            now=now,
        )
        is not None
    )


def record_failed(tx: Tx, id: str, failure_code: str, now: int) -> bool:
    """The provider refused for good; the amount can be refunded again. False when it is not intended any more."""
    row = tx.row(
        _OUTCOME, refund_id=id, new_status="failed", provider_id=None, new_failure=failure_code, now=now
    )
    if row is None:
        return False
    refund = Refund(*row)
    payments.add_refunded(tx, refund.payment_id, -refund.amount, now)
    return True
