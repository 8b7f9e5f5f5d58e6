"""Bringing a catalog into the merchant's database at the start of the server.

The hash of the files is kept beside the items: a restart with the same files changes nothing and takes no time, and
never undoes what was sold or what an operator has changed since.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from acpref_merchant.catalog.files import load_shop, products_path, shop_path
from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.catalog.rows import item_rows
from acpref_merchant.domain.shop import Shop
from acpref_merchant.store import items, meta
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store

META_KEY = "catalog"
# Part of the hash: a change of what rows look like imports every catalog again.
_ROW_FORMAT = b"acpref item rows 1\n"


def load_catalog(store: Store, path: Path, *, keep_stock: bool = True) -> Shop:
    """Make the database hold exactly the catalog at ``path``; returns its shop.

    Does nothing but read when the files are those that were imported last. Otherwise all items are replaced in one
    transaction (see ``items.replace_rows`` for what happens to stock). Raises CatalogError with the place of the first
    mistake, with the database unchanged, and StoreUnavailable.
    """
    shop = load_shop(path)
    digest = catalog_hash(path)
    if store.read_sync(lambda tx: meta.get(tx, META_KEY)) == digest:
        return shop

    def replace(tx: Tx) -> None:
        items.replace_rows(tx, item_rows(path), keep_stock=keep_stock)
        meta.put(tx, META_KEY, digest)

    store.run_sync(replace)
    return shop


def catalog_hash(path: Path) -> str:
    """The SHA-256 of the catalog's files, in hexadecimal."""
    digest = hashlib.sha256(_ROW_FORMAT)
    for file in (shop_path(path), products_path(path)):
        digest.update(b"file\n" if file else b"none\n")
        if file is not None:
            try:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise CatalogError.at(file, f"cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()
