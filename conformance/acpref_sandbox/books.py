"""What the sandbox does to the merchant's database directly: a fresh start, and stock as the fixtures want it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from acpref_merchant.catalog.load import load_catalog
from acpref_merchant.domain.item import Item
from acpref_merchant.store import items, meta
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store

FIRST_ITEMS = 2000
"""How much of a catalog is looked at for fixtures."""


def read_items(store: Store) -> list[Item]:
    """The first items of the catalog, in its order."""
    found, _ = store.read_sync(lambda tx: items.page(tx, None, FIRST_ITEMS))
    return found


def set_stock(store: Store, stock: Mapping[str, int]) -> None:
    """Set the units on hand of the items in ``stock``."""

    def change(tx: Tx) -> None:
        for item_id, quantity in stock.items():
            items.set_stock(tx, item_id, quantity)

    store.run_sync(change)


def start_afresh(store: Store, catalog: Path, stock: Mapping[str, int]) -> None:
    """Forget every session, order and payment, and put the catalog back as its files have it, with ``stock``."""
    store.run_sync(meta.clear)
    load_catalog(store, catalog, keep_stock=False)
    set_stock(store, stock)
