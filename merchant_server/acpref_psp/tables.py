"""The provider's tables. Times are milliseconds since the epoch, amounts are minor units.

What the guards in statements promise, the constraints here hold once more: money taken never exceeds money
authorised, money given back never exceeds money taken, and a token has one charge at most.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, LargeBinary, MetaData, text
from sqlmodel import Field, SQLModel


class Table(SQLModel):
    """Base of this service's tables, with metadata of their own: they live in another database than the merchant's."""

    metadata = MetaData()


class VaultToken(Table, table=True):
    """A delegated card and its allowance.

    No security code and no cryptogram are kept. ``sealed_number`` is erased when the token has paid or expired.
    """

    __tablename__ = "vault_token"
    __table_args__ = (
        CheckConstraint("max_amount > 0"),
        # Finds the card numbers that are still to be erased, without walking through all those that were.
        Index("ix_vault_token_sealed", "expires_at", sqlite_where=text("sealed_number IS NOT NULL")),
    )

    id: str = Field(primary_key=True)
    agent_id: str
    merchant_id: str
    checkout_session_id: str
    currency: str
    max_amount: int
    expires_at: int
    brand: str
    last4: str
    fingerprint: str
    funding: str
    exp_month: str | None
    exp_year: str | None
    key_id: str
    sealed_number: bytes | None = Field(sa_type=LargeBinary)
    risk_signals: str
    failed_once: bool = False
    charge_id: str | None = Field(default=None, unique=True)
    created_at: int


class Charge(Table, table=True):
    """An attempt to charge a token, declined or authorised, and what became of it.

    ``request_id`` is the id of its idempotency record, kept for as long as the charge.
    """

    __tablename__ = "charge"
    __table_args__ = (
        CheckConstraint("amount > 0"),
        CheckConstraint("amount_captured BETWEEN 0 AND amount"),
        CheckConstraint("amount_refunded BETWEEN 0 AND amount_captured"),
        CheckConstraint("status IN ('declined', 'authorized', 'captured', 'voided')"),
        CheckConstraint("status IN ('authorized', 'captured') OR amount_captured = 0"),
    )

    sequence: int = Field(primary_key=True)
    id: str = Field(unique=True)
    merchant_id: str
    request_id: str
    token_id: str = Field(index=True)
    checkout_session_id: str = Field(index=True)
    amount: int
    currency: str
    status: str
    decline_code: str | None = None
    amount_captured: int = 0
    amount_refunded: int = 0
    brand: str
    last4: str
    created_at: int


class Refund(Table, table=True):
    """Money given back from a charge."""

    __tablename__ = "refund"
    __table_args__ = (CheckConstraint("amount > 0"),)

    id: str = Field(primary_key=True)
    charge_id: str = Field(index=True, foreign_key="charge.id")
    amount: int
    created_at: int


class IdempotencyRecord(Table, table=True):
    """The answer that was given under a key (IDEM-11). ``id`` hashes identity, path and key (IDEM-04)."""

    __tablename__ = "idempotency_record"

    id: str = Field(primary_key=True)
    fingerprint: str
    status: int
    body: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(index=True)
