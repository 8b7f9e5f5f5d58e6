"""Facts about the database itself, by name; and emptying it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.statement import InsertFunction, Statement, Tx
from acpref_merchant.store.tables import META as TABLE
from acpref_merchant.store.tables import METADATA

_GET = Statement(sa.select(TABLE.c.value).where(TABLE.c.key == bindparam("the_key")))
_CLEAR = [Statement(sa.delete(table)) for table in METADATA.sorted_tables]


def _build_set(insert: InsertFunction) -> sa.Executable:
    statement = insert(TABLE)
    return statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value})


_SET = Statement(_build_set)


def get(tx: Tx, key: str) -> str | None:
    """The value under ``key``, or None."""
    row = tx.row(_GET, the_key=key)
    return None if row is None else str(row[0])


def put(tx: Tx, key: str, value: str) -> None:
    """Write ``value`` under ``key``, over what was there."""
    tx.execute(_SET, key=key, value=value)


def clear(tx: Tx) -> None:
    """Delete every row of every table: sessions, orders, catalog and all. For the sandbox's reset."""
    for statement in _CLEAR:
        tx.execute(statement)
