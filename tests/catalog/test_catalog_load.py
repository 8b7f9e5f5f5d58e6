"""A catalog comes into the database: once, fast, and all of it or nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.catalog.catalog_strategies import products

from acpref_merchant.catalog.files import iter_products
from acpref_merchant.catalog.generate import write_catalog
from acpref_merchant.catalog.load import META_KEY, catalog_hash, load_catalog
from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.catalog.rows import item_rows
from acpref_merchant.domain.item import Item, Product, Variant, items_of
from acpref_merchant.store import Store, items, meta, open_store

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
SHOP: dict[str, Any] = {"merchant_id": "m", "name": "Shop", "currency": "usd"}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def catalog(folder: Path, *products: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "products.jsonl").write_text("\n".join(json.dumps(product) for product in products))
    (folder / "shop.json").write_text(json.dumps(SHOP))
    return folder


def mug(number: int, price: int = 900, stock: int | None = 3) -> dict[str, Any]:
    variant = {"id": f"v{number}", "title": "White", "price": price, "stock": stock}
    return {"id": f"p{number}", "title": "Mug", "variants": [variant]}


def everything(store: Store) -> list[Item]:
    return store.read_sync(lambda tx: list(items.iterate(tx)))


def books(store: Store) -> list[tuple[str, int | None, int]]:
    """Id, units that can be sold, and price of everything."""
    return [(item.id, item.available, item.unit_amount) for item in everything(store)]


def meant(path: Path) -> list[Item]:
    return [item for product in iter_products(path) for item in items_of(product)]


def as_item(row: items.NewItem) -> Item:
    return Item.model_validate_json(row.data).model_copy(update={"available": row.on_hand})


def outcome(read: Callable[[], list[Item]]) -> list[Item] | str:
    """The items, or what is said of the file instead."""
    try:
        return read()
    except CatalogError as error:
        return str(error)


@pytest.mark.parametrize("name", ["corner_shop", "apparel", "digital_goods"])
def test_the_database_holds_exactly_the_items_of_the_files_in_their_order(store: Store, name: str) -> None:
    shop = load_catalog(store, CATALOGS / name)
    assert shop.name
    assert everything(store) == meant(CATALOGS / name)


@settings(deadline=None, max_examples=60)
@given(st.lists(products(), min_size=1, max_size=3, unique_by=lambda product: product.id), st.booleans())
def test_the_fast_way_and_the_models_make_the_same_items(
    tmp_path_factory: pytest.TempPathFactory, made: list[Product], short: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "products.jsonl"
    path.write_text("\n".join(product.model_dump_json(exclude_defaults=short) for product in made))
    stored = list(map(as_item, item_rows(path)))
    assert stored == [item for product in made for item in items_of(product)]
    assert [(row.id, row.product_id, row.unit_amount) for row in item_rows(path)] == [
        (item.id, item.product_id, item.unit_amount) for item in stored
    ]


ODD_VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.0,
        2**53,
        "",
        " ",
        "a b",
        "x" * 101,
        "https://a.example/%zz",
        "\x00",
        [],
        [None],
        {},
        {"a": 1},
    ]
)
MEMBERS = [
    *Product.model_fields,
    *Variant.model_fields,
    "name",
    "type",
    "product_id",
    "unit_amount",
    "available",
]


@settings(deadline=None, max_examples=400)
@given(products(), st.data())
def test_the_fast_way_refuses_what_the_models_refuse_in_the_same_words(
    tmp_path_factory: pytest.TempPathFactory, product: Product, data: st.DataObject
) -> None:
    document = product.model_dump(mode="json", exclude_defaults=data.draw(st.booleans()))
    places: list[Any] = [document, *document["variants"]]
    places += [one for variant in document["variants"] for one in variant.get("options", [])]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from([*place, *MEMBERS]))] = data.draw(ODD_VALUES)
    path = tmp_path_factory.getbasetemp() / "odd.jsonl"
    path.write_text(json.dumps(document))
    fast = outcome(lambda: list(map(as_item, item_rows(path))))
    assert fast == outcome(lambda: meant(path))


def test_the_same_files_are_not_imported_again(store: Store, tmp_path: Path) -> None:
    """What was sold or repriced in the meantime stays."""
    path = catalog(tmp_path / "shop", mug(1), mug(2))
    load_catalog(store, path)
    store.run_sync(lambda tx: items.set_stock(tx, "v1", 1))
    store.run_sync(lambda tx: items.set_unit_amount(tx, "v2", 5))
    load_catalog(store, path)
    assert [(item.id, item.available, item.unit_amount) for item in everything(store)] == [
        ("v1", 1, 900),
        ("v2", 3, 5),
    ]


def test_changed_files_replace_the_assortment_but_not_what_was_sold(store: Store, tmp_path: Path) -> None:
    path = catalog(tmp_path / "shop", mug(1), mug(2))
    load_catalog(store, path)
    store.run_sync(lambda tx: items.set_stock(tx, "v1", 1))
    catalog(path, mug(3), mug(1, price=950))
    load_catalog(store, path)
    assert [(item.id, item.available, item.unit_amount) for item in everything(store)] == [
        ("v3", 3, 900),
        ("v1", 1, 950),
    ]
    load_catalog(store, catalog(path, mug(1, stock=8)), keep_stock=False)
    assert books(store) == [("v1", 8, 900)]


def test_a_mistake_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = catalog(tmp_path / "shop", mug(1))
    load_catalog(store, path)
    before = store.read_sync(lambda tx: meta.get(tx, META_KEY))
    catalog(path, mug(2), {**mug(3), "title": ""})
    with pytest.raises(CatalogError, match=r"products\.jsonl:2: \$\.title: "):
        load_catalog(store, path)
    assert [item.id for item in everything(store)] == ["v1"]
    assert store.read_sync(lambda tx: meta.get(tx, META_KEY)) == before


def test_a_mistake_in_the_first_catalog_leaves_the_database_empty(store: Store, tmp_path: Path) -> None:
    """However many products there were before it."""
    path = catalog(tmp_path / "shop", *(mug(number) for number in range(250)), mug(7))
    with pytest.raises(
        CatalogError, match=r"products\.jsonl:251: \$\.id: the product id 'p7' was used before"
    ):
        load_catalog(store, path)
    assert everything(store) == []
    assert store.read_sync(lambda tx: meta.get(tx, META_KEY)) is None


def test_the_hash_is_of_what_the_files_say_not_of_where_they_lie(tmp_path: Path) -> None:
    one, two = catalog(tmp_path / "one", mug(1)), catalog(tmp_path / "two", mug(1))
    assert catalog_hash(one) == catalog_hash(two)
    assert catalog_hash(one) != catalog_hash(one / "products.jsonl")
    catalog(two, mug(2))
    assert catalog_hash(one) != catalog_hash(two)
    (one / "shop.json").write_text(json.dumps({**SHOP, "name": "Other"}))
    assert catalog_hash(one) != catalog_hash(catalog(tmp_path / "three", mug(1)))


_MEASURE = """
import sys
from pathlib import Path
from acpref_merchant.catalog.load import load_catalog
from acpref_merchant.store import open_store
store = open_store(sys.argv[1])
load_catalog(store, Path(sys.argv[2]))
store.close()
# Not getrusage: its peak is inherited from the process that started this one.
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory from /proc")
def test_loading_a_large_catalog_needs_little_memory(sqlite_store_url: str, tmp_path: Path) -> None:
    """A fifth of 100,000 products: had the whole of them to be in memory at once, this would not suffice."""
    for _ in write_catalog(tmp_path / "big", 20_000, seed=1):
        pass
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, sqlite_store_url, str(tmp_path / "big")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 250_000
