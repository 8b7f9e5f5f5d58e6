"""Delegate payment: a card becomes a token that pays once, within its allowance (DP-REQ, DP-RES, DP-TOK).

Shape is checked by the protocol's model (400); what is well-formed but unacceptable is refused here (422, DP-ERR-01).
"""

from __future__ import annotations

import json

from sqlalchemy import bindparam, insert, null, select, update

from acpref_protocol import card_numbers
from acpref_protocol.errors import ProtocolError, invalid_request
from acpref_protocol.models import DelegatePaymentRequest, PaymentMethodCard
from acpref_psp import cards
from acpref_psp.clock import NewId, parse_rfc3339, rfc3339
from acpref_psp.idempotency import Reply
from acpref_psp.keys import KeyRing
from acpref_psp.store import Statement, Transaction, columns
from acpref_psp.tables import VaultToken

MAX_AMOUNT = 2**53 - 1
_ERASE_AT_MOST = 500

_token = columns(VaultToken)
_INSERT = Statement(insert(_token))
_ERASE_EXPIRED = Statement(
    update(_token)
    .values(sealed_number=null())
    .where(
        _token.c.id.in_(
            select(_token.c.id)
            .where(_token.c.expires_at <= bindparam("now"), _token.c.sealed_number.is_not(None))
            .limit(_ERASE_AT_MOST)
            .scalar_subquery()
        )
    )
)


def delegate(
    transaction: Transaction,
    request: DelegatePaymentRequest,
    *,
    agent: str,
    idempotency_key: str,
    keys: KeyRing,
    new_id: NewId,
    now: int,
) -> Reply:
    """Vault the card and answer 201 with the token (DP-RES-01, DP-RES-02).

    Raises 422 ``invalid_card`` with the member's path for what cannot be accepted. The security code is checked and
    then forgotten; cardholder name, cryptogram and billing address are not kept either, since nothing here needs them.
    """
    card, allowance = request.payment_method, request.allowance
    brand = _check_card(card, now)
    expires_at = _check_allowance(request, now)
    _check_country(request)
    token = new_id("vt")
    key_id, sealed = keys.seal(card.number, token)
    transaction.change(_ERASE_EXPIRED, now=now)
    transaction.change(
        _INSERT,
        id=token,
        agent_id=agent,
        merchant_id=allowance.merchant_id,
        checkout_session_id=allowance.checkout_session_id,
        currency=allowance.currency,
        max_amount=allowance.max_amount,
        expires_at=expires_at,
        brand=brand,
        last4=card.number[-4:],
        fingerprint=keys.fingerprint(card.number),
        funding=card.display_card_funding_type,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        key_id=key_id,
        sealed_number=sealed,
        risk_signals=json.dumps([signal.model_dump(exclude_none=True) for signal in request.risk_signals]),
        failed_once=0,
        charge_id=None,
        created_at=now,
    )
    metadata = {**request.metadata, "merchant_id": allowance.merchant_id, "idempotency_key": idempotency_key}
    return Reply.of(201, {"id": token, "created": rfc3339(now), "metadata": metadata})


def refuse_exposed_card(body: object, idempotency_key: str) -> None:
    """Raise 422 when a card number or security code stands anywhere but in its own member (HTTP-14, DP-SEC-01).

    Other members (metadata above all) are stored, logged and echoed by somebody in clear. This card's number is found
    however it is spaced, and so is anything else that can be a card number. ``body`` is parsed JSON of any shape.
    """
    card = body.get("payment_method") if isinstance(body, dict) else None
    number = card.get("number") if isinstance(card, dict) else None
    known = number if isinstance(number, str) and cards.number_problem(number) is None else None

    def exposes(text: str) -> bool:
        return card_numbers.holds_number(text) or (known is not None and card_numbers.mentions(text, known))

    if exposes(idempotency_key):
        raise _refusal("The Idempotency-Key holds a card number.", "Idempotency-Key")
    waiting: list[tuple[str, object]] = [("$", body)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str | int):
            if path != "$.payment_method.number" and exposes(str(value)):
                raise _refusal("A card number belongs into payment_method.number only.", path)
        elif isinstance(value, dict):
            for name, member in value.items():
                if exposes(name):
                    raise _refusal("A member's name holds a card number.", path)
                # Names that the protocol does not define end the path: they are the sender's words.
                here = f"{path}.{name}" if name.isidentifier() and len(name) <= 64 else path
                if here != "$.payment_method.cvc" and card_numbers.is_code(name, member):
                    raise _refusal("A security code belongs into payment_method.cvc only.", here)
                waiting.append((here, member))
        elif isinstance(value, list):
            waiting.extend((f"{path}[{index}]", member) for index, member in enumerate(value))


def _check_card(card: PaymentMethodCard, now: int) -> str:
    """The card's brand; raises for a number, code or date that no card has (DP-REQ-06)."""
    where = "$.payment_method."
    if problem := cards.number_problem(card.number):
        raise _refusal(problem, where + "number")
    brand = card_numbers.brand_of(card.number)
    if card.cvc is not None and (problem := cards.cvc_problem(card.cvc, brand)):
        raise _refusal(problem, where + "cvc")
    if card.exp_month is not None and (problem := cards.month_problem(card.exp_month)):
        raise _refusal(problem, where + "exp_month")
    if card.exp_year is not None and (problem := cards.year_problem(card.exp_year)):
        raise _refusal(problem, where + "exp_year")
    if (card.exp_month is None) != (card.exp_year is None):
        absent = "exp_month" if card.exp_month is None else "exp_year"
        raise _refusal("Expiry month and year come together.", where + absent)
    if (
        card.exp_month is not None
        and card.exp_year is not None
        and cards.expired(card.exp_month, card.exp_year, now)
    ):
        raise _refusal("The card has expired.", where + "exp_year")
    if card.eci_value is not None and not (card.eci_value.isascii() and card.eci_value.isdigit()):
        raise _refusal("The ECI value has one or two digits.", where + "eci_value")
    if card.iin is not None and not (card.iin.isascii() and card.iin.isdigit()):
        raise _refusal("The issuer identification number has digits only.", where + "iin")
    return brand


def _check_allowance(request: DelegatePaymentRequest, now: int) -> int:
    """When the allowance ends (ms); raises for one that could never pay (DP-REQ-10)."""
    allowance = request.allowance
    if not 1 <= allowance.max_amount <= MAX_AMOUNT:
        raise _refusal(f"The amount is 1 to {MAX_AMOUNT} minor units.", "$.allowance.max_amount")
    try:
        expires_at = parse_rfc3339(allowance.expires_at)
    except ValueError:
        raise _refusal("This date and time does not exist.", "$.allowance.expires_at") from None
    if expires_at <= now:
        raise _refusal("The allowance has already expired.", "$.allowance.expires_at")
    return expires_at


def _check_country(request: DelegatePaymentRequest) -> None:
    """DP-REQ-11: the country is two letters; the published schema only counts them."""
    address = request.billing_address
    if address is not None and not (address.country.isascii() and address.country.isalpha()):
        raise _refusal("The country is two letters.", "$.billing_address.country")


def _refusal(message: str, param: str) -> ProtocolError:
    return invalid_request(message, code="invalid_card", param=param, status=422)
