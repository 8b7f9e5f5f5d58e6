"""Bodies that were good until something happened to them: never a 5xx, and a refusal changes nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.merchant.domain_world import RENO, SAN_FRANCISCO
from tests.merchant.shop_server import (
    BUYER,
    Json,
    ShopServer,
    choice,
    complete_body,
    create_body,
    path_of,
    shop_server,
)

Place = tuple[str | int, ...]

# The same examples on every run: what fails here, fails everywhere.
bounded = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    """A shop on each kind of database: what one of them cannot hold must not get that far."""
    folder = tmp_path_factory.mktemp("shop")
    if request.param == "sqlite":
        with shop_server(folder) as server:
            yield server
    else:
        database = request.getfixturevalue("postgres_server").database()
        with database as url, shop_server(folder, url) as server:
            yield server


# --- what can happen to a body ----------------------------------------------------------------------------------------

EXTREMES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63),
    10**30,
    0.5,
    -1e-300,
    1e308,
    "",
    " ",
    "x" * 20_000,
    "a\x00b",
    "\ud800",
    "\uffff\U0010ffff",
    "\u202etxet",
    "'; DROP TABLE item; --",
    "%00%s{0}${x}",
    "2026-02-30T00:00:00Z",
    "9999-12-31T23:59:60-23:59",
    "https://[::1",
    "shipping",
    [],
    {},
    [[]],
    [None, None],
    {"": ""},
    {"x" * 5_000: 1},
    {"$ref": "#"},
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
)
values = st.one_of(
    st.sampled_from(EXTREMES),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=6,
    ),
)


def places(value: Any, here: Place = ()) -> list[Place]:
    """Where every member and element of ``value`` is, the whole included."""
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    return [here, *(place for name, inner in members for place in places(inner, (*here, name)))]


def _at(document: Any, place: Place) -> Any:
    for name in place:
        document = document[name]
    return document


def _mutate(document: Any, place: Place, how: str, value: Any) -> Any:
    """``document`` with the one at ``place`` replaced, removed, repeated or joined by ``value``."""
    if not place:
        return value if how == "replace" else document
    name: Any = place[-1]
    parent = _at(document, place[:-1])
    if how == "remove":
        del parent[name]
    elif how == "repeat" and isinstance(parent, list):
        parent.extend([copy.deepcopy(parent[name])] * 3)
    elif how == "add" and isinstance(parent, dict):
        parent["unheard-of"] = value
    elif how == "wrap":
        parent[name] = [parent[name]]
    else:
        parent[name] = value
    return document


@st.composite
def mutations(draw: st.DrawFn, originals: list[Json]) -> Any:
    """One of ``originals``, changed in one to three places."""
    document: Any = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places(document)))
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "add", "wrap"]))
        document = _mutate(document, place, how, copy.deepcopy(draw(values)))
    return document


FULL_DETAILS: Json = {
    "name": "Ada",
    "phone_number": "+15551234567",
    "email": "ada@example.com",
    "address": {**RENO, "line_two": "2nd floor", "company": "Park Ltd"},
}
CREATES: list[Json] = [
    create_body(
        {"mug": 2, "song": 1},
        buyer={
            **BUYER,
            "phone_number": "+15551234567",
            "account_type": "business",
            "company": {"name": "Park Ltd", "tax_id": "1"},
            "authentication_status": "authenticated",
            "customer_id": "cust_ada",
            "loyalty": {"tier": "gold", "points_balance": 3},
            "tax_exemption": {"certificate_id": "c", "certificate_type": "resale"},
        },
        fulfillment_details=FULL_DETAILS,
        discounts={"codes": ["SAVE10", "ADA", "five"]},
        coupons=["SAVE10"],
        locale="de-DE",
        timezone="Europe/Berlin",
        quote_id="q",
        metadata={"a": [1, None, {"b": 1.5}]},
        order_notes="note",
        capabilities={
            "interventions": {"supported": ["3ds"], "display_context": "native", "max_redirects": 1},
            "extensions": ["discount@2026-01-27"],
        },
    ),
    create_body(
        {"mug": 1}, fulfillment_groups=[{"id": "g", "item_ids": ["mug"], "destination_type": "shipping"}]
    ),
]
UPDATES: list[Json] = [
    {
        "buyer": BUYER,
        "line_items": [{"id": "mug", "quantity": 2}, {"id": "lamp"}],
        "fulfillment_details": {"address": SAN_FRANCISCO},
        "selected_fulfillment_options": [
            choice("standard", "mug"),
            choice("bike", "lamp", kind="local_delivery"),
        ],
        "discounts": {"codes": ["SAVE10", "SOLO"]},
        "order_notes": "note",
    },
    {
        "fulfillment_groups": [
            {
                "id": "a",
                "item_ids": ["mug"],
                "destination_type": "shipping",
                "fulfillment_details": FULL_DETAILS,
            },
            {"id": "b", "item_ids": ["lamp"], "destination_type": "pickup"},
        ],
        "line_items": [{"id": "mug"}, {"id": "lamp"}],
        "coupons": ["MUGS"],
        "selected_fulfillment_options": None,
    },
]
# A token that nobody issued: whatever else is well with the body, the session stays payable.
COMPLETES: list[Json] = [
    complete_body(
        "vt_nobody",
        buyer=BUYER,
        risk_signals={"ip_address": "203.0.113.9", "user_agent": "x", "session_id": "s"},
        marketing_consents=[],
        order_notes="note",
        affiliate_attribution={"provider": "affiliate.example", "token": "t"},
    ),
    {"payment_data": {"purchase_order_number": "PO-1", "payment_terms": "net_30", "billing_address": RENO}},
]


def assert_an_answer(response: httpx.Response) -> None:
    """A session or a refusal; ``Agent`` has checked what it looks like."""
    assert response.status_code in {200, 201, 400, 404, 405, 413}, response.text


def test_the_bodies_were_good_before(shop: ShopServer) -> None:
    """What is mutated below is accepted as it stands."""
    agent = shop.agent
    for body in CREATES:
        assert agent.post("/checkout_sessions", body).status_code == 201
    for body in UPDATES:
        assert agent.post(path_of(agent.create()), body).status_code == 200
    answer = agent.post(f"{path_of(agent.ready({'song': 1}))}/complete", COMPLETES[0])
    assert answer.status_code == 200


def test_a_mutated_create_opens_a_session_or_is_refused(shop: ShopServer) -> None:
    """ERR-01, ERR-04, ERR-06: a session that was opened can be read again, one that was refused is not there."""

    @bounded
    @given(body=mutations(CREATES))
    def holds(body: Any) -> None:
        before = shop.counts()["checkout_session"]
        answer = shop.agent.post("/checkout_sessions", body)
        assert_an_answer(answer)
        opened = answer.status_code == 201
        assert shop.counts()["checkout_session"] == before + opened
        if opened:
            assert shop.agent.read(answer.json()) == answer.json()

    holds()


def test_a_mutated_update_is_done_as_a_whole_or_not_at_all(shop: ShopServer) -> None:
    """ERR-01, ERR-04, ERR-06, CHK-STA-01."""
    session = shop.agent.create({"mug": 1, "lamp": 1}, discounts={"codes": ["SAVE10"]})

    @bounded
    @given(body=mutations(UPDATES))
    def holds(body: Any) -> None:
        before = shop.agent.read(session)
        answer = shop.agent.post(path_of(session), body)
        assert_an_answer(answer)
        expected = answer.json() if answer.status_code == 200 else before
        assert shop.agent.read(session) == expected

    holds()


def test_a_mutated_complete_never_charges_by_accident(shop: ShopServer) -> None:
    """ERR-01, ERR-04, ERR-06, CHK-CMP-05, CAP-11."""
    session = shop.agent.ready({"mug": 1})
    stock = shop.stock("mug")

    @bounded
    @given(body=mutations(COMPLETES))
    def holds(body: Any) -> None:
        before = shop.agent.read(session)
        answer = shop.agent.post(f"{path_of(session)}/complete", body)
        assert_an_answer(answer)
        after = shop.agent.read(session)
        assert after["status"] == "ready_for_payment"
        if answer.status_code != 200:
            assert after == before
        assert shop.stock("mug") == stock

    holds()
    assert shop.provider.charges(session["id"]) == []


def test_mutated_bytes_are_json_or_refused(shop: ShopServer) -> None:
    """ERR-06: any bytes at any place of a good body."""
    good = json.dumps(CREATES[0], ensure_ascii=False).encode()

    @bounded
    @given(
        start=st.integers(0, len(good)),
        length=st.integers(0, 40),
        junk=st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b'"', b"{", b"]", b"NaN", b"\\u0000", b"\\ud800", b"\xff", b",", b'"a":1,', b"1e999"]
            ),
        ),
    )
    def holds(start: int, length: int, junk: bytes) -> None:
        answer = shop.agent.post("/checkout_sessions", raw=good[:start] + junk + good[start + length :])
        assert_an_answer(answer)

    holds()
