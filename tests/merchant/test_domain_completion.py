"""From a ready session to an order: what is charged, and when nothing is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.merchant.domain_world import NOW, World, choice, ready, said, shop

from acpref_merchant.domain import checkout
from acpref_merchant.domain.checkout import Charge, Free, NotReady, Repriced
from acpref_merchant.domain.session import Session
from acpref_protocol.errors import ProtocolError
from acpref_protocol.lifecycle import Status
from acpref_protocol.models import CheckoutSession, Order

ORDER = Order(id="ord_1", checkout_session_id="cs_1", permalink_url="https://shop.example/orders/ord_1")


def charge(world: World) -> Charge:
    planned = world.complete()
    assert isinstance(planned, Charge)
    return planned


def payment(**instrument: Any) -> dict[str, Any]:
    good = {"type": "card", "credential": {"type": "spt", "token": "vt_1"}}
    return {"handler_id": "card_tokenized", "instrument": good | instrument}


def test_a_ready_session_is_charged_exactly_what_was_shown() -> None:
    """CHK-CMP-01, PAY-21."""
    planned = charge(ready(lines={"mug": 2}, discounts={"codes": ["SAVE10", "OLD"]}))
    assert (planned.amount, planned.currency, planned.token) == (2400 - 240 + 500, "usd", "vt_1")
    assert planned.handler_id == "card_tokenized"
    assert planned.redeemed == ("ten",)
    assert planned.session.status is Status.COMPLETE_IN_PROGRESS
    assert (planned.view.status, planned.view.messages) == ("complete_in_progress", [])
    assert checkout.total_of(planned.view) == planned.amount


def test_the_token_is_in_no_repr() -> None:
    assert "vt_1" not in repr(charge(ready()))


def test_what_was_agreed_on_stays_whatever_the_catalog_does() -> None:
    """CHK-CMP-01, CHK-CMP-08: while the payment runs and afterwards."""
    world = ready()
    planned = charge(world)
    world.session = planned.session
    world.items.clear()
    assert world.view() == planned.view
    world.session = checkout.completed(world.session, ORDER, world.shop, world.items, NOW + 5)
    view = world.view()
    assert (view.status, view.order) == ("completed", ORDER)
    assert (view.totals, view.line_items) == (planned.view.totals, planned.view.line_items)
    assert view.updated_at == "2026-01-01T00:00:00.005Z"
    assert Session.model_validate_json(world.session.model_dump_json(exclude_none=True)) == world.session


def test_the_order_inside_a_completed_session_is_its_newest_form() -> None:
    world = ready()
    world.session = checkout.completed(charge(world).session, ORDER, world.shop, world.items, NOW)
    shipped = ORDER.model_copy(update={"status": "shipped"})
    world.session = world.session.model_copy(update={"order": shipped})
    assert world.view().order == shipped


def test_a_completed_session_restored_without_its_view_is_frozen_as_it_stands() -> None:
    world = ready()
    bare = charge(world).session.model_copy(update={"frozen_view": None})
    done = checkout.completed(bare, ORDER, world.shop, world.items, NOW)
    frozen = CheckoutSession.model_validate_json(done.frozen_view or "")
    assert (frozen.status, frozen.order) == ("completed", ORDER)


def test_a_declined_payment_leaves_the_session_payable() -> None:
    """CHK-CMP-06: ready for payment, no order, generic words; a second attempt may succeed."""
    world = ready()
    world.session = checkout.declined(charge(world).session, "insufficient_funds", NOW + 1)
    view = world.view()
    assert (view.status, view.order) == ("ready_for_payment", None)
    (message,) = view.messages
    assert said(view) == [("payment_declined", None)]
    assert "fund" not in message.content
    again = charge(world)
    assert again.view.messages == []
    assert again.session.payment_message is None


def test_a_decline_is_forgotten_after_the_next_update() -> None:
    world = ready()
    world.session = checkout.declined(charge(world).session, "declined", NOW + 1)
    assert said(world.update(order_notes="Thanks").view()) == []


def test_an_issuer_that_wants_authentication_is_told_as_such() -> None:
    world = ready()
    world.session = checkout.declined(charge(world).session, "authentication_required", NOW + 1)
    assert said(world.view()) == [("requires_3ds", None)]


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(buyer={"email": "ada@example.com"}),
        ready(lines={"gone": 1}),
        ready(lines={"lamp": 4}),
    ],
    ids=["empty", "address", "stock", "quantity"],
)
def test_a_session_that_is_not_ready_is_not_charged(world: World) -> None:
    """CHK-CMP-05."""
    planned = world.show().complete()
    assert isinstance(planned, NotReady)
    assert (planned.error.status, planned.error.code) == (400, "not_ready_for_payment")


def test_more_than_can_be_counted_is_not_charged() -> None:
    world = ready()
    world.items["mug"] = world.items["mug"].model_copy(update={"unit_amount": 2**53})
    planned = world.show().complete()
    assert isinstance(planned, NotReady)
    assert "more than can be charged" in planned.error.message


def test_stock_that_ran_out_meanwhile_stops_the_completion() -> None:
    """CHK-CMP-05."""
    world = ready()
    world.items["mug"] = world.items["mug"].model_copy(update={"available": 0})
    assert isinstance(world.complete(), NotReady)


def test_a_changed_price_is_shown_and_not_charged() -> None:
    """PAY-21, ERR-12: the next attempt pays the new total that was shown."""
    world = ready()
    world.items["mug"] = world.items["mug"].model_copy(update={"unit_amount": 1300})
    planned = world.complete()
    assert isinstance(planned, Repriced)
    assert planned.view.status == "ready_for_payment"
    assert said(planned.view, "warning") == [("price_change", "$.totals[?@.type=='total']")]
    assert checkout.total_of(planned.view) == 1800
    world.session = planned.session
    assert charge(world).amount == 1800


def test_a_total_that_was_never_shown_is_not_charged() -> None:
    world = ready()
    world.session = world.session.model_copy(update={"shown_total": None})
    planned = world.complete()
    assert isinstance(planned, Repriced)
    assert planned.session.shown_total == 1700


def test_the_completion_may_bring_the_buyer_and_notes() -> None:
    """CHK-CMP-03, CHK-NOT-01."""
    world = ready()
    world.update(frozenset({"buyer"})).show()
    planned = world.complete(
        buyer={"email": "late@example.com"},
        order_notes="Ring",
        affiliate_attribution={"provider": "x", "token": "t"},
        marketing_consents=[{"channel": "email", "opted_in": False}],
        risk_signals={"ip_address": "203.0.113.7"},
    )
    assert isinstance(planned, Charge)
    assert planned.view.buyer is not None
    assert planned.view.buyer.email == "late@example.com"
    session = planned.session
    assert (session.order_notes, session.attribution[0].provider) == ("Ring", "x")
    assert session.marketing_consents[0].opted_in is False


def test_attribution_of_first_and_last_touch_is_kept() -> None:
    first = {"provider": "x", "token": "t", "touchpoint": "first"}
    last = {"provider": "y", "token": "u", "touchpoint": "last"}
    world = ready(affiliate_attribution=first)
    planned = world.complete(affiliate_attribution=last)
    assert [a.provider for a in planned.session.attribution] == ["x", "y"]
    assert [a.provider for a in world.complete(affiliate_attribution=first).session.attribution] == ["x"]


def test_a_session_that_costs_nothing_needs_no_charge() -> None:
    world = World(lines={"free": 1}, buyer={"email": "ada@example.com"}).show()
    planned = world.complete()
    assert isinstance(planned, Free)
    assert planned.session.status is Status.COMPLETE_IN_PROGRESS
    assert checkout.total_of(planned.view) == 0


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        ({**payment(), "handler_id": "other"}, "invalid", "handler_id"),
        (payment(type="bank"), "unsupported", "instrument.type"),
        (
            payment(credential={"type": "agentic_token", "token": "4" * 16}),
            "unsupported",
            "instrument.credential.type",
        ),
        (payment(credential={"type": "spt", "token": ""}), "missing", "instrument.credential.token"),
        (payment(credential={"type": "spt", "token": "4" * 16}), "invalid", "instrument.credential.token"),
        (
            payment(credential={"type": "spt", "token": "4242 4242-4242 4242"}),
            "invalid",
            "instrument.credential.token",
        ),
        ({"purchase_order_number": "PO1"}, "unsupported", "purchase_order_number"),
        ({**payment(), "purchase_order_number": "PO1"}, "unsupported", "purchase_order_number"),
        ({**payment(), "payment_terms": "net_30"}, "unsupported", "payment_terms"),
        ({**payment(), "approval_required": True}, "unsupported", "approval_required"),
        ({**payment(), "due_date": "2026-02-01T00:00:00Z"}, "unsupported", "due_date"),
    ],
)
def test_payment_data_that_the_shop_does_not_take_is_refused(
    data: dict[str, Any], code: str, param: str
) -> None:
    """CAP-11, PAY-12, PAY-13, PAY-14, PAY-19; a card number in place of a token: HTTP-14."""
    with pytest.raises(ProtocolError) as refused:
        ready().complete(payment_data=data)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert refused.value.param == f"$.payment_data.{param}"


def test_paying_at_once_may_be_said_aloud() -> None:
    """PAY-19."""
    data = {**payment(), "payment_terms": "immediate", "approval_required": False}
    assert isinstance(ready().complete(payment_data=data), Charge)


def test_the_handler_is_the_one_that_the_session_declares() -> None:
    """PAY-14."""
    world = ready(the_shop=shop(card_handler={"id": "cards"}))
    assert charge(world).handler_id == "cards"
    with pytest.raises(ProtocolError):
        world.complete(payment_data=payment())


def test_a_pickup_order_needs_no_address() -> None:
    world = World(buyer={"email": "ada@example.com"})
    world.update(selected_fulfillment_options=[choice("corner", "mug", kind="pickup")]).show()
    assert charge(world).amount == 1200 + 87 + 17
