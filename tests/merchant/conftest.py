"""Fixtures for tests of the merchant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acpref_merchant.store import Store, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store with empty tables, once for each kind of database."""
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def sqlite_store(sqlite_store_url: str) -> Iterator[Store]:
    """An open SQLite store with empty tables."""
    store = open_store(sqlite_store_url)
    yield store
    store.close()
