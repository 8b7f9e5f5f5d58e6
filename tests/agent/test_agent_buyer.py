"""A whole purchase by the scripted buyer, with every way in which it must not go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from acpref_agent import (
    AmountExceeded,
    AsyncClient,
    AsyncPaymentProviderClient,
    Client,
    CurrencyChanged,
    NotPurchasable,
    Options,
    PaymentDeclined,
    PaymentProviderClient,
    ProtocolViolation,
    Purchase,
    PurchaseRefused,
    TotalsMismatch,
    Wanted,
    match,
    purchase,
    purchase_async,
)
from acpref_protocol.models import Address, Buyer, FeedProduct, PaymentMethodCard

Make = Callable[..., dict[str, Any]]
Buy = Callable[..., Purchase]
NOW = 1_780_000_000  # 2026-05-28T20:26:40Z
WANTED = Wanted(
    item="teapot",
    quantity=2,
    max_total=3000,
    currency="usd",
    buyer=Buyer(email="ada@example.com", first_name="Ada", last_name="Park"),
    address=Address(
        name="Ada Park", line_one="1 Main St", city="Reno", state="NV", country="US", postal_code="89501"
    ),
    card=PaymentMethodCard(
        type="card",
        card_number_type="fpan",
        number="4242424242424242",
        exp_month="12",
        exp_year="2030",
        cvc="123",
        display_card_funding_type="credit",
        metadata={},
    ),
    delivery=("shipping",),
)
PRODUCTS = [
    {"id": "p0", "title": "Cup", "variants": [{"id": "sku_0", "title": "Blue"}]},
    {
        "id": "p1",
        "title": "Teapot",
        "variants": [
            {"id": "sku_9", "title": "Gold", "availability": {"available": False}},
            {"id": "sku_1", "title": "Red", "availability": {"available": True}},
        ],
    },
]
FEED = b"\n".join(json.dumps(product).encode() for product in PRODUCTS)
TOKEN = {"id": "vt_1", "created": "2026-05-28T20:26:40Z", "metadata": {}}


@pytest.fixture(params=["sync", "async"])
def buy(request: pytest.FixtureRequest, merchant: Any, provider: Any, options: Options) -> Buy:
    """Buys, with either client; the steps of the merchant's script come from the test."""
    fixed = replace(options, clock=lambda: NOW)

    def run(wanted: Wanted = WANTED, **named: Any) -> Purchase:
        if request.param == "sync":
            with (
                Client(merchant.url, "tok_m", options=fixed) as client,
                PaymentProviderClient(provider.url, "tok_p", options=fixed) as payments,
            ):
                return purchase(client, payments, wanted, **named)

        async def run_async() -> Purchase:
            async with (
                AsyncClient(merchant.url, "tok_m", options=fixed) as client,
                AsyncPaymentProviderClient(provider.url, "tok_p", options=fixed) as payments,
            ):
                return await purchase_async(client, payments, wanted, **named)

        return asyncio.run(run_async())

    return run


def play(merchant: Any, provider: Any, *sessions: dict[str, Any]) -> None:
    """The feed, then create (201) and the following answers (200); the provider gives a token."""
    merchant.reply(200, raw=FEED, content_type="application/jsonl")
    for index, document in enumerate(sessions):
        merchant.reply(201 if index == 0 else 200, document)
    provider.reply(201, TOKEN)


def test_a_purchase_goes_from_the_feed_to_the_order(
    buy: Buy, merchant: Any, provider: Any, session: Make, order: dict[str, Any]
) -> None:
    """CAP-01, FUL-09, FUL-11, PAY-12 to PAY-17, DP-REQ-02, DP-REQ-10, CHK-CMP-01, FEED-12."""
    opened = session(status="incomplete", fulfillment_options=[])
    play(merchant, provider, opened, session(), session(), session(status="completed", order=order))
    steps: list[str] = []
    bought = buy(on_step=lambda step, _: steps.append(step))
    assert (bought.order.id, bought.charged, bought.currency) == ("ord_1", 2600, "usd")
    assert bought.payment_token == "vt_1"
    assert "vt_1" not in repr(bought)
    assert steps == ["found", "created", "addressed", "delivery_chosen", "payment_delegated", "completed"]

    _, create, address, choose, complete = merchant.seen
    assert create.document["line_items"] == [{"id": "sku_1", "quantity": 2}]
    assert create.document["capabilities"] == {"interventions": {"supported": []}}
    assert address.document["fulfillment_details"]["address"] == WANTED.address.to_object()
    assert choose.document == {
        "selected_fulfillment_options": [{"type": "shipping", "option_id": "slow", "item_ids": ["li_1"]}]
    }
    (delegated,) = provider.seen
    assert delegated.headers["authorization"] == "Bearer tok_p"
    assert delegated.document["allowance"] == {
        "reason": "one_time",
        "max_amount": 2600,
        "currency": "usd",
        "checkout_session_id": "cs_1",
        "merchant_id": "merchant_1",
        "expires_at": "2026-05-28T20:41:40Z",
    }
    assert complete.path == "/checkout_sessions/cs_1/complete"
    assert complete.document == {
        "payment_data": {
            "handler_id": "card_tokenized",
            "instrument": {
                "id": "instrument_card_tokenized",
                "handler_id": "card_tokenized",
                "type": "card",
                "credential": {"type": "spt", "token": "vt_1"},
            },
        }
    }
    everything = b"".join(seen.body for seen in merchant.seen)
    assert b"4242" not in everything, "the merchant never sees the card"
    keys = [seen.headers["idempotency-key"] for seen in [create, address, choose, complete, delegated]]
    assert len(set(keys)) == 5


def test_the_token_does_not_outlive_the_session(
    buy: Buy, merchant: Any, provider: Any, session: Make, order: dict[str, Any]
) -> None:
    """DP-TOK-02."""
    soon = {"expires_at": "2026-05-28T22:30:00+02:00"}
    play(merchant, provider, *[session(**soon)] * 3, session(status="completed", order=order))
    buy()
    assert provider.seen[0].document["allowance"]["expires_at"] == "2026-05-28T20:30:00Z"


def test_discount_codes_are_sent_when_the_session_is_opened(
    buy: Buy, merchant: Any, provider: Any, session: Make, order: dict[str, Any]
) -> None:
    """DISC-01."""
    play(merchant, provider, *[session()] * 3, session(status="completed", order=order))
    buy(replace(WANTED, discount_codes=("SAVE10",)))
    assert merchant.seen[1].document["discounts"] == {"codes": ["SAVE10"]}


def test_a_completion_that_takes_its_time_is_looked_at_until_it_is_done(
    buy: Buy, merchant: Any, provider: Any, session: Make, order: dict[str, Any]
) -> None:
    """CHK-CMP-08."""
    working = session(status="complete_in_progress")
    play(merchant, provider, *[session()] * 3, working, session(status="completed", order=order))
    assert buy().order.id == "ord_1"
    assert (merchant.seen[-1].method, merchant.seen[-1].path) == ("GET", "/checkout_sessions/cs_1")


def test_a_declined_payment_is_told_apart(buy: Buy, merchant: Any, provider: Any, session: Make) -> None:
    """CHK-CMP-06."""
    message = {
        "type": "error",
        "code": "payment_declined",
        "content_type": "plain",
        "content": "Card declined.",
    }
    play(merchant, provider, *[session()] * 3, session(messages=[message]))
    with pytest.raises(PaymentDeclined, match=r"Card declined\."):
        buy()


def lying(session: Make) -> dict[str, Any]:
    document = session()
    document["totals"][-1]["amount"] = 1
    return document


def dearer(session: Make) -> dict[str, Any]:
    document = session()
    document["totals"][3]["amount"] += 401
    document["totals"][-1]["amount"] += 401
    return document


def other_items(session: Make) -> dict[str, Any]:
    document = session()
    document["line_items"][0]["quantity"] = 3
    return document


REFUSALS: list[tuple[Callable[[Make], dict[str, Any]], type[Exception]]] = [
    (lying, TotalsMismatch),
    (dearer, AmountExceeded),
    (other_items, ProtocolViolation),
    (lambda session: session(currency="eur"), CurrencyChanged),
]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(("change", "kind"), REFUSALS)
def test_nothing_is_delegated_when_any_answer_before_payment_is_not_as_agreed(
    buy: Buy,
    merchant: Any,
    provider: Any,
    session: Make,
    at: int,
    change: Callable[[Make], dict[str, Any]],
    kind: type[Exception],
) -> None:
    """CHK-TOT-03, CHK-STA-10."""
    play(merchant, provider, *[session()] * at, change(session))
    with pytest.raises(kind):
        buy()
    assert provider.seen == []


def no_handler(session: Make) -> dict[str, Any]:
    return session(capabilities={})


def nameless_handler(session: Make) -> dict[str, Any]:
    document = json.loads(json.dumps(session()))
    del document["capabilities"]["payment"]["handlers"][0]["config"]["merchant_id"]
    return dict(document)


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        (no_handler, NotPurchasable, "delegated cards"),
        (nameless_handler, ProtocolViolation, "merchant_id"),
        (lambda session: session(status="not_ready_for_payment"), NotPurchasable, "not_ready_for_payment"),
        (lambda session: session(status="some_day"), NotPurchasable, "some_day"),
    ],
)
def test_nothing_is_delegated_for_a_session_that_cannot_be_paid(
    buy: Buy, merchant: Any, provider: Any, session: Make, change: Any, kind: type[Exception], reason: str
) -> None:
    """PAY-07, PAY-14, CHK-STA-06."""
    play(merchant, provider, session(), session(), change(session))
    with pytest.raises(kind, match=reason):
        buy()
    assert provider.seen == []


def test_a_way_of_delivery_that_was_not_asked_for_is_not_taken(
    buy: Buy, merchant: Any, provider: Any, session: Make
) -> None:
    """FUL-10."""
    message = {
        "type": "error",
        "code": "region_restricted",
        "content_type": "plain",
        "content": "Not to Mars.",
    }
    play(merchant, provider, session(), session(messages=[message]))
    with pytest.raises(NotPurchasable, match=r"Not to Mars\."):
        buy(replace(WANTED, delivery=("pickup",)))


@pytest.mark.parametrize("change", ["dearer", "cheaper", "no_order", "foreign_order"])
def test_a_completed_session_must_be_what_was_agreed(
    buy: Buy, merchant: Any, provider: Any, session: Make, order: dict[str, Any], change: str
) -> None:
    """CHK-CMP-01."""
    done = session(status="completed", order=order)
    if change in {"dearer", "cheaper"}:
        step = 1 if change == "dearer" else -1
        done["totals"][4]["amount"] += step
        done["totals"][-1]["amount"] += step
    elif change == "no_order":
        del done["order"]
    else:
        done["order"] = {**order, "checkout_session_id": "cs_2"}
    play(merchant, provider, *[session()] * 3, done)
    with pytest.raises((PurchaseRefused, ProtocolViolation)):
        buy()


def test_an_item_that_the_feed_does_not_have_opens_no_session(buy: Buy, merchant: Any, provider: Any) -> None:
    """FEED-12."""
    play(merchant, provider)
    with pytest.raises(NotPurchasable, match="no such item"):
        buy(replace(WANTED, item="unicorn"))
    assert len(merchant.seen) == 1


@pytest.mark.parametrize(
    ("wanted", "found"), [("sku_9", "sku_9"), ("teapot", "sku_1"), ("RED teapot", "sku_1"), ("blue", "sku_0")]
)
def test_an_id_is_matched_exactly_and_words_only_to_what_is_available(wanted: str, found: str) -> None:
    products = [FeedProduct.model_validate(product) for product in PRODUCTS]
    assert match(products, wanted).id == found


def test_the_card_is_in_no_representation() -> None:
    """HTTP-14."""
    assert "4242" not in repr(WANTED)
