"""SQL statements, compiled once, and the transaction that runs them.

The statements of the hot path are written in SQLAlchemy Core on the tables, compiled to text once per database, and
handed to the driver as text: running them costs what the driver costs (about a fifth of a Core execution). This module
is the only place that knows how. It can be this small because every column is TEXT, BIGINT or bytes, which the drivers
take and give as ``str``, ``int`` and ``bytes`` without conversion.
"""

from __future__ import annotations

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar, cast

import psycopg
from psycopg import sql
from sqlalchemy import BigInteger, ColumnElement, Executable, Table, Text, bindparam, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from typing_extensions import override

from acpref_merchant.store.errors import ConstraintViolation, StoreUnavailable, TransactionOver

T = TypeVar("T")
DialectName = Literal["sqlite", "postgresql"]
Row = tuple[Any, ...]

_DIALECTS: dict[DialectName, Dialect] = {
    "sqlite": SQLiteDialect_pysqlite(paramstyle="named"),
    "postgresql": PGDialect_psycopg(),  # type: ignore[no-untyped-call]
}

InsertFunction = Callable[[Table], postgresql.Insert]
_INSERTS: dict[DialectName, InsertFunction] = {
    "sqlite": cast("InsertFunction", sqlite.insert),  # the same methods, without a common base class
    "postgresql": postgresql.insert,
}

_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%")

_CONSTRAINT = (sqlite3.IntegrityError, psycopg.IntegrityError)


def _is_unavailable(error: Exception) -> bool:
    """Whether the statement was fine but the database was not (locked, full, gone), as opposed to a bug of ours."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode != sqlite3.SQLITE_ERROR  # the code of wrong SQL
    if type(error) is sqlite3.DatabaseError:  # the file is damaged, or no database at all
        return True
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


class Statement:
    """A Core statement whose values are all named parameters; constants are written with ``constant``.

    For ON CONFLICT, which Core has in each dialect only, give a function of the dialect's ``insert`` instead.
    """

    __slots__ = ("_clause", "_insisting", "_numbered", "_texts")

    def __init__(self, clause: Executable | Callable[[InsertFunction], Executable]) -> None:
        self._clause = clause
        self._texts: dict[DialectName, str] = {}
        self._numbered: tuple[bytes, tuple[str, ...]] | None = None
        self._insisting: tuple[bytes, tuple[str, ...]] | None = None

    def text(self, dialect: DialectName) -> str:
        """The statement in the words of ``dialect``, compiled at its first use."""
        try:
            return self._texts[dialect]
        except KeyError:
            return self._texts.setdefault(dialect, _compile(self._clause, dialect))

    def numbered(self) -> tuple[bytes, tuple[str, ...]]:
        """The statement as PostgreSQL itself reads it, with ``$1`` for the first of the parameters named beside it."""
        if self._numbered is None:
            names: dict[str, int] = {}

            def number(found: re.Match[str]) -> str:
                return "%" if found[1] is None else f"${names.setdefault(found[1], len(names) + 1)}"

            text = _PLACEHOLDER.sub(number, self.text("postgresql"))
            self._numbered = text.encode(), tuple(names)
        return self._numbered

    def insisting(self) -> tuple[bytes, tuple[str, ...]]:
        """The same for a change that is an error, a division by zero, when it concerns no row.

        So PostgreSQL itself stops a transaction that must not go on, and nobody has to wait and see.
        """
        if self._insisting is None:
            text, names = self.numbered()
            change = b"WITH changed AS (" + text + b" RETURNING 1) SELECT 1 / count(*) FROM changed"
            self._insisting = change, names
        return self._insisting


def _compile(clause: Executable | Callable[[InsertFunction], Executable], dialect: DialectName) -> str:
    if not isinstance(clause, Executable):
        clause = clause(_INSERTS[dialect])
    assert isinstance(clause, ClauseElement)  # noqa: S101 - every executable of Core is one; narrows the type
    compiled = clause.compile(dialect=_DIALECTS[dialect])
    unnamed = [name for name, value in compiled.params.items() if value is not None]
    if unnamed:
        raise ValueError(f"values outside named parameters: {unnamed} in {compiled}")
    return str(compiled)


def constant(value: str | int) -> ColumnElement[Any]:
    """A value written into the statement, so that the planner can match it with the condition of a partial index."""
    if isinstance(value, int):
        return literal_column(str(value))
    if not value.isidentifier():
        raise ValueError(f"not a plain word: {value!r}")
    return literal_column(f"'{value}'", Text())


ROW_LIMIT = bindparam("row_limit", type_=BigInteger)
"""For ``limit``: how many rows at most."""

NO_OFFSET = constant(0)
"""Goes with ROW_LIMIT: the compiler for SQLite writes a missing OFFSET out, as a parameter without a name."""


def storable(text: str) -> bool:
    """Whether a database can hold ``text``: no NUL, no lone surrogates. Nothing is found under any other name."""
    if text.isascii():
        return "\x00" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


class Tx(ABC):
    """An open transaction. It is valid only inside the function that received it.

    After an exception nothing more can be run on it: let the exception out, and the transaction is rolled back.
    """

    __slots__ = ("over",)

    dialect: DialectName
    over: bool
    """Whether the transaction has failed or ended."""

    @abstractmethod
    def rows(self, statement: Statement, /, **params: Any) -> list[Row]:
        """Run ``statement`` and return all of its rows."""

    def row(self, statement: Statement, /, **params: Any) -> Row | None:
        """Run ``statement`` and return its first row, or None. Statements with RETURNING are run to their end."""
        rows = self.rows(statement, **params)
        return rows[0] if rows else None

    @abstractmethod
    def execute_each(self, statement: Statement, params: Sequence[Mapping[str, Any]], /) -> list[int]:
        """Run ``statement`` for each member of ``params`` and return how many rows each changed."""

    def execute(self, statement: Statement, params: Mapping[str, Any] | None = None, /, **more: Any) -> int:
        """Run ``statement`` and return how many rows it changed."""
        return self.execute_each(statement, (more if params is None else {**params, **more},))[0]

    @abstractmethod
    def write(self, statement: Statement, /, **params: Any) -> None:
        """Run ``statement``, whose outcome nobody needs to know: PostgreSQL is not waited for.

        If it fails, then a later statement raises what it would have raised, or the end of the transaction does.
        """

    def announce(self, statement: Statement, /, **params: Any) -> None:  # noqa: ARG002 - heeded where it pays
        """``rows`` will be asked for exactly this right after the next statement: the answer may come along with it.

        Nothing that the next statement does may change the answer. Several things may be announced.
        """
        return

    @abstractmethod
    def must_change(self, failure: Exception, statement: Statement, /, **params: Any) -> None:
        """Run ``statement``, which nobody waits for; when it changes no row, ``failure`` is raised and nothing done.

        It is raised at once, by a later statement, or at the end of the transaction.
        """

    @abstractmethod
    def execute_many(self, statement: Statement, params: Iterable[Any]) -> None:
        """Run ``statement`` once for each member of ``params``; for bulk work."""

    @abstractmethod
    def copy(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        """Append ``rows``, with a value for every column, to ``table`` as one stream.

        On PostgreSQL only, and only in ``run_sync``.
        """


class Cursor(Protocol):
    """What both drivers' cursors have in common."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""

    def execute(self, query: Any, params: Any = ..., /) -> Any:
        """Run one statement."""

    def executemany(self, query: Any, params_seq: Any, /) -> Any:
        """Run one statement for every set of parameters."""

    def fetchall(self) -> list[Any]:
        """All rows of the last statement."""


class CursorTx(Tx):
    """A transaction on a cursor that waits for each outcome: on SQLite, and on PostgreSQL for callers that wait."""

    __slots__ = ("_cursor", "dialect")

    def __init__(self, dialect: DialectName, cursor: Cursor) -> None:
        self.dialect: DialectName = dialect
        self.over = False
        self._cursor = cursor

    @override
    def rows(self, statement: Statement, /, **params: Any) -> list[Row]:
        self._run(statement, params)
        return self._cursor.fetchall()

    @override
    def execute_each(self, statement: Statement, params: Sequence[Mapping[str, Any]], /) -> list[int]:
        counts = []
        for each in params:
            self._run(statement, each)
            counts.append(self._cursor.rowcount)
        return counts

    @override
    def write(self, statement: Statement, /, **params: Any) -> None:
        self._run(statement, params)

    @override
    def must_change(self, failure: Exception, statement: Statement, /, **params: Any) -> None:
        if not self.execute(statement, params):
            raise failure

    @override
    def execute_many(self, statement: Statement, params: Iterable[Any]) -> None:
        require_open(self)
        try:
            self._cursor.executemany(statement.text(self.dialect), params)
        except (sqlite3.Error, psycopg.Error) as error:
            raise failed(self, error) from error

    @override
    def copy(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        require_open(self)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns.keys()))
        command = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
        try:
            with cast("psycopg.Cursor[Any]", self._cursor).copy(command) as stream:
                for row in rows:
                    stream.write_row(row)
        except psycopg.Error as error:
            raise failed(self, error) from error

    def _run(self, statement: Statement, params: Mapping[str, Any]) -> None:
        require_open(self)
        try:
            self._cursor.execute(statement.text(self.dialect), params)
        except (sqlite3.Error, psycopg.Error) as error:
            raise failed(self, error) from error


def require_open(tx: Tx) -> None:
    """Raises TransactionOver for a transaction that has failed or ended."""
    if tx.over:
        raise TransactionOver("the transaction has failed or ended")


def failed(tx: Tx, error: Exception) -> Exception:
    """Ends ``tx``; the exception to raise instead of the driver's own ``error``."""
    tx.over = True
    return typed(error)


def finished(function: Callable[[Tx], T], tx: Tx) -> T:
    """What ``function`` makes of ``tx``, which then is over. A failure that it kept to itself is no success."""
    try:
        result = function(tx)
        require_open(tx)
        return result
    finally:
        tx.over = True


def typed(error: Exception) -> Exception:
    """The store's exception for one of a driver; another one is a bug of ours and stays what it is."""
    if isinstance(error, _CONSTRAINT):
        return ConstraintViolation(str(error))
    return StoreUnavailable(str(error)) if _is_unavailable(error) else error
