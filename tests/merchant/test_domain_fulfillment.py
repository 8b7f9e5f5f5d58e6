"""How goods reach the buyer: which options are offered, and which choices hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.merchant.domain_world import (
    BERLIN,
    ITEMS,
    NOW,
    RENO,
    SAN_FRANCISCO,
    SHOP,
    World,
    choice,
    ready,
    said,
    shop,
    totals,
)

from acpref_merchant.domain.shop import Shop
from acpref_protocol.errors import ProtocolError
from acpref_protocol.models import CheckoutSession

LOCAL = {"address": SAN_FRANCISCO}


def option_ids(view: CheckoutSession) -> list[str]:
    return [option.id for option in view.fulfillment_options]


def chosen(view: CheckoutSession) -> list[dict[str, Any]]:
    return [selected.to_object() for selected in view.selected_fulfillment_options or ()]


def refusal(world: World, **body: Any) -> ProtocolError:
    """The refusal of an update, which has changed nothing."""
    before = world.session
    with pytest.raises(ProtocolError) as refused:
        world.update(**body)
    assert world.session == before
    return refused.value


def test_a_shop_that_changes_its_ways_and_pages_shows_the_new_ones_at_once() -> None:
    """What is remembered of a shop is not taken for that of another with the same id."""
    body = {"fulfillment_details": {"address": RENO}}
    rate = {"id": "standard", "title": "Standard", "countries": ["US"], "min_days": 3, "max_days": 5}
    for amount in (500, 700):
        shown = World(
            shop(
                fulfillment={"shipping": [{**rate, "amount": amount, "title": f"For {amount}"}]},
                links=[{"type": "faq", "url": f"https://shop.example/{amount}"}],
                card_handler={"display_name": f"Card {amount}"},
            ),
            **body,
        ).view()
        (option,) = shown.fulfillment_options
        assert (option.title, option.totals[-1].amount) == (f"For {amount}", amount)
        assert [link.url for link in shown.links] == [f"https://shop.example/{amount}"]
        assert shown.capabilities.payment is not None
        assert shown.capabilities.payment.handlers[0].display_name == f"Card {amount}"


def test_options_are_those_that_serve_some_line_at_its_address() -> None:
    """FUL-04 to FUL-06: in the shop's order."""
    world = World(lines={"lamp": 1, "song": 1})
    assert option_ids(world.view()) == ["corner", "digital"]
    assert option_ids(world.update(fulfillment_details={"address": RENO}).view()) == [
        "standard",
        "express",
        "corner",
        "digital",
    ]
    assert option_ids(world.update(fulfillment_details=LOCAL).view()) == [
        "standard",
        "express",
        "corner",
        "bike",
        "digital",
    ]


def test_every_option_has_what_its_type_demands() -> None:
    """FUL-04, FUL-05, FUL-06."""
    shown = World(lines={"lamp": 1, "song": 1}, fulfillment_details=LOCAL).view().fulfillment_options
    options = {option.id: option.to_object() for option in shown}
    assert options["standard"] == {
        "type": "shipping",
        "id": "standard",
        "title": "Standard",
        "description": "Arrives in 3 to 5 days",
        "carrier": "Post",
        "earliest_delivery_time": "2026-01-04T00:00:00.000Z",
        "latest_delivery_time": "2026-01-06T23:59:59.000Z",
        "totals": [
            {"type": "fulfillment", "display_text": "Shipping", "amount": 500},
            {"type": "total", "display_text": "Total", "amount": 500},
        ],
    }
    assert options["express"]["description"] == "Arrives in 1 day"
    assert options["corner"]["location"]["address"]["city"] == "San Francisco"
    assert options["corner"]["location"]["phone"] == "+14155550100"
    assert options["corner"]["ready_by"] < options["corner"]["pickup_by"]
    assert options["bike"]["delivery_window"]["start"] < options["bike"]["delivery_window"]["end"]
    assert options["bike"]["service_area"] == {"radius_miles": 5, "center_postal_code": "94110"}
    assert options["digital"]["totals"][-1]["amount"] == 0
    assert all(option["description"] for option in options.values())


def test_times_of_options_stay_the_same_within_the_hour() -> None:
    world = World(lines={"lamp": 1}, fulfillment_details=LOCAL)
    first = world.view().fulfillment_options
    world.now = NOW + 3_599_999
    assert world.view().fulfillment_options == first


@pytest.mark.parametrize("name", ["lamp", "li_1"])
def test_a_choice_names_lines_by_line_or_item_id_and_is_echoed_as_sent(name: str) -> None:
    """FUL-09, FUL-11."""
    world = World(lines={"lamp": 1}, fulfillment_details={"address": RENO})
    view = world.update(selected_fulfillment_options=[choice("express", name)]).view()
    assert chosen(view) == [{"type": "shipping", "option_id": "express", "item_ids": [name]}]
    assert totals(view)["fulfillment"] == 1000 + 375


@pytest.mark.parametrize(
    ("choices", "param"),
    [
        ([choice("teleport", "mug")], "[0].option_id"),
        ([choice("bike", "mug", kind="local_delivery")], "[0].option_id"),
        ([choice("corner", "mug")], "[0].type"),
        ([choice("standard")], "[0].item_ids"),
        ([choice("standard", "mug", "unknown")], "[0].item_ids[1]"),
        ([choice("standard", "mug", "song")], "[0].item_ids[1]"),
        ([choice("standard", "mug"), choice("express", "li_1")], "[1].item_ids[0]"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_with_its_place(choices: list[dict[str, Any]], param: str) -> None:
    """FUL-10: nothing changes."""
    world = ready(lines={"mug": 1, "song": 1})
    error = refusal(world, selected_fulfillment_options=choices)
    assert (error.status, error.param) == (400, f"$.selected_fulfillment_options{param}")


def test_choices_that_no_longer_fit_are_dropped() -> None:
    """FUL-10: after the address, then the lines have changed."""
    world = World(lines={"mug": 1, "lamp": 1}, fulfillment_details=LOCAL)
    world.update(
        selected_fulfillment_options=[
            choice("standard", "mug"),
            choice("bike", "lamp", kind="local_delivery"),
        ]
    )
    assert [c["option_id"] for c in chosen(world.view())] == ["standard", "bike"]
    world.update(fulfillment_details={"address": RENO})
    assert [c["option_id"] for c in chosen(world.view())] == ["standard"]
    world.update(line_items=[{"id": "lamp"}])
    assert chosen(world.view()) == []


def test_a_choice_survives_an_update_that_leaves_its_lines_alone() -> None:
    """CHK-UPD-03: line ids stay, so that choices by line id survive."""
    world = World(lines={"mug": 1, "lamp": 1}, fulfillment_details={"address": RENO})
    world.update(selected_fulfillment_options=[choice("standard", "li_1", "li_2")])
    world.update(line_items=[{"id": "lamp", "quantity": 2}, {"id": "book"}])
    assert [(line.id, line.item.id) for line in world.view().line_items] == [
        ("li_2", "lamp"),
        ("li_3", "book"),
    ]
    assert chosen(world.view()) == [choice("standard", "li_2")]


def test_goods_that_can_only_be_downloaded_need_no_choice() -> None:
    """FUL-11: chosen by the seller, named by line id."""
    view = World(lines={"song": 2}, buyer={"email": "a@example.com"}).view()
    assert chosen(view) == [{"type": "digital", "option_id": "digital", "item_ids": ["li_1"]}]
    assert view.status == "ready_for_payment"
    assert totals(view)["fulfillment"] == 0


def test_an_agent_may_choose_the_download_itself() -> None:
    world = World(lines={"song": 1})
    view = world.update(selected_fulfillment_options=[choice("digital", "song", kind="digital")]).view()
    assert chosen(view) == [{"type": "digital", "option_id": "digital", "item_ids": ["song"]}]


def test_other_goods_wait_for_a_choice_even_if_there_is_only_one_option() -> None:
    world = World(lines={"mug": 1}, buyer={"email": "a@example.com"})
    world.update(selected_fulfillment_options=[choice("corner", "mug", kind="pickup")])
    assert world.view().status == "ready_for_payment"
    world.update(frozenset({"selected_fulfillment_options"}))
    assert ("missing", "$.selected_fulfillment_options") in said(world.view())
    assert world.view().status == "incomplete"


def test_an_address_that_no_option_reaches_is_region_restricted() -> None:
    world = ready(lines={"book": 1})
    world.update(fulfillment_details={"address": BERLIN})
    assert said(world.view()) == [("region_restricted", "$.fulfillment_details.address")]
    assert world.view().status == "not_ready_for_payment"


def test_an_item_that_the_shop_cannot_deliver_at_all_is_unsupported() -> None:
    ways = {**SHOP["fulfillment"], "pickup": []}
    items = {"mug": ITEMS["mug"].model_copy(update={"fulfillment": ("pickup",)})}
    world = World(shop(fulfillment=ways), items, buyer={"email": "a@example.com"})
    assert said(world.view()) == [("unsupported", "$.line_items[0]")]
    assert world.view().status == "not_ready_for_payment"


# --- groups ---------------------------------------------------------------------------------------------------------


def group(name: str, kind: str, *item_ids: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "destination_type": kind, "item_ids": list(item_ids), **more}


def test_groups_go_to_places_of_their_own() -> None:
    """FUL-12: each parcel is paid for and taxed where it goes."""
    world = World(
        lines={"mug": 1, "lamp": 1, "song": 1},
        buyer={"email": "a@example.com"},
        fulfillment_details={"address": RENO},
        fulfillment_groups=[
            group("home", "shipping", "mug"),
            group("gift", "shipping", "lamp", fulfillment_details=LOCAL),
            group("file", "digital", "song"),
        ],
    )
    assert [g.id for g in world.view().fulfillment_groups or ()] == ["home", "gift", "file"]
    assert "corner" not in option_ids(world.view())
    view = world.update(selected_fulfillment_options=[choice("standard", "mug", "lamp")]).view()
    assert view.status == "ready_for_payment"
    assert totals(view)["fulfillment"] == 2 * 500
    by_item = {line.item.id: {t.type: t.amount for t in line.totals} for line in view.line_items}
    assert by_item["mug"]["tax"] == 0
    assert by_item["lamp"]["tax"] > 0


@pytest.mark.parametrize(
    ("groups", "param"),
    [
        ([group("a", "shipping", "mug")], "$.fulfillment_groups"),
        ([group("a", "shipping", "mug", "lamp", "mug")], "$.fulfillment_groups[0].item_ids[2]"),
        (
            [group("a", "shipping", "mug", "lamp"), group("b", "pickup", "lamp")],
            "$.fulfillment_groups[1].item_ids[0]",
        ),
        ([group("a", "shipping", "mug", "what")], "$.fulfillment_groups[0].item_ids[1]"),
        ([group("a", "digital", "mug", "lamp")], "$.fulfillment_groups[0].destination_type"),
        ([group("a", "shipping", "mug"), group("a", "shipping", "lamp")], "$.fulfillment_groups[1].id"),
    ],
)
def test_groups_that_do_not_cover_each_line_once_are_refused(
    groups: list[dict[str, Any]], param: str
) -> None:
    """FUL-12."""
    with pytest.raises(ProtocolError) as refused:
        World(lines={"mug": 1, "lamp": 1}, fulfillment_groups=groups)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert refusal(World(lines={"mug": 1, "lamp": 1}), fulfillment_groups=groups).param == param


def test_new_lines_outside_the_groups_are_asked_for() -> None:
    """FUL-12: an update of the lines alone shrinks the groups and says what is missing."""
    world = World(
        lines={"mug": 1, "lamp": 1},
        fulfillment_groups=[group("a", "shipping", "mug"), group("b", "pickup", "lamp")],
    )
    world.update(line_items=[{"id": "lamp"}, {"id": "book"}])
    assert [g.to_object() for g in world.view().fulfillment_groups or ()] == [group("b", "pickup", "lamp")]
    assert ("missing", "$.fulfillment_groups") in said(world.view())
    world.update(frozenset({"fulfillment_groups"}))
    assert ("missing", "$.fulfillment_groups") not in said(world.view())


def test_a_pickup_group_can_name_its_place() -> None:
    """FUL-12."""
    second = {**SHOP["fulfillment"]["pickup"][0], "id": "second"}
    two = {**SHOP["fulfillment"], "pickup": [*SHOP["fulfillment"]["pickup"], second]}
    world = World(
        shop(fulfillment=two), fulfillment_groups=[group("a", "pickup", "mug", location_id="second")]
    )
    assert option_ids(world.view()) == ["second"]


def test_a_group_without_an_address_of_its_own_is_asked_for_where_it_is_missing() -> None:
    world = World(
        lines={"mug": 1},
        fulfillment_groups=[group("a", "shipping", "mug", fulfillment_details={"name": "Ada"})],
    )
    assert ("missing", "$.fulfillment_groups[0].fulfillment_details.address") in said(world.view())


@pytest.mark.parametrize("option_id", ["standard", "digital"])
def test_option_ids_are_distinct_in_a_shop(option_id: str) -> None:
    ways = {**SHOP["fulfillment"], "pickup": [{**SHOP["fulfillment"]["pickup"][0], "id": option_id}]}
    with pytest.raises(ValidationError, match=option_id):
        Shop.model_validate({**SHOP, "fulfillment": ways})
