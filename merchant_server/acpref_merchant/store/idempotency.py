"""Statements on idempotency records: one per agent, concrete path and key (IDEM-04).

A record is *in flight* from its claim until it is finished or released. Operations that are one transaction claim and
finish in it, so that nobody else ever sees them in flight. An operation of several transactions holds a lease; when
that has lapsed, its process is taken for dead, and the next claim takes over (IDEM-22).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, Statement, Tx, constant
from acpref_merchant.store.tables import IDEMPOTENCY as TABLE

_C = TABLE.c
_IN_FLIGHT = constant("in_flight")
_KEY = sa.and_(
    _C.agent_id == bindparam("the_agent"), _C.path == bindparam("the_path"), _C.key == bindparam("the_key")
)
_MINE = sa.and_(_KEY, _C.state == _IN_FLIGHT)

_INSERT = Statement(
    lambda insert: (
        insert(TABLE)
        .values(
            agent_id=bindparam("the_agent"),
            path=bindparam("the_path"),
            key=bindparam("the_key"),
            fingerprint=bindparam("fingerprint"),
            state=_IN_FLIGHT,
            lease_until=bindparam("lease_until"),
            resource_id=bindparam("resource_id"),
            created_at=bindparam("now"),
            expires_at=bindparam("expires_at"),
        )
        .on_conflict_do_nothing()
    )
)
_LOAD = Statement(
    sa.select(
        _C.fingerprint,
        _C.state,
        _C.lease_until,
        _C.resource_id,
        _C.status_code,
        _C.headers,
        _C.body,
        _C.expires_at,
    )
    .where(_KEY)
    .with_for_update()
)
_DELETE = Statement(sa.delete(TABLE).where(_KEY))
_TAKE_OVER = Statement(sa.update(TABLE).where(_MINE).values(lease_until=bindparam("new_lease")))
_FINISH = Statement(
    sa.update(TABLE)
    .where(_MINE)
    .values(
        state=constant("done"),
        status_code=bindparam("new_status"),
        headers=bindparam("new_headers"),
        body=bindparam("new_body"),
    )
)
_RELEASE = Statement(sa.delete(TABLE).where(_MINE))
_EXPIRED = sa.select(_C.agent_id, _C.path, _C.key).where(_C.expires_at <= bindparam("now"))
_PURGE = Statement(
    sa.delete(TABLE).where(
        sa.tuple_(_C.agent_id, _C.path, _C.key).in_(
            _EXPIRED.order_by(_C.expires_at).limit(ROW_LIMIT).offset(NO_OFFSET)
        )
    )
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The key is new: act, then finish or release it."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """The first request is still running; its lease ends at ``lease_until`` (IDEM-17)."""

    lease_until: int


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that the first request got (IDEM-11)."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key was used with another body (IDEM-15)."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """The first request died on its way; the lease is now the caller's. ``resource_id`` is what it had begun."""

    resource_id: str | None


Claim = Claimed | InFlight | Replay | Conflict | Resumable


def claim(
    tx: Tx,
    *,
    agent_id: str,
    path: str,
    key: str,
    fingerprint: str,
    now: int,
    lease_until: int,
    expires_at: int,
    resource_id: str | None = None,
) -> Claim:
    """Take the key for a request, or tell what became of the request that has it.

    ``resource_id`` names what the request is about to begin, for whoever has to resume it.

    A key whose record has expired counts as new (IDEM-20). A different body is a conflict even while the first request
    runs, because that is final (IDEM-17). On PostgreSQL this waits for a transaction that has claimed the key already
    and is still open.
    """
    where = {"the_agent": agent_id, "the_path": path, "the_key": key}
    while True:
        if tx.execute(
            _INSERT,
            where,
            fingerprint=fingerprint,
            lease_until=lease_until,
            now=now,
            expires_at=expires_at,
            resource_id=resource_id,
        ):
            return Claimed()
        row = tx.row(_LOAD, **where)
        if row is None:  # released or purged between the two statements
            continue
        first_fingerprint, state, first_lease, resource_id, status_code, headers, body, first_expires_at = row
        if first_expires_at <= now:
            tx.execute(_DELETE, where)
            continue
        if first_fingerprint != fingerprint:
            return Conflict()
        if state == "done":
            return Replay(status_code, json.loads(headers), body)
        if first_lease > now:
            return InFlight(first_lease)
        tx.execute(_TAKE_OVER, where, new_lease=lease_until)
        return Resumable(resource_id)


def extend(tx: Tx, *, agent_id: str, path: str, key: str, lease_until: int) -> bool:
    """Hold the request in flight until ``lease_until``; false when it is not in flight any more.

    For whoever works on it under a lease of another row, such as the recovery of its payment.
    """
    return bool(tx.execute(_TAKE_OVER, the_agent=agent_id, the_path=path, the_key=key, new_lease=lease_until))


def finish(
    tx: Tx, *, agent_id: str, path: str, key: str, status_code: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Store the answer that every replay gets from now on, unless the key is not in flight any more.

    Never for a 5xx: those are released (IDEM-16).
    """
    tx.write(
        _FINISH,
        the_agent=agent_id,
        the_path=path,
        the_key=key,
        new_status=status_code,
        new_headers=json.dumps(dict(headers)),
        new_body=body,
    )


def release(tx: Tx, *, agent_id: str, path: str, key: str) -> bool:
    """Forget a request in flight, so that its key is processed afresh (IDEM-16); false when it is not in flight."""
    return bool(tx.execute(_RELEASE, the_agent=agent_id, the_path=path, the_key=key))


def purge(tx: Tx, now: int, limit: int) -> int:
    """Delete up to ``limit`` records that have expired (IDEM-20), oldest first; returns how many."""
    return tx.execute(_PURGE, now=now, row_limit=limit)
