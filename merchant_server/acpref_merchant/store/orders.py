"""Statements on orders: one for each completed session, made in the transaction that records its payment."""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.errors import StoreError
from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, Statement, Tx, storable
from acpref_merchant.store.tables import ORDER as TABLE
from acpref_merchant.store.tables import ORDER_NUMBER

_C = TABLE.c
_FIRST_NUMBER = 1001


@dataclass(frozen=True, slots=True)
class Stored:
    """A row; ``data`` is the order as a JSON document."""

    id: str
    session_id: str
    agent_id: str
    number: str
    status: str
    data: str = field(repr=False)
    created_at: int
    updated_at: int


_NEXT_NUMBER = Statement(
    sa.insert(ORDER_NUMBER).values(order_id=bindparam("order_id")).returning(ORDER_NUMBER.c.value)
)
_INSERT = Statement(sa.insert(TABLE))
_BY_ID = sa.select(TABLE).where(_C.id == bindparam("order_id"))
_LOAD = Statement(_BY_ID)
_LOAD_FOR_UPDATE = Statement(_BY_ID.with_for_update())
_BY_NUMBER = Statement(sa.select(TABLE).where(_C.number == bindparam("number")))
_OF_SESSION = Statement(sa.select(TABLE).where(_C.session_id == bindparam("session_id")))
_SAVE = Statement(
    sa.update(TABLE)
    .where(_C.id == bindparam("order_id"))
    .values(status=bindparam("new_status"), data=bindparam("new_data"), updated_at=bindparam("now"))
)
_RECENT = Statement(
    sa.select(TABLE)
    .where(
        sa.tuple_(_C.created_at, _C.id) < sa.tuple_(bindparam("before_created_at"), bindparam("before_id"))
    )
    .order_by(_C.created_at.desc(), _C.id.desc())
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
)


def announce_number(tx: Tx, order_id: str) -> None:
    """``next_number`` will be asked for after the next statement, which has to do with other tables."""
    tx.announce(_NEXT_NUMBER, order_id=order_id)


def next_number(tx: Tx, order_id: str) -> str:
    """A number for the order that no other order has or will have, counting up from 1001.

    Transactions do not wait for each other to get one; the number of a transaction that fails may stay unused.
    """
    row = tx.row(_NEXT_NUMBER, order_id=order_id)
    if row is None:
        raise StoreError("the database handed out no order number")
    return str(_FIRST_NUMBER - 1 + int(row[0]))


def insert(
    tx: Tx, *, id: str, session_id: str, agent_id: str, number: str, status: str, data: str, created_at: int
) -> None:
    """Write a new order. Raises ConstraintViolation when the session has one already."""
    tx.write(
        _INSERT,
        id=id,
        session_id=session_id,
        agent_id=agent_id,
        number=number,
        status=status,
        data=data,
        created_at=created_at,
        updated_at=created_at,
    )


def load(tx: Tx, id: str, *, agent_id: str | None = None, for_update: bool = False) -> Stored | None:
    """The order, or None: also when ``agent_id`` is given and the order is another agent's.

    Load it ``for_update`` before changing it: its events are numbered under that lock.
    """
    if not storable(id):
        return None
    row = tx.row(_LOAD_FOR_UPDATE if for_update else _LOAD, order_id=id)
    if row is None:
        return None
    stored = Stored(*row)
    return stored if agent_id is None or stored.agent_id == agent_id else None


def by_number(tx: Tx, number: str) -> Stored | None:
    """The order that a person knows by ``number``, or None."""
    row = tx.row(_BY_NUMBER, number=number) if storable(number) else None
    return None if row is None else Stored(*row)


def of_session(tx: Tx, session_id: str) -> Stored | None:
    """The order that the session became, if it did."""
    row = tx.row(_OF_SESSION, session_id=session_id)
    return None if row is None else Stored(*row)


def save(tx: Tx, id: str, *, status: str, data: str, updated_at: int) -> None:
    """Overwrite the order, which this transaction has loaded for update. Raises StoreError when there is none."""
    if not tx.execute(_SAVE, order_id=id, new_status=status, new_data=data, now=updated_at):
        raise StoreError(f"no order {id}")


def recent(tx: Tx, limit: int, *, before: Stored | None = None) -> list[Stored]:
    """Up to ``limit`` orders, newest first; those older than ``before`` for the next page."""
    created_at, order_id = (before.created_at, before.id) if before is not None else (2**63 - 1, "")
    rows = tx.rows(_RECENT, before_created_at=created_at, before_id=order_id, row_limit=limit)
    return [Stored(*row) for row in rows]
