"""The tables, as SQLModel classes. Their names are singular; statements on them are in the modules beside this one.

Every time is a BIGINT of milliseconds since 1970-01-01 UTC and every amount a BIGINT of minor units, so that both
databases store exactly the same values. ``data`` columns hold JSON documents as text: the store never looks inside.
A ``lease_until`` says who may work on a row: until then its taker, afterwards whoever takes it next.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class _Row(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMING))):
    """The common base: a registry of its own, so that no other package's tables get into the schema."""

    __table__: ClassVar[Table]


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that satisfy ``where`` only: small, and no cost for all the others."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class CheckoutSessionRow(_Row, table=True):
    """A checkout session; ``version`` grows by one with every change. ``frozen_view`` is set once payment begins."""

    __tablename__ = "checkout_session"

    id: str = Field(primary_key=True, sa_type=Text)
    agent_id: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    data: str = Field(sa_type=Text)
    frozen_view: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)


class IdempotencyRow(_Row, table=True):
    """A request seen under a key: in flight (under a lease), or done with the response that a replay gets."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_expires_at", "expires_at"),)

    agent_id: str = Field(primary_key=True, sa_type=Text)
    path: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    fingerprint: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    lease_until: int = Field(sa_type=BigInteger)
    resource_id: str | None = Field(default=None, sa_type=Text)
    status_code: int | None = Field(default=None, sa_type=Integer)
    headers: str | None = Field(default=None, sa_type=Text)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)


class ItemRow(_Row, table=True):
    """A buyable item and its stock: ``on_hand`` units (NULL: unlimited), of which ``reserved`` are promised."""

    __tablename__ = "item"
    __table_args__ = (Index("ix_item_position_id", "position", "id"),)

    id: str = Field(primary_key=True, sa_type=Text)
    product_id: str = Field(sa_type=Text)
    position: int = Field(sa_type=BigInteger)
    data: str = Field(sa_type=Text)
    unit_amount: int = Field(sa_type=BigInteger)
    on_hand: int | None = Field(default=None, sa_type=BigInteger)
    reserved: int = Field(sa_type=BigInteger)


class PaymentRow(_Row, table=True):
    """An attempt to charge for a session, recorded before the provider is called.

    At most one attempt per session is alive (intended, authorized or captured): a session cannot be charged twice.
    ``lease_until`` is NULL once nothing is left to be done.
    """

    __tablename__ = "payment"
    __table_args__ = (
        UniqueConstraint("session_id", "attempt", name="uq_payment_session_id_attempt"),
        _partial(
            "uq_payment_alive",
            "session_id",
            where="status IN ('intended', 'authorized', 'captured')",
            unique=True,
        ),
        _partial("ix_payment_lease_until", "lease_until", where="lease_until IS NOT NULL"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    session_id: str = Field(sa_type=Text)
    agent_id: str = Field(sa_type=Text)
    attempt: int = Field(sa_type=Integer)
    status: str = Field(sa_type=Text)
    amount: int = Field(sa_type=BigInteger)
    currency: str = Field(sa_type=Text)
    token: str | None = Field(default=None, sa_type=Text)
    provider: str = Field(sa_type=Text)
    provider_payment_id: str | None = Field(default=None, sa_type=Text)
    lease_until: int | None = Field(default=None, sa_type=BigInteger)
    idempotency_path: str = Field(sa_type=Text)
    idempotency_key: str = Field(sa_type=Text)
    request: str = Field(sa_type=Text)
    failure_code: str | None = Field(default=None, sa_type=Text)
    refunded_amount: int = Field(sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class OrderRow(_Row, table=True):
    """An order: exactly one per completed session."""

    __tablename__ = "order"
    __table_args__ = (
        UniqueConstraint("session_id", name="uq_order_session_id"),
        UniqueConstraint("number", name="uq_order_number"),
        Index("ix_order_created_at_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    session_id: str = Field(sa_type=Text)
    agent_id: str = Field(sa_type=Text)
    number: str = Field(sa_type=Text)
    status: str = Field(sa_type=Text)
    data: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class OrderNumberRow(_Row, table=True):
    """One row per number handed out: the only source of counting numbers that both databases share without a lock."""

    __tablename__ = "order_number"
    __table_args__ = {"sqlite_autoincrement": True}

    value: int | None = Field(
        default=None, primary_key=True, sa_type=BigInteger().with_variant(Integer(), "sqlite")
    )
    order_id: str = Field(sa_type=Text)


class OutboxRow(_Row, table=True):
    """A webhook event to deliver; ``sequence`` counts the events of one order from 1."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("order_id", "sequence", name="uq_outbox_order_id_sequence"),
        _partial("ix_outbox_due", "next_attempt_at", where="state = 'pending'"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    order_id: str = Field(sa_type=Text)
    sequence: int = Field(sa_type=BigInteger)
    agent_id: str = Field(sa_type=Text)
    type: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    state: str = Field(sa_type=Text)
    attempts: int = Field(sa_type=Integer)
    next_attempt_at: int = Field(sa_type=BigInteger)
    lease_until: int = Field(sa_type=BigInteger)
    last_error: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    delivered_at: int | None = Field(default=None, sa_type=BigInteger)


class RefundRow(_Row, table=True):
    """Money given back, recorded before the provider is called; ``data`` is what finishing needs."""

    __tablename__ = "refund"
    __table_args__ = (
        Index("ix_refund_order_id", "order_id"),
        _partial("ix_refund_lease_until", "lease_until", where="lease_until IS NOT NULL"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    payment_id: str = Field(sa_type=Text)
    order_id: str = Field(sa_type=Text)
    amount: int = Field(sa_type=BigInteger)
    status: str = Field(sa_type=Text)
    provider_refund_id: str | None = Field(default=None, sa_type=Text)
    failure_code: str | None = Field(default=None, sa_type=Text)
    lease_until: int | None = Field(default=None, sa_type=BigInteger)
    data: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class DiscountUseRow(_Row, table=True):
    """One use of a discount code, by the session that used it up."""

    __tablename__ = "discount_use"

    code: str = Field(primary_key=True, sa_type=Text)
    session_id: str = Field(primary_key=True, sa_type=Text)


class MetaRow(_Row, table=True):
    """Facts about the database itself, such as the hash of the catalog that was imported last."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True, sa_type=Text)
    value: str = Field(sa_type=Text)


METADATA = _Row.metadata
CHECKOUT_SESSION = CheckoutSessionRow.__table__
IDEMPOTENCY = IdempotencyRow.__table__
ITEM = ItemRow.__table__
PAYMENT = PaymentRow.__table__
ORDER = OrderRow.__table__
ORDER_NUMBER = OrderNumberRow.__table__
OUTBOX = OutboxRow.__table__
REFUND = RefundRow.__table__
DISCOUNT_USE = DiscountUseRow.__table__
META = MetaRow.__table__
