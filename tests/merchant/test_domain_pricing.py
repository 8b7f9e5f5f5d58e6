"""The price of a session: exact sums, discounts by priority, tax by destination and class."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merchant.domain_world import (
    BERLIN,
    RENO,
    SAN_FRANCISCO,
    SHOP,
    World,
    choice,
    ready,
    shop,
    totals,
)

from acpref_merchant.domain.item import Item
from acpref_merchant.domain.shop import Shop, Taxes
from acpref_merchant.domain.taxes import Destination, rules_at, tax_line
from acpref_protocol.models import CheckoutSession, LineItem


def test_a_plain_session_adds_up() -> None:
    """CHK-TOT-03, CHK-LIN-02: two mugs to a state without tax."""
    view = ready(lines={"mug": 2}).view()
    assert totals(view) == {
        "items_base_amount": 2400,
        "subtotal": 2400,
        "fulfillment": 500,
        "tax": 0,
        "total": 2900,
    }
    assert [(total.type, total.amount) for total in view.line_items[0].totals] == [
        ("items_base_amount", 2400),
        ("subtotal", 2400),
        ("tax", 0),
        ("total", 2400),
    ]


def test_tax_is_rounded_half_up_on_each_line_and_rule_and_told_by_jurisdiction() -> None:
    """CHK-TOT-04: city tax also falls on the cost of shipping, state tax does not."""
    world = World(lines={"mug": 1, "lamp": 1}, fulfillment_details={"address": SAN_FRANCISCO})
    world.update(selected_fulfillment_options=[choice("standard", "mug", "lamp")])
    view = world.view()
    # Shipping of 500 follows the goods: 103 to the mug, 397 to the lamp.
    # State: 1200 * 0.0725 = 87; 4599 * 0.0725 = 333.4275. City: 1303 * 0.01375 = 17.9; 4996 * 0.01375 = 68.695
    tax = next(total for total in view.totals if total.type == "tax")
    assert [(part.jurisdiction, part.rate, part.amount) for part in tax.breakdown or ()] == [
        ("California", 0.0725, 87 + 333),
        ("San Francisco", 0.01375, 18 + 69),
    ]
    assert tax.amount == 507
    assert totals(view)["total"] == 1200 + 4599 + 500 + 507


def test_goods_of_an_exempt_class_are_not_taxed_and_say_so() -> None:
    view = World(lines={"book": 1}, fulfillment_details={"address": SAN_FRANCISCO}).view()
    assert totals(view)["tax"] == 0
    assert view.line_items[0].tax_exempt is True
    assert view.line_items[0].tax_exemption_reason


def test_pickup_is_taxed_where_the_goods_are_handed_over() -> None:
    world = World(lines={"mug": 1}, fulfillment_details={"address": RENO})
    assert totals(world.view())["tax"] == 0
    world.update(selected_fulfillment_options=[choice("corner", "mug", kind="pickup")])
    assert totals(world.view())["tax"] == 87 + 17


def test_without_an_address_the_tax_entry_says_that_it_is_not_final() -> None:
    tax = next(total for total in World().view().totals if total.type == "tax")
    assert (tax.amount, tax.description) == (0, "Taxes are added once the address is known.")


def test_shipping_is_free_from_the_limit_on() -> None:
    below = ready(lines={"lamp": 2})
    assert totals(below.view())["fulfillment"] == 500
    above = ready(lines={"lamp": 3})
    assert totals(above.view())["fulfillment"] == 0


def test_shipping_by_weight_adds_the_rate_per_kilogram() -> None:
    world = World(lines={"mug": 3}, fulfillment_details={"address": RENO})
    world.update(selected_fulfillment_options=[choice("express", "mug")])
    assert totals(world.view())["fulfillment"] == 1000 + 300  # 1.2 kg at 250


def test_the_shown_cost_of_a_selected_option_is_what_it_costs_for_its_lines() -> None:
    world = World(lines={"mug": 1, "lamp": 1}, fulfillment_details={"address": RENO})
    world.update(
        selected_fulfillment_options=[choice("express", "mug"), choice("corner", "lamp", kind="pickup")]
    )
    view = world.view()
    shown = {option.id: option.totals[-1].amount for option in view.fulfillment_options}
    assert shown["express"] == 1000 + 100
    assert totals(view)["fulfillment"] == shown["express"] + shown["corner"]


# --- included taxes -------------------------------------------------------------------------------------------------

_GERMAN = {
    "currency": "eur",
    "taxes": {
        "rules": [
            {
                "jurisdiction": "Germany",
                "country": "DE",
                "rate": "0.19",
                "inclusive": True,
                "on_fulfillment": True,
            }
        ]
    },
    "fulfillment": {
        "shipping": [
            {
                "id": "standard",
                "title": "Standard",
                "countries": ["DE"],
                "amount": 500,
                "min_days": 1,
                "max_days": 3,
            }
        ]
    },
    "discounts": [],
}


def test_a_tax_that_prices_contain_changes_no_total_and_is_told_in_words() -> None:
    world = World(shop(**_GERMAN), lines={"mug": 1}, currency="EUR", fulfillment_details={"address": BERLIN})
    world.update(selected_fulfillment_options=[choice("standard", "mug")])
    view = world.view()
    assert totals(view) == {
        "items_base_amount": 1200,
        "subtotal": 1200,
        "fulfillment": 500,
        "tax": 0,
        "total": 1700,
    }
    tax = next(total for total in view.totals if total.type == "tax")
    assert tax.description == "Prices include 2.71 EUR of tax (Germany, 19%)."


@given(
    goods=st.integers(0, 10**9),
    delivery=st.integers(0, 10**6),
    rate=st.decimals("0", "1", places=4),
)
def test_an_included_tax_is_the_tax_on_what_remains_without_it(
    goods: int, delivery: int, rate: Decimal
) -> None:
    rule = {"jurisdiction": "x", "country": "DE", "rate": str(rate), "on_fulfillment": True}
    where = Destination("DE")

    def tax_of(inclusive: bool, amount: int, share: int) -> int:
        taxes = Taxes.model_validate({"rules": [{**rule, "inclusive": inclusive}]})
        (tax,) = tax_line(taxes, rules_at(taxes, where), "standard", amount, share)
        assert tax.inclusive is inclusive
        return tax.amount

    included = tax_of(True, goods, delivery)
    net = goods + delivery - included
    assert 0 <= included <= goods + delivery
    assert abs(tax_of(False, net, 0) - included) <= 1


states = st.sampled_from(["", "CA", "NV", "XX"])
postal_codes = st.sampled_from(["", "94110", "941", "A94"])
tax_rules = st.fixed_dictionaries(
    {
        "jurisdiction": st.sampled_from("abc"),
        "country": st.sampled_from(["US", "DE"]),
        "rate": st.sampled_from(["0.1", "0.10", "0.0725"]),
        "state": st.none() | st.sampled_from(["", "CA", "ca", "nv"]),
        "postal_prefix": st.none() | st.sampled_from(["", "94", "a"]),
    }
)


@given(st.lists(tax_rules, max_size=8), st.sampled_from(["US", "DE", "FR"]), states, postal_codes)
def test_the_rules_at_a_place_are_those_that_match_it_in_the_order_of_the_table(
    rules: list[dict[str, Any]], country: str, state: str, postal_code: str
) -> None:
    taxes = Taxes.model_validate({"rules": rules})
    assert rules_at(taxes, Destination(country, state, postal_code)) == [
        rule
        for rule in taxes.rules
        if rule.country == country
        and (rule.state is None or rule.state.upper() == state)
        and (rule.postal_prefix is None or postal_code.startswith(rule.postal_prefix.upper()))
    ]


def test_several_included_taxes_share_the_price_in_proportion_to_their_rates() -> None:
    rules = [
        {"jurisdiction": name, "country": "DE", "rate": rate, "inclusive": True}
        for name, rate in (("a", "0.10"), ("b", "0.15"))
    ]
    taxes = Taxes.model_validate({"rules": rules})
    found = tax_line(taxes, rules_at(taxes, Destination("DE")), "standard", 1250, 0)
    assert [tax.amount for tax in found] == [100, 150]


def test_a_rule_for_some_classes_leaves_the_others_alone() -> None:
    rule = {"jurisdiction": "x", "country": "US", "rate": "0.1", "classes": ["clothing"]}
    taxes = Taxes.model_validate({"rules": [rule]})
    rules = rules_at(taxes, Destination("US"))
    assert [tax.amount for tax in tax_line(taxes, rules, "clothing", 1000, 0)] == [100]
    assert tax_line(taxes, rules, "standard", 1000, 0) == []


@pytest.mark.parametrize("rate", [0.0825, "abc", "1.5", "-0.1"])
def test_a_rate_is_a_decimal_string_between_zero_and_one(rate: object) -> None:
    with pytest.raises(ValueError, match=r"rate|decimal"):
        Taxes.model_validate({"rules": [{"jurisdiction": "x", "country": "US", "rate": rate}]})


# --- properties -----------------------------------------------------------------------------------------------------

_rate = st.decimals("0", "0.3", places=4).map(str)
_rule = st.fixed_dictionaries(
    {
        "jurisdiction": st.sampled_from(["A", "B"]),
        "country": st.just("US"),
        "rate": _rate,
        "on_fulfillment": st.booleans(),
        "inclusive": st.booleans(),
        "classes": st.sampled_from([None, ["standard"], ["reduced"]]),
    }
)
_reduction = st.one_of(
    st.integers(0, 100).map(lambda percent: {"percent_off": percent}),
    st.integers(0, 20_000).map(lambda amount: {"amount_off": amount}),
)


@st.composite
def _discount_list(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {
            "id": f"d{index}",
            "name": f"Discount {index}",
            "code": draw(st.sampled_from([None, f"CODE{index}"])),
            "method": draw(st.sampled_from(["each", "across"])),
            "priority": draw(st.integers(1, 3)),
            "categories": draw(st.sampled_from([None, ["c0"], ["c1"]])),
            **draw(_reduction),
        }
        for index in range(draw(st.integers(0, 4)))
    ]


@st.composite
def _worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 5))
    items = {
        f"i{n}": Item(
            id=f"i{n}",
            product_id="p",
            title=f"Item {n}",
            unit_amount=draw(st.integers(0, 20_000)),
            category=f"c{n % 2}",
            tax_class=draw(st.sampled_from(["standard", "reduced", "exempt"])),
            weight_grams=draw(st.integers(0, 5000)),
            fulfillment=draw(
                st.sampled_from(
                    [("shipping",), ("digital",), ("shipping", "pickup"), ("digital", "shipping")]
                )
            ),
        )
        for n in range(count)
    }
    made: Shop = Shop.model_validate(
        {
            **SHOP,
            "taxes": {"rules": draw(st.lists(_rule, max_size=3))},
            "discounts": draw(_discount_list()),
        }
    )
    world = World(
        made,
        items,
        lines={item_id: draw(st.integers(1, 5)) for item_id in items},
        capabilities={"extensions": ["discount"]},
        discounts={"codes": [d.code for d in made.discounts if d.code]},
        fulfillment_details=draw(st.sampled_from([{}, {"address": RENO}, {"address": SAN_FRANCISCO}])),
    )
    choices: dict[tuple[str, str], list[str]] = {}
    offered = world.view().fulfillment_options
    for line in world.session.lines:
        ways = [o for o in offered if o.type in items[line.item_id].fulfillment]
        if ways and draw(st.booleans()):
            way = draw(st.sampled_from(ways))
            choices.setdefault((way.type, way.id), []).append(line.id)
    world.update(
        selected_fulfillment_options=[
            {"type": kind, "option_id": option, "item_ids": ids} for (kind, option), ids in choices.items()
        ]
    )
    return world


def _amount(shown: CheckoutSession | LineItem, kind: str) -> int:
    return sum(total.amount for total in shown.totals if total.type == kind)


@settings(deadline=None, max_examples=150)
@given(_worlds())
def test_every_session_adds_up(world: World) -> None:
    """CHK-TOT-03, DISC-09, DISC-13, DISC-14: session, lines, allocations and breakdown agree to the unit."""
    view = world.view()
    assert CheckoutSession.model_validate_json(view.to_json()) == view
    for shown in (view, *view.line_items):
        assert all(total.amount >= 0 for total in shown.totals)
        subtotal = _amount(shown, "items_base_amount") - _amount(shown, "items_discount")
        assert _amount(shown, "subtotal") == subtotal
        assert _amount(shown, "total") == (
            subtotal - _amount(shown, "discount") + _amount(shown, "fulfillment") + _amount(shown, "tax")
        )
    for kind in ("items_base_amount", "items_discount", "subtotal", "tax"):
        assert sum(_amount(line, kind) for line in view.line_items) == _amount(view, kind)
    tax = next(total for total in view.totals if total.type == "tax")
    assert sum(part.amount for part in tax.breakdown or ()) == tax.amount

    assert view.discounts is not None
    applied = view.discounts.applied or []
    for method, kind in (("each", "items_discount"), ("across", "discount")):
        assert sum(d.amount for d in applied if d.method == method) == _amount(view, kind)
    for discount in applied:
        if discount.method == "each" and discount.amount:
            assert sum(part.amount for part in discount.allocations or ()) == discount.amount
        assert (discount.automatic is True) == (discount.code is None)
    for line in view.line_items:
        assert sum(detail.amount for detail in line.discount_details or ()) == _amount(line, "items_discount")

    offered = {option.id: option for option in view.fulfillment_options}
    chosen = view.selected_fulfillment_options or []
    assert all(offered[c.option_id].type == c.type for c in chosen)
    cost = sum(offered[option].totals[-1].amount for option in {c.option_id for c in chosen})
    assert _amount(view, "fulfillment") == cost


@settings(deadline=None, max_examples=50)
@given(_worlds())
def test_showing_a_session_twice_shows_the_same(world: World) -> None:
    assert world.view().to_json() == world.view().to_json()
