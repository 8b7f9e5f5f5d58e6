"""What a merchant does with a token: charge, capture, void, refund, look up. Each function is one transaction.

Every change of money is one conditional UPDATE whose condition is the rule, so that no interleaving can break it.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, bindparam, insert, null, or_, select, update

from acpref_protocol.errors import ProtocolError, invalid_request, not_found, processing_error
from acpref_psp import cards
from acpref_psp.allowance import Attempt, Grant, violation
from acpref_psp.cards import Verdict
from acpref_psp.clock import NewId, rfc3339
from acpref_psp.delegation import MAX_AMOUNT
from acpref_psp.idempotency import Reply
from acpref_psp.keys import KeyRing
from acpref_psp.store import Statement, Transaction, columns
from acpref_psp.tables import Charge, Refund, VaultToken

STATUSES = ("declined", "authorized", "captured", "voided")
"""What can become of a charge."""


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ChargeBody(_Body):
    """A charge against a token; ``amount`` in minor units of ``currency``. ``capture`` also takes the money."""

    token: str = Field(min_length=1, max_length=255)
    amount: int = Field(ge=1, le=MAX_AMOUNT)
    currency: str = Field(pattern=r"^[a-z]{3}$")
    checkout_session_id: str
    capture: bool = False


class CaptureBody(_Body):
    """How much of the authorised money to take; all that is left when absent."""

    amount: int | None = Field(default=None, ge=1, le=MAX_AMOUNT)
    currency: str | None = Field(default=None, pattern=r"^[a-z]{3}$")


class VoidBody(_Body):
    """Nothing to say."""


class RefundBody(_Body):
    """How much of the captured money to give back; all that is left when absent."""

    amount: int | None = Field(default=None, ge=1, le=MAX_AMOUNT)
    currency: str | None = Field(default=None, pattern=r"^[a-z]{3}$")


_token, _charge, _refund = columns(VaultToken), columns(Charge), columns(Refund)

_FIND_TOKEN = Statement(select(_token).where(_token.c.id == bindparam("id")))
# The token pays once, whoever comes first (DP-TOK-03); its card number is not needed any more.
_USE_TOKEN = Statement(
    update(_token)
    .values(charge_id=bindparam("charge"), sealed_number=null())
    .where(
        _token.c.id == bindparam("token"),
        _token.c.charge_id.is_(None),
        _token.c.expires_at > bindparam("now"),
    )
)
_REMEMBER_FAILURE = Statement(
    update(_token)
    .values(failed_once=True)
    .where(_token.c.id == bindparam("token"), _token.c.failed_once.is_(False))
)
_INSERT_CHARGE = Statement(
    insert(_charge).values({name: bindparam(name) for name in _charge.columns.keys() if name != "sequence"})  # noqa: SIM118
)
_FIND_CHARGE = Statement(
    select(_charge).where(_charge.c.id == bindparam("id"), _charge.c.merchant_id == bindparam("merchant"))
)
_CAPTURE = Statement(
    update(_charge)
    .values(status="captured", amount_captured=_charge.c.amount_captured + bindparam("taken"))
    .where(
        _charge.c.id == bindparam("charge"),
        or_(_charge.c.status == "authorized", _charge.c.status == "captured"),
        _charge.c.amount_captured + bindparam("taken") <= _charge.c.amount,
    )
)
_VOID = Statement(
    update(_charge)
    .values(status="voided")
    .where(
        _charge.c.id == bindparam("charge"), _charge.c.status == "authorized", _charge.c.amount_captured == 0
    )
)
_GIVE_BACK = Statement(
    update(_charge)
    .values(amount_refunded=_charge.c.amount_refunded + bindparam("given"))
    .where(
        _charge.c.id == bindparam("charge"),
        _charge.c.status == "captured",
        _charge.c.amount_refunded + bindparam("given") <= _charge.c.amount_captured,
    )
)
_INSERT_REFUND = Statement(insert(_refund))


def _optional(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return or_(bindparam(name).is_(None), column == bindparam(name))


_LIST = Statement(
    select(_charge)
    .where(
        _charge.c.merchant_id == bindparam("merchant"),
        _charge.c.sequence > bindparam("after"),
        _optional(_charge.c.checkout_session_id, "session"),
        _optional(_charge.c.status, "status"),
    )
    .order_by(_charge.c.sequence)
    .limit(bindparam("limit"))
)


def create(
    transaction: Transaction,
    body: ChargeBody,
    *,
    merchant: str,
    request_id: str,
    keys: KeyRing,
    new_id: NewId,
    now: int,
) -> Reply:
    """Authorise (and with ``capture`` take) the money: 201 with the charge, or 402 with why the issuer declined.

    Raises 403 of type ``allowance_violation`` when the token does not permit this charge at all. A decline is recorded
    as a charge and leaves the token unused. A token that this very request (``request_id``: who, where and which key)
    has used answers with its charge for good: a merchant that comes back after the key's record has expired must not
    take its own success for somebody else's.
    """
    token = transaction.one(_FIND_TOKEN, id=body.token)
    if token is None:
        raise _violation("token_unknown", "There is no such token.")
    grant = Grant(
        merchant_id=token["merchant_id"],
        checkout_session_id=token["checkout_session_id"],
        currency=token["currency"],
        max_amount=token["max_amount"],
        expires_at=token["expires_at"],
        used=token["charge_id"] is not None,
    )
    broken = violation(grant, Attempt(merchant, body.checkout_session_id, body.currency, body.amount), now)
    if broken is not None:
        if broken[0] == "token_used" and (
            made := _made_before(transaction, body, merchant, request_id, token)
        ):
            return Reply.of(201, _shown(made))
        raise _violation(*broken)
    outcome = cards.outcome_of(keys.open(token["key_id"], token["sealed_number"], body.token))
    if token["exp_month"] and cards.expired(token["exp_month"], token["exp_year"], now):
        outcome = cards.Outcome(Verdict.DECLINED, "expired_card")
    if outcome.verdict is Verdict.FAILS_ONCE and transaction.change(_REMEMBER_FAILURE, token=body.token):
        # Returned, not raised: the memory of the failure must stay, while 5xx answers are never recorded.
        return Reply.of(500, processing_error().body())
    declined = outcome.verdict in {Verdict.DECLINED, Verdict.REQUIRES_3DS}
    charge: dict[str, Any] = {
        "id": new_id("ch"),
        "merchant_id": merchant,
        "request_id": request_id,
        "token_id": body.token,
        "checkout_session_id": body.checkout_session_id,
        "amount": body.amount,
        "currency": body.currency,
        "status": "declined" if declined else "captured" if body.capture else "authorized",
        "decline_code": outcome.code if declined else None,
        "amount_captured": body.amount if body.capture and not declined else 0,
        "amount_refunded": 0,
        "brand": token["brand"],
        "last4": token["last4"],
        "created_at": now,
    }
    if not declined and not transaction.change(_USE_TOKEN, charge=charge["id"], token=body.token, now=now):
        raise _violation("token_used", "The token has paid already.")
    transaction.change(_INSERT_CHARGE, **charge)
    if declined:
        return Reply.of(
            402,
            {
                "type": "card_declined",
                "code": outcome.code,
                "message": "The issuer declined the charge.",
                "charge_id": charge["id"],
            },
        )
    return Reply.of(201, _shown(charge), slow=outcome.verdict is Verdict.SLOW)


def capture(transaction: Transaction, body: CaptureBody, *, charge_id: str, merchant: str) -> Reply:
    """Take authorised money, in one or several parts, never more than was authorised."""
    charge = _find(transaction, charge_id, merchant)
    _same_currency(body.currency, charge)
    amount = body.amount if body.amount is not None else charge["amount"] - charge["amount_captured"]
    if amount < 1 or not transaction.change(_CAPTURE, charge=charge_id, taken=amount):
        if charge["status"] not in {"authorized", "captured"}:
            raise _impossible(
                "charge_not_capturable", f"A charge that is {charge['status']} cannot be captured."
            )
        raise _impossible("amount_too_large", "That is more than the authorisation has left.")
    return Reply.of(200, _shown(dict(_find(transaction, charge_id, merchant))))


def void(transaction: Transaction, *, charge_id: str, merchant: str) -> Reply:
    """Release an authorisation of which nothing was captured. The token stays used."""
    charge = _find(transaction, charge_id, merchant)
    if not transaction.change(_VOID, charge=charge_id):
        raise _impossible("charge_not_voidable", f"A charge that is {charge['status']} cannot be voided.")
    return Reply.of(200, _shown(dict(_find(transaction, charge_id, merchant))))


def refund(
    transaction: Transaction, body: RefundBody, *, charge_id: str, merchant: str, new_id: NewId, now: int
) -> Reply:
    """Give captured money back, in one or several parts, never more than was captured: 201 with the refund."""
    charge = _find(transaction, charge_id, merchant)
    _same_currency(body.currency, charge)
    amount = body.amount if body.amount is not None else charge["amount_captured"] - charge["amount_refunded"]
    if amount < 1 or not transaction.change(_GIVE_BACK, charge=charge_id, given=amount):
        if charge["status"] != "captured":
            raise _impossible(
                "charge_not_refundable", f"A charge that is {charge['status']} cannot be refunded."
            )
        raise _impossible("amount_too_large", "That is more than was captured and not yet refunded.")
    refund_id = new_id("re")
    transaction.change(_INSERT_REFUND, id=refund_id, charge_id=charge_id, amount=amount, created_at=now)
    return Reply.of(
        201,
        {
            "id": refund_id,
            "charge_id": charge_id,
            "amount": amount,
            "currency": charge["currency"],
            "created": rfc3339(now),
        },
    )


def show(transaction: Transaction, *, charge_id: str, merchant: str) -> Reply:
    """One charge. Raises 404 for another merchant's."""
    return Reply.of(200, _shown(dict(_find(transaction, charge_id, merchant))))


def listing(
    transaction: Transaction,
    *,
    merchant: str,
    session: str | None,
    status: str | None,
    after: int,
    limit: int,
) -> Reply:
    """The merchant's charges, oldest first: ``data`` and ``next`` (pass it as ``after``)."""
    rows = transaction.all(
        _LIST, merchant=merchant, after=after, session=session, status=status, limit=limit + 1
    )
    page = rows[:limit]
    return Reply.of(
        200,
        {
            "data": [_shown(dict(row)) for row in page],
            "next": page[-1]["sequence"] if len(rows) > limit else None,
        },
    )


def _find(transaction: Transaction, charge_id: str, merchant: str) -> sqlite3.Row:
    row = transaction.one(_FIND_CHARGE, id=charge_id, merchant=merchant)
    if row is None:
        raise not_found("charge")
    return row


def _made_before(
    transaction: Transaction, body: ChargeBody, merchant: str, request_id: str, token: sqlite3.Row
) -> dict[str, Any] | None:
    """The charge that used ``token``, if the same request made it."""
    row = transaction.one(_FIND_CHARGE, id=token["charge_id"], merchant=merchant)
    if row is None or row["request_id"] != request_id:
        return None
    same = (row["amount"], row["currency"]) == (body.amount, body.currency)
    return dict(row) if same and row["checkout_session_id"] == body.checkout_session_id else None


def _shown(charge: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "id": charge["id"],
        "status": charge["status"],
        "amount": charge["amount"],
        "currency": charge["currency"],
        "amount_captured": charge["amount_captured"],
        "amount_refunded": charge["amount_refunded"],
        "token": charge["token_id"],
        "merchant_id": charge["merchant_id"],
        "checkout_session_id": charge["checkout_session_id"],
        "card": {"brand": charge["brand"], "last4": charge["last4"]},
        "created": rfc3339(charge["created_at"]),
    }
    if charge["decline_code"] is not None:
        shown["decline_code"] = charge["decline_code"]
    return shown


def _same_currency(currency: str | None, charge: sqlite3.Row) -> None:
    if currency is not None and currency != charge["currency"]:
        raise _impossible("wrong_currency", "The charge was made in another currency.")


def _violation(code: str, message: str) -> ProtocolError:
    return ProtocolError(403, "allowance_violation", code, message)


def _impossible(code: str, message: str) -> ProtocolError:
    return invalid_request(message, code=code, status=422)
