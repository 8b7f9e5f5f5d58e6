"""Generated catalogs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import jsonschema_rs

from acpref_merchant.catalog import vocabulary
from acpref_merchant.catalog.files import iter_products, load_shop
from acpref_merchant.catalog.generate import generate_lines, generate_products, write_catalog
from acpref_merchant.domain.item import Product


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """The digest was taken once: another one means that published catalogs have changed."""
    text = "\n".join(generate_lines(1000, seed=7))
    assert text == "\n".join(generate_lines(1000, seed=7))
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "e1a3850a96bbb6c87509648b19398c6077b94d4ac2864facd99a5336c7288f5f"
    )


def test_another_seed_gives_another_catalog() -> None:
    assert list(generate_lines(20, seed=1)) != list(generate_lines(20, seed=2))


def test_a_longer_catalog_begins_like_a_shorter_one() -> None:
    assert list(generate_lines(500, seed=3))[:50] == list(generate_lines(50, seed=3))


def test_every_product_is_sound_and_they_differ() -> None:
    validator = jsonschema_rs.validator_for(Product.model_json_schema())
    lines = list(generate_lines(3000, seed=5))
    for line in lines:
        validator.validate(json.loads(line))
    found = list(generate_products(3000, seed=5))
    assert len({product.id for product in found}) == 3000
    assert len({variant.id for product in found for variant in product.variants}) == sum(
        len(product.variants) for product in found
    )
    stock = Counter(variant.stock for product in found for variant in product.variants)
    assert stock[0]
    assert stock[1]
    assert stock[None]
    assert {product.tax_class for product in found} >= {"standard", "food", "books", "clothing", "digital"}
    assert len({len(product.variants) for product in found}) > 1
    assert any(variant.list_price for product in found for variant in product.variants)


def test_the_words_need_no_escaping() -> None:
    """They are pasted into JSON as they are."""
    words = [*vocabulary.ADJECTIVES, *vocabulary.BRANDS, *vocabulary.PRAISE]
    for department in vocabulary.DEPARTMENTS:
        words += [department.category, *department.nouns, *department.materials, *department.values]
    assert all(word.isascii() and json.dumps(word) == f'"{word}"' for word in words)


def test_a_catalog_is_written_with_a_shop_and_counts_on(tmp_path: Path) -> None:
    assert list(write_catalog(tmp_path / "big", 4500, seed=1)) == [2000, 4000, 4500]
    assert len(list(iter_products(tmp_path / "big"))) == 4500
    assert load_shop(tmp_path / "big").fulfillment.shipping
