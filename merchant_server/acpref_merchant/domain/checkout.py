"""The life of a checkout session, as decisions without I/O: open, update, show, cancel, expire; then complete.

``now`` is milliseconds since 1970-01-01 UTC. ``items`` are the catalog's items by id, as just read: the caller loads
those that ``item_ids`` names. A decision that is refused raises ``ProtocolError`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from acpref_merchant.domain import changes, presentation
from acpref_merchant.domain.assessment import NONE_REDEEMED, assess, goods_of
from acpref_merchant.domain.completion import (
    Charge,
    Free,
    NotReady,
    Repriced,
    completed,
    declined,
    plan_completion,
)
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.presentation import amount_of, bring_up, freeze, total_of
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Shop
from acpref_protocol.errors import invalid_request, not_cancelable, session_closed
from acpref_protocol.lifecycle import OPEN, Event, IllegalTransition, Status, advance
from acpref_protocol.models import (
    CheckoutSession,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
)

CLEARABLE = frozenset(CheckoutSessionUpdateRequest.model_fields)
"""Members of an update that ``null`` clears (CHK-UPD-05)."""


def open_session(
    request: CheckoutSessionCreateRequest,
    *,
    session_id: str,
    line_ids: Callable[[], str],
    agent_id: str,
    shop: Shop,
    items: Mapping[str, Item],
    now: int,
) -> Session:
    """A new session (CHK-CRE-01 to CHK-CRE-08). An item that is sold out is no error: the session will say so.

    Raises 400 ``unsupported`` for another currency than the shop's (CHK-STA-10), 400 ``invalid_item_id`` for an
    unknown item, and 400 beyond the shop's limits or for groups that do not fit (FUL-12).
    """
    if request.currency.lower() != shop.currency:
        raise invalid_request(
            f"This shop sells in {shop.currency} only.", code="unsupported", param="$.currency"
        )
    session = Session(
        id=session_id,
        agent_id=agent_id,
        status=Status.INCOMPLETE,
        currency=shop.currency,
        lines=changes.merge_lines(request.line_items, (), shop=shop, items=items, line_ids=line_ids),
        buyer=request.buyer,
        fulfillment_details=request.fulfillment_details,
        discount_codes=changes.submitted_codes(shop, request.discounts, request.coupons) or (),
        # What an agent says about payment means nothing (CAP-07); it is not kept.
        declared_capabilities=request.capabilities.model_copy(update={"payment": None}),
        locale=request.locale,
        timezone=request.timezone,
        quote_id=request.quote_id,
        metadata=request.metadata,
        order_notes=request.order_notes,
        attribution=() if request.affiliate_attribution is None else (request.affiliate_attribution,),
        created_at=now,
        updated_at=now,
        expires_at=now + shop.session_ttl_seconds * 1000,
    )
    if request.fulfillment_groups:
        groups = changes.check_groups(request.fulfillment_groups, goods_of(session, items))
        session = session.model_copy(update={"fulfillment_groups": groups})
    return session


def update_session(
    session: Session,
    request: CheckoutSessionUpdateRequest,
    cleared: frozenset[str],
    *,
    line_ids: Callable[[], str],
    shop: Shop,
    items: Mapping[str, Item],
    now: int,
) -> Session:
    """``session`` as ``request`` changes it (CHK-UPD-03 to CHK-UPD-06).

    ``cleared`` names the members that the body gave as ``null``; absent members stay as they are, and a body with
    neither changes nothing. ``items`` holds those of the session and of the request. Raises 405 for a closed session,
    and 400 with a path for whatever does not fit, in the order of lines, groups, codes, choices.
    """
    require_open(session, now)
    for name in sorted(cleared - CLEARABLE):
        raise invalid_request("This member cannot be cleared.", param=f"$.{name}")
    if not cleared and not request.model_fields_set:
        return session
    update: dict[str, Any] = {"updated_at": now, "shown_total": None, "payment_message": None}
    for name in ("buyer", "fulfillment_details", "order_notes"):
        if name in cleared:
            update[name] = None
        elif (value := getattr(request, name)) is not None:
            update[name] = value

    if "line_items" in cleared:
        update["lines"] = ()
    elif request.line_items is not None:
        update["lines"] = changes.merge_lines(
            request.line_items, session.lines, shop=shop, items=items, line_ids=line_ids
        )
    groups = () if "fulfillment_groups" in cleared else session.fulfillment_groups
    update["fulfillment_groups"] = changes.prune_groups(groups, update.get("lines", session.lines))
    codes = changes.submitted_codes(shop, request.discounts, request.coupons)
    if codes is None and cleared & {"discounts", "coupons"}:
        codes = ()
    if codes is not None:
        update["discount_codes"] = codes
    changed = session.model_copy(update=update)
    if request.fulfillment_groups is not None:
        ungrouped = changed.model_copy(update={"fulfillment_groups": ()})
        checked = changes.check_groups(request.fulfillment_groups, goods_of(ungrouped, items))
        changed = changed.model_copy(update={"fulfillment_groups": checked})
    if request.selected_fulfillment_options is not None:
        wanted = request.selected_fulfillment_options
        selections = changes.check_selections(wanted, goods_of(changed, items), shop)
    elif "selected_fulfillment_options" in cleared:
        selections = ()
    else:
        selections = changes.keep_fitting(changed, shop, items)
    return changed.model_copy(update={"selections": selections})


def present(
    session: Session,
    shop: Shop,
    items: Mapping[str, Item],
    now: int,
    *,
    redeemed: Mapping[str, int] = NONE_REDEEMED,
) -> CheckoutSession:
    """The session in full, as an agent is shown it at ``now`` (CHK-STA-01).

    An open session is priced anew; from the moment that payment began, what was agreed on is shown, with the
    order as it stands. ``redeemed`` is the number of orders that used a discount, by the discount's id.
    """
    if session.frozen_view is not None:
        return presentation.thaw(session, session.frozen_view)
    return presentation.view(session, shop, assess(session, shop, items, now, redeemed), now)


def cancel_session(session: Session, now: int) -> Session:
    """The session, canceled (CHK-CAN-01).

    Raises 405 ``session_not_cancelable`` once it is completed, canceled or expired, and while it is being completed
    (CHK-CAN-02).
    """
    if is_expired(session, now):
        raise not_cancelable()
    try:
        status = advance(session.status, Event.CANCELED)
    except IllegalTransition:
        raise not_cancelable() from None
    return session.model_copy(update={"status": status, "updated_at": now, "payment_message": None})


def expire(session: Session, now: int) -> Session:
    """The session, expired for good if its time is over; otherwise the session itself (CHK-STA-08)."""
    if not is_expired(session, now) or session.status is Status.EXPIRED:
        return session
    status = advance(session.status, Event.EXPIRED)
    return session.model_copy(update={"status": status, "updated_at": now})


def is_expired(session: Session, now: int) -> bool:
    """Whether the session has ended by the passing of time. One that is being completed does not (CHK-STA-08)."""
    return session.status is Status.EXPIRED or (session.status in OPEN and now >= session.expires_at)


def require_open(session: Session, now: int) -> None:
    """Raises 405 ``session_closed`` unless the session can be changed at ``now`` (CHK-UPD-06, CHK-CMP-07)."""
    if session.status not in OPEN or now >= session.expires_at:
        raise session_closed()


def item_ids(source: CheckoutSessionCreateRequest | CheckoutSessionUpdateRequest | Session) -> list[str]:
    """The distinct ids of the items that a request or a session names, in order."""
    if isinstance(source, Session):
        return [line.item_id for line in source.lines]
    return list(dict.fromkeys(entry.id for entry in source.line_items or ()))


def stock_needed(session: Session) -> dict[str, int]:
    """How many units of each item the session would sell, by item id."""
    return {line.item_id: line.quantity for line in session.lines}


__all__ = [
    "CLEARABLE",
    "Charge",
    "Free",
    "NotReady",
    "Repriced",
    "amount_of",
    "bring_up",
    "cancel_session",
    "completed",
    "declined",
    "expire",
    "freeze",
    "is_expired",
    "item_ids",
    "open_session",
    "plan_completion",
    "present",
    "require_open",
    "stock_needed",
    "total_of",
    "update_session",
]
