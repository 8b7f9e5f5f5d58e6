"""Writing catalog files so that nobody ever sees half of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from acpref_merchant.catalog.files import PRODUCTS_FILE, SHOP_FILE
from acpref_merchant.domain.item import Product
from acpref_merchant.domain.shop import Shop


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream that becomes ``path`` when the block ends well; otherwise ``path`` stays as it was."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_shop(folder: Path, shop: Shop) -> None:
    """Write ``shop.json`` into ``folder``, which exists; members at their default are left out."""
    document = shop.model_dump(mode="json", exclude_defaults=True)
    with replacing(folder / SHOP_FILE) as stream:
        stream.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def write_catalog(folder: Path, shop: Shop, products: Iterable[Product]) -> tuple[int, int]:
    """Write both files of a catalog; returns how many products and items it has."""
    folder.mkdir(parents=True, exist_ok=True)
    count = items = 0
    with replacing(folder / PRODUCTS_FILE) as stream:
        for product in products:
            stream.write(product.model_dump_json(exclude_defaults=True).encode() + b"\n")
            count += 1
            items += len(product.variants)
    write_shop(folder, shop)
    return count, items
