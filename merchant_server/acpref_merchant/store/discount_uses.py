"""Statements on the uses of discount codes, for codes that may be used only so many times."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.errors import Overtaken
from acpref_merchant.store.statement import InsertFunction, Statement, Tx, storable
from acpref_merchant.store.tables import DISCOUNT_USE as TABLE

_C = TABLE.c


class UsedUp(Overtaken):
    """Somebody else has used a discount for the last time since its uses were counted."""


def _use(insert: InsertFunction, *conditions: sa.ColumnElement[bool]) -> sa.Executable:
    use = sa.select(bindparam("the_code", type_=sa.Text), bindparam("the_session", type_=sa.Text))
    new = insert(TABLE).from_select(["code", "session_id"], use.where(*conditions or (sa.true(),)))
    # A repeated use changes nothing but counts as a change: ``must_change`` is content.
    return new.on_conflict_do_update(
        index_elements=[_C.code, _C.session_id], set_={"code": new.excluded.code}
    )


_OTHER_USES = (
    sa.select(sa.func.count())
    .where(_C.code == bindparam("the_code"), _C.session_id != bindparam("the_session"))
    .scalar_subquery()
)
_USE = Statement(_use)
_USE_WITHIN = Statement(
    lambda insert: _use(insert, bindparam("the_limit", type_=sa.BigInteger) > _OTHER_USES)
)
_GIVE_BACK = Statement(sa.delete(TABLE).where(_C.session_id == bindparam("the_session")))
# Counting and adding must not interleave with another transaction's; SQLite has one writer anyway.
_LOCK = Statement(
    sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(bindparam("code", type_=sa.Text))))
)


@lru_cache(maxsize=64)
def _count_statement(codes: int) -> Statement:
    wanted = _C.code.in_([bindparam(f"code_{n}") for n in range(codes)])
    return Statement(sa.select(_C.code, sa.func.count()).where(wanted).group_by(_C.code))


def announce(tx: Tx, codes: Iterable[str]) -> None:
    """The uses will be counted right after the next statement, which does not touch them."""
    if question := _question(codes):
        tx.announce(question[0], **question[1])


def count(tx: Tx, codes: Iterable[str]) -> dict[str, int]:
    """How often each of ``codes`` has been used."""
    uses = dict.fromkeys(filter(storable, codes), 0)
    if question := _question(uses):
        uses.update((code, int(number)) for code, number in tx.rows(question[0], **question[1]))
    return uses


def _question(codes: Iterable[str]) -> tuple[Statement, dict[str, Any]] | None:
    wanted = sorted(filter(storable, codes))
    if not wanted:
        return None
    return _count_statement(len(wanted)), {f"code_{n}": code for n, code in enumerate(wanted)}


def use(tx: Tx, code: str, session_id: str, limit: int | None) -> None:
    """Use ``code`` for the session, once, however often this is called. Use several codes in a sorted order.

    Raises UsedUp, by the end of the transaction, when other sessions have used it ``limit`` times (None: no limit).
    """
    if limit is None:
        tx.write(_USE, the_code=code, the_session=session_id)
        return
    if tx.dialect == "postgresql":
        tx.write(_LOCK, code=code)
    tx.must_change(UsedUp(code), _USE_WITHIN, the_code=code, the_session=session_id, the_limit=limit)


def give_back(tx: Tx, session_id: str) -> None:
    """The session did not become an order: its uses do not count."""
    tx.write(_GIVE_BACK, the_session=session_id)
