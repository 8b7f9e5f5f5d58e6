"""Discounts: which codes count, why others do not, and where the money comes off."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.merchant.domain_world import NOW, SHOP, World, choice, ready, said, shop, totals

from acpref_merchant.domain.shop import Shop
from acpref_protocol.errors import ProtocolError
from acpref_protocol.models import CheckoutSession, DiscountsResponse


def discounts(view: CheckoutSession) -> DiscountsResponse:
    assert view.discounts is not None
    return view.discounts


def rejections(world: World, **more: Any) -> list[tuple[str, str]]:
    return [(code.code, code.reason) for code in discounts(world.view(**more)).rejected or ()]


def test_a_discount_on_items_shows_on_its_lines_with_allocations() -> None:
    """DISC-05, DISC-06, DISC-09, DISC-13, DISC-14, DISC-20."""
    view = ready(lines={"mug": 2, "lamp": 1}, discounts={"codes": ["save10"]}).view()
    (applied,) = discounts(view).applied or ()
    assert applied.to_object() == {
        "id": "di_ten",
        "code": "save10",
        "coupon": {"id": "ten", "name": "Ten per cent", "percent_off": 10, "duration": "once"},
        "amount": 700,
        "method": "each",
        "priority": 1,
        "allocations": [
            {"path": "$.line_items[0]", "amount": 240},
            {"path": "$.line_items[1]", "amount": 460},
        ],
    }
    assert totals(view)["items_discount"] == 700
    assert "discount" not in totals(view)
    (detail,) = view.line_items[1].discount_details or ()
    assert (detail.type, detail.amount, detail.code, detail.source) == ("percentage", 460, "save10", "coupon")


def test_a_discount_on_the_order_shows_as_discount_without_allocations() -> None:
    """DISC-08, DISC-13."""
    view = ready(discounts={"codes": ["FIVE"]}).view()
    (applied,) = discounts(view).applied or ()
    assert (applied.method, applied.amount, applied.allocations) == ("across", 500, None)
    assert (applied.coupon.amount_off, applied.coupon.currency) == (500, "usd")
    assert totals(view)["discount"] == 500
    assert "items_discount" not in totals(view)
    assert totals(view)["total"] == 1200 - 500 + 500


def test_lower_priorities_come_first_and_later_ones_see_what_is_left() -> None:
    """DISC-08: the reductions do not commute, so the order is seen in the amounts."""
    rules = [
        {"id": "late", "name": "Half", "code": "HALF", "percent_off": 50, "priority": 2},
        {"id": "early", "name": "Off", "code": "OFF", "amount_off": 200, "method": "across", "priority": 1},
    ]
    view = ready(the_shop=shop(discounts=rules), discounts={"codes": ["HALF", "OFF"]}).view()
    assert [(d.id, d.amount) for d in discounts(view).applied or ()] == [("di_early", 200), ("di_late", 500)]


def test_no_discount_takes_more_than_is_left() -> None:
    """DISC-14: nothing becomes negative."""
    rules = [{"id": "much", "name": "Much", "code": "MUCH", "amount_off": 99_999, "method": "across"}]
    view = ready(the_shop=shop(discounts=rules), discounts={"codes": ["MUCH"]}).view()
    assert (totals(view)["discount"], totals(view)["total"]) == (1200, 500)


def test_an_order_discount_lowers_the_taxed_amount() -> None:
    address = {"address": {**SHOP["fulfillment"]["pickup"][0]["place"]}}
    world = World(discounts={"codes": ["FIVE"]}, fulfillment_details=address)
    assert totals(world.view())["tax"] == 51 + 10  # 700 at 7.25% and 1.375%


def test_an_automatic_discount_needs_no_code() -> None:
    """DISC-04, DISC-07: listed with automatic true and no code when the extension is active."""
    rules = [{"id": "auto", "name": "Spring", "percent_off": 10, "minimum_subtotal": 2000}]
    capabilities = {"extensions": ["discount"]}
    world = World(shop(discounts=rules), lines={"mug": 2}, capabilities=capabilities)
    (applied,) = discounts(world.view()).applied or ()
    assert (applied.automatic, applied.code, applied.amount) == (True, None, 240)
    world.update(line_items=[{"id": "mug"}])
    assert discounts(world.view()).to_object() == {"codes": [], "applied": []}


def test_codes_match_whatever_their_case_and_are_echoed_as_sent() -> None:
    """DISC-03."""
    view = ready(discounts={"codes": ["sAvE10"]}).view()
    assert discounts(view).codes == ["sAvE10"]
    assert [d.code for d in discounts(view).applied or ()] == ["sAvE10"]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["OLD"], "discount_code_expired"),
        (["NEVER-HEARD"], "discount_code_invalid"),
        (["SOON"], "discount_code_invalid"),
        (["SAVE10", "save10"], "discount_code_already_applied"),
        (["SAVE10", "SOLO"], "discount_code_combination_disallowed"),
        (["SOLO", "SAVE10"], "discount_code_combination_disallowed"),
        (["BIG"], "discount_code_minimum_not_met"),
        (["MEMBER"], "discount_code_user_not_logged_in"),
    ],
)
def test_each_rejection_has_its_reason_and_a_warning_and_is_no_error(codes: list[str], reason: str) -> None:
    """DISC-10, DISC-11, DISC-12."""
    world = ready(lines={"lamp": 1}, discounts={"codes": codes})
    assert rejections(world) == [(codes[-1], reason)]
    assert said(world.view(), "warning") == [(reason, f"$.discounts.codes[{len(codes) - 1}]")]
    assert world.view().status == "ready_for_payment"
    assert len(discounts(world.view()).applied or ()) == len(codes) - 1


def test_a_code_for_other_goods_is_rejected() -> None:
    """DISC-11."""
    assert rejections(ready(lines={"lamp": 1}, discounts={"codes": ["MUGS"]})) == [
        ("MUGS", "discount_code_invalid")
    ]


def test_a_code_for_some_customers_wants_the_right_one_signed_in() -> None:
    """DISC-11: discount_code_user_ineligible and discount_code_user_not_logged_in."""
    world = ready(discounts={"codes": ["ADA"]})
    assert rejections(world) == [("ADA", "discount_code_user_not_logged_in")]
    buyer = {"email": "b@example.com", "authentication_status": "authenticated", "customer_id": "cust_bob"}
    assert rejections(world.update(buyer=buyer)) == [("ADA", "discount_code_user_ineligible")]
    assert rejections(world.update(buyer={**buyer, "customer_id": "cust_ada"})) == []


def test_a_code_is_used_up_after_its_limit_of_orders() -> None:
    """DISC-11: discount_code_usage_limit_reached."""
    world = ready(discounts={"codes": ["FEW"]})
    assert rejections(world, redeemed={"few": 2}) == []
    assert rejections(world, redeemed={"few": 3}) == [("FEW", "discount_code_usage_limit_reached")]


def test_a_code_expires_while_the_session_is_open() -> None:
    rules = [{"id": "x", "name": "X", "code": "X", "percent_off": 10, "ends_at": "2026-01-01T00:00:01Z"}]
    world = ready(the_shop=shop(discounts=rules), discounts={"codes": ["X"]})
    assert rejections(world) == []
    world.now = NOW + 1000
    assert rejections(world) == [("X", "discount_code_expired")]
    assert said(world.view(), "warning")[0] == ("price_change", "$.totals[?@.type=='total']")


def test_submitted_codes_replace_the_earlier_ones() -> None:
    """DISC-01, DISC-02: a list replaces, an empty list removes, absence keeps, null clears."""
    world = World(discounts={"codes": ["SAVE10"]})
    assert world.update(buyer={"email": "a@example.com"}).session.discount_codes == ("SAVE10",)
    assert world.update(discounts={"codes": ["FIVE"]}).session.discount_codes == ("FIVE",)
    assert world.update(discounts={}).session.discount_codes == ("FIVE",)
    assert world.update(discounts={"codes": []}).session.discount_codes == ()
    world.update(discounts={"codes": ["FIVE"]}).update(frozenset({"discounts"}))
    assert world.session.discount_codes == ()


def test_coupons_are_an_alias_that_discounts_override() -> None:
    """DISC-15."""
    assert World(coupons=["SAVE10"]).session.discount_codes == ("SAVE10",)
    both = World(coupons=["SAVE10"], discounts={"codes": ["FIVE"]})
    assert both.session.discount_codes == ("FIVE",)
    assert both.update(coupons=["SAVE10"]).session.discount_codes == ("SAVE10",)


def test_too_many_codes_are_refused_so_that_they_cannot_be_tried_out_in_bulk() -> None:
    """DISC-17."""
    with pytest.raises(ProtocolError) as refused:
        World(discounts={"codes": [str(n) for n in range(21)]})
    assert (refused.value.status, refused.value.param) == (400, "$.discounts.codes")


def test_discounts_are_shown_to_agents_that_never_declared_the_extension_if_they_sent_codes() -> None:
    """DISC-01, DISC-16."""
    assert World().view().discounts is None
    assert World(discounts={"codes": ["SAVE10"]}).view().discounts is not None
    assert World(capabilities={"extensions": ["discount"]}).view().discounts is not None


@pytest.mark.parametrize("length", [40, 41, 5000])
def test_a_long_code_is_quoted_shortly(length: int) -> None:
    view = World(discounts={"codes": ["x" * (length - 1) + "\n"]}).view()
    (rejected,) = discounts(view).rejected or ()
    assert len(rejected.message or "") < 90
    assert "\n" not in (rejected.message or "")


@pytest.mark.parametrize(
    "rules",
    [
        [{"id": "a", "name": "A"}],
        [{"id": "a", "name": "A", "percent_off": 1, "amount_off": 1}],
        [{"id": "a", "name": "A", "percent_off": 1}, {"id": "a", "name": "B", "percent_off": 2}],
        [
            {"id": "a", "name": "A", "code": "X", "percent_off": 1},
            {"id": "b", "name": "B", "code": "x", "percent_off": 2},
        ],
        [{"id": "a", "name": "A", "percent_off": 1, "ends_at": "2026-01-01T00:00:00"}],
    ],
)
def test_ambiguous_discounts_are_refused_at_configuration(rules: list[dict[str, Any]]) -> None:
    """DISC-03, DISC-06."""
    with pytest.raises(ValidationError):
        Shop.model_validate({**SHOP, "discounts": rules})


def test_a_free_order_is_possible() -> None:
    rules = [{"id": "all", "name": "All", "code": "ALL", "percent_off": 100}]
    world = World(shop(discounts=rules), buyer={"email": "a@example.com"}, discounts={"codes": ["ALL"]})
    world.update(selected_fulfillment_options=[choice("corner", "mug", kind="pickup")])
    assert totals(world.view())["total"] == 0
    assert world.view().status == "ready_for_payment"
