"""Opening, changing, showing, canceling and expiring a session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merchant.domain_world import (
    ITEMS,
    NOW,
    RENO,
    World,
    choice,
    ready,
    said,
    shop,
    totals,
)

from acpref_merchant.domain import checkout
from acpref_merchant.domain.item import Option
from acpref_merchant.domain.presentation import PROTOCOL_VERSION
from acpref_merchant.domain.session import Session
from acpref_protocol.errors import ProtocolError
from acpref_protocol.lifecycle import Status
from acpref_protocol.models import Capabilities, CheckoutSessionUpdateRequest

BUYER = {"email": "ada@example.com", "first_name": "Ada"}


def refused_create(**body: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as refused:
        World(**body)
    return refused.value


# --- opening --------------------------------------------------------------------------------------------------------


def test_a_new_session_has_every_required_member_and_its_times() -> None:
    """CHK-CRE-01, CHK-STA-02, CHK-STA-03, CHK-STA-08, CHK-STA-09."""
    shown = World(locale="de-DE", timezone="Europe/Berlin", quote_id="q1", metadata={"a": [1, None]}).view()
    assert shown.protocol is not None
    assert shown.protocol.version == PROTOCOL_VERSION
    assert (shown.id, shown.currency) == ("cs_1", "usd")
    assert (shown.locale, shown.timezone, shown.quote_id) == ("de-DE", "Europe/Berlin", "q1")
    assert shown.metadata == {"a": [1, None]}
    assert (shown.created_at, shown.expires_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T06:00:00.000Z")
    assert shown.continue_url == "https://shop.example/checkout/cs_1"
    assert [link.to_object() for link in shown.links] == [
        {"type": "terms_of_use", "url": "https://shop.example/terms"},
        {"type": "privacy_policy", "url": "https://shop.example/privacy", "title": "Privacy"},
    ]


def test_an_item_without_quantity_means_one_and_repeated_items_add_up() -> None:
    """CHK-CRE-06."""
    world = World(lines=[{"id": "mug"}, {"id": "lamp", "quantity": 2}, {"id": "mug", "quantity": 3}])
    assert [(line.item.id, line.quantity) for line in world.view().line_items] == [("mug", 4), ("lamp", 2)]
    assert checkout.stock_needed(world.session) == {"mug": 4, "lamp": 2}
    assert checkout.item_ids(world.session) == ["mug", "lamp"]


def test_what_the_agent_believes_about_names_and_prices_does_not_count() -> None:
    """CHK-CRE-06, CHK-AGT-01: the shop's own price is charged."""
    (line,) = World(lines=[{"id": "mug", "name": "Cup", "unit_amount": 1}]).view().line_items
    assert (line.unit_amount, line.name) == (1200, "Mug")


def test_an_unknown_item_is_named_by_its_place() -> None:
    """CHK-CRE-07, CHK-CRE-08."""
    error = refused_create(lines=[{"id": "mug"}, {"id": "nothing"}])
    assert (error.status, error.type, error.code) == (400, "invalid_request", "invalid_item_id")
    assert error.param == "$.line_items[1].id"


def test_the_currency_is_the_shops_or_the_session_does_not_open() -> None:
    """CHK-STA-10: either case is accepted, lower case is shown."""
    assert World(currency="USD").view().currency == "usd"
    error = refused_create(currency="eur")
    assert (error.status, error.code, error.param) == (400, "unsupported", "$.currency")


@pytest.mark.parametrize(
    ("lines", "param"),
    [
        ([{"id": "mug", "quantity": 11}], "$.line_items[0].quantity"),
        ([{"id": "mug", "quantity": 10}, {"id": "mug"}], "$.line_items[1]"),
        ([{"id": "mug"}, {"id": "lamp"}, {"id": "book"}], "$.line_items[2]"),
    ],
)
def test_the_shops_limits_hold(lines: list[dict[str, Any]], param: str) -> None:
    error = refused_create(the_shop=shop(max_lines=2, max_quantity_per_item=10), lines=lines)
    assert (error.status, error.code, error.param) == (400, "invalid", param)


def test_a_line_says_what_is_known_about_its_item() -> None:
    """CHK-LIN-02, CHK-LIN-03, CHK-LIN-05, CHK-LIN-07."""
    mug = ITEMS["mug"].model_copy(
        update={
            "description": "Holds tea",
            "variant_title": "Blue",
            "images": ("https://shop.example/mug.jpg", "mug-relative.jpg"),
            "tags": ("tea",),
            "max_quantity_per_order": 5,
        }
    )
    (line,) = World(items={"mug": mug}).view().line_items
    told = line.to_object()
    told.pop("totals")
    assert told == {
        "id": "li_1",
        "item": {"id": "mug"},
        "quantity": 1,
        "name": "Mug (Blue)",
        "description": "Holds tea",
        "images": ["https://shop.example/mug.jpg"],
        "unit_amount": 1200,
        "product_id": "product_mug",
        "variant_id": "mug",
        "category": "mugs",
        "tags": ["tea"],
        "weight": {"value": 400, "unit": "g"},
        "availability_status": "in_stock",
        "available_quantity": 100,
        "max_quantity_per_order": 5,
    }


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("title", "Cup"),
        ("variant_title", "Red"),
        ("product_id", "cups"),
        ("description", "New"),
        ("images", ("https://shop.example/new.jpg",)),
        ("disclosures", ("Hot.",)),
        ("category", "cups"),
        ("tags", ("new",)),
        ("weight_grams", 401),
        ("options", (Option(name="Colour", value="red"),)),
        ("max_quantity_per_order", 7),
        ("unit_amount", 1),
        ("available", 3),
        ("tax_class", "exempt"),
    ],
)
def test_whatever_changes_about_an_item_is_told_at_once(member: str, value: object) -> None:
    """What is remembered about an item is not taken for what has become of it."""
    world = World()
    before = world.view().line_items
    world.items["mug"] = ITEMS["mug"].model_copy(update={member: value})
    assert world.view().line_items != before


def test_a_disclosure_is_markdown_unless_it_holds_raw_html() -> None:
    """CHK-LIN-04, MD-01, MD-02, MD-03."""
    texts = ("**Hot** if x < y", "Do not <b>drop</b>")
    mug = ITEMS["mug"].model_copy(update={"disclosures": texts})
    (line,) = World(items={"mug": mug}).view().line_items
    assert [(d.content_type, d.content) for d in line.disclosures or ()] == [
        ("markdown", texts[0]),
        ("plain", texts[1]),
    ]


# --- messages -------------------------------------------------------------------------------------------------------


def test_everything_that_is_missing_is_said_at_once() -> None:
    """ERR-05, ERR-09, ERR-13, ERR-14, ERR-15, CHK-STA-06."""
    view = World(lines={"lamp": 1}).view()
    assert view.status == "incomplete"
    assert said(view) == [
        ("missing", "$.buyer.email"),
        ("missing", "$.fulfillment_details.address"),
        ("missing", "$.selected_fulfillment_options"),
    ]
    for message in view.messages:
        assert message.severity
        assert message.resolution
        assert message.content_type == "plain"


def test_a_totally_empty_session_names_what_it_lacks() -> None:
    """CHK-UPD-05: a session whose lines were cleared."""
    view = World(buyer=BUYER).update(frozenset({"line_items", "buyer"})).view()
    assert said(view) == [("missing", "$.buyer.email"), ("missing", "$.line_items")]
    assert (view.status, view.line_items, totals(view)["total"]) == ("incomplete", [], 0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ({"gone": 1}, [("out_of_stock", "$.line_items[0]")]),
        ({"mug": 1, "few": 3}, [("quantity_exceeded", "$.line_items[1].quantity")]),
        ({"lamp": 4}, [("quantity_exceeded", "$.line_items[0].quantity")]),
        (
            {"gone": 1, "lamp": 4},
            [("out_of_stock", "$.line_items[0]"), ("quantity_exceeded", "$.line_items[1].quantity")],
        ),
    ],
)
def test_what_cannot_be_had_keeps_the_session_from_payment(
    lines: dict[str, int], expected: list[tuple[str, str]]
) -> None:
    """ERR-05, ERR-11, CHK-STA-06: a message and no error, for nothing more can be asked of the buyer."""
    view = ready(lines=lines).view()
    assert said(view) == expected
    assert view.status == "not_ready_for_payment"


def test_the_lower_of_stock_and_limit_is_told() -> None:
    lamp = ITEMS["lamp"].model_copy(update={"available": 2})
    (message,) = ready(items={"lamp": lamp}, lines={"lamp": 9}).view().messages
    assert "2" in message.content


def test_little_stock_is_a_warning() -> None:
    """ERR-12, CHK-LIN-07."""
    view = ready(lines={"few": 2}).view()
    assert said(view, "warning") == [("low_stock", "$.line_items[0]")]
    assert (view.line_items[0].availability_status, view.line_items[0].available_quantity) == ("low_stock", 2)
    assert view.status == "ready_for_payment"


def test_an_item_that_left_the_catalog_is_told_and_costs_nothing() -> None:
    """ERR-05, CHK-STA-06."""
    world = ready(lines={"mug": 1, "book": 1})
    del world.items["book"]
    view = world.view()
    assert said(view) == [("not_found", "$.line_items[1]")]
    assert view.status == "not_ready_for_payment"
    assert totals(view)["items_base_amount"] == 1200


def test_a_price_that_changed_since_it_was_shown_is_a_warning() -> None:
    """ERR-12."""
    world = ready()
    assert said(world.view(), "warning") == []
    world.items["mug"] = world.items["mug"].model_copy(update={"unit_amount": 1300})
    assert said(world.view(), "warning") == [("price_change", "$.totals[?@.type=='total']")]
    assert said(world.update(buyer=BUYER).view(), "warning") == []


def test_a_tax_certificate_is_answered_with_the_truth() -> None:
    """CHK-BUY-04: it is not honoured, tax is charged, and the session says so."""
    exemption = {"certificate_id": "x", "certificate_type": "resale"}
    view = ready().update(buyer={**BUYER, "tax_exemption": exemption}).view()
    assert [(m.type, m.param) for m in view.messages] == [("info", "$.buyer.tax_exemption")]


# --- capabilities ---------------------------------------------------------------------------------------------------


def capabilities(declared: dict[str, Any], **more: Any) -> Capabilities:
    return World(shop(**more), capabilities=declared).view().capabilities


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, []),
        ({"interventions": {}}, []),
        ({"interventions": {"supported": ["biometric"]}}, []),
        (
            {"interventions": {"supported": ["address_verification", "3ds", "3ds"]}},
            ["3ds", "address_verification"],
        ),
    ],
)
def test_interventions_are_exactly_the_common_ones(declared: dict[str, Any], expected: list[str]) -> None:
    """CAP-01, CAP-02, CAP-03, CAP-18."""
    found = capabilities(declared, interventions_supported=["3ds", "address_verification"])
    assert found.interventions is not None
    assert found.interventions.supported == expected


def test_what_only_an_agent_may_state_is_never_repeated() -> None:
    """CAP-06, CAP-07."""
    stated = {
        "supported": ["3ds"],
        "required": ["3ds"],
        "enforcement": "always",
        "display_context": "webview",
        "redirect_context": "in_app",
        "max_redirects": 1,
        "max_interaction_depth": 2,
    }
    world = World(capabilities={"interventions": stated, "payment": {"handlers": []}})
    found = world.view().capabilities
    assert found.interventions is not None
    assert found.interventions.to_object() == {"supported": [], "required": [], "enforcement": "conditional"}
    assert found.payment is not None
    assert [handler.id for handler in found.payment.handlers] == ["card_tokenized"]


def test_the_card_handler_is_declared_in_full() -> None:
    """CAP-04, PAY-04 to PAY-10."""
    payment = capabilities({}, card_handler={"supports_3ds": True, "psp": "acme"}).payment
    assert payment is not None
    (handler,) = payment.handlers
    assert (handler.id, handler.name, handler.psp) == ("card_tokenized", "dev.acp.tokenized.card", "acme")
    assert (handler.requires_delegate_payment, handler.requires_pci_compliance) == (True, False)
    assert len(handler.instrument_schemas) >= 1
    assert handler.config == {
        "merchant_id": "merchant_1",
        "psp": "acme",
        "accepted_brands": ["visa", "mastercard", "amex", "discover"],
        "accepted_funding_types": ["credit", "debit", "prepaid"],
        "supports_3ds": True,
        "3ds_versions": ["2.1", "2.2"],
        "environment": "sandbox",
    }


def test_an_intervention_that_is_always_required_and_not_supported_blocks_payment() -> None:
    """CAP-12, CAP-18."""
    world = ready(
        the_shop=shop(
            interventions_supported=["3ds"],
            interventions_required=["3ds"],
            intervention_enforcement="always",
        )
    )
    view = world.view()
    assert said(view) == [("intervention_required", "$.capabilities.interventions.required")]
    assert view.status == "not_ready_for_payment"
    assert view.capabilities.interventions is not None
    assert view.capabilities.interventions.to_object() == {
        "supported": [],
        "required": ["3ds"],
        "enforcement": "always",
    }


@pytest.mark.parametrize(
    ("declared", "active"),
    [
        (["discount"], True),
        (["discount@2026-01-27"], True),
        (["com.example.gifts", "discount@2026-04-17"], True),
        ([{"name": "discount"}], True),
        (["discount@1999-01-01"], False),
        (["com.example.discount"], False),
        ([], False),
    ],
)
def test_the_discount_extension_is_active_if_asked_for_in_a_known_version(
    declared: list[Any], active: bool
) -> None:
    """EXT-01, EXT-02, EXT-03, EXT-05, EXT-08, EXT-12, DISC-18."""
    extensions = capabilities({"extensions": declared}).to_object().get("extensions")
    expected = {
        "name": "discount",
        "extends": [
            "$.CheckoutSessionCreateRequest.discounts",
            "$.CheckoutSessionUpdateRequest.discounts",
            "$.CheckoutSession.discounts",
        ],
    }
    assert extensions == ([expected] if active else None)


# --- updating -------------------------------------------------------------------------------------------------------


def test_lines_replace_the_whole_list_and_keep_their_ids() -> None:
    """CHK-UPD-03."""
    world = World(lines={"mug": 1, "lamp": 1}).update(
        line_items=[{"id": "book"}, {"id": "mug", "quantity": 2}]
    )
    assert [(line.id, line.item_id, line.quantity) for line in world.session.lines] == [
        ("li_3", "book", 1),
        ("li_1", "mug", 2),
    ]


def test_an_empty_update_changes_nothing() -> None:
    """CHK-UPD-04."""
    world = ready()
    before = world.session
    world.now += 5000
    assert world.update().session == before


def test_null_clears_and_absence_keeps() -> None:
    """CHK-UPD-05."""
    world = World(buyer=BUYER, fulfillment_details={"address": RENO}, order_notes="Ring twice")
    world.update(selected_fulfillment_options=[choice("standard", "mug")])
    assert world.view().buyer is not None
    world.update(frozenset({"buyer", "order_notes"}))
    assert (world.session.buyer, world.session.order_notes) == (None, None)
    assert world.session.fulfillment_details is not None
    assert world.session.selections
    world.update(frozenset({"fulfillment_details"}))
    assert (world.session.fulfillment_details, world.session.selections) == (None, ())


def test_what_cannot_be_updated_cannot_be_cleared() -> None:
    """CHK-UPD-02."""
    with pytest.raises(ProtocolError) as refused:
        World().update(frozenset({"currency"}))
    assert (refused.value.status, refused.value.param) == (400, "$.currency")


def test_the_update_is_stamped() -> None:
    world = World()
    world.now += 5000
    view = world.update(buyer=BUYER).view()
    assert (view.created_at, view.updated_at) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.000Z")


def test_there_are_no_more_groups_than_lines() -> None:
    groups = [{"id": str(n), "item_ids": [], "destination_type": "shipping"} for n in range(2)]
    with pytest.raises(ProtocolError) as refused:
        World().update(fulfillment_groups=groups)
    assert (refused.value.status, refused.value.param) == (400, "$.fulfillment_groups[1]")


def test_several_faults_are_told_in_a_fixed_order() -> None:
    bad = {
        "line_items": [{"id": "nothing"}],
        "fulfillment_groups": [{"id": "a", "item_ids": ["x"], "destination_type": "shipping"}],
        "selected_fulfillment_options": [choice("teleport", "mug")],
    }
    found = []
    for name in ("line_items", "fulfillment_groups", "selected_fulfillment_options"):
        with pytest.raises(ProtocolError) as refused:
            World().update(**bad)
        found.append((refused.value.param or "").split(".")[1].split("[")[0])
        del bad[name]
    assert found == ["line_items", "fulfillment_groups", "selected_fulfillment_options"]


# --- the end of a session -------------------------------------------------------------------------------------------


def closed_worlds() -> list[World]:
    canceled, expired, completing = ready(), ready(), ready()
    canceled.session = checkout.cancel_session(canceled.session, NOW)
    expired.now = expired.session.expires_at
    completing.session = completing.complete().session
    return [canceled, expired, completing]


@pytest.mark.parametrize("world", closed_worlds(), ids=["canceled", "expired", "completing"])
def test_a_closed_session_is_neither_changed_nor_completed_nor_canceled(world: World) -> None:
    """CHK-UPD-06, CHK-CMP-07, CHK-CAN-02: 405 with Allow: GET."""
    before = world.session
    acts = {
        "session_closed": (
            lambda: world.update(buyer=BUYER),
            lambda: world.update(),
            lambda: world.complete(),
        ),
        "session_not_cancelable": (lambda: checkout.cancel_session(world.session, world.now),),
    }
    for code, attempts in acts.items():
        for act in attempts:
            with pytest.raises(ProtocolError) as refused:
                act()
            assert (refused.value.status, refused.value.code) == (405, code)
            assert refused.value.headers == {"Allow": "GET"}
    assert world.session == before


def test_a_canceled_session_is_shown_in_full() -> None:
    """CHK-CAN-01, CHK-STA-02, CAP-02."""
    world = ready()
    before = world.view()
    world.session = checkout.cancel_session(world.session, NOW + 1)
    view = world.view()
    assert (view.status, view.messages) == ("canceled", [])
    assert (view.totals, view.fulfillment_options) == (before.totals, before.fulfillment_options)
    assert view.capabilities == before.capabilities


def test_a_frozen_view_is_shown_whatever_the_catalog_says_by_then() -> None:
    world = ready()
    world.session = checkout.cancel_session(world.session, NOW + 1)
    before = world.view()
    frozen = before.to_json().decode()
    world.session = world.session.model_copy(update={"frozen_view": frozen})
    world.items.clear()
    assert world.view() == before


def test_a_session_expires_on_time() -> None:
    """CHK-STA-08."""
    world = ready()
    world.now = world.session.expires_at - 1
    assert world.view().status == "ready_for_payment"
    assert checkout.expire(world.session, world.now) is world.session
    world.now += 1
    view = world.view()
    assert (view.status, said(view)) == ("expired", [("expired", "$.expires_at")])
    world.session = checkout.expire(world.session, world.now)
    assert world.session.status is Status.EXPIRED
    assert world.view().status == "expired"
    assert checkout.expire(world.session, world.now) is world.session


def test_a_session_that_is_being_paid_for_does_not_expire() -> None:
    """CHK-STA-08: the outcome of the charge comes first."""
    world = ready()
    world.session = world.complete().session
    world.now = world.session.expires_at + 1
    assert checkout.expire(world.session, world.now) is world.session
    assert world.view().status == "complete_in_progress"


# --- properties -----------------------------------------------------------------------------------------------------

_lines = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from(sorted(ITEMS))}, optional={"quantity": st.integers(1, 5)}),
    max_size=5,
)
_updates = st.fixed_dictionaries(
    {},
    optional={
        "buyer": st.just(BUYER),
        "line_items": _lines,
        "fulfillment_details": st.sampled_from([{}, {"address": RENO}, {"name": "Ada"}]),
        "discounts": st.sampled_from([{}, {"codes": []}, {"codes": ["SAVE10", "FIVE", "OLD"]}]),
        "coupons": st.sampled_from([[], ["MUGS"]]),
        "order_notes": st.text(max_size=20),
    },
)
_cleared = st.frozensets(st.sampled_from(sorted(CheckoutSessionUpdateRequest.model_fields)), max_size=2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_updates, _cleared), max_size=4))
def test_updates_repeat_without_effect_and_sessions_survive_storage(
    steps: list[tuple[dict[str, Any], frozenset[str]]],
) -> None:
    """CHK-UPD-03, CHK-UPD-05: the same body twice is the same session, and JSON keeps all of it."""
    world = ready(lines={"mug": 1, "lamp": 1})
    for body, cleared in steps:
        sent = {name: value for name, value in body.items() if name not in cleared}
        once = world.update(cleared, **sent).session
        assert world.update(cleared, **sent).session == once
        stored = Session.model_validate_json(once.model_dump_json(exclude_none=True))
        assert stored == once
        offered = {option.id for option in world.view().fulfillment_options}
        assert {selected.option_id for selected in world.view().selected_fulfillment_options or ()} <= offered
