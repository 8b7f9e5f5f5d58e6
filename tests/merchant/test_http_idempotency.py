"""What an idempotency key means to a client: one effect, one answer, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.merchant.domain_world import RENO
from tests.merchant.shop_server import (
    BUYER,
    DECLINED,
    Agent,
    Json,
    ShopServer,
    assert_valid,
    choice,
    complete_body,
    create_body,
    path_of,
    raw_request,
    said,
    shop_server,
    total,
)

from acpref_merchant.operations.upkeep import purge
from acpref_merchant.settings import AgentSettings
from acpref_merchant.store import Tx, sessions

DAY_MS = 24 * 3_600_000
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(tmp_path_factory.mktemp("shop")) as server:
        yield server


@pytest.fixture
def agent(shop: ShopServer) -> Agent:
    return shop.agent


def replayed(response: httpx.Response) -> bool:
    return "idempotent-replayed" in response.headers


def insist(agent: Agent, path: str, body: Any, key: str) -> httpx.Response:
    """Repeat a request under its key, as agents do, until it is no longer in flight (IDEM-19)."""
    given_up = time.monotonic() + PATIENCE_SECONDS
    while (response := agent.post(path, body, key=key)).status_code == 409:
        assert response.json()["code"] == "idempotency_in_flight"
        assert time.monotonic() < given_up, "still in flight"
    return response


# --- the key ----------------------------------------------------------------------------------------------------------


def every_post(agent: Agent) -> list[tuple[str, Json]]:
    """Each kind of POST, such that it would be carried out."""
    ready = agent.ready({"song": 1})
    return [
        ("/checkout_sessions", create_body()),
        (path_of(agent.create()), {"buyer": BUYER}),
        (f"{path_of(ready)}/complete", complete_body(agent.token_for(ready))),
        (f"{path_of(agent.create())}/cancel", {}),
    ]


@pytest.mark.parametrize("key", [None, ""])
def test_every_post_needs_a_key(shop: ShopServer, agent: Agent, key: str | None) -> None:
    """IDEM-01, IDEM-02, IDEM-05: an empty one is none; nothing happens."""
    for path, body in every_post(agent):
        before = shop.counts()
        answer = agent.post(path, body, Idempotency_Key=key)
        agent.refused(answer, 400, "idempotency_key_required", "Idempotency-Key")
        assert shop.counts() == before


@pytest.mark.parametrize("key", ["k" * 256, "tab\there", "k" * 5000])
def test_a_key_that_cannot_be_one_is_refused(shop: ShopServer, agent: Agent, key: str) -> None:
    """IDEM-02."""
    before = shop.counts()
    agent.refused(agent.post("/checkout_sessions", create_body(), key=key), 400, "invalid", "Idempotency-Key")
    assert shop.counts() == before


@pytest.mark.parametrize("key", ["k", "k" * 255, "any text: 'a' \"b\" \\ {} ; =", "null"])
def test_a_key_is_not_interpreted(agent: Agent, key: str) -> None:
    """IDEM-02, HTTP-10."""
    first = agent.post("/checkout_sessions", create_body(), key=key)
    second = agent.post("/checkout_sessions", create_body(), key=key)
    assert (first.status_code, second.content) == (201, first.content)


# --- the replay -------------------------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer_and_has_no_effect(shop: ShopServer, agent: Agent) -> None:
    """IDEM-11, IDEM-12, IDEM-13, IDEM-14: for all four operations, to the byte."""
    for number, (path, body) in enumerate(every_post(agent)):
        first = agent.post(path, body, key=f"replay-{number}")
        assert (first.is_success, replayed(first)) == (True, False)
        before = (shop.counts(), shop.stock("song"), shop.provider.charges())
        second = agent.post(path, body, key=f"replay-{number}")
        assert (second.status_code, second.content, replayed(second)) == (
            first.status_code,
            first.content,
            True,
        )
        assert (shop.counts(), shop.stock("song"), shop.provider.charges()) == before


def test_a_replay_shows_the_session_as_it_was(agent: Agent) -> None:
    """IDEM-11, IDEM-13: also when it has changed since, and the change is not undone."""
    session = agent.create()
    first = agent.post(path_of(session), {"buyer": BUYER}, key="snapshot")
    changed = agent.update(session, buyer={"email": "bob@example.com"}, order_notes="later")
    again = agent.post(path_of(session), {"buyer": BUYER}, key="snapshot")
    assert again.content == first.content
    assert agent.read(session) == changed


def test_headers_play_no_part_in_the_comparison(agent: Agent) -> None:
    """IDEM-06, HTTP-08: the answer is the first one, under the Request-Id of the repetition."""
    first = agent.post("/checkout_sessions", create_body(), key="headers", User_Agent="one")
    again = agent.post(
        "/checkout_sessions", create_body(), key="headers", User_Agent="two", Accept_Language="de"
    )
    assert (again.content, replayed(again)) == (first.content, True)


SAME: list[tuple[str, str]] = [
    ('{"metadata": {"a": 1, "b": [1, 2]}, %s}', '{%s, "metadata": {"b": [1, 2], "a": 1}}'),
    ('{"metadata": {"n": 1}, %s}', '{"metadata":{"n":1.0},%s}'),
    ('{"metadata": {"n": 100}, %s}', '{"metadata": {"n": 1e2}, %s}'),
    ('{"metadata": {"n": 0}, %s}', '{"metadata": {"n": -0.0}, %s}'),
    ('{"metadata": {"n": "\\u00e9"}, %s}', '{"metadata": {"n": "é"}, %s}'),
    ('{"metadata": {"n": 12345678901234567}, %s}', ' {"metadata": {"n": 12345678901234567}, %s} \n'),
]
DIFFERENT: list[tuple[str, str]] = [
    ('{"metadata": {"n": null}, %s}', '{"metadata": {}, %s}'),
    ('{"metadata": {"n": [1, 2]}, %s}', '{"metadata": {"n": [2, 1]}, %s}'),
    ('{"metadata": {"n": 1}, %s}', '{"metadata": {"n": true}, %s}'),
    ('{"metadata": {"n": 1}, %s}', '{"metadata": {"n": "1"}, %s}'),
    ('{"metadata": {"n": 12345678901234567}, %s}', '{"metadata": {"n": 12345678901234568}, %s}'),
    ('{"discounts": {"codes": ["A"]}, %s}', '{"discounts": {"codes": ["B"]}, %s}'),
    ('{"discounts": {"codes": []}, %s}', "{%s}"),
]
REST = '"line_items": [{"id": "mug"}], "currency": "usd", "capabilities": {"extensions": ["discount"]}'


@pytest.mark.parametrize(("first", "second"), SAME)
def test_bodies_with_the_same_meaning_are_the_same_request(agent: Agent, first: str, second: str) -> None:
    """IDEM-06, IDEM-07, IDEM-09."""
    key = f"same-{SAME.index((first, second))}"
    one, two = (
        agent.post("/checkout_sessions", raw=(body % REST).encode(), key=key) for body in (first, second)
    )
    assert (one.status_code, two.content, replayed(two)) == (201, one.content, True)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_bodies_with_another_meaning_are_another_request(
    shop: ShopServer, agent: Agent, first: str, second: str
) -> None:
    """IDEM-07, IDEM-08, IDEM-15, IDEM-21: refused for good, without effect; the first answer stays."""
    key = f"different-{DIFFERENT.index((first, second))}"
    one = agent.post("/checkout_sessions", raw=(first % REST).encode(), key=key)
    assert one.status_code == 201
    before = shop.counts()
    for _ in range(2):
        two = agent.post("/checkout_sessions", raw=(second % REST).encode(), key=key)
        agent.refused(two, 422, "idempotency_conflict", "Idempotency-Key")
        assert not replayed(two)
    assert shop.counts() == before
    assert agent.post("/checkout_sessions", raw=(first % REST).encode(), key=key).content == one.content


def test_null_and_absence_are_two_updates(agent: Agent) -> None:
    """IDEM-08, IDEM-23, CHK-UPD-05."""
    session = agent.create(buyer=BUYER)
    agent.expect(200, agent.post(path_of(session), {"order_notes": "a"}, key="null"))
    answer = agent.post(path_of(session), {"order_notes": "a", "buyer": None}, key="null")
    agent.refused(answer, 422, "idempotency_conflict", "Idempotency-Key")
    assert agent.read(session)["buyer"] == BUYER


def test_no_body_and_an_empty_object_are_two_requests(agent: Agent) -> None:
    """IDEM-15, CHK-CAN-03."""
    session = agent.create()
    agent.expect(200, agent.post(f"{path_of(session)}/cancel", key="bodiless"))
    again = agent.post(f"{path_of(session)}/cancel", key="bodiless")
    assert (again.status_code, replayed(again)) == (200, True)
    agent.refused(
        agent.post(f"{path_of(session)}/cancel", {}, key="bodiless"),
        422,
        "idempotency_conflict",
        "Idempotency-Key",
    )


def test_a_key_belongs_to_one_agent_and_one_path(shop: ShopServer, agent: Agent) -> None:
    """IDEM-04: the concrete path, not the kind of operation."""
    first, second = agent.create(), agent.create()
    answers = [
        agent.post("/checkout_sessions", create_body(), key="shared"),
        shop.other.post("/checkout_sessions", create_body({"lamp": 1}), key="shared"),
        agent.post(path_of(first), {"buyer": BUYER}, key="shared"),
        agent.post(path_of(second), {"buyer": {"email": "bob@example.com"}}, key="shared"),
        agent.post(f"{path_of(first)}/cancel", key="shared"),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 200]
    assert not any(replayed(answer) for answer in answers)
    assert len({answer.json()["id"] for answer in answers}) == 4


def test_another_agents_key_reveals_nothing(shop: ShopServer, agent: Agent) -> None:
    """IDEM-04, AUTH-02."""
    session = agent.create()
    agent.expect(200, agent.post(path_of(session), {"buyer": BUYER}, key="private"))
    shop.other.refused(shop.other.post(path_of(session), {"buyer": BUYER}, key="private"), 404, "not_found")


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_a_refusal_that_was_decided_is_replayed(shop: ShopServer, agent: Agent) -> None:
    """IDEM-11: the stored 4xx, its headers included, also when it would go well by now."""
    session = agent.ready({"song": 1})
    closed = agent.cancel(agent.create())
    undecided = agent.create()
    for key, path, body, status in (
        ("unknown-item", "/checkout_sessions", create_body({"nothing": 1}), 400),
        ("unknown-session", path_of("cs_none"), {}, 404),
        ("closed", path_of(closed), {"buyer": BUYER}, 405),
        ("not-ready", f"{path_of(undecided)}/complete", complete_body("vt_1"), 400),
        ("bad-choice", path_of(session), {"selected_fulfillment_options": [choice("no", "song")]}, 400),
    ):
        first = agent.post(path, body, key=key)
        assert (first.status_code, replayed(first)) == (status, False)
        if key == "not-ready":
            assert (
                agent.update(undecided, buyer=BUYER, line_items=[{"id": "song"}])["status"]
                == "ready_for_payment"
            )
        again = agent.post(path, body, key=key)
        assert (again.status_code, again.content, replayed(again)) == (status, first.content, True)
        assert again.headers.get("allow") == first.headers.get("allow")
        other = agent.post(path, {**body, "order_notes": "x"}, key=key)
        agent.refused(other, 422, "idempotency_conflict", "Idempotency-Key")


def test_a_decline_is_replayed_and_the_next_attempt_needs_a_key_of_its_own(
    shop: ShopServer, agent: Agent
) -> None:
    """IDEM-11, IDEM-14, CHK-CMP-06."""
    session = agent.ready({"song": 1})
    body, path = complete_body(agent.token_for(session, DECLINED)), f"{path_of(session)}/complete"
    first = agent.post(path, body, key="declined")
    assert said(first.json()) == [("payment_declined", None)]
    agent.expect(200, agent.pay(session))
    again = agent.post(path, body, key="declined")
    assert (again.content, replayed(again)) == (first.content, True)
    assert agent.read(session)["status"] == "completed"


def test_what_never_reached_the_operation_is_not_stored(shop: ShopServer, agent: Agent) -> None:
    """IDEM-11, IDEM-15: after each of these refusals the same key is still free."""
    key = "still-free"
    good = json.dumps(create_body()).encode()
    rejected: list[tuple[dict[str, Any], int]] = [
        ({"raw": good, "Authorization": "Bearer nobody"}, 401),
        ({"raw": good, "Authorization": None}, 401),
        ({"raw": good, "API_Version": "2020-01-01"}, 400),
        ({"raw": good, "API_Version": None}, 400),
        ({"raw": good, "Content_Type": "text/plain"}, 415),
        ({"raw": b'{"broken"'}, 400),
        ({"raw": b"{}"}, 400),
        ({"raw": b"[" * 5000}, 400),
        ({"raw": b" " * 2_000_000}, 413),
    ]
    before = shop.counts()
    for request, status in rejected:
        answer = agent.post("/checkout_sessions", key=key, **request)
        assert (answer.status_code, replayed(answer)) == (status, False)
    assert shop.counts() == before
    assert agent.post("/checkout_sessions", raw=good, key=key).status_code == 201


# --- while it runs ----------------------------------------------------------------------------------------------------


def test_a_request_that_still_runs_is_in_flight(shop: ShopServer, agent: Agent) -> None:
    """IDEM-17, IDEM-18, IDEM-19, CHK-CMP-08: with Retry-After; another body is a conflict already."""
    session = agent.ready({"mug": 1})
    path, body = f"{path_of(session)}/complete", complete_body(agent.token_for(session))
    with ThreadPoolExecutor(1) as pool, shop.provider.gate.closed() as charge_arrives:
        first = pool.submit(agent.post, path, body, key="in-flight")
        charge_arrives()
        second = agent.post(path, body, key="in-flight")
        agent.refused(second, 409, "idempotency_in_flight", "Idempotency-Key")
        assert int(second.headers["retry-after"]) >= 1
        agent.refused(
            agent.post(path, complete_body("vt_other"), key="in-flight"),
            422,
            "idempotency_conflict",
            "Idempotency-Key",
        )
        # Nor does anything else get in between.
        assert agent.read(session)["status"] == "complete_in_progress"
        agent.refused(agent.post(path, body, key="another key"), 405, "session_closed")
        agent.refused(agent.post(path_of(session), {"buyer": BUYER}), 405, "session_closed")
        agent.refused(agent.post(f"{path_of(session)}/cancel"), 405, "session_not_cancelable")
        assert shop.stock("mug")[1] == 1
    done = first.result()
    assert (done.status_code, done.json()["status"], replayed(done)) == (200, "completed", False)
    again = agent.post(path, body, key="in-flight")
    assert (again.content, replayed(again)) == (done.content, True)
    assert len(shop.provider.charges(session["id"])) == 1


def test_a_session_that_is_being_completed_does_not_expire(shop: ShopServer, agent: Agent) -> None:
    """CHK-STA-08, CHK-CMP-08."""
    session = agent.ready({"song": 1})
    token = agent.token_for(session, expires_at="2036-01-01T00:00:00Z")
    with ThreadPoolExecutor(1) as pool, shop.provider.gate.closed() as charge_arrives:
        first = pool.submit(agent.pay, session, token)
        charge_arrives()
        shop.clock.now += 6 * 3_600_000
        assert agent.read(session)["status"] == "complete_in_progress"
        # By this clock the lease is over too: the recovery loop may finish it as well, with the same one charge.
    assert first.result().json()["status"] == "completed"
    assert len(shop.provider.charges(session["id"])) == 1


@pytest.mark.parametrize("failure", ["error_500", "drop_connection"])
def test_an_unknown_outcome_is_503_and_the_same_key_finishes(
    shop: ShopServer, agent: Agent, failure: str
) -> None:
    """IDEM-16, IDEM-22, ERR-07: with Retry-After; one charge and one order, whatever the provider had done."""
    session = agent.ready({"mug": 1})
    path, body = f"{path_of(session)}/complete", complete_body(agent.token_for(session))
    orders = shop.counts()["order"]
    shop.provider.fail(failure, 1000)
    try:
        for _ in range(3):
            answer = insist(agent, path, body, failure)
            assert (answer.status_code, answer.json()["type"]) == (503, "service_unavailable")
            assert not replayed(answer)
            assert int(answer.headers["retry-after"]) >= 1
        assert agent.read(session)["status"] == "complete_in_progress"
    finally:
        shop.provider.recover()
    done = insist(agent, path, body, failure)
    assert (done.status_code, done.json()["status"]) == (200, "completed")
    again = agent.post(path, body, key=failure)
    assert (again.content, replayed(again)) == (done.content, True)
    assert [one["status"] for one in shop.provider.charges(session["id"])] == ["captured"]
    assert shop.counts()["order"] == orders + 1
    assert shop.stock("mug")[1] == 0


def test_a_provider_that_failed_once_may_still_decline(shop: ShopServer, agent: Agent) -> None:
    """IDEM-16, CHK-CMP-06."""
    session = agent.ready({"mug": 1})
    path, body = f"{path_of(session)}/complete", complete_body(agent.token_for(session, DECLINED))
    shop.provider.fail("error_500")
    assert agent.post(path, body, key="late decline").status_code == 503
    declined = insist(agent, path, body, "late decline").json()
    assert (declined["status"], said(declined)) == ("ready_for_payment", [("payment_declined", None)])
    assert shop.stock("mug")[1] == 0


def test_a_client_that_goes_away_finds_its_purchase_done(shop: ShopServer, agent: Agent) -> None:
    """IDEM-11, IDEM-22: hanging up does not stop what was begun."""
    session = agent.ready({"mug": 1})
    path, body = f"{path_of(session)}/complete", complete_body(agent.token_for(session))
    host, _, port = shop.url.rpartition("//")[2].partition(":")
    with shop.provider.gate.closed() as charge_arrives:
        with socket.create_connection((host, int(port)), 20) as impatient:
            impatient.sendall(
                raw_request("POST", path, json.dumps(body).encode(), Idempotency_Key=b"hang up")
            )
            charge_arrives()
        agent.refused(agent.post(path, body, key="hang up"), 409, "idempotency_in_flight", "Idempotency-Key")
    done = insist(agent, path, body, "hang up")
    assert (done.status_code, done.json()["status"]) == (200, "completed")
    assert len(shop.provider.charges(session["id"])) == 1


def test_a_client_that_never_returns_gets_its_order_all_the_same(shop: ShopServer, agent: Agent) -> None:
    """IDEM-22, CHK-CMP-08: the server itself goes on; the key then has its answer."""
    session = agent.ready({"mug": 1})
    path, body = f"{path_of(session)}/complete", complete_body(agent.token_for(session))
    shop.provider.fail("drop_connection")
    assert agent.post(path, body, key="never returns").status_code == 503
    given_up = time.monotonic() + PATIENCE_SECONDS
    while (seen := agent.read(session))["status"] == "complete_in_progress":
        assert time.monotonic() < given_up, "nobody finished it"
    assert seen["status"] == "completed"
    answer = agent.post(path, body, key="never returns")
    assert (answer.status_code, replayed(answer), answer.json()) == (200, True, seen)
    assert [one["status"] for one in shop.provider.charges(session["id"])] == ["captured"]


# --- retention --------------------------------------------------------------------------------------------------------


def test_answers_are_kept_for_a_day_and_then_forgotten(shop: ShopServer, agent: Agent) -> None:
    """IDEM-20: the key then counts as new, without an error, whatever the body."""
    first = agent.post("/checkout_sessions", create_body(), key="a day")
    shop.clock.now += DAY_MS - 1
    assert agent.post("/checkout_sessions", create_body(), key="a day").content == first.content
    shop.clock.now += 1
    fresh = agent.post("/checkout_sessions", create_body({"lamp": 1}), key="a day")
    assert (fresh.status_code, replayed(fresh)) == (201, False)
    assert fresh.json()["id"] != first.json()["id"]


def test_the_purge_deletes_what_is_over_and_nothing_else(shop: ShopServer, agent: Agent) -> None:
    """IDEM-20."""
    agent.post("/checkout_sessions", create_body(), key="old")
    shop.clock.now += DAY_MS - 1
    asyncio.run(purge(shop.merchant))
    kept = shop.counts()["idempotency"]
    agent.post("/checkout_sessions", create_body(), key="young")
    shop.clock.now += 1
    assert asyncio.run(purge(shop.merchant)) == kept
    assert shop.counts()["idempotency"] == 1
    assert replayed(agent.post("/checkout_sessions", create_body(), key="young"))
    assert not replayed(agent.post("/checkout_sessions", create_body(), key="old"))


# --- all at once, on both databases -----------------------------------------------------------------------------------


def test_twenty_identical_requests_at_once_have_one_effect(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """IDEM-11, IDEM-14, IDEM-17, CHK-CMP-07: create, update, complete and cancel."""
    with shop_server(tmp_path_factory.mktemp("many"), store_url) as shop, ThreadPoolExecutor(20) as pool:
        agent = shop.agent
        session, doomed = agent.ready({"mug": 1}), agent.create()
        before = shop.counts()
        for path, body in (
            ("/checkout_sessions", create_body()),
            (path_of(session), {"order_notes": "once"}),
            (f"{path_of(session)}/complete", complete_body(agent.token_for(session))),
            (f"{path_of(doomed)}/cancel", {}),
        ):
            ready = Barrier(20)

            def one(path: str = path, body: Json = body, ready: Barrier = ready) -> httpx.Response:
                ready.wait()
                return insist(agent, path, body, "one key")

            answers = [job.result() for job in [pool.submit(one) for _ in range(20)]]
            assert {answer.status_code for answer in answers} <= {200, 201}
            assert len({answer.content for answer in answers}) == 1
            assert sum(not replayed(answer) for answer in answers) == 1
        after = shop.counts()
        assert {name: after[name] - before[name] for name in after} == {
            "checkout_session": 1,
            "idempotency": 4,
            "payment": 1,
            "order": 1,
            "outbox": 1,
        }
        assert len(shop.provider.charges()) == 1
        assert shop.stock("mug") == (999_999, 0)


def test_another_server_of_the_same_shop_knows_what_is_in_flight(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """IDEM-17, IDEM-22: the key is held by the database, not by the memory of a process."""
    with (
        shop_server(tmp_path_factory.mktemp("one"), store_url) as one,
        shop_server(tmp_path_factory.mktemp("two"), store_url) as two,
    ):
        session = one.agent.ready({"mug": 1})
        path, body = f"{path_of(session)}/complete", complete_body(one.agent.token_for(session))
        with ThreadPoolExecutor(1) as pool, one.provider.gate.closed() as charge_arrives:
            first = pool.submit(one.agent.post, path, body, key="k")
            charge_arrives()
            refused = two.agent.post(path, body, key="k")
            two.agent.refused(refused, 409, "idempotency_in_flight", "Idempotency-Key")
            # The lease is 15 seconds by default, and this clock stands still.
            assert refused.headers["retry-after"] == "15"
            two.agent.refused(
                two.agent.post(path, complete_body("vt_other"), key="k"),
                422,
                "idempotency_conflict",
                "Idempotency-Key",
            )
        again = two.agent.post(path, body, key="k")
        assert (again.content, replayed(again)) == (first.result().content, True)
        assert two.provider.charges() == []


def test_a_session_that_was_touched_while_it_was_being_paid_for_is_completed_all_the_same(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """CHK-CMP-01: whatever this process remembers of a session, the database knows better."""

    def touch(tx: Tx) -> None:
        stored = sessions.load(tx, session["id"], for_update=True)
        assert stored is not None
        sessions.save(tx, stored, stored.session)

    with shop_server(tmp_path_factory.mktemp("touched"), store_url) as shop, ThreadPoolExecutor(1) as pool:
        session = shop.agent.ready({"mug": 1})
        token = shop.agent.token_for(session)
        with shop.provider.gate.closed() as charge_arrives:
            paying = pool.submit(shop.agent.pay, session, token)
            charge_arrives()
            shop.merchant.store.run_sync(touch)
        answer = paying.result()
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")
        assert shop.agent.read(session)["status"] == "completed"
        assert len(shop.provider.charges()) == shop.counts()["order"] == 1


RACERS, UNITS = 50, 10


def test_fifty_agents_race_for_ten_units(tmp_path_factory: pytest.TempPathFactory, store_url: str) -> None:
    """CHK-SYS-01, CHK-CMP-01, CHK-CMP-05: ten orders, ten charges, nothing left, and nobody else has paid."""
    racers = [f"token-of-racer-number-{number}" for number in range(RACERS)]
    with (
        shop_server(
            tmp_path_factory.mktemp("race"),
            store_url,
            agents=tuple(
                AgentSettings(id=f"racer{n}", token=SecretStr(token)) for n, token in enumerate(racers)
            ),
        ) as shop,
        ThreadPoolExecutor(RACERS) as pool,
    ):
        assert shop.stock("contested") == (UNITS, 0)
        start = Barrier(RACERS)

        def race(token: str) -> tuple[str, Json, int]:
            agent = Agent(shop.http, shop.provider, shop.clock, token)
            session = agent.create(
                {"contested": 1}, buyer=BUYER, fulfillment_details={"address": RENO}, order_notes=token
            )
            session = agent.update(session, selected_fulfillment_options=[choice("standard", "contested")])
            # The provider knows the agents of the whole platform by one name.
            vault_token = shop.agent.token_for(session)
            start.wait(60)
            answer = agent.pay(session, vault_token)
            return session["id"], answer.json(), answer.status_code

        finished = list(pool.map(partial(race), racers))
        won = {session for session, answer, _ in finished if answer.get("status") == "completed"}
        assert len(won) == UNITS
        for session, answer, status in finished:
            if session in won:
                assert status == 200
                assert answer["order"]["checkout_session_id"] == session
            elif status == 200:
                assert ("out_of_stock", "$.line_items[0]") in said(answer)
            else:
                assert (status, answer["code"]) == (400, "not_ready_for_payment")
        assert shop.stock("contested") == (0, 0)
        charges = shop.provider.charges()
        assert {one["checkout_session_id"] for one in charges if one["status"] == "captured"} == won
        assert len(charges) == UNITS
        assert {one["amount"] for one in charges} == {2000}
        counts = shop.counts()
        assert (counts["order"], counts["payment"], counts["outbox"]) == (UNITS, UNITS, UNITS)


def test_different_requests_for_one_session_all_get_an_answer(
    tmp_path_factory: pytest.TempPathFactory, store_url: str
) -> None:
    """CHK-STA-01, IDEM-15: updates that meet happen one after the other; two completions pay once."""
    with shop_server(tmp_path_factory.mktemp("meet"), store_url) as shop, ThreadPoolExecutor(16) as pool:
        agent = shop.agent
        session = agent.create()
        notes = [{"order_notes": f"note {number}"} for number in range(16)]
        answers = list(pool.map(lambda body: agent.post(path_of(session), body), notes))
        assert {answer.status_code for answer in answers} == {200}
        payable = agent.ready({"mug": 1})
        tokens = [agent.token_for(payable) for _ in range(8)]
        paid = list(pool.map(lambda token: agent.pay(payable, token), tokens))
        assert sorted(answer.status_code for answer in paid) == [200] + [405] * 7
        (charge,) = shop.provider.charges()
        assert (charge["status"], charge["amount"]) == ("captured", total(payable))
        done = agent.read(payable)
        assert done["status"] == "completed"
        assert_valid(done, "CheckoutSessionWithOrder")


@pytest.mark.soak
@pytest.mark.parametrize("again", range(15))
@pytest.mark.parametrize(
    "scenario",
    [
        test_twenty_identical_requests_at_once_have_one_effect,
        test_fifty_agents_race_for_ten_units,
        test_different_requests_for_one_session_all_get_an_answer,
    ],
)
def test_whoever_meets_again_and_again_is_kept_apart_every_time(
    scenario: Callable[[pytest.TempPathFactory, str], None],
    again: int,
    tmp_path_factory: pytest.TempPathFactory,
    store_url: str,
) -> None:
    scenario(tmp_path_factory, store_url)
