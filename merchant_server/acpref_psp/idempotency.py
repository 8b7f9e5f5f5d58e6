"""One effect per key: the answer is recorded in the transaction that has the effect (IDEM-11 to 20, DP-IDEM-03)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from acpref_protocol.errors import ProtocolError, idempotency_conflict, idempotency_in_flight
from acpref_protocol.idempotency import keyed_fingerprint
from acpref_psp.store import Statement, Transaction, columns
from acpref_psp.tables import IdempotencyRecord

_RETRY_AFTER_SECONDS = 1
_PURGE_EVERY_MS = 60_000
_PURGE_AT_MOST = 500

_record = columns(IdempotencyRecord)
_FIND = Statement(
    select(_record).where(_record.c.id == bindparam("id"), _record.c.created_at > bindparam("after"))
)
_FORGET = Statement(delete(_record).where(_record.c.id == bindparam("id")))
_KEEP = Statement(insert(_record))
_PURGE = Statement(
    delete(_record).where(
        _record.c.id.in_(
            select(_record.c.id)
            .where(_record.c.created_at <= bindparam("until"))
            .limit(_PURGE_AT_MOST)
            .scalar_subquery()
        )
    )
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status and JSON bytes. ``slow`` asks the edge to hold it back (the slow test card)."""

    status: int
    body: bytes
    replayed: bool = False
    slow: bool = False

    @classmethod
    def of(cls, status: int, content: dict[str, Any], *, slow: bool = False) -> Reply:
        """The answer with ``content`` as its JSON body."""
        return cls(status, json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(), slow=slow)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as idempotency sees it: whose, which endpoint and key (hashed), and what it says (keyed hash)."""

    id: str
    fingerprint: str


class Idempotency:
    """The records of one service."""

    def __init__(self, key: bytes, retention_ms: int) -> None:
        self._key = key
        self._retention_ms = retention_ms
        self._running: dict[str, str] = {}
        self._next_purge = 0

    def request(self, identity: str, path: str, key: str, body: Any) -> Request:
        """The request of ``identity`` to ``path`` under ``key`` (IDEM-04); ``body`` is parsed JSON.

        The hash of the body is keyed, since it may hold a card number (DP-IDEM-05).
        """
        return Request(self.scope(identity, path, key), keyed_fingerprint(body, self._key))

    @staticmethod
    def scope(identity: str, path: str, key: str) -> str:
        """The id of the record for this identity, path and key: a hash, since keys are the sender's words."""
        return hashlib.sha256(f"{identity}\0{path}\0{key}".encode()).hexdigest()

    @contextmanager
    def in_flight(self, request: Request) -> Iterator[None]:
        """Hold the key while its request runs; refuses a second one (IDEM-17), for good when it differs (IDEM-15)."""
        running = self._running.get(request.id)
        if running is not None:
            raise (
                idempotency_in_flight(_RETRY_AFTER_SECONDS)
                if running == request.fingerprint
                else idempotency_conflict()
            )
        self._running[request.id] = request.fingerprint
        try:
            yield
        finally:
            del self._running[request.id]

    def once(
        self, transaction: Transaction, request: Request, now: int, operation: Callable[[Transaction], Reply]
    ) -> Reply:
        """The recorded answer, or else what ``operation`` answers now, recorded in the same transaction.

        A refusal that ``operation`` raises is an answer too, and undoes what it wrote. Server errors are not recorded
        (IDEM-16), records past their retention count as absent (IDEM-20), and another body raises (IDEM-15).
        """
        found = transaction.one(_FIND, id=request.id, after=now - self._retention_ms)
        if found is not None:
            if found["fingerprint"] != request.fingerprint:
                raise idempotency_conflict()
            return Reply(found["status"], found["body"], replayed=True)
        try:
            reply = transaction.attempt(lambda: operation(transaction))
        except ProtocolError as error:
            if (
                error.status >= 500 or error.headers
            ):  # headers are not kept, so neither is an answer that needs them
                raise
            reply = Reply.of(error.status, error.body())
        if reply.status < 500:
            transaction.change(_FORGET, id=request.id)  # an expired record may still be in the way
            transaction.change(
                _KEEP,
                id=request.id,
                fingerprint=request.fingerprint,
                status=reply.status,
                body=reply.body,
                created_at=now,
            )
        self._purge(transaction, now)
        return reply

    def _purge(self, transaction: Transaction, now: int) -> None:
        if now >= self._next_purge:
            touched = transaction.change(_PURGE, until=now - self._retention_ms)
            self._next_purge = now if touched == _PURGE_AT_MOST else now + _PURGE_EVERY_MS
