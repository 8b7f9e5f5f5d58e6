"""A connection to PostgreSQL on which statements follow each other without waiting for each other's outcome.

This is libpq's pipeline mode, used directly: psycopg's cursors convert between many types, which the store does not
have, and cost more than the rest of a transaction. Parameters travel as text (bytes as they are), results in binary
form.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
from greenlet import GreenletExit
from psycopg import pq
from psycopg.errors import DivisionByZero, error_from_result
from sqlalchemy import Table
from typing_extensions import override

from acpref_merchant.store.errors import StoreError
from acpref_merchant.store.green import Watch
from acpref_merchant.store.statement import DialectName, Row, Statement, Tx, failed, require_open

_BINARY = pq.Format.BINARY
_ERROR = pq.ExecStatus.FATAL_ERROR
_ABORTED = pq.ExecStatus.PIPELINE_ABORTED
_SYNC = pq.ExecStatus.PIPELINE_SYNC
_UNWANTED = (False, None)


def _integer(value: bytes) -> int:
    return int.from_bytes(value, signed=True)


def _as_it_is(value: bytes) -> bytes:
    return value


_READERS: dict[int, Callable[[bytes], Any]] = {
    17: _as_it_is,  # bytea
    20: _integer,  # int8
    23: _integer,  # int4
    25: bytes.decode,  # text
    2278: bytes.decode,  # void, which is empty
}
"""How the values of a column are read, by the oid of its type."""


class Pipeline:
    """One connection, for the strands of ``loop``."""

    def __init__(self, connection: psycopg.Connection[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.enter_pipeline_mode()
        self._watch = Watch(self._pgconn.socket, loop, self._hear)
        self._prepared: dict[bytes, bytes] = {}
        self._names = 0
        # Of each command that still has to be answered: whether its result is wanted, and what its failure means.
        self._unread: deque[tuple[bool, Exception | None]] = deque()
        self._released = False

    @property
    def closed(self) -> bool:
        """Whether the connection is lost or has been closed."""
        return self._connection.closed

    def usable(self) -> bool:
        """Whether the server, as far as it has been heard, is still there. Costs no round trip."""
        return not self._released and is_there(self._pgconn)

    def begin(self, statement: str) -> Tx:
        """A transaction that begins with ``statement``."""
        self.send(statement.encode())
        return PipelinedTx(self)

    def send(self, text: bytes, values: Sequence[Any] = (), failure: Exception | None = None) -> None:
        """Send a statement with the values of its parameters, to be prepared when it is new to this connection.

        Of one that insists (``Statement.insisting``), ``failure`` is what is raised when it has changed nothing.
        """
        name = self._prepared.get(text)
        if name is None:
            self._names += 1  # never used again, whatever becomes of the statement
            name = b"s%d" % self._names
            self._pgconn.send_prepare(name, text)
            self._unread.append(_UNWANTED)
            self._prepared[text] = name
        given = [_written(value) for value in values]
        formats = [1 if isinstance(value, bytes) else 0 for value in values]
        self._pgconn.send_query_prepared(name, given, formats, result_format=_BINARY)
        self._unread.append((True, failure))

    def answers(self) -> list[pq.abc.PGresult]:
        """The results of all that was sent since the last time, without those of preparations.

        Raises the first error among them; what was sent behind it was not run, and only ``roll_back`` goes on.
        """
        self._pgconn.send_flush_request()
        return self._read()

    def commit(self) -> None:
        """Commit the transaction; raises the first error of what was still on its way."""
        self.send(b"COMMIT")
        self._pgconn.pipeline_sync()
        self._unread.append(_UNWANTED)
        if self._read()[-1].command_status != b"COMMIT":
            raise psycopg.InternalError("the transaction had failed before its end")

    def roll_back(self) -> None:
        """Undo the transaction after whatever happened to it."""
        self._prepared.clear()  # some of them may not have been prepared
        self._pgconn.pipeline_sync()
        self._unread.append(_UNWANTED)
        self._read(heedless=True)
        if self._pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self.send(b"ROLLBACK")
            self._pgconn.pipeline_sync()
            self._unread.append(_UNWANTED)
            self._read()

    def look_again(self) -> None:
        """Go on if there is something to read after all (see ``Watch``)."""
        if not self._released:
            self._watch.look_again()

    def close(self) -> None:
        """Close the connection, once."""
        if not self._released:
            self._released = True
            self._watch.close()
            self._connection.close()

    def hang_up(self) -> None:
        """Cut the connection, whoever uses it."""
        self._pgconn.finish()

    def _read(self, *, heedless: bool = False) -> list[pq.abc.PGresult]:
        pgconn = self._pgconn
        results: list[pq.abc.PGresult] = []
        error: Exception | None = None
        while self._unread:
            while pgconn.is_busy():
                try:
                    self._watch.until_readable(pgconn.flush)
                except GreenletExit:  # the loop is gone: nobody would ever take the strand up again
                    pgconn.finish()
                    raise
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # the end of the results of one command
                self._unread.popleft()
                continue
            status = result.status
            if status == _SYNC:
                self._unread.popleft()
            elif status == _ERROR:
                error = error or _meaning(error_from_result(result), self._unread[0][1])
            elif status != _ABORTED and self._unread[0][0]:
                results.append(result)
        if error is not None and not heedless:
            raise error
        return results

    def _hear(self) -> None:
        """Nobody has asked: a notice, or the server hangs up."""
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError:
            self.close()


def _meaning(error: psycopg.Error, failure: Exception | None) -> Exception:
    return failure if failure is not None and isinstance(error, DivisionByZero) else error


def is_there(pgconn: pq.abc.PGconn) -> bool:
    """Whether the server of an idle connection, as far as it has been heard, has not hung up."""
    try:
        pgconn.consume_input()  # its last words
        pgconn.consume_input()  # and the end
    except psycopg.OperationalError:
        return False
    return pgconn.status == pq.ConnStatus.OK


def _written(value: Any) -> bytes | None:
    if isinstance(value, str):
        text = value.encode()
        if b"\0" in text:  # where libpq would end it
            raise psycopg.DataError("PostgreSQL has no texts with NUL characters")
        return text
    if value is None or isinstance(value, bytes):
        return value
    return b"%d" % value


class PipelinedTx(Tx):
    """A transaction in a strand."""

    __slots__ = ("_announced", "_known", "_pipeline", "_sent")

    dialect: DialectName = "postgresql"

    def __init__(self, pipeline: Pipeline) -> None:
        self.over = False
        self._pipeline = pipeline
        self._sent = 1  # results that the next answers begin with: BEGIN's, and those of what was written
        self._announced: list[tuple[Statement, dict[str, Any]]] = []
        self._known: list[tuple[tuple[Statement, dict[str, Any]], pq.abc.PGresult]] = []

    @override
    def rows(self, statement: Statement, /, **params: Any) -> list[Row]:
        question = (statement, params)
        result = next((answer for known, answer in self._known if known == question), None)
        if result is None:
            (result,) = self._answers(statement, (params,))
        readers = [_READERS[result.ftype(column)] for column in range(result.nfields)]
        return [
            tuple(
                [
                    None if (value := result.get_value(row, column)) is None else read(value)
                    for column, read in enumerate(readers)
                ]
            )
            for row in range(result.ntuples)
        ]

    @override
    def execute_each(self, statement: Statement, params: Sequence[Mapping[str, Any]], /) -> list[int]:
        return [result.command_tuples or 0 for result in self._answers(statement, params)]

    @override
    def write(self, statement: Statement, /, **params: Any) -> None:
        self._send(statement.numbered(), params)

    @override
    def announce(self, statement: Statement, /, **params: Any) -> None:
        self._announced.append((statement, params))

    @override
    def must_change(self, failure: Exception, statement: Statement, /, **params: Any) -> None:
        self._send(statement.insisting(), params, failure)

    @override
    def execute_many(self, statement: Statement, params: Iterable[Any]) -> None:
        for each in params:
            self._send(statement.numbered(), each)

    @override
    def copy(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        raise StoreError("only run_sync takes a stream of rows")

    def _send(
        self,
        statement: tuple[bytes, tuple[str, ...]],
        params: Mapping[str, Any],
        failure: Exception | None = None,
    ) -> None:
        require_open(self)
        self._known = []  # the answers were good only until something else is done
        text, names = statement
        try:
            self._pipeline.send(text, [params[name] for name in names], failure)
        except psycopg.Error as error:
            raise failed(self, error) from error
        self._sent += 1

    def _answers(self, statement: Statement, params: Sequence[Mapping[str, Any]]) -> list[pq.abc.PGresult]:
        """The results of ``statement`` for each of ``params``; what was announced is asked for behind them."""
        for each in params:
            self._send(statement.numbered(), each)
        first, end = self._sent - len(params), self._sent
        announced, self._announced = self._announced, []
        for question, values in announced:
            self._send(question.numbered(), values)
        self._sent = 0
        try:
            results = self._pipeline.answers()
        except psycopg.Error as error:
            raise failed(self, error) from error
        except Exception:
            self.over = True
            raise
        self._known = list(zip(announced, results[end:], strict=True))
        return results[first:end]
