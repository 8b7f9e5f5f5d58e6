"""Statements on checkout sessions."""

# ruff: noqa: A002 - arguments are called what the columns are called: id

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.domain.session import Session
from acpref_merchant.store.errors import Overtaken
from acpref_merchant.store.statement import Statement, Tx, storable
from acpref_merchant.store.tables import CHECKOUT_SESSION as TABLE

_C = TABLE.c
_BY_ID = sa.select(_C.data, _C.agent_id, _C.version, _C.frozen_view).where(_C.id == bindparam("id"))
_LOAD = Statement(_BY_ID)
_LOAD_FOR_UPDATE = Statement(_BY_ID.with_for_update())
_INSERT = Statement(sa.insert(TABLE))
_CHANGE = (
    sa.update(TABLE)
    .where(_C.id == bindparam("session_id"), _C.version == bindparam("expected_version"))
    .values(
        status=bindparam("status"),
        data=bindparam("data"),
        updated_at=bindparam("updated_at"),
        expires_at=bindparam("expires_at"),
        version=bindparam("new_version"),
    )
)
_SAVE = Statement(_CHANGE)
_SAVE_FROZEN = Statement(_CHANGE.values(frozen_view=bindparam("frozen")))

_ELSEWHERE = {"frozen_view", "order"}
"""Members that ``data`` lacks: the first has a column, which is written seldom; the second is a row of its own."""


class StaleVersion(Overtaken):
    """The session was changed by another transaction since it was loaded."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A session, without its order, as it is in the database; ``locked`` says that it was loaded for update."""

    session: Session
    version: int
    locked: bool = field(default=False, compare=False)


def insert(tx: Tx, session: Session) -> None:
    """Write a new session, as version 1. Raises ConstraintViolation when the id is taken."""
    tx.write(
        _INSERT,
        id=session.id,
        agent_id=session.agent_id,
        status=session.status,
        data=_data(session),
        frozen_view=session.frozen_view,
        created_at=session.created_at,
        updated_at=session.updated_at,
        expires_at=session.expires_at,
        version=1,
    )


def announce(tx: Tx, id: str) -> None:
    """The session will be loaded for update after the next statement, which does not touch sessions."""
    if storable(id):
        tx.announce(_LOAD_FOR_UPDATE, id=id)


def load(tx: Tx, id: str, *, agent_id: str | None = None, for_update: bool = False) -> Stored | None:
    """The session, or None: also when ``agent_id`` is given and the session is another agent's.

    ``for_update`` holds the row until the transaction ends, so that concurrent changes wait for each other.
    """
    if not storable(id):
        return None
    row = tx.row(_LOAD_FOR_UPDATE if for_update else _LOAD, id=id)
    if row is None or (agent_id is not None and row[1] != agent_id):
        return None
    data, _, version, frozen_view = row
    session = Session.model_validate_json(data)
    if frozen_view is not None:
        session = session.model_copy(update={"frozen_view": frozen_view})
    return Stored(session, version, for_update)


def save(tx: Tx, stored: Stored, session: Session) -> Stored:
    """Overwrite what is ``stored`` with ``session``; returns what is stored now.

    Raises StaleVersion when it has changed in the meantime. One that this transaction has locked cannot have.
    """
    values: dict[str, Any] = {
        "session_id": session.id,
        "status": session.status,
        "data": _data(session),
        "updated_at": session.updated_at,
        "expires_at": session.expires_at,
        "expected_version": stored.version,
        "new_version": stored.version + 1,
    }
    statement = _SAVE
    if session.frozen_view != stored.session.frozen_view:
        statement = _SAVE_FROZEN
        values["frozen"] = session.frozen_view
    if stored.locked:
        tx.write(statement, **values)
    else:
        stale = StaleVersion(f"session {session.id} is not at version {stored.version} any more")
        tx.must_change(stale, statement, **values)
    return Stored(session, stored.version + 1)


def _data(session: Session) -> str:
    return session.model_dump_json(exclude_none=True, exclude=_ELSEWHERE)
