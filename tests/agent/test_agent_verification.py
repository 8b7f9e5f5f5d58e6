"""Sums must be sums, in the agreed currency, within what was authorised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acpref_agent import (
    AmountExceeded,
    CurrencyChanged,
    ProtocolViolation,
    TotalsMismatch,
    check_session,
    check_totals,
)
from acpref_protocol.models import CheckoutSession

Make = Callable[..., dict[str, Any]]
PARTS = {
    "items_base_amount": 1,
    "items_discount": -1,
    "discount": -1,
    "fulfillment": 1,
    "tax": 1,
    "fee": 1,
    "gift_wrap": 1,
    "tip": 1,
    "store_credit": -1,
}


def entries(**amounts: int) -> list[dict[str, Any]]:
    return [{"type": kind, "display_text": kind, "amount": amount} for kind, amount in amounts.items()]


def read(document: dict[str, Any]) -> CheckoutSession:
    return CheckoutSession.model_validate(document)


def without_line_totals(session: Make, totals: list[dict[str, Any]]) -> CheckoutSession:
    line = {"id": "li", "item": {"id": "sku_1"}, "quantity": 1, "totals": []}
    return read(session(line_items=[line], totals=totals))


def test_a_session_that_adds_up_passes_and_gives_its_total(session: Make) -> None:
    """CHK-TOT-03."""
    assert (
        check_session(read(session()), session_id="cs_1", currency="USD", max_total=2600, agreed_total=2600)
        == 2600
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(st.sampled_from(sorted(PARTS)), st.integers(0, 10**9)),
    st.integers(-(10**9), 10**9).filter(bool),
)
def test_the_total_is_the_signed_sum_of_its_parts_and_nothing_else(
    session: Make, parts: dict[str, int], off: int
) -> None:
    """CHK-TOT-03."""
    total = sum(PARTS[kind] * amount for kind, amount in parts.items())
    right = without_line_totals(session, entries(**parts, total=max(total, 0)))
    if total >= 0:
        check_totals(right)
    else:
        with pytest.raises(TotalsMismatch):
            check_totals(right)
    with pytest.raises(TotalsMismatch):
        check_totals(without_line_totals(session, entries(**parts, total=total + off)))


def test_several_entries_of_one_type_count_together(session: Make) -> None:
    """CHK-TOT-03."""
    totals = [
        *entries(items_base_amount=100, discount=10, tax=5),
        *entries(discount=20, tax=3),
        *entries(total=78),
    ]
    check_totals(without_line_totals(session, totals))


def test_a_session_without_total_passes_while_nothing_is_due(session: Make) -> None:
    """CHK-TOT-03."""
    document = session(status="incomplete", totals=[])
    document["line_items"][0]["totals"] = []
    assert check_session(read(document), max_total=1) is None


@pytest.mark.parametrize(
    ("kind", "amount", "reason"),
    [
        ("total", 2599, "add up"),
        ("total", -2600, "negative"),
        ("subtotal", 1901, "subtotal"),
        ("items_base_amount", 2001, "add up"),
        ("items_discount", -100, "negative"),
    ],
)
def test_an_amount_that_lies_is_refused(session: Make, kind: str, amount: int, reason: str) -> None:
    """CHK-TOT-03."""
    document = session()
    next(e for e in document["totals"] if e["type"] == kind)["amount"] = amount
    with pytest.raises(TotalsMismatch, match=reason):
        check_totals(read(document))


@pytest.mark.parametrize("kind", ["items_base_amount", "items_discount"])
def test_lines_that_do_not_add_up_to_the_session_are_refused(session: Make, kind: str) -> None:
    """CHK-TOT-03, DISC-14."""
    document = session()
    next(e for e in document["line_items"][0]["totals"] if e["type"] == kind)["amount"] += 1
    with pytest.raises(TotalsMismatch, match=kind):
        check_totals(read(document))


def test_two_totals_are_refused(session: Make) -> None:
    document = session()
    document["totals"] += entries(total=2600)
    with pytest.raises(TotalsMismatch, match="more than one"):
        check_totals(read(document))


def test_another_session_another_currency_or_a_higher_total_is_refused(session: Make) -> None:
    with pytest.raises(ProtocolViolation, match="another session"):
        check_session(read(session()), session_id="cs_2")
    with pytest.raises(CurrencyChanged) as changed:
        check_session(read(session(currency="eur")), currency="usd")
    assert (changed.value.expected, changed.value.actual) == ("usd", "eur")
    with pytest.raises(AmountExceeded) as exceeded:
        check_session(read(session()), max_total=2599)
    assert (exceeded.value.total, exceeded.value.limit) == (2600, 2599)
    with pytest.raises(AmountExceeded):
        check_session(read(session()), agreed_total=2599)
    with pytest.raises(TotalsMismatch, match="agreed"):
        check_session(read(session()), agreed_total=2601)
