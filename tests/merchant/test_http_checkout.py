"""The five checkout operations and the order, as an agent meets them over HTTP.

Every answer in here is also checked by its JSON Schema, see ``shop_server.check``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.merchant.domain_world import BERLIN, RENO, SAN_FRANCISCO
from tests.merchant.shop_server import (
    APPROVED,
    BUYER,
    DECLINED,
    HANDLER,
    NEEDS_3DS,
    VERSION,
    Agent,
    Json,
    ShopServer,
    assert_valid,
    choice,
    complete_body,
    create_body,
    path_of,
    said,
    shop_server,
    total,
)

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    """A shop on SQLite that can do two interventions and asks for one."""
    with shop_server(
        tmp_path_factory.mktemp("shop"),
        adapt_shop=lambda shop: shop.model_copy(
            update={
                "interventions_supported": ("3ds", "address_verification"),
                "interventions_required": ("3ds",),
            }
        ),
    ) as server:
        yield server


@pytest.fixture
def agent(shop: ShopServer) -> Agent:
    return shop.agent


def shipped(session: Json) -> list[str]:
    return [line["id"] for line in session["line_items"]]


def options(session: Json) -> set[str]:
    return {option["id"] for option in session["fulfillment_options"]}


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_create_answers_201_with_the_whole_session(agent: Agent) -> None:
    """CHK-CRE-01, CHK-STA-01, CHK-STA-02, CHK-STA-03, CHK-STA-09, CHK-LIN-02, CHK-TOT-01."""
    session = agent.create({"mug": 2})
    assert {
        "line_items",
        "totals",
        "fulfillment_options",
        "messages",
        "links",
        "capabilities",
    } <= session.keys()
    assert (session["status"], session["currency"]) == ("incomplete", "usd")
    (line,) = session["line_items"]
    assert (line["item"], line["quantity"], line["unit_amount"]) == ({"id": "mug"}, 2, 1200)
    assert {entry["type"] for entry in line["totals"]} == {"items_base_amount", "subtotal", "tax", "total"}
    assert total(session) == 2400
    assert session["expires_at"] == "2026-04-12T19:20:00.000Z"


def test_a_session_says_everything_that_is_missing_at_once(agent: Agent) -> None:
    """CHK-STA-06, ERR-05, ERR-09, ERR-13, ERR-14, ERR-15: in a 2xx, with severity, resolution and place."""
    session = agent.create()
    assert said(session) == [
        ("missing", "$.buyer.email"),
        ("missing", "$.fulfillment_details.address"),
        ("missing", "$.selected_fulfillment_options"),
    ]
    for message in session["messages"]:
        assert (message["severity"], message["resolution"]) == ("high", "requires_buyer_input")
        assert message["content_type"] == "plain"


def test_what_the_agent_says_at_creation_is_in_the_session(agent: Agent) -> None:
    """CHK-BUY-02, CHK-ADR-01, CHK-NOT-01, FUL-02."""
    given: Json = {
        "buyer": {**BUYER, "account_type": "business", "company": {"name": "Park Ltd"}},
        "fulfillment_details": {
            "name": "Ada",
            "phone_number": "+15551234567",
            "email": "a@example.com",
            "address": {**RENO, "company": "Park Ltd"},
        },
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
        "quote_id": "q_1",
        "metadata": {"a": [1, None, {"b": "ü"}], "c": 1.5},
    }
    session = agent.create(**given, order_notes="x" * 5000)
    assert {name: session[name] for name in given} == given
    assert agent.read(session) == session


def test_the_shops_name_and_price_count_and_not_the_agents(agent: Agent) -> None:
    """CHK-CRE-06, CHK-AGT-01."""
    session = agent.create(line_items=[{"id": "mug", "name": "Cheap cup", "unit_amount": 1}])
    (line,) = session["line_items"]
    assert (line["name"], line["unit_amount"], total(session)) == ("Mug (One)", 1200, 1200)


def test_quantities_of_repeated_ids_add_up_and_one_is_the_default(agent: Agent) -> None:
    """CHK-CRE-06."""
    wanted = [{"id": "mug"}, {"id": "book", "quantity": 2}, {"id": "mug", "quantity": 3}, {"id": "book"}]
    session = agent.create(line_items=wanted)
    assert [(line["item"]["id"], line["quantity"]) for line in session["line_items"]] == [
        ("mug", 4),
        ("book", 3),
    ]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"line_items": [{"id": "mug"}, {"id": "nothing"}]}, "invalid_item_id", "$.line_items[1].id"),
        ({"currency": "eur"}, "unsupported", "$.currency"),
        ({"line_items": []}, "invalid", "$.line_items"),
        ({"line_items": [{"id": "mug", "quantity": 0}]}, "invalid", "$.line_items[0].quantity"),
        ({"line_items": [{"id": "mug", "quantity": 2**63}]}, "invalid", "$.line_items[0].quantity"),
        ({"line_items": [{"quantity": 1}]}, "missing", "$.line_items[0].id"),
        ({"buyer": {"first_name": "Ada"}}, "missing", "$.buyer.email"),
        ({"order_notes": "x" * 5001}, "invalid", "$.order_notes"),
        (
            {"fulfillment_details": {"address": {"name": "Ada"}}},
            "missing",
            "$.fulfillment_details.address.line_one",
        ),
        ({"discounts": {"codes": "SAVE10"}}, "invalid", "$.discounts.codes"),
        ({"discounts": {"codes": ["A"] * 21}}, "invalid", "$.discounts.codes"),
        ({"items": [{"id": "mug"}]}, "invalid", "$.items"),
    ],
)
def test_a_create_that_cannot_be_is_refused_with_its_place(
    shop: ShopServer, agent: Agent, change: Json, code: str, param: str
) -> None:
    """CHK-CRE-03, CHK-CRE-07, CHK-CRE-08, CHK-STA-10, ERR-01, ERR-04, ERR-06."""
    before = shop.counts()["checkout_session"]
    agent.refused(agent.post("/checkout_sessions", {**create_body(), **change}), 400, code, param)
    assert shop.counts()["checkout_session"] == before


@pytest.mark.parametrize("absent", ["line_items", "currency", "capabilities"])
def test_required_members_of_a_create_are_named_when_they_are_absent(agent: Agent, absent: str) -> None:
    """CHK-CRE-03, CAP-01."""
    body = create_body()
    del body[absent]
    agent.refused(agent.post("/checkout_sessions", body), 400, "missing", f"$.{absent}")


def test_an_item_that_is_sold_out_or_short_is_told_in_the_session(agent: Agent) -> None:
    """ERR-05, ERR-11, CHK-LIN-07: the session is there, and cannot be paid for."""
    session = agent.create(
        {"gone": 1, "scarce": 3, "lamp": 4}, buyer=BUYER, fulfillment_details={"address": RENO}
    )
    assert [one for one in said(session) if one[0] != "missing"] == [
        ("out_of_stock", "$.line_items[0]"),
        ("quantity_exceeded", "$.line_items[1].quantity"),
        ("quantity_exceeded", "$.line_items[2].quantity"),
    ]
    assert [line["available_quantity"] for line in session["line_items"][:2]] == [0, 2]
    choices = [choice("standard", *shipped(session))]
    assert agent.update(session, selected_fulfillment_options=choices)["status"] == "not_ready_for_payment"


# --- get --------------------------------------------------------------------------------------------------------------


def test_a_session_can_be_read_by_its_agent_and_nobody_else(shop: ShopServer, agent: Agent) -> None:
    """CHK-GET-01, CHK-GET-02, AUTH-02: another agent cannot even tell that it exists."""
    session = agent.create()
    assert agent.read(session) == session
    unknown = agent.refused(agent.get(path_of("cs_unknown")), 404, "not_found")
    assert agent.refused(shop.other.get(path_of(session)), 404, "not_found") == unknown


def test_no_operation_reaches_another_agents_session(shop: ShopServer, agent: Agent) -> None:
    """CHK-GET-02, AUTH-02."""
    session = agent.ready()
    token = agent.token_for(session)
    for action, body in (
        ("", {"order_notes": "mine now"}),
        ("/complete", complete_body(token)),
        ("/cancel", {}),
    ):
        agent.refused(shop.other.post(path_of(session) + action, body), 404, "not_found")
        agent.refused(agent.post(path_of("cs_unknown") + action, body), 404, "not_found")
    assert agent.read(session) == session
    assert shop.provider.charges(session["id"]) == []


# --- update -----------------------------------------------------------------------------------------------------------


def test_an_update_answers_with_the_whole_session_and_the_session_stays_that_way(agent: Agent) -> None:
    """CHK-UPD-01, CHK-UPD-02."""
    session = agent.create()
    changed = agent.update(session, buyer=BUYER, fulfillment_details={"address": RENO})
    assert (changed["id"], changed["buyer"]) == (session["id"], BUYER)
    assert agent.read(session) == changed


def test_lines_of_an_update_replace_all_lines_and_known_items_keep_their_line(agent: Agent) -> None:
    """CHK-UPD-03."""
    session = agent.create({"mug": 1, "lamp": 1})
    changed = agent.update(session, line_items=[{"id": "book"}, {"id": "mug", "quantity": 5}])
    assert [(line["item"]["id"], line["quantity"]) for line in changed["line_items"]] == [
        ("book", 1),
        ("mug", 5),
    ]
    assert changed["line_items"][1]["id"] == session["line_items"][0]["id"]


def test_an_update_without_members_changes_nothing(agent: Agent) -> None:
    """CHK-UPD-04."""
    session = agent.create(buyer=BUYER)
    assert agent.update(session) == session


def test_null_clears_a_member_and_absence_keeps_it(agent: Agent) -> None:
    """CHK-UPD-05, IDEM-08, DISC-02."""
    session = agent.ready(order_notes="ring twice", discounts={"codes": ["SAVE10"]})
    kept = agent.update(session, order_notes="do not ring")
    for name in ("buyer", "fulfillment_details", "selected_fulfillment_options", "discounts"):
        assert kept[name] == session[name]
    cleared = agent.update(session, buyer=None, fulfillment_details=None, discounts=None)
    assert "buyer" not in cleared
    assert "fulfillment_details" not in cleared
    assert cleared.get("discounts", {}).get("applied", []) == []
    assert cleared["status"] == "incomplete"
    emptied = agent.update(session, line_items=None)
    assert emptied["line_items"] == []
    assert ("missing", "$.line_items") in said(emptied)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"currency": "usd"}, "$.currency"),
        ({"capabilities": {}}, "$.capabilities"),
        ({"currency": None}, "$.currency"),
        ({"buyer": {"email": None}}, "$.buyer.email"),
        ({"buyer": []}, "$.buyer"),
        ({"line_items": [{"id": "nothing"}]}, "$.line_items[0].id"),
        (
            {"selected_fulfillment_options": [choice("nothing", "mug")]},
            "$.selected_fulfillment_options[0].option_id",
        ),
        ({"selected_fulfillment_options": [choice("bike", "mug", kind="local_delivery")]}, None),
        ({"selected_fulfillment_options": [choice("standard", "lamp")]}, None),
        ({"selected_fulfillment_options": [choice("standard", "mug", kind="pickup")]}, None),
        ({"selected_fulfillment_options": [choice("standard", "mug", "mug")]}, None),
    ],
)
def test_an_update_that_is_refused_changes_nothing(agent: Agent, change: Json, param: str | None) -> None:
    """CHK-UPD-02, ERR-04, ERR-06, FUL-10, FUL-11: whatever else was in the request."""
    session = agent.create(fulfillment_details={"address": RENO})
    answer = agent.post(path_of(session), {"order_notes": "not to be seen", "buyer": BUYER, **change})
    assert answer.status_code == 400
    error = answer.json()
    assert (
        error["param"] == param if param else error["param"].startswith("$.selected_fulfillment_options[0].")
    )
    assert agent.read(session) == session


# --- fulfillment ------------------------------------------------------------------------------------------------------


def test_options_follow_the_address_and_say_when_and_for_how_much(agent: Agent) -> None:
    """FUL-04, FUL-05, FUL-06, FUL-10."""
    session = agent.create({"lamp": 1}, fulfillment_details={"address": RENO})
    assert options(session) == {"standard", "express", "corner"}
    moved = agent.update(session, fulfillment_details={"address": SAN_FRANCISCO})
    by_id = {option["id"]: option for option in moved["fulfillment_options"]}
    assert by_id.keys() == {"standard", "express", "corner", "bike"}
    assert by_id["bike"]["delivery_window"].keys() == {"start", "end"}
    assert by_id["corner"]["location"]["name"] == "Corner shop"
    assert by_id["express"]["totals"][-1]["type"] == "total"


@pytest.mark.parametrize("name", ["line", "item"])
def test_a_choice_names_lines_or_items_and_comes_back_as_it_was_sent(agent: Agent, name: str) -> None:
    """FUL-09, FUL-11."""
    session = agent.create({"mug": 1, "lamp": 1}, buyer=BUYER, fulfillment_details={"address": RENO})
    ids = shipped(session) if name == "line" else ["mug", "lamp"]
    wanted = [choice("standard", ids[0]), choice("express", ids[1])]
    chosen = agent.update(session, selected_fulfillment_options=wanted)
    assert chosen["selected_fulfillment_options"] == wanted
    assert (chosen["status"], total(chosen, "fulfillment")) == ("ready_for_payment", 500 + 1375)


def test_a_choice_that_no_longer_fits_is_dropped_and_asked_for_again(agent: Agent) -> None:
    """FUL-10: no selection ever names an option that the session does not offer."""
    session = agent.create({"lamp": 1}, buyer=BUYER, fulfillment_details={"address": SAN_FRANCISCO})
    wanted = [choice("bike", "lamp", kind="local_delivery")]
    assert agent.update(session, selected_fulfillment_options=wanted)["status"] == "ready_for_payment"
    moved = agent.update(session, fulfillment_details={"address": RENO})
    assert moved.get("selected_fulfillment_options", []) == []
    assert said(moved) == [("missing", "$.selected_fulfillment_options")]


def test_an_address_that_nothing_reaches_is_told_as_a_message(agent: Agent) -> None:
    """ERR-05, ERR-11."""
    session = agent.create({"book": 1}, buyer=BUYER, fulfillment_details={"address": BERLIN})
    assert said(session) == [("region_restricted", "$.fulfillment_details.address")]
    assert session["status"] == "not_ready_for_payment"


def test_downloads_need_no_address_and_choose_themselves(agent: Agent) -> None:
    """FUL-09, FUL-11."""
    session = agent.create({"song": 1}, buyer=BUYER)
    assert session["status"] == "ready_for_payment"
    assert session["selected_fulfillment_options"] == [choice("digital", *shipped(session), kind="digital")]


def test_groups_send_lines_to_different_places(agent: Agent) -> None:
    """FUL-12."""
    groups: list[Json] = [
        {
            "id": "home",
            "item_ids": ["mug"],
            "destination_type": "shipping",
            "fulfillment_details": {"address": RENO},
        },
        {"id": "shop", "item_ids": ["lamp"], "destination_type": "pickup"},
    ]
    session = agent.create({"mug": 1, "lamp": 1}, buyer=BUYER, fulfillment_groups=groups)
    assert session["fulfillment_groups"] == groups
    wanted = [choice("standard", "mug"), choice("corner", "lamp", kind="pickup")]
    assert agent.update(session, selected_fulfillment_options=wanted)["status"] == "ready_for_payment"
    twice = [groups[0], {**groups[1], "item_ids": ["lamp", "mug"]}]
    answer = agent.post(path_of(session), {"fulfillment_groups": twice})
    agent.refused(answer, 400, "invalid", "$.fulfillment_groups[1].item_ids[1]")


# --- discounts --------------------------------------------------------------------------------------------------------


def test_codes_are_taken_in_any_case_and_echoed_as_they_came(agent: Agent) -> None:
    """DISC-01, DISC-03, DISC-04, DISC-05, DISC-06, DISC-09, DISC-13, DISC-14, DISC-20."""
    session = agent.create({"mug": 1, "lamp": 1}, discounts={"codes": ["save10", "five"]})
    found = session["discounts"]
    assert found["codes"] == ["save10", "five"]
    assert [(one["code"], one["amount"], one["method"]) for one in found["applied"]] == [
        ("save10", 580, "each"),
        ("five", 500, "across"),
    ]
    allocations = found["applied"][0]["allocations"]
    assert [one["path"] for one in allocations] == ["$.line_items[0]", "$.line_items[1]"]
    assert sum(one["amount"] for one in allocations) == 580
    assert (total(session, "items_discount"), total(session, "discount")) == (580, 500)
    per_line = [
        entry["amount"]
        for line in session["line_items"]
        for entry in line["totals"]
        if entry["type"] == "items_discount"
    ]
    assert per_line == [one["amount"] for one in allocations]
    assert session["line_items"][0]["discount_details"][0]["code"] == "save10"


def test_codes_that_do_not_count_are_rejected_one_by_one_without_an_error(agent: Agent) -> None:
    """DISC-10, DISC-11, DISC-12, ERR-12."""
    codes = ["SAVE10", "save10", "OLD", "NONSENSE", "BIG", "SOLO", "MEMBER"]
    session = agent.create(discounts={"codes": codes})
    assert [(one["code"], one["reason"]) for one in session["discounts"]["rejected"]] == [
        ("save10", "discount_code_already_applied"),
        ("OLD", "discount_code_expired"),
        ("NONSENSE", "discount_code_invalid"),
        ("BIG", "discount_code_minimum_not_met"),
        ("SOLO", "discount_code_combination_disallowed"),
        ("MEMBER", "discount_code_user_not_logged_in"),
    ]
    assert said(session, "warning") == [
        (one["reason"], f"$.discounts.codes[{codes.index(one['code'])}]")
        for one in session["discounts"]["rejected"]
    ]
    signed_in = {**BUYER, "authentication_status": "authenticated", "customer_id": "cust_bob"}
    other = agent.update(session, buyer=signed_in, discounts={"codes": ["ADA"]})
    assert [one["reason"] for one in other["discounts"]["rejected"]] == ["discount_code_user_ineligible"]


def test_a_list_of_codes_replaces_the_previous_one(agent: Agent) -> None:
    """DISC-01, DISC-02."""
    session = agent.create(discounts={"codes": ["SAVE10"]})
    kept = agent.update(session, buyer=BUYER)
    assert kept["discounts"] == session["discounts"]
    replaced = agent.update(session, discounts={"codes": ["MUGS"]})
    assert [one["code"] for one in replaced["discounts"]["applied"]] == ["MUGS"]
    assert total(agent.update(session, discounts={"codes": []}), "items_discount") == 0


def test_coupons_are_an_older_name_for_codes(agent: Agent) -> None:
    """DISC-15."""
    assert [one["code"] for one in agent.create(coupons=["SAVE10"])["discounts"]["applied"]] == ["SAVE10"]
    both = agent.create(coupons=["SAVE10"], discounts={"codes": ["MUGS"]})
    assert both["discounts"]["codes"] == ["MUGS"]


def test_a_code_can_be_used_as_often_as_the_shop_says(shop: ShopServer, agent: Agent) -> None:
    """DISC-11: by orders, not by sessions; a declined payment gives its use back."""
    sessions = [agent.ready({"book": 1}, discounts={"codes": ["FEW"]}) for _ in range(4)]
    declined = agent.expect(200, agent.pay(sessions[3], agent.token_for(sessions[3], DECLINED)))
    assert said(declined) == [("payment_declined", None)]
    for session in sessions[:3]:
        assert agent.expect(200, agent.pay(session))["status"] == "completed"
    late = agent.read(sessions[3])
    assert [one["reason"] for one in late["discounts"]["rejected"]] == ["discount_code_usage_limit_reached"]
    assert total(late) == total(declined) + 200
    assert said(late, "warning") == [
        ("price_change", "$.totals[?@.type=='total']"),
        ("discount_code_usage_limit_reached", "$.discounts.codes[0]"),
    ]


def test_the_extension_is_declared_when_it_was_asked_for(agent: Agent) -> None:
    """DISC-04, DISC-18."""
    session = agent.create(capabilities={"extensions": ["discount", "com.example.other"]})
    (declared,) = session["capabilities"]["extensions"]
    assert declared["name"] == "discount"
    assert set(declared["extends"]) == {
        "$.CheckoutSessionCreateRequest.discounts",
        "$.CheckoutSessionUpdateRequest.discounts",
        "$.CheckoutSession.discounts",
    }
    assert session["discounts"] == {"codes": [], "applied": []}


# --- capabilities -----------------------------------------------------------------------------------------------------

DECLARED: Json = {
    "interventions": {
        "supported": ["biometric", "3ds", "telepathy"],
        "required": ["3ds"],
        "enforcement": "sometimes",
        "display_context": "webview",
        "redirect_context": "in_app",
        "max_redirects": 3,
        "max_interaction_depth": 2,
        "novelty": True,
    },
    "extensions": ["com.example.unknown"],
    "payment": {"handlers": "whatever"},
    "future": {"a": 1},
}


def test_every_answer_has_the_capabilities_of_this_session(agent: Agent) -> None:
    """CAP-02, CAP-03, CAP-06, CAP-07, CAP-09, CAP-18, CAP-19: unknown values and members are no error."""
    session = agent.ready(capabilities=DECLARED)
    expected = session["capabilities"]
    assert expected["interventions"] == {
        "supported": ["3ds"],
        "required": ["3ds"],
        "enforcement": "conditional",
    }
    done = agent.expect(200, agent.pay(session))
    canceled = agent.cancel(agent.create(capabilities=DECLARED))
    for answer in (agent.read(session), done, canceled):
        assert answer["capabilities"] == expected
    assert agent.create(capabilities={})["capabilities"]["interventions"]["supported"] == []


def test_payment_handlers_are_declared_in_full(agent: Agent) -> None:
    """CAP-04, PAY-04, PAY-05, PAY-06, PAY-07, PAY-09."""
    (handler,) = agent.create()["capabilities"]["payment"]["handlers"]
    assert (handler["id"], handler["name"]) == (HANDLER, "dev.acp.tokenized.card")
    assert (handler["requires_delegate_payment"], handler["requires_pci_compliance"]) == (True, False)
    assert (handler["config"]["merchant_id"], handler["config"]["psp"]) == ("merchant_1", handler["psp"])
    assert handler["config"]["accepted_brands"]


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ([], "$.capabilities"),
        ({"interventions": []}, "$.capabilities.interventions"),
        ({"interventions": {"supported": "3ds"}}, "$.capabilities.interventions.supported"),
        ({"interventions": {"max_redirects": -1}}, "$.capabilities.interventions.max_redirects"),
        (
            {"interventions": {"max_interaction_depth": 0}},
            "$.capabilities.interventions.max_interaction_depth",
        ),
    ],
)
def test_capabilities_of_the_wrong_type_are_refused(agent: Agent, wrong: Any, param: str) -> None:
    """CAP-01, CAP-05, ERR-06."""
    agent.refused(agent.post("/checkout_sessions", create_body(capabilities=wrong)), 400, "invalid", param)


def test_an_intervention_that_the_shop_insists_on_keeps_others_from_paying(tmp_path_factory: Any) -> None:
    """CAP-10, CAP-12: whatever the agent claims later; and nothing is charged."""
    with shop_server(
        tmp_path_factory.mktemp("strict"),
        adapt_shop=lambda shop: shop.model_copy(
            update={
                "interventions_supported": ("3ds",),
                "interventions_required": ("3ds",),
                "intervention_enforcement": "always",
            }
        ),
    ) as strict:
        agent = strict.agent
        able = agent.create({"song": 1}, buyer=BUYER, capabilities={"interventions": {"supported": ["3ds"]}})
        assert able["status"] == "ready_for_payment"
        unable = agent.create({"song": 1}, buyer=BUYER)
        assert unable["status"] == "not_ready_for_payment"
        assert [code for code, _ in said(unable)] == ["intervention_required"]
        agent.refused(agent.pay(unable), 400, "not_ready_for_payment")
        assert strict.provider.charges() == []


# --- complete ---------------------------------------------------------------------------------------------------------


def test_a_completed_session_has_an_order_and_was_charged_what_it_showed(
    shop: ShopServer, agent: Agent
) -> None:
    """CHK-CMP-01, CHK-CMP-03, CHK-CMP-04, PAY-15, PAY-17, PAY-20, PAY-21, ORD-01."""
    session = agent.ready({"mug": 2, "lamp": 1}, discounts={"codes": ["SAVE10"]})
    before = shop.stock("mug")
    extras: Json = {
        "buyer": {**BUYER, "phone_number": "+15551234567"},
        "risk_signals": {"ip_address": "203.0.113.9", "user_agent": "x"},
        "order_notes": "leave it at the door",
        "marketing_consents": [],
    }
    done = agent.expect(200, agent.pay(session, **extras))
    assert (done["status"], done["totals"]) == ("completed", session["totals"])
    order = done["order"]
    assert order["checkout_session_id"] == session["id"]
    assert order["permalink_url"].startswith("https://shop.example/")
    assert order["totals"][-1]["amount"] == total(session)
    (charge,) = shop.provider.charges(session["id"])
    assert (charge["status"], charge["amount"], charge["currency"]) == ("captured", total(session), "usd")
    assert shop.stock("mug") == ((before[0] or 0) - 2, 0)
    assert agent.read(session) == done


def test_an_order_can_be_read_by_its_agent_and_nobody_else(shop: ShopServer, agent: Agent) -> None:
    """ORD-01, AUTH-02."""
    order = agent.buy()["order"]
    assert agent.expect(200, agent.get(f"/orders/{order['id']}")) == order
    unknown = agent.refused(agent.get("/orders/ord_unknown"), 404, "not_found")
    assert agent.refused(shop.other.get(f"/orders/{order['id']}"), 404, "not_found") == unknown


def test_what_is_not_ready_is_not_charged(shop: ShopServer, agent: Agent) -> None:
    """CHK-CMP-05."""
    session = agent.create()
    before = shop.counts()
    agent.refused(agent.pay(session), 400, "not_ready_for_payment")
    assert shop.provider.charges(session["id"]) == []
    after = shop.counts()
    assert (after["order"], after["payment"]) == (before["order"], before["payment"])


def test_a_session_becomes_one_order_at_most(shop: ShopServer, agent: Agent) -> None:
    """CHK-CMP-07, CHK-UPD-06, CHK-CAN-02."""
    session = agent.ready()
    second = agent.token_for(session)
    done = agent.expect(200, agent.pay(session))
    refused = agent.pay(session, second)
    agent.refused(refused, 405, "session_closed")
    assert refused.headers["allow"] == "GET"
    agent.refused(agent.post(path_of(session), {"buyer": BUYER}), 405, "session_closed")
    agent.refused(agent.post(f"{path_of(session)}/cancel"), 405, "session_not_cancelable")
    assert agent.read(session) == done
    assert len(shop.provider.charges(session["id"])) == 1


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (DECLINED, "payment_declined"),
        ("4000000000009995", "payment_declined"),
        ("4000000000009987", "payment_declined"),
        ("4000000000000069", "payment_declined"),
        ("4000000000000127", "payment_declined"),
        (NEEDS_3DS, "requires_3ds"),
    ],
)
def test_a_refused_card_leaves_the_session_payable(
    shop: ShopServer, agent: Agent, card: str, code: str
) -> None:
    """CHK-CMP-06, PAY-21: no order, stock free again, and the next card pays."""
    session = agent.ready()
    before = shop.stock("mug")
    declined = agent.expect(200, agent.pay(session, agent.token_for(session, card)))
    assert (declined["status"], said(declined)) == ("ready_for_payment", [(code, None)])
    assert "order" not in declined
    assert agent.read(session) == declined
    assert shop.stock("mug") == before
    assert agent.expect(200, agent.pay(session, agent.token_for(session, APPROVED)))["status"] == "completed"
    assert [one["status"] for one in shop.provider.charges(session["id"])][-1:] == ["captured"]


@pytest.mark.parametrize(
    "allowance",
    [
        {"max_amount": 1},
        {"merchant_id": "somebody_else"},
        {"checkout_session_id": "cs_other"},
        {"currency": "eur"},
        {},
    ],
    ids=["amount", "merchant", "session", "currency", "used"],
)
def test_a_token_that_does_not_allow_the_charge_counts_as_declined(
    shop: ShopServer, agent: Agent, allowance: Json
) -> None:
    """PAY-21, CHK-CMP-06."""
    session = agent.ready()
    token = agent.token_for(session, **allowance)
    if not allowance:
        first = agent.ready()
        token = agent.token_for(first)
        agent.expect(200, agent.pay(first, token))
    declined = agent.expect(200, agent.pay(session, token))
    assert (declined["status"], [code for code, _ in said(declined)]) == (
        "ready_for_payment",
        ["payment_declined"],
    )
    assert [one for one in shop.provider.charges(session["id"]) if one["status"] == "captured"] == []


def test_a_token_that_nobody_issued_counts_as_declined(shop: ShopServer, agent: Agent) -> None:
    """PAY-17, PAY-21."""
    for token in ("vt_nobody", "x" * 5000, "ü\U0001f4b3"):
        session = agent.ready({"song": 1})
        assert said(agent.expect(200, agent.pay(session, token))) == [("payment_declined", None)]
        assert shop.provider.charges(session["id"]) == []


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        ({}, "invalid", "$.payment_data"),
        ({"handler_id": HANDLER}, "invalid", "$.payment_data"),
        ({"purchase_order_number": "PO-1"}, "unsupported", "$.payment_data.purchase_order_number"),
        (
            {
                "handler_id": "other",
                "instrument": {"type": "card", "credential": {"type": "spt", "token": "vt_1"}},
            },
            "invalid",
            "$.payment_data.handler_id",
        ),
        (
            {
                "handler_id": HANDLER,
                "instrument": {"type": "wire", "credential": {"type": "spt", "token": "vt_1"}},
            },
            "unsupported",
            "$.payment_data.instrument.type",
        ),
        (
            {
                "handler_id": HANDLER,
                "instrument": {"type": "card", "credential": {"type": "raw", "token": "4111"}},
            },
            "unsupported",
            "$.payment_data.instrument.credential.type",
        ),
        (
            {
                "handler_id": HANDLER,
                "instrument": {"type": "card", "credential": {"type": "raw", "token": APPROVED}},
            },
            "invalid",
            "$.payment_data.instrument.credential.token",
        ),
        (
            {"handler_id": HANDLER, "instrument": {"type": "card", "credential": {"type": "spt"}}},
            "missing",
            "$.payment_data.instrument.credential.token",
        ),
    ],
)
def test_payment_data_that_the_shop_does_not_take_is_refused(
    shop: ShopServer, agent: Agent, data: Json, code: str, param: str
) -> None:
    """CAP-11, CHK-CMP-02, PAY-12, PAY-13, PAY-14: before anything is authorised."""
    session = agent.ready()
    answer = agent.post(f"{path_of(session)}/complete", {"payment_data": data})
    error = answer.json()
    assert answer.status_code == 400
    assert (error["code"], error["param"]) == (code, param)
    assert APPROVED not in answer.text
    assert agent.read(session) == session
    assert shop.provider.charges(session["id"]) == []


def test_a_complete_without_payment_data_is_refused(agent: Agent) -> None:
    """CHK-CMP-02."""
    session = agent.ready()
    agent.refused(agent.post(f"{path_of(session)}/complete", {}), 400, "missing", "$.payment_data")


def test_a_price_that_changed_is_shown_before_it_is_charged(shop: ShopServer, agent: Agent) -> None:
    """CHK-AGT-01, FEED-14, ERR-12: the agent pays what it has seen, or nothing."""
    session = agent.ready({"unsteady": 1})
    shop.set_price("unsteady", 3500)
    token = agent.token_for(session, max_amount=100_000)
    shown = agent.expect(200, agent.pay(session, token))
    assert (shown["status"], total(shown)) == ("ready_for_payment", total(session) + 500)
    assert said(shown, "warning") == [("price_change", "$.totals[?@.type=='total']")]
    assert shop.provider.charges(session["id"]) == []
    done = agent.expect(200, agent.pay(shown, token))
    assert (done["status"], total(done)) == ("completed", total(shown))
    (charge,) = shop.provider.charges(session["id"])
    assert charge["amount"] == total(shown)


def test_a_price_that_was_seen_in_a_get_may_be_charged(shop: ShopServer, agent: Agent) -> None:
    """CHK-GET-01, CHK-AGT-01."""
    session = agent.ready({"rationed": 1})
    shop.set_price("rationed", 900)
    seen = agent.read(session)
    assert total(seen) == total(session) + 200
    assert agent.expect(200, agent.pay(seen))["status"] == "completed"


def test_stock_that_ran_out_in_the_meantime_is_not_sold(shop: ShopServer, agent: Agent) -> None:
    """CHK-CMP-05, ERR-11."""
    session = agent.ready({"scarce": 2})
    shop.set_stock("scarce", 1)
    try:
        agent.refused(agent.pay(session), 400, "not_ready_for_payment")
        assert ("quantity_exceeded", "$.line_items[0].quantity") in said(agent.read(session))
        assert shop.provider.charges(session["id"]) == []
    finally:
        shop.set_stock("scarce", 2)


def test_what_costs_nothing_is_completed_without_a_charge(shop: ShopServer, agent: Agent) -> None:
    """CHK-CMP-01."""
    done = agent.buy({"gift": 1})
    assert total(done) == 0
    assert shop.provider.charges(done["id"]) == []


def test_taxes_follow_the_address_to_the_unit(agent: Agent) -> None:
    """CHK-TOT-03, CHK-TOT-04, HTTP-04."""
    session = agent.create({"mug": 1, "book": 1}, fulfillment_details={"address": SAN_FRANCISCO})
    # 7.25 % and 1.375 % of 12.00; books are exempt.
    assert total(session, "tax") == 87 + 17
    assert total(session) == 3200 + 104
    (taxes,) = [entry for entry in session["totals"] if entry["type"] == "tax"]
    assert [part["amount"] for part in taxes["breakdown"]] == [87, 17]


# --- cancel and expiry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [..., {}, {"intent_trace": {"reason_code": "price_sensitivity", "trace_summary": "found it cheaper"}}],
    ids=["no body", "empty", "with a trace"],
)
def test_a_session_can_be_canceled_with_and_without_a_body(agent: Agent, body: Any) -> None:
    """CHK-CAN-01, CHK-CAN-02, CHK-CAN-03, HTTP-05."""
    session = agent.create()
    canceled = agent.expect(200, agent.post(f"{path_of(session)}/cancel", body))
    assert (canceled["id"], canceled["status"]) == (session["id"], "canceled")
    assert agent.read(session) == canceled
    refused = agent.post(f"{path_of(session)}/cancel")
    agent.refused(refused, 405, "session_not_cancelable")
    assert refused.headers["allow"] == "GET"
    agent.refused(agent.post(path_of(session), {"buyer": BUYER}), 405, "session_closed")
    agent.refused(agent.pay(session, "vt_any"), 405, "session_closed")


def test_a_session_expires_after_its_time(shop: ShopServer, agent: Agent) -> None:
    """CHK-STA-08, CHK-UPD-06."""
    session = agent.ready()
    token = agent.token_for(session, max_amount=10_000)
    shop.clock.now += 6 * HOUR_MS - 1
    assert agent.read(session)["status"] == "ready_for_payment"
    shop.clock.now += 1
    expired = agent.read(session)
    assert (expired["status"], said(expired)) == ("expired", [("expired", "$.expires_at")])
    agent.refused(agent.post(path_of(session), {"buyer": BUYER}), 405, "session_closed")
    agent.refused(agent.pay(session, token), 405, "session_closed")
    agent.refused(agent.post(f"{path_of(session)}/cancel"), 405, "session_not_cancelable")
    assert shop.provider.charges(session["id"]) == []


def test_a_purchase_works_on_either_database(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """CHK-STA-01: from create to order, a decline and a cancel among it."""
    with shop_server(tmp_path_factory.mktemp("either"), store_url) as shop:
        agent = shop.agent
        session = agent.ready({"mug": 1, "song": 1}, discounts={"codes": ["SAVE10", "nonsense"]})
        agent.expect(200, agent.pay(session, agent.token_for(session, DECLINED)))
        done = agent.expect(200, agent.pay(session))
        assert agent.expect(200, agent.get(f"/orders/{done['order']['id']}")) == done["order"]
        assert agent.cancel(agent.create())["status"] == "canceled"
        assert shop.counts() | {"idempotency": 0} == {
            "checkout_session": 2,
            "idempotency": 0,
            "payment": 2,
            "order": 1,
            "outbox": 1,
        }
        assert [one["amount"] for one in shop.provider.charges() if one["status"] == "captured"] == [
            total(session)
        ]


def test_the_version_of_the_answer_is_that_of_the_request(agent: Agent) -> None:
    """VER-06, VER-07, HTTP-11, HTTP-12: a completed session is one with an order by its schema, too."""
    done = agent.buy({"song": 1})
    assert done["protocol"] == {"version": VERSION}
    assert_valid(done, "CheckoutSessionWithOrder")
    for name in ("created_at", "updated_at", "expires_at"):
        assert done[name].endswith("Z")
