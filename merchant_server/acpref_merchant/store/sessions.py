"""Statements on checkout sessions."""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.domain.session import Session
from acpref_merchant.store.errors import StoreError
from acpref_merchant.store.statement import Statement, Tx, storable
from acpref_merchant.store.tables import CHECKOUT_SESSION as TABLE

_C = TABLE.c
_BY_ID = sa.select(_C.data, _C.agent_id, _C.version).where(_C.id == bindparam("id"))
_LOAD = Statement(_BY_ID)
_LOAD_FOR_UPDATE = Statement(_BY_ID.with_for_update())
_INSERT = Statement(sa.insert(TABLE))
_SAVE = Statement(
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


class StaleVersion(StoreError):  # noqa: N818 - says what is the case
    """The session was changed by another transaction since it was loaded."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as it was loaded; ``version`` is given back to ``save``."""

    session: Session
    version: int


def insert(
    tx: Tx, *, id: str, agent_id: str, status: str, data: str, created_at: int, expires_at: int
) -> None:
    """Write a new session, as version 1. Raises ConstraintViolation when the id is taken."""
    tx.execute(
        _INSERT,
        id=id,
        agent_id=agent_id,
        status=status,
        data=data,
        created_at=created_at,
        updated_at=created_at,
        expires_at=expires_at,
        version=1,
    )


def load(tx: Tx, id: str, *, agent_id: str | None = None, for_update: bool = False) -> Stored | None:
    """The session, or None: also when ``agent_id`` is given and the session is another agent's.

    ``for_update`` holds the row until the transaction ends, so that concurrent changes wait for each other.
    """
    if not storable(id):
        return None
    row = tx.row(_LOAD_FOR_UPDATE if for_update else _LOAD, id=id)
    if row is None or (agent_id is not None and row[1] != agent_id):
        return None
    return Stored(Session.model_validate_json(row[0]), row[2])


def save(
    tx: Tx, id: str, *, status: str, data: str, updated_at: int, expires_at: int, expected_version: int
) -> int:
    """Overwrite version ``expected_version`` of the session and return the new version.

    Raises StaleVersion when that is not the current one; a session loaded for update in this transaction always is.
    """
    changed = tx.execute(
        _SAVE,
        session_id=id,
        status=status,
        data=data,
        updated_at=updated_at,
        expires_at=expires_at,
        expected_version=expected_version,
        new_version=expected_version + 1,
    )
    if not changed:
        raise StaleVersion(f"session {id} is not at version {expected_version} any more")
    return expected_version + 1
