"""Persistence: tables, statements on them, and the unit of work.

``open_store`` and ``migrate`` are what a program needs; the statements are functions of a transaction, one module per
table (``sessions``, ``idempotency``, ``items``, ``payments``, ``orders``, ``outbox``, ``refunds``, ``discount_uses``,
``meta``).
"""

from __future__ import annotations

from acpref_merchant.store.errors import ConstraintViolation, StoreClosed, StoreError, StoreUnavailable
from acpref_merchant.store.migrate import migrate
from acpref_merchant.store.statement import Tx
from acpref_merchant.store.store import Store, open_store

__all__ = [
    "ConstraintViolation",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreUnavailable",
    "Tx",
    "migrate",
    "open_store",
]
