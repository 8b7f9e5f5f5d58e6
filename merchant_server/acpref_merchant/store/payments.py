"""Statements on payments: every charge is recorded before the provider is asked, and again when it has answered.

``intended`` becomes ``authorized``, ``captured``, ``declined`` or ``abandoned``; ``authorized`` becomes ``captured`` or
``voided``. A change applies only to the state it starts from, so a step that two processes take has one effect. A
session has at most one payment that is intended, authorized or captured; the database sees to it.
"""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from dataclasses import dataclass, field, fields

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.errors import Overtaken
from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, Statement, Tx, constant
from acpref_merchant.store.tables import PAYMENT as TABLE

_C = TABLE.c


class AlreadyPaying(Overtaken):
    """The session has a payment that is intended, authorized or captured."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A row. Amounts are minor units, times milliseconds since 1970 UTC.

    ``token`` is gone once the outcome is known. ``request`` is the JSON document that the completion was begun with:
    enough to finish it without the client. ``lease_until`` is None when nothing is left to be done.
    """

    id: str
    session_id: str
    agent_id: str
    status: str
    amount: int
    currency: str
    token: str | None = field(repr=False)
    provider: str
    provider_payment_id: str | None
    lease_until: int | None
    idempotency_path: str
    idempotency_key: str
    request: str = field(repr=False)
    failure_code: str | None
    refunded_amount: int
    created_at: int
    updated_at: int


_INTEND = Statement(
    lambda insert: (
        insert(TABLE)
        .values(
            id=bindparam("payment_id"),
            session_id=bindparam("session_id"),
            agent_id=bindparam("agent_id"),
            attempt=sa.select(sa.func.coalesce(sa.func.max(_C.attempt), constant(0)) + constant(1))
            .where(_C.session_id == bindparam("session_id"))
            .scalar_subquery(),
            status=constant("intended"),
            amount=bindparam("amount"),
            currency=bindparam("currency"),
            token=bindparam("token"),
            provider=bindparam("provider"),
            lease_until=bindparam("lease_until"),
            idempotency_path=bindparam("idempotency_path"),
            idempotency_key=bindparam("idempotency_key"),
            request=bindparam("request"),
            refunded_amount=constant(0),
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
    )
)
_COLUMNS = [_C[column.name] for column in fields(Payment)]  # ``attempt`` only keeps them in order
_BY_ID = sa.select(*_COLUMNS).where(_C.id == bindparam("payment_id"))
_LOAD = Statement(_BY_ID)
_LOAD_FOR_UPDATE = Statement(_BY_ID.with_for_update())
_OF_SESSION = Statement(
    sa.select(*_COLUMNS).where(_C.session_id == bindparam("session_id")).order_by(_C.attempt)
)
_LAPSED = (
    sa.select(_C.id)
    .where(_C.lease_until <= bindparam("now"), _C.status == bindparam("status"))
    .order_by(_C.lease_until)
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
    .with_for_update(skip_locked=True)
    .cte("lapsed")  # locked rows in a subquery could be found again; those of a CTE are found once
)
_TAKE_OVER = Statement(
    sa.update(TABLE)
    .where(_C.id.in_(sa.select(_LAPSED.c.id)))
    .values(lease_until=bindparam("new_lease"))
    .returning(*_COLUMNS)
)
_TAKE_LEASE = Statement(
    sa.update(TABLE)
    .where(
        _C.id == bindparam("payment_id"),
        sa.or_(_C.lease_until.is_(None), _C.lease_until <= bindparam("now")),
    )
    .values(lease_until=bindparam("new_lease"))
    .returning(*_COLUMNS)
)
_GIVE_UP_LEASE = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("payment_id"), _C.lease_until.is_not(None))
    .values(lease_until=bindparam("new_lease"))
)
_OUTCOME = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("payment_id"), _C.status == bindparam("old_status"))
    .values(
        status=bindparam("new_status"),
        token=sa.null(),
        lease_until=sa.null(),
        provider_payment_id=sa.func.coalesce(bindparam("provider_id", type_=sa.Text), _C.provider_payment_id),
        failure_code=bindparam("new_failure"),
        updated_at=bindparam("now"),
    )
)
_ADD_REFUNDED = Statement(
    sa.update(TABLE)
    .where(
        _C.id == bindparam("payment_id"),
        _C.status == constant("captured"),
        _C.refunded_amount + bindparam("more", type_=sa.BigInteger) <= _C.amount,
        _C.refunded_amount + bindparam("more", type_=sa.BigInteger) >= constant(0),
    )
    .values(
        refunded_amount=_C.refunded_amount + bindparam("more", type_=sa.BigInteger),
        updated_at=bindparam("now"),
    )
)


def intend(
    tx: Tx,
    *,
    id: str,
    session_id: str,
    agent_id: str,
    amount: int,
    currency: str,
    token: str | None,
    provider: str,
    lease_until: int,
    idempotency_path: str,
    idempotency_key: str,
    request: str,
    now: int,
) -> Payment:
    """Record that a charge is about to be made, as the session's next attempt.

    Raises AlreadyPaying, by the end of the transaction, when the session has a payment that is intended, authorized or
    captured.
    """
    tx.must_change(
        AlreadyPaying(f"session {session_id} has a payment"),
        _INTEND,
        payment_id=id,
        session_id=session_id,
        agent_id=agent_id,
        amount=amount,
        currency=currency,
        token=token,
        provider=provider,
        lease_until=lease_until,
        idempotency_path=idempotency_path,
        idempotency_key=idempotency_key,
        request=request,
        now=now,
    )
    return Payment(
        id=id,
        session_id=session_id,
        agent_id=agent_id,
        status="intended",
        amount=amount,
        currency=currency,
        token=token,
        provider=provider,
        provider_payment_id=None,
        lease_until=lease_until,
        idempotency_path=idempotency_path,
        idempotency_key=idempotency_key,
        request=request,
        failure_code=None,
        refunded_amount=0,
        created_at=now,
        updated_at=now,
    )


def load(tx: Tx, id: str, *, for_update: bool = False) -> Payment | None:
    """The payment, or None; ``for_update`` holds the row until the transaction ends."""
    row = tx.row(_LOAD_FOR_UPDATE if for_update else _LOAD, payment_id=id)
    return None if row is None else Payment(*row)


def of_session(tx: Tx, session_id: str) -> list[Payment]:
    """Every attempt to charge for the session, oldest first."""
    return [Payment(*row) for row in tx.rows(_OF_SESSION, session_id=session_id)]


def alive(tx: Tx, session_id: str) -> Payment | None:
    """The session's payment that is intended, authorized or captured, if there is one."""
    return next(
        (p for p in of_session(tx, session_id) if p.status in ("intended", "authorized", "captured")), None
    )


def take_over_lapsed(
    tx: Tx, now: int, lease_until: int, limit: int, *, status: str = "intended"
) -> list[Payment]:
    """Take the leases of up to ``limit`` payments in ``status`` whose lease has lapsed, longest lapsed first.

    Processes that look at the same time get different payments.
    """
    rows = tx.rows(_TAKE_OVER, now=now, new_lease=lease_until, row_limit=limit, status=status)
    return sorted((Payment(*row) for row in rows), key=lambda payment: (payment.created_at, payment.id))


def take_lease(tx: Tx, id: str, now: int, lease_until: int) -> Payment | None:
    """Take the lease of this payment if nobody holds it (a capture or void begins, or a client retries)."""
    row = tx.row(_TAKE_LEASE, payment_id=id, now=now, new_lease=lease_until)
    return None if row is None else Payment(*row)


def give_up_lease(tx: Tx, id: str, now: int) -> None:
    """Let the next who looks continue at once: the provider's answer is unknown."""
    tx.execute(_GIVE_UP_LEASE, payment_id=id, new_lease=now)


def drop_lease(tx: Tx, id: str) -> None:
    """Nothing is left to be done: the provider refused what was begun."""
    tx.execute(_GIVE_UP_LEASE, payment_id=id, new_lease=None)


def record_authorized(tx: Tx, id: str, provider_payment_id: str, now: int, *, captured: bool = False) -> bool:
    """The provider holds (``captured``: has taken) the money. False when the payment is not intended any more."""
    status = "captured" if captured else "authorized"
    return _outcome(tx, id, "intended", status, now, provider_payment_id=provider_payment_id)


def record_declined(tx: Tx, id: str, failure_code: str, now: int) -> bool:
    """The provider refused for good. False when the payment is not intended any more."""
    return _outcome(tx, id, "intended", "declined", now, failure_code=failure_code)


def record_abandoned(tx: Tx, id: str, failure_code: str, now: int) -> bool:
    """The charge will never be made. False when the payment is not intended any more."""
    return _outcome(tx, id, "intended", "abandoned", now, failure_code=failure_code)


def record_captured(tx: Tx, id: str, now: int) -> bool:
    """The authorised money has been taken. False when the payment is not authorized any more."""
    return _outcome(tx, id, "authorized", "captured", now)


def record_voided(tx: Tx, id: str, now: int) -> bool:
    """The authorisation has been released. False when the payment is not authorized any more."""
    return _outcome(tx, id, "authorized", "voided", now)


def add_refunded(tx: Tx, id: str, amount: int, now: int) -> bool:
    """Count ``amount`` as refunded (negative: a refund failed after all).

    False, and nothing counted, when that would exceed what was captured or fall below zero.
    """
    return bool(tx.execute(_ADD_REFUNDED, payment_id=id, more=amount, now=now))


def _outcome(
    tx: Tx,
    id: str,
    old: str,
    new: str,
    now: int,
    *,
    provider_payment_id: str | None = None,
    failure_code: str | None = None,
) -> bool:
    return bool(
        tx.execute(
            _OUTCOME,
            payment_id=id,
            old_status=old,
            new_status=new,
            provider_id=provider_payment_id,
            new_failure=failure_code,
            now=now,
        )
    )
