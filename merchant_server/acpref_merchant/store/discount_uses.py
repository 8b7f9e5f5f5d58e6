"""Statements on the uses of discount codes, for codes that may be used only so many times."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.statement import Statement, Tx, storable
from acpref_merchant.store.tables import DISCOUNT_USE as TABLE

_C = TABLE.c
_COUNT = Statement(sa.select(sa.func.count()).where(_C.code == bindparam("the_code")))
_USE = Statement(lambda insert: insert(TABLE).on_conflict_do_nothing())
_GIVE_BACK = Statement(sa.delete(TABLE).where(_C.session_id == bindparam("the_session")))
# Counting and adding must not interleave with another transaction's; SQLite has one writer anyway.
_LOCK = Statement(
    sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(bindparam("code", type_=sa.Text))))
)


def count(tx: Tx, codes: Iterable[str]) -> dict[str, int]:
    """How often each of ``codes`` has been used."""
    return {code: _count(tx, code) for code in codes if storable(code)}


def use(tx: Tx, code: str, session_id: str, limit: int | None) -> bool:
    """Use ``code`` for the session; false when it has been used ``limit`` times (None: no limit).

    A session uses a code once, however often this is called. Use several codes in a sorted order.
    """
    if limit is not None:
        if tx.dialect == "postgresql":
            tx.rows(_LOCK, code=code)
        others = _count(tx, code) - _used(tx, code, session_id)
        if others >= limit:
            return False
    tx.write(_USE, code=code, session_id=session_id)
    return True


def give_back(tx: Tx, session_id: str) -> None:
    """The session did not become an order: its uses do not count."""
    tx.write(_GIVE_BACK, the_session=session_id)


_USED = Statement(
    sa.select(sa.func.count()).where(
        _C.code == bindparam("the_code"), _C.session_id == bindparam("the_session")
    )
)


def _count(tx: Tx, code: str) -> int:
    row = tx.row(_COUNT, the_code=code)
    return int(row[0]) if row else 0


def _used(tx: Tx, code: str, session_id: str) -> int:
    row = tx.row(_USED, the_code=code, the_session=session_id)
    return int(row[0]) if row else 0
