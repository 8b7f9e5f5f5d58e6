"""Statements on items and their stock.

Stock is reserved before money moves and sold after it did, so two buyers never get the last unit. Rows are always
locked in the order of their ids, so that two baskets with common items cannot wait for each other in a circle. Items
with unlimited stock are never locked.
"""

# ruff: noqa: A002 - arguments are called what the columns are called: id, type

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam, case

from acpref_merchant.domain.item import Item
from acpref_merchant.store.errors import Overtaken
from acpref_merchant.store.statement import NO_OFFSET, ROW_LIMIT, InsertFunction, Row, Statement, Tx, storable
from acpref_merchant.store.tables import ITEM as TABLE

_C = TABLE.c
_QUANTITY = bindparam("quantity", type_=sa.BigInteger)
_COLUMNS = (_C.id, _C.data, _C.unit_amount, _C.on_hand, _C.reserved)
_COUNTED = sa.and_(_C.id == bindparam("item_id"), _C.on_hand.is_not(None))


class OutOfStock(Overtaken):
    """Somebody else has reserved the last units of an item since it was loaded."""


def _less(column: sa.Column[Any]) -> sa.ColumnElement[int]:
    """``column`` minus the quantity, never below zero: an operator may have changed the stock in the meantime."""
    return case((column > _QUANTITY, column - _QUANTITY), else_=sa.literal_column("0"))


_RESERVE = Statement(
    sa.update(TABLE)
    .where(_COUNTED, _C.on_hand - _C.reserved >= _QUANTITY)
    .values(reserved=_C.reserved + _QUANTITY)
)
_SELL = Statement(
    sa.update(TABLE).where(_COUNTED).values(on_hand=_less(_C.on_hand), reserved=_less(_C.reserved))
)
_RELEASE = Statement(sa.update(TABLE).where(_COUNTED).values(reserved=_less(_C.reserved)))
_RESTOCK = Statement(sa.update(TABLE).where(_COUNTED).values(on_hand=_C.on_hand + _QUANTITY))
_SET_STOCK = Statement(
    sa.update(TABLE).where(_C.id == bindparam("item_id")).values(on_hand=bindparam("new_stock"))
)
_SET_UNIT_AMOUNT = Statement(
    sa.update(TABLE).where(_C.id == bindparam("item_id")).values(unit_amount=bindparam("new_amount"))
)
_PAGE = Statement(
    sa.select(*_COLUMNS, _C.position)
    .where(sa.tuple_(_C.position, _C.id) > sa.tuple_(bindparam("after_position"), bindparam("after_id")))
    .order_by(_C.position, _C.id)
    .limit(ROW_LIMIT)
    .offset(NO_OFFSET)
)
_COUNT = Statement(sa.select(sa.func.count()).select_from(TABLE))
_IDS = Statement(sa.select(_C.id))
_FIRST = Statement(sa.select(_C.id).limit(ROW_LIMIT).offset(NO_OFFSET))
_DELETE = Statement(sa.delete(TABLE).where(_C.id == bindparam("item_id")))

_NAMES = TABLE.columns.keys()
# Reading goes on; writing, and another import, waits until the transaction ends.
_LOCK = Statement(sa.text("LOCK TABLE item IN SHARE ROW EXCLUSIVE MODE"))

# PostgreSQL takes a large import as one stream into a table of this transaction, then merges it in one statement.
_STAGE = TABLE.to_metadata(sa.MetaData(), name="item_import")
_CREATE_STAGE = Statement(sa.text("CREATE TEMPORARY TABLE item_import (LIKE item)"))
_DROP_STAGE = Statement(sa.text("DROP TABLE item_import"))


def _upsert(*, keep_stock: bool, staged: bool) -> Statement:
    def build(insert: InsertFunction) -> sa.Executable:
        statement = insert(TABLE)
        if staged:
            statement = statement.from_select(_NAMES, sa.select(_STAGE))
        new = statement.excluded
        # Counted stock stays what it has become; whether an item is counted at all, the file decides.
        stock = (
            case((sa.or_(new.on_hand.is_(None), _C.on_hand.is_(None)), new.on_hand), else_=_C.on_hand)
            if keep_stock
            else new.on_hand
        )
        return statement.on_conflict_do_update(
            index_elements=[_C.id],
            set_={
                "product_id": new.product_id,
                "position": new.position,
                "data": new.data,
                "unit_amount": new.unit_amount,
                "on_hand": stock,
            },
        )

    return Statement(build)


_UPSERT = {keep_stock: _upsert(keep_stock=keep_stock, staged=False) for keep_stock in (True, False)}
_MERGE = {keep_stock: _upsert(keep_stock=keep_stock, staged=True) for keep_stock in (True, False)}


def _insert(count: int) -> Statement:
    """``count`` rows, with a value for each of ``_NAMES`` in its place."""
    row = f"({', '.join('?' * len(_NAMES))})"
    rows = ", ".join([row] * count)
    return Statement(sa.text(f"INSERT INTO item ({', '.join(_NAMES)}) VALUES {rows}"))  # noqa: S608 - all ours


# SQLite takes rows that come a hundred at a time in two thirds of the time, and more of them no faster.
_ROWS_AT_ONCE = 100
_INSERT = {count: _insert(count) for count in (1, _ROWS_AT_ONCE)}


@lru_cache(maxsize=64)
def _load_statement(count: int) -> Statement:
    return Statement(sa.select(*_COLUMNS).where(_C.id.in_([bindparam(f"id_{n}") for n in range(count)])))


def _parse(data: str) -> Item:
    return Item.model_validate_json(data)


# Parsing costs more than the rest of a load, and the same few items are in most baskets.
_parse_remembered = lru_cache(maxsize=4096)(_parse)


def _item(row: Row, parse: Callable[[str], Item]) -> Item:
    _, data, unit_amount, on_hand, reserved, *_ = row
    available = None if on_hand is None else max(0, on_hand - reserved)
    return parse(data).model_copy(update={"unit_amount": unit_amount, "available": available})


def announce(tx: Tx, ids: Iterable[str]) -> None:
    """The items will be loaded after the next statement, which does not touch items."""
    chunks = _chunks(ids)
    if len(chunks) == 1:
        statement, params = chunks[0]
        tx.announce(statement, **params)


def load(tx: Tx, ids: Iterable[str]) -> dict[str, Item]:
    """The items among ``ids`` that exist, with their current price and availability."""
    return {
        row[0]: _item(row, _parse_remembered)
        for statement, params in _chunks(ids)
        for row in tx.rows(statement, **params)
    }


def _chunks(ids: Iterable[str]) -> list[tuple[Statement, dict[str, str]]]:
    """The statements that load the items ``ids``."""
    wanted = sorted({item_id for item_id in ids if storable(item_id)})
    chunks = []
    for start in range(0, len(wanted), 100):
        chunk = wanted[start : start + 100]
        size = next(size for size in (1, 2, 4, 8, 16, 32, 64, 100) if size >= len(chunk))
        padded = chunk + chunk[-1:] * (size - len(chunk))  # few sizes, so that few statements are prepared
        chunks.append((_load_statement(size), {f"id_{n}": item_id for n, item_id in enumerate(padded)}))
    return chunks


def reserve(tx: Tx, quantities: Mapping[str, int]) -> None:
    """Set ``quantities`` (units by item id) of items with limited stock aside for one buyer.

    Raises OutOfStock, by the end of the transaction, when one of them has not as many left.
    """
    for item_id, quantity in sorted(quantities.items()):
        tx.must_change(OutOfStock(item_id), _RESERVE, item_id=item_id, quantity=quantity)


def commit_reservation(tx: Tx, quantities: Mapping[str, int]) -> None:
    """The reserved units are sold: they leave the stock."""
    _change(tx, _SELL, quantities)


def release(tx: Tx, quantities: Mapping[str, int]) -> None:
    """The reserved units are free again."""
    _change(tx, _RELEASE, quantities)


def restock(tx: Tx, quantities: Mapping[str, int]) -> None:
    """Sold units came back (a return, a cancellation) and can be sold again."""
    _change(tx, _RESTOCK, quantities)


def _change(tx: Tx, statement: Statement, quantities: Mapping[str, int]) -> None:
    for item_id, quantity in sorted(quantities.items()):
        tx.write(statement, item_id=item_id, quantity=quantity)


def set_stock(tx: Tx, id: str, on_hand: int | None) -> bool:
    """Set the units on hand (None: unlimited), reserved ones included; false for an unknown item."""
    return storable(id) and bool(tx.execute(_SET_STOCK, item_id=id, new_stock=on_hand))


def set_unit_amount(tx: Tx, id: str, unit_amount: int) -> bool:
    """Set the price in minor units; false for an unknown item."""
    return storable(id) and bool(tx.execute(_SET_UNIT_AMOUNT, item_id=id, new_amount=unit_amount))


class NewItem(NamedTuple):
    """An item to store: ``data`` is an ``Item`` as JSON without ``available``; ``on_hand`` None is unlimited stock."""

    id: str
    product_id: str
    data: str
    unit_amount: int
    on_hand: int | None


def replace_all(tx: Tx, items: Iterable[Item], *, keep_stock: bool = True) -> int:
    """Make ``items``, in their order, the whole assortment; returns how many there are. See ``replace_rows``."""
    return replace_rows(tx, map(_new, items), keep_stock=keep_stock)


def _new(item: Item) -> NewItem:
    return NewItem(
        item.id,
        item.product_id,
        item.model_dump_json(exclude={"available"}, exclude_defaults=True),
        item.unit_amount,
        item.available,
    )


def replace_rows(tx: Tx, rows: Iterable[NewItem], *, keep_stock: bool = True) -> int:
    """Make ``rows``, in their order, the whole assortment; returns how many there are.

    The given items win for everything but stock: units on hand of items that were there before are kept (they have been
    sold from since), unless ``keep_stock`` is false. Reservations are always kept. All others are removed. Raises
    ValueError when an id comes twice.
    """
    seen: set[str] = set()
    numbered = _numbered(rows, seen)
    if _is_empty(tx):
        _fill(tx, numbered)
        return len(seen)
    if tx.dialect == "postgresql":
        tx.execute(_CREATE_STAGE)
        tx.copy(_STAGE, numbered)
        tx.execute(_MERGE[keep_stock])
        tx.execute(_DROP_STAGE)
    else:
        tx.execute_many(_UPSERT[keep_stock], (dict(zip(_NAMES, row, strict=True)) for row in numbered))
    gone = [{"item_id": item_id} for (item_id,) in tx.rows(_IDS) if item_id not in seen]
    if gone:
        tx.execute_many(_DELETE, gone)
    return len(seen)


def _numbered(rows: Iterable[NewItem], seen: set[str]) -> Iterator[Row]:
    """The rows with a value for each column, in the order of the table; their ids get into ``seen``."""
    for position, (item_id, product_id, data, unit_amount, on_hand) in enumerate(rows):
        if item_id in seen:
            raise ValueError(f"item {item_id!r} is given twice")
        seen.add(item_id)
        yield item_id, product_id, position, data, unit_amount, on_hand, 0


def _is_empty(tx: Tx) -> bool:
    """Whether there are no items, and nobody else can add any before the transaction ends."""
    if tx.row(_FIRST, row_limit=1) is not None:
        return False
    if tx.dialect == "sqlite":  # has one writer
        return True
    tx.execute(_LOCK)
    return tx.row(_FIRST, row_limit=1) is None


def _fill(tx: Tx, rows: Iterator[Row]) -> None:
    """Append ``rows``, in the order of the table's columns, to the empty table: the first start of a server."""
    if tx.dialect == "postgresql":
        tx.copy(TABLE, rows)
        return
    size = _ROWS_AT_ONCE * len(_NAMES)
    values = chain.from_iterable(rows)
    rest: list[Any] = []

    def batches() -> Iterator[Any]:
        while len(batch := list(islice(values, size))) == size:
            yield batch
        rest.extend(batch)

    tx.execute_many(_INSERT[_ROWS_AT_ONCE], batches())
    left: Iterator[Any] = zip(*[iter(rest)] * len(_NAMES), strict=True)
    tx.execute_many(_INSERT[1], left)


def page(tx: Tx, after: tuple[int, str] | None, limit: int) -> tuple[list[Item], tuple[int, str] | None]:
    """Up to ``limit`` items in the order of the catalog behind ``after``, and what to pass for the next page.

    ``None`` begins, and is returned with the last page. The order is the one that was imported: items of one product
    follow each other.
    """
    position, item_id = after if after is not None else (-1, "")
    rows = tx.rows(_PAGE, after_position=position, after_id=item_id, row_limit=limit)
    following = (rows[-1][5], rows[-1][0]) if len(rows) == limit else None
    return [_item(row, _parse) for row in rows], following


def iterate(tx: Tx, batch: int = 1000) -> Iterator[Item]:
    """Every item in the order of the catalog, read ``batch`` at a time, within one transaction.

    Use it up inside the transaction. On SQLite it occupies the only reader: a server publishes with ``page`` instead.
    """
    after = None
    while True:
        items, after = page(tx, after, batch)
        yield from items
        if after is None:
            return


def count(tx: Tx) -> int:
    """How many items there are."""
    row = tx.row(_COUNT)
    return int(row[0]) if row else 0
