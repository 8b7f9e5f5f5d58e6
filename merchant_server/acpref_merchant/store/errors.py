"""What can go wrong in the store.

``StoreError``
├── ``StoreUnavailable``     the database could not do the work; the outcome may be unknown
│   └── ``StoreClosed``      the store was closed before the work was handed in
├── ``SchemaTooNew``         the database belongs to a newer release
├── ``ConstraintViolation``  a statement broke a uniqueness or foreign-key rule
├── ``Overtaken``            somebody else has changed what the transaction relied on
└── ``TransactionOver``      a statement was run on a transaction that has failed or ended
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of everything that the store raises by itself."""


class StoreUnavailable(StoreError):  # noqa: N818 - says what is the case
    """The database is locked, full, unreachable or failed to commit.

    The work is either not done or, when the failure struck during the commit, of unknown outcome: repeat it in a way
    that is safe both times (the same idempotency key).
    """


class StoreClosed(StoreUnavailable):
    """The store takes no more work."""


class SchemaTooNew(StoreError):  # noqa: N818 - says what is the case
    """The database's schema is one that this release does not know."""


class ConstraintViolation(StoreError):  # noqa: N818 - says what is the case
    """A row would have broken a constraint of the schema. The transaction can only be rolled back."""


class Overtaken(StoreError):  # noqa: N818 - says what is the case
    """What the transaction relied on was changed by another one meanwhile. Nothing was done: look and decide again."""


class TransactionOver(StoreError):  # noqa: N818 - says what is the case
    """A statement was run after its transaction failed or ended."""
