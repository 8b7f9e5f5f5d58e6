"""From a session that is ready to an order: what is charged, and what becomes of the session afterwards.

The charge is planned from the very assessment that the frozen view shows; what the agent saw last is what is
charged, or nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acpref_merchant.domain import messages, presentation
from acpref_merchant.domain.assessment import NONE_REDEEMED, Assessment, assess
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.negotiation import CREDENTIAL_TYPE, INSTRUMENT_TYPE
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol.errors import ProtocolError, invalid_request, missing, session_closed
from acpref_protocol.lifecycle import OPEN, Event, Status, advance
from acpref_protocol.models import (
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    MessageError,
    Order,
    PaymentData,
)
from acpref_protocol.money import MAX_AMOUNT

_CARD_NUMBER = re.compile(r"(?:[0-9][ -]?){12,19}")
_AUTHENTICATION_CODES = frozenset({"authentication_required", "requires_3ds"})


@dataclass(frozen=True, slots=True)
class Free:
    """The session costs nothing: it can be completed without a charge.

    ``session`` is ``complete_in_progress`` and holds ``view``, what was agreed on, frozen. ``redeemed`` are the ids of
    the discounts that count as used once there is an order.
    """

    session: Session
    view: CheckoutSession
    handler_id: str
    redeemed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Charge:
    """Charge ``amount`` (minor units of ``currency``, above zero) to ``token``; the rest is as in ``Free``."""

    session: Session
    view: CheckoutSession
    handler_id: str
    redeemed: tuple[str, ...]
    amount: int
    currency: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Repriced:
    """The total is no longer what the agent saw. Nothing is charged; show ``view``, which says so.

    ``session`` takes over what the request said about the buyer and remembers the new total as shown.
    """

    session: Session
    view: CheckoutSession


@dataclass(frozen=True, slots=True)
class NotReady:
    """The session cannot be paid for yet; answer ``error`` (CHK-CMP-05). Nothing has changed."""

    error: ProtocolError


def plan_completion(
    session: Session,
    request: CheckoutSessionCompleteRequest,
    *,
    shop: Shop,
    items: Mapping[str, Item],
    now: int,
    redeemed: Mapping[str, int] = NONE_REDEEMED,
) -> Charge | Free | Repriced | NotReady:
    """Decide what completing ``session`` at ``now`` means.

    Raises 405 for a session that is closed or being completed (CHK-CMP-07), and 400 for payment data that this shop
    does not take (PAY-12 to PAY-14). Where the total differs from the one shown last, nothing is charged.
    """
    if session.status not in OPEN or now >= session.expires_at:
        raise session_closed()
    token = _accepted_token(request.payment_data, shop)
    ready = session.model_copy(update=_said(session, request, now))
    found = assess(ready, shop, items, now, redeemed)
    if found.status is not Status.READY_FOR_PAYMENT:
        return NotReady(_not_ready(found))
    total = found.price.total
    if total > MAX_AMOUNT:
        too_much = "This costs more than can be charged at once."
        return NotReady(invalid_request(too_much, code="not_ready_for_payment"))
    if session.shown_total != total:
        told = presentation.view(ready, shop, found, now)
        return Repriced(ready.model_copy(update={"shown_total": total}), told)
    begun = ready.model_copy(
        update={"status": advance(found.status, Event.COMPLETION_STARTED), "payment_message": None}
    )
    agreed = presentation.view(begun, shop, Assessment(found.goods, found.price, (), begun.status), now)
    begun = begun.model_copy(update={"frozen_view": presentation.freeze(agreed)})
    used = tuple(applied.discount.id for applied in found.price.applied)
    handler = shop.card_handler.id
    if total == 0:
        return Free(begun, agreed, handler, used)
    return Charge(begun, agreed, handler, used, total, shop.currency, token)


def declined(session: Session, decline_code: str, now: int) -> Session:
    """The session after a refused payment: payable again, with words that tell no secrets (CHK-CMP-06).

    ``decline_code`` is the provider's; whether the issuer wants authentication is all that the agent learns of it.
    """
    said = messages.payment_declined()
    if decline_code in _AUTHENTICATION_CODES:
        said = messages.authentication_needed()
    return session.model_copy(
        update={
            "status": advance(session.status, Event.PAYMENT_DECLINED),
            "payment_message": said,
            "frozen_view": None,
            "updated_at": now,
        }
    )


def completed(session: Session, order: Order, shop: Shop, items: Mapping[str, Item], now: int) -> Session:
    """The session with its ``order``, closed and as agreed on (CHK-CMP-01).

    A session without a frozen view, such as one restored by hand, is frozen as it stands now.
    """
    status = advance(session.status, Event.COMPLETED)
    done = session.model_copy(update={"status": status, "order": order, "updated_at": now})
    if done.frozen_view is None:
        told = presentation.view(done, shop, assess(done, shop, items, now), now)
        done = done.model_copy(update={"frozen_view": presentation.freeze(told)})
    return done


def _accepted_token(data: PaymentData, shop: Shop) -> str:
    """The token that pays. Raises 400 for whatever this shop's handler does not take."""
    for name, value in (
        ("purchase_order_number", data.purchase_order_number),
        ("payment_terms", None if data.payment_terms == "immediate" else data.payment_terms),
        ("due_date", data.due_date),
        ("approval_required", data.approval_required or None),
    ):
        if value is not None:
            raise _unsupported("This shop does not sell on account.", name)
    if data.handler_id is None or data.instrument is None:
        raise missing("$.payment_data.handler_id" if data.handler_id is None else "$.payment_data.instrument")
    if data.handler_id != shop.card_handler.id:
        raise invalid_request(
            "This session declares no payment handler with this id.", param="$.payment_data.handler_id"
        )
    if data.instrument.type != INSTRUMENT_TYPE:
        raise _unsupported("The payment handler does not take this kind of instrument.", "instrument.type")
    credential = data.instrument.credential
    if credential.type != CREDENTIAL_TYPE:
        raise _unsupported(
            "The payment handler does not take this kind of credential.", "instrument.credential.type"
        )
    if not credential.token:
        raise missing("$.payment_data.instrument.credential.token")
    if _CARD_NUMBER.fullmatch(credential.token):
        # Refused before it is written down: a card number in clear must not even get near the database (HTTP-14).
        raise invalid_request(
            "This looks like a card number; send the token that the payment provider gave for it.",
            param="$.payment_data.instrument.credential.token",
        )
    return credential.token


def _unsupported(message: str, member: str) -> ProtocolError:
    return invalid_request(message, code="unsupported", param=f"$.payment_data.{member}")


def _said(session: Session, request: CheckoutSessionCompleteRequest, now: int) -> dict[str, Any]:
    """What the request adds to the session besides the payment (CHK-CMP-03)."""
    said: dict[str, Any] = {"updated_at": now}
    if request.buyer is not None:
        said["buyer"] = request.buyer
    if request.order_notes is not None:
        said["order_notes"] = request.order_notes
    if request.affiliate_attribution is not None and request.affiliate_attribution not in session.attribution:
        said["attribution"] = (*session.attribution, request.affiliate_attribution)
    if request.marketing_consents is not None:
        said["marketing_consents"] = tuple(request.marketing_consents)
    return said


def _not_ready(found: Assessment) -> ProtocolError:
    """The first thing that stands in the way, with how many more there are."""
    first, *others = [message for message in found.messages if isinstance(message, MessageError)]
    more = f" ({len(others)} more in the session's messages)" if others else ""
    # The obstacle lies in the session, not in this request, so there is no param to name (ERR-04).
    return invalid_request(f"{first.content}{more}", code="not_ready_for_payment")
