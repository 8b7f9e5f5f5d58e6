"""Items and their stock: nobody buys a unit that somebody else has."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acpref_merchant.domain.item import Item
from acpref_merchant.store import Store, items, open_store


def item(name: str, *, stock: int | None = 10, price: int = 500, title: str = "Thing") -> Item:
    return Item(id=name, product_id=f"p_{name}", title=title, unit_amount=price, available=stock)


def _import(store: Store, *rows: Item, keep_stock: bool = True) -> int:
    return store.run_sync(lambda tx: items.replace_all(tx, rows, keep_stock=keep_stock))


def _available(store: Store, *ids: str) -> list[int | None]:
    found = store.read_sync(lambda tx: items.load(tx, ids))
    return [found[name].available for name in ids]


def test_items_come_back_as_they_were_stored(store: Store) -> None:
    rich = Item(
        id="sku_1",
        product_id="p_1",
        title="Shirt, rosé",
        variant_title="M",
        tags=("a", "b"),
        images=("https://shop.example/1.png",),
        unit_amount=1999,
        list_amount=2999,
        fulfillment=("shipping", "pickup"),
        weight_grams=300,
        max_quantity_per_order=3,
        available=7,
    )
    plain = item("sku_2", stock=None)
    assert _import(store, rich, plain) == 2
    assert store.read_sync(lambda tx: items.load(tx, ["sku_2", "sku_1", "sku_1", "none"])) == {
        "sku_1": rich,
        "sku_2": plain,
    }


def test_any_number_of_items_can_be_loaded_at_once(store: Store) -> None:
    _import(store, *(item(f"i{n}") for n in range(300)))
    for count in (0, 1, 2, 3, 33, 64, 65, 100, 101, 300):
        wanted = [f"i{n}" for n in range(count)]
        assert sorted(store.read_sync(lambda tx: items.load(tx, wanted))) == sorted(wanted)  # noqa: B023 - run at once


def test_names_that_no_database_can_hold_are_unknown_items(store: Store) -> None:
    _import(store, item("a"))
    bad = ["a\x00", "\ud800", "é"]
    assert store.read_sync(lambda tx: items.load(tx, bad)) == {}
    assert not store.run_sync(lambda tx: items.set_stock(tx, "a\x00", 1))


def _reserve(store: Store, basket: dict[str, int]) -> bool:
    try:
        asyncio.run(store.run(lambda tx: items.reserve(tx, basket)))
    except items.OutOfStock:
        return False
    return True


def test_reserved_units_are_not_available_and_sold_units_are_gone(store: Store) -> None:
    _import(store, item("a", stock=10))
    assert _reserve(store, {"a": 3})
    assert _available(store, "a") == [7]
    store.run_sync(lambda tx: items.commit_reservation(tx, {"a": 2}))
    assert _available(store, "a") == [7]
    store.run_sync(lambda tx: items.release(tx, {"a": 1}))
    assert _available(store, "a") == [8]
    store.run_sync(lambda tx: items.restock(tx, {"a": 2}))
    assert _available(store, "a") == [10]


def test_a_reservation_is_all_or_nothing(store: Store) -> None:
    _import(store, item("a", stock=5), item("b", stock=1), item("c", stock=0))
    for basket in ({"c": 1, "b": 1}, {"b": 1, "a": 6}, {"a": 1, "x": 1}):
        assert not _reserve(store, basket)
        assert _available(store, "a", "b", "c") == [5, 1, 0]
    assert _reserve(store, {"a": 5, "b": 1})
    assert _available(store, "a", "b") == [0, 0]


def test_fifty_buyers_of_ten_units_get_ten(store: Store) -> None:
    _import(store, item("a", stock=10))

    async def scenario() -> list[object]:
        reservations = (store.run(lambda tx: items.reserve(tx, {"a": 1})) for _ in range(50))
        return await asyncio.gather(*reservations, return_exceptions=True)

    outcomes = [type(outcome) for outcome in asyncio.run(scenario())]
    assert outcomes.count(type(None)) == 10
    assert outcomes.count(items.OutOfStock) == 40
    assert _available(store, "a") == [0]


def test_baskets_with_common_items_neither_deadlock_nor_oversell(store: Store) -> None:
    names = [f"i{n}" for n in range(6)]
    _import(store, *(item(name, stock=20) for name in names))
    shuffled = random.Random(7)
    baskets = [dict.fromkeys(shuffled.sample(names, 4), 1) for _ in range(60)]

    async def scenario() -> list[object]:
        reservations = (store.run(lambda tx, basket=basket: items.reserve(tx, basket)) for basket in baskets)  # type: ignore[misc]
        return await asyncio.gather(*reservations, return_exceptions=True)

    outcomes = asyncio.run(scenario())
    taken = dict.fromkeys(names, 0)
    for basket, lacking in zip(baskets, outcomes, strict=True):
        if lacking is None:
            for name in basket:
                taken[name] += 1
        else:
            assert isinstance(lacking, items.OutOfStock)
    assert _available(store, *names) == [20 - taken[name] for name in names]
    assert min(_available(store, *names), key=lambda units: units or 0) == 0


def test_stock_and_price_can_be_set(store: Store) -> None:
    _import(store, item("a", stock=10, price=500))
    store.run_sync(lambda tx: items.reserve(tx, {"a": 4}))
    assert store.run_sync(lambda tx: items.set_stock(tx, "a", 3))
    assert store.run_sync(lambda tx: items.set_unit_amount(tx, "a", 650))
    found = store.read_sync(lambda tx: items.load(tx, ["a"]))["a"]
    assert (found.available, found.unit_amount) == (0, 650)
    store.run_sync(lambda tx: items.commit_reservation(tx, {"a": 4}))  # more than is there: never below zero
    assert _available(store, "a") == [0]
    assert store.run_sync(lambda tx: items.set_stock(tx, "a", None))
    assert _available(store, "a") == [None]
    assert not store.run_sync(lambda tx: items.set_stock(tx, "x", 1))
    assert not store.run_sync(lambda tx: items.set_unit_amount(tx, "x", 1))


def test_a_new_import_wins_for_everything_but_stock(store: Store) -> None:
    _import(store, item("a", stock=10), item("b", stock=10), item("c", stock=10), item("gone"))
    store.run_sync(lambda tx: items.reserve(tx, {"a": 2}))
    new = [
        item("c", stock=None),
        item("a", stock=99, price=700, title="New"),
        item("b", stock=99),
        item("d", stock=4),
    ]
    assert _import(store, *new) == 4
    found = store.read_sync(lambda tx: items.load(tx, ["a", "b", "c", "d", "gone"]))
    assert {name: row.available for name, row in found.items()} == {"a": 8, "b": 10, "c": None, "d": 4}
    assert (found["a"].unit_amount, found["a"].title) == (700, "New")
    assert [row.id for row in store.read_sync(lambda tx: list(items.iterate(tx)))] == ["c", "a", "b", "d"]


def test_an_import_can_take_the_stock_from_the_file_too(store: Store) -> None:
    _import(store, item("a", stock=10))
    store.run_sync(lambda tx: items.reserve(tx, {"a": 2}))
    _import(store, item("a", stock=50), keep_stock=False)
    assert _available(store, "a") == [48]


def test_an_import_that_breaks_off_changes_nothing(store: Store) -> None:
    _import(store, item("a"), item("b"))

    def broken() -> Iterator[Item]:
        yield item("a", price=1)
        yield item("c")
        raise LookupError("line 3")

    with pytest.raises(LookupError):
        store.run_sync(lambda tx: items.replace_all(tx, broken()))
    with pytest.raises(ValueError, match="'c' is given twice"):
        _import(store, item("c"), item("a"), item("c"))
    assert [(row.id, row.unit_amount) for row in store.read_sync(lambda tx: list(items.iterate(tx)))] == [
        ("a", 500),
        ("b", 500),
    ]
    assert _import(store) == 0
    assert store.read_sync(items.count) == 0


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_an_empty_shop_takes_any_number_of_items(store: Store, count: int) -> None:
    made = [item(f"i{n * 7 % 997}", stock=None if n % 3 else n) for n in range(count)]
    assert _import(store, *made) == count
    assert store.read_sync(lambda tx: list(items.iterate(tx))) == made


def test_a_first_import_that_breaks_off_leaves_the_shop_empty(store: Store) -> None:
    def broken() -> Iterator[Item]:
        yield from (item(f"i{n}") for n in range(150))
        raise LookupError("line 151")

    with pytest.raises(LookupError):
        store.run_sync(lambda tx: items.replace_all(tx, broken()))
    with pytest.raises(ValueError, match="'i3' is given twice"):
        _import(store, *(item(f"i{n}") for n in range(150)), item("i3"))
    assert store.read_sync(items.count) == 0


def test_two_servers_that_start_at_once_both_fill_the_shop(store: Store, store_url: str) -> None:
    """The second one begins while the first is in the middle of it, waits, and finds items that are there."""
    made = [item(f"i{n}") for n in range(250)]
    with ThreadPoolExecutor(1) as pool, closing(open_store(store_url)) as other:
        second: list[Future[int]] = []

        def first() -> Iterator[Item]:
            yield from made[:150]
            if not second:  # a transaction may be run again
                second.append(pool.submit(_import, other, *made))
            yield from made[150:]

        assert store.run_sync(lambda tx: items.replace_all(tx, first())) == 250
        assert second[0].result(30) == 250
    assert store.read_sync(lambda tx: list(items.iterate(tx))) == made


def test_pages_cover_the_catalog_in_its_order(store: Store) -> None:
    names = [f"i{n * 7 % 25}" for n in range(25)]
    _import(store, *(item(name) for name in names))
    seen: list[str] = []
    after = None
    while True:
        page, after = store.read_sync(lambda tx: items.page(tx, after, 10))  # noqa: B023 - run at once
        seen += [row.id for row in page]
        if after is None:
            break
    assert seen == names
    assert [row.id for row in store.read_sync(lambda tx: list(items.iterate(tx, batch=5)))] == names
    assert store.read_sync(items.count) == 25


def test_a_large_catalog_is_imported_whole(sqlite_store: Store) -> None:
    assert _import(sqlite_store, *(item(f"i{n}") for n in range(20_000))) == 20_000
    assert sqlite_store.read_sync(items.count) == 20_000


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "sell", "release", "restock"]), st.integers(1, 4)), max_size=25
    )
)
def test_stock_adds_up_after_any_history(sqlite_store: Store, history: list[tuple[str, int]]) -> None:
    _import(sqlite_store, item("a", stock=6), keep_stock=False)
    sqlite_store.run_sync(lambda tx: items.release(tx, {"a": 10**6}))
    on_hand, reserved = 6, 0
    for action, units in history:
        if action == "reserve":
            done = _reserve(sqlite_store, {"a": units})
            assert done == (on_hand - reserved >= units)
            reserved += units if done else 0
        elif action == "restock":
            sqlite_store.run_sync(lambda tx: items.restock(tx, {"a": units}))  # noqa: B023
            on_hand += units
        elif units <= reserved:  # only what was reserved is sold or released
            change = items.commit_reservation if action == "sell" else items.release
            sqlite_store.run_sync(lambda tx: change(tx, {"a": units}))  # noqa: B023
            reserved -= units
            on_hand -= units if action == "sell" else 0
        assert _available(sqlite_store, "a") == [on_hand - reserved]
