"""Card data that an agent puts where none belongs: refused with its place, kept nowhere, repeated nowhere (HTTP-14)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.merchant.shop_server import (
    APPROVED,
    BUYER,
    Agent,
    Json,
    ShopServer,
    complete_body,
    create_body,
    path_of,
    shop_server,
)

from acpref_merchant.http import card_data
from acpref_merchant.http.edge import LastResort

GROUPED = "4242 4242 4242 4242"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[ShopServer]:
    with shop_server(folder) as server:
        yield server


@pytest.fixture
def agent(shop: ShopServer) -> Agent:
    return shop.agent


@pytest.fixture
def clean(shop: ShopServer, folder: Path) -> Iterator[None]:
    """Nothing is written during the test, and no file has the number in it, however it is spaced."""
    before = shop.counts()
    yield
    assert shop.counts() == before
    assert_no_number(folder)


def assert_no_number(folder: Path) -> None:
    files = list(folder.glob("merchant.db*"))
    assert files
    for file in files:
        content = file.read_bytes()
        for spacing in (b"", b" ", b".", b"-"):
            assert spacing.join([b"4242"] * 4) not in content, file.name


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (create_body(buyer={**BUYER, "first_name": APPROVED}), "$.buyer.first_name"),
        (create_body(order_notes=f"charge {GROUPED} 12/30 137, please"), "$.order_notes"),
        (create_body(metadata={"a": [{"b": f"nr:{APPROVED}"}]}), "$.metadata.a[0].b"),
        (create_body(metadata={"n": int(APPROVED)}), "$.metadata.n"),
        (create_body(metadata={APPROVED: 1}), "$.metadata"),
        (create_body(metadata={"item_ids": [APPROVED]}), "$.metadata.item_ids[0]"),
        (create_body(metadata={"cvc": "137"}), "$.metadata.cvc"),
        (create_body(metadata={"card": {"Card-CVV": 137}}), "$.metadata.card['Card-CVV']"),
        (create_body(metadata={"card_security_code": "8675"}), "$.metadata.card_security_code"),
        (create_body(coupons=[APPROVED]), "$.coupons[0]"),
        ({**create_body(), APPROVED: 1}, "$"),
    ],
)
def test_card_data_in_a_session_is_refused_with_its_place(agent: Agent, body: Json, param: str) -> None:
    """HTTP-14, ERR-04: and never repeated, a member's name included."""
    answer = agent.post("/checkout_sessions", body)
    agent.refused(answer, 400, "invalid", param)
    assert APPROVED not in answer.text


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "escaped",
    [
        "".join(f"\\u{ord(digit):04x}" for digit in APPROVED),
        r"4242\n4242\n4242\n4242",
        r"4242\/4242\/4242\/4242",
    ],
)
def test_a_number_written_with_escapes_is_a_number(agent: Agent, escaped: str) -> None:
    """HTTP-14."""
    text = json.dumps(create_body(order_notes="?")).replace('"?"', f'"{escaped}"')
    agent.refused(agent.post("/checkout_sessions", raw=text.encode()), 400, "invalid", "$.order_notes")


def test_card_data_in_later_requests_is_refused_and_the_session_stays_as_it_was(
    shop: ShopServer, folder: Path, agent: Agent
) -> None:
    """HTTP-14, CHK-CMP-03: before it reaches the database or the payment provider."""
    session = agent.ready({"song": 1})
    path = path_of(session)
    token = "$.payment_data.instrument.credential.token"
    card = {"type": "card", "credential": {"type": "spt", "token": "vt_1"}}
    requests: list[tuple[str, Any, str]] = [
        (path, {"order_notes": GROUPED}, "$.order_notes"),
        (f"{path}/complete", complete_body("4242.4242.4242.4242"), token),
        (f"{path}/complete", complete_body(f"card {APPROVED}"), token),
        (f"{path}/complete", complete_body("vt_1", order_notes=APPROVED), "$.order_notes"),
        (
            f"{path}/complete",
            {"payment_data": {"handler_id": "card_tokenized", "instrument": {**card, "cvc": "137"}}},
            "$.payment_data.instrument.cvc",
        ),
        (
            f"{path}/cancel",
            {"intent_trace": {"reason_code": "other", "metadata": {"x": APPROVED}}},
            "$.intent_trace.metadata.x",
        ),
    ]
    before = shop.counts()
    for where, body, param in requests:
        agent.refused(agent.post(where, body), 400, "invalid", param)
    assert shop.counts() == before
    assert agent.read(session) == session
    assert agent.provider.charges(session["id"]) == []
    assert_no_number(folder)


@pytest.mark.usefixtures("clean")
def test_a_member_that_comes_twice_is_not_named_by_a_card_number(agent: Agent) -> None:
    """HTTP-14, ERR-06."""
    answer = agent.post("/checkout_sessions", raw=f'{{"{APPROVED}": 1, "{APPROVED}": 2}}'.encode())
    agent.refused(answer, 400, "invalid_json")
    assert APPROVED not in answer.text


@pytest.mark.usefixtures("clean")
def test_a_path_with_a_card_number_leads_nowhere(agent: Agent) -> None:
    """HTTP-14, IDEM-04: paths are kept with the answers of keys."""
    for path in (f"/checkout_sessions/{APPROVED}", f"/checkout_sessions/{APPROVED}/complete"):
        agent.refused(agent.post(path, complete_body("vt_1")), 404, "not_found")


def test_a_key_that_looks_like_a_card_number_works_and_is_not_kept(agent: Agent, folder: Path) -> None:
    """IDEM-02, IDEM-12, IDEM-15, HTTP-10, HTTP-14: keys are opaque, so this one is none to refuse."""
    first = agent.post("/checkout_sessions", create_body(), key=APPROVED)
    again = agent.post("/checkout_sessions", create_body(), key=APPROVED)
    assert (first.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = agent.post("/checkout_sessions", create_body({"lamp": 1}), key=APPROVED)
    agent.refused(other, 422, "idempotency_conflict", "Idempotency-Key")
    assert_no_number(folder)


def test_ids_of_items_may_be_any_number(agent: Agent) -> None:
    """CHK-CRE-07: they are the shop's own, and one that is unknown is refused as such."""
    answer = agent.post("/checkout_sessions", create_body({APPROVED: 1}))
    agent.refused(answer, 400, "invalid_item_id", "$.line_items[0].id")


def test_an_unexpected_failure_at_such_a_path_is_logged_without_it() -> None:
    """HTTP-14, ERR-07."""
    sent: list[Any] = []

    async def fail(*_: Any) -> None:
        raise LookupError

    async def send(message: Any) -> None:
        sent.append(message)

    with capture_logs() as log:
        for path in ("/orders/ord_1", f"/orders/{APPROVED}"):
            asyncio.run(LastResort(fail)({"type": "http", "path": path, "headers": []}, None, send))
    assert [entry["path"] for entry in log] == ["/orders/ord_1", "withheld"]
    assert [message["status"] for message in sent if "status" in message] == [500, 500]


@pytest.mark.parametrize(
    "text",
    [
        APPROVED,
        GROUPED,
        "1234 4242 4242 4242 4242",
        "4242\u00a04242\u20114242/4242",
        "\uff14\uff12\uff14\uff12" * 4,
        "\u0664\u0662" * 8,
        "3782 822463 10005",
        "378282246310005",
        "30569309025904",
        "5555555555554444",
        "2223003122003222",
        "6011111111111117",
        "3566002020360505",
        "6200000000000005",
        "\u5361\u53f74242424242424242\u3002",
    ],
)
def test_card_numbers_are_recognised_however_they_are_written(text: str) -> None:
    """HTTP-14."""
    assert card_data.holds_number(text)
    assert card_data.holds_number(f"before {text}, after")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "a4242424242424242",
        "15551230000",
        "4006381333931",
        "1776000000000000",
        "9007199254740991",
        "2026-04-12T13:20:00.000Z",
        "42424242-4242-4242-4242-424242424242",
    ],
)
def test_what_only_resembles_a_card_number_is_none(text: str) -> None:
    """HTTP-14: wrong check digits, phone and article numbers, times, UUIDs."""
    assert not card_data.holds_number(text)
