"""Charges: the allowance, the test cards, and money that adds up."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.psp.server import AGENT, MERCHANT, MERCHANT_ID, OTHER_MERCHANT, Psp, running

from acpref_protocol.card_numbers import brand_of, luhn
from acpref_psp.cards import TEST_CARDS, Verdict


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert set(response.json()) <= {"type", "code", "message", "param", "charge_id"}


def test_a_charge_within_the_allowance_is_authorised(psp: Psp) -> None:
    """DP-TOK-01."""
    token = psp.token()
    response = psp.charge(token, amount=2000)
    assert response.status_code == 201
    charge = response.json()
    assert charge.pop("id").startswith("ch_")
    assert charge == {
        "status": "authorized",
        "amount": 2000,
        "currency": "usd",
        "amount_captured": 0,
        "amount_refunded": 0,
        "token": token,
        "merchant_id": MERCHANT_ID,
        "checkout_session_id": "cs_1",
        "card": {"brand": "visa", "last4": "4242"},
        "created": "2026-04-12T13:20:00.000Z",
    }


def test_a_charge_can_take_the_money_at_once(psp: Psp) -> None:
    charge = psp.charge(psp.token(), capture=True).json()
    assert (charge["status"], charge["amount_captured"]) == ("captured", 1500)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 2001}, "amount_exceeds_allowance"),
        ({"currency": "eur"}, "wrong_currency"),
        ({"checkout_session_id": "cs_2"}, "wrong_session"),
        ({"token": OTHER_MERCHANT}, "wrong_merchant"),
    ],
)
def test_a_charge_outside_the_allowance_is_refused_and_leaves_the_token_usable(
    psp: Psp, changes: dict[str, Any], code: str
) -> None:
    """DP-TOK-01."""
    token = psp.token()
    refused = psp.charge(token, **changes)
    assert_refused(refused, 403, code)
    assert refused.json()["type"] == "allowance_violation"
    assert psp.charge(token).status_code == 201


def test_an_unknown_token_cannot_be_charged(psp: Psp) -> None:
    assert_refused(psp.charge("vt_nobody"), 403, "token_unknown")


def test_a_token_is_worthless_from_its_expiry_on(fresh: Psp) -> None:
    """DP-TOK-02."""
    early, late = fresh.token(), fresh.token()
    fresh.clock.now += 3_600_000 - 1
    assert fresh.charge(early).status_code == 201
    fresh.clock.now += 1
    assert_refused(fresh.charge(late), 403, "token_expired")


def test_a_one_time_token_pays_once(psp: Psp) -> None:
    """DP-TOK-03."""
    token = psp.token()
    charge = psp.charge(token).json()["id"]
    assert_refused(psp.charge(token), 403, "token_used")
    psp.post(f"/v1/charges/{charge}/void", {})
    assert_refused(psp.charge(token), 403, "token_used")


def test_a_decline_does_not_consume_the_token(psp: Psp) -> None:
    """DP-TOK-03."""
    token = psp.token(payment_method__number="4000000000000002")
    for _ in range(2):
        assert_refused(psp.charge(token), 402, "generic_decline")


def test_ten_concurrent_charges_on_one_token_pay_once(psp: Psp) -> None:
    """DP-TOK-03."""
    token = psp.token(allowance__checkout_session_id="cs_race")
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: psp.charge(token, checkout_session_id="cs_race", capture=True), range(10))
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 9
    assert [charge["status"] for charge in psp.charges(checkout_session_id="cs_race")] == ["captured"]


def test_a_repeated_charge_is_the_first_one(psp: Psp) -> None:
    """IDEM-14."""
    token = psp.token()
    first, second = psp.charge(token, key="charge-1"), psp.charge(token, key="charge-1")
    assert second.content == first.content
    assert second.headers["idempotent-replayed"] == "true"
    assert_refused(psp.charge(token, key="charge-1", amount=1), 422, "idempotency_conflict")


def test_a_charge_is_found_under_its_key_also_when_the_record_has_expired(fresh: Psp) -> None:
    """DP-TOK-03: a merchant that was down for days learns that its charge succeeded."""
    token = fresh.token()
    made = fresh.charge(token, key="k", capture=True).json()
    fresh.clock.advance(25 * 3600)
    late = fresh.charge(token, key="k", capture=True)
    assert (late.status_code, late.json()) == (201, made)
    assert_refused(fresh.charge(token, key="other", capture=True), 403, "token_used")
    fresh.clock.advance(25 * 3600)
    assert_refused(fresh.charge(token, key="k", amount=1), 403, "token_used")


def test_a_database_that_another_process_holds_is_unavailable_not_broken(tmp_path: Path) -> None:
    """ERR-07, DP-ERR-04, IDEM-16."""
    with running(tmp_path, busy_seconds=0.05) as psp:
        token = psp.token()
        with closing(sqlite3.connect(tmp_path / "psp.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = psp.charge(token, key="k")
            assert_refused(refused, 503, "service_unavailable")
            assert int(refused.headers["retry-after"]) >= 1
        assert psp.charge(token, key="k").status_code == 201


def test_every_test_card_is_a_possible_card() -> None:
    assert all(luhn(number) and brand_of(number) != "unknown" for number in TEST_CARDS)
    assert {outcome.verdict for outcome in TEST_CARDS.values()} == set(Verdict)


@pytest.mark.parametrize(
    "number", [n for n, outcome in TEST_CARDS.items() if outcome.verdict is Verdict.APPROVED]
)
def test_cards_of_every_brand_are_approved(psp: Psp, number: str) -> None:
    cvc = "1234" if brand_of(number) == "amex" else "123"
    charge = psp.charge(psp.token(payment_method__number=number, payment_method__cvc=cvc)).json()
    assert charge["status"] == "authorized"
    assert charge["card"] == {"brand": brand_of(number), "last4": number[-4:]}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "generic_decline"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000069", "expired_card"),
        ("4000002760003184", "authentication_required"),
    ],
)
def test_test_cards_choose_the_decline(psp: Psp, number: str, code: str) -> None:
    token = psp.token(payment_method__number=number, allowance__checkout_session_id=f"cs_{code}")
    refused = psp.charge(token, checkout_session_id=f"cs_{code}")
    assert_refused(refused, 402, code)
    assert refused.json()["type"] == "card_declined"
    (recorded,) = psp.charges(checkout_session_id=f"cs_{code}")
    assert (recorded["status"], recorded["decline_code"]) == ("declined", code)
    assert recorded["amount_captured"] == 0


def test_a_processing_error_answers_500_once_and_then_works(psp: Psp) -> None:
    """IDEM-16: the same key works, since nothing was recorded."""
    token = psp.token(payment_method__number="4000000000000119")
    assert_refused(psp.charge(token, key="flaky"), 500, "internal_server_error")
    assert psp.charge(token, key="flaky").status_code == 201


def test_the_slow_card_takes_its_time_and_holds_its_key(psp: Psp) -> None:
    token = psp.token(payment_method__number="4000000000006009")
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(r.status_code for r in pool.map(lambda _: psp.charge(token, key="slow"), range(2)))
    assert statuses == [201, 409]
    assert time.monotonic() - started >= 0.3
    assert psp.charge(token, key="slow").status_code == 201


def test_a_card_that_expires_between_token_and_charge_is_declined(fresh: Psp) -> None:
    token = fresh.token(
        payment_method__exp_month="04",
        payment_method__exp_year="2026",
        allowance__expires_at="2026-06-01T00:00:00Z",
    )
    fresh.clock.advance(20 * 86400)
    assert_refused(fresh.charge(token), 402, "expired_card")


def test_captures_add_up_to_at_most_the_authorisation(psp: Psp) -> None:
    charge = psp.charge(psp.token()).json()["id"]
    path = f"/v1/charges/{charge}/capture"
    assert_refused(psp.post(path, {"amount": 1501}), 422, "amount_too_large")
    assert psp.post(path, {"amount": 1000, "currency": "usd"}).json()["amount_captured"] == 1000
    assert_refused(psp.post(path, {"amount": 501}), 422, "amount_too_large")
    assert_refused(psp.post(path, {"amount": 1, "currency": "eur"}), 422, "wrong_currency")
    rest = psp.post(path, {}).json()
    assert (rest["amount_captured"], rest["status"]) == (1500, "captured")
    assert_refused(psp.post(path, {}), 422, "amount_too_large")


def test_concurrent_captures_never_take_more_than_the_authorisation(psp: Psp) -> None:
    charge = psp.charge(psp.token()).json()["id"]
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: psp.post(f"/v1/charges/{charge}/capture", {"amount": 400}), range(10))
        )
    assert sum(answer.status_code == 200 for answer in answers) == 3
    shown = psp.http.get(f"/v1/charges/{charge}", headers={"Authorization": f"Bearer {MERCHANT}"}).json()
    assert shown["amount_captured"] == 1200


def test_a_repeated_capture_takes_the_money_once(psp: Psp) -> None:
    """IDEM-14."""
    charge = psp.charge(psp.token()).json()["id"]
    answers = [psp.post(f"/v1/charges/{charge}/capture", {"amount": 100}, key="cap") for _ in range(3)]
    assert {answer.json()["amount_captured"] for answer in answers} == {100}


def test_refunds_add_up_to_at_most_what_was_captured(psp: Psp) -> None:
    charge = psp.charge(psp.token()).json()["id"]
    path = f"/v1/charges/{charge}/refund"
    assert_refused(psp.post(path, {"amount": 1}), 422, "charge_not_refundable")
    psp.post(f"/v1/charges/{charge}/capture", {"amount": 1000})
    assert_refused(psp.post(path, {"amount": 1001}), 422, "amount_too_large")
    first = psp.post(path, {"amount": 400, "currency": "usd"}, key="refund-1")
    assert first.status_code == 201
    assert first.json()["id"].startswith("re_")
    assert psp.post(path, {"amount": 400, "currency": "usd"}, key="refund-1").content == first.content
    assert psp.post(path, {}).json()["amount"] == 600
    assert_refused(psp.post(path, {"amount": 1}), 422, "amount_too_large")


def test_only_an_untouched_authorisation_can_be_voided(psp: Psp) -> None:
    charge, other = (psp.charge(psp.token()).json()["id"] for _ in range(2))
    assert psp.post(f"/v1/charges/{charge}/void", {}, key="v").json()["status"] == "voided"
    assert psp.post(f"/v1/charges/{charge}/void", {}, key="v").json()["status"] == "voided"
    assert_refused(psp.post(f"/v1/charges/{charge}/void", {}), 422, "charge_not_voidable")
    assert_refused(psp.post(f"/v1/charges/{charge}/capture", {}), 422, "charge_not_capturable")
    psp.post(f"/v1/charges/{other}/capture", {"amount": 1})
    assert_refused(psp.post(f"/v1/charges/{other}/void", {}), 422, "charge_not_voidable")


def test_a_charge_exists_for_its_merchant_only(psp: Psp) -> None:
    """AUTH-02."""
    charge = psp.charge(psp.token()).json()["id"]
    headers = {"Authorization": f"Bearer {OTHER_MERCHANT}"}
    assert psp.http.get(f"/v1/charges/{charge}", headers=headers).status_code == 404
    assert psp.http.get("/v1/charges", headers=headers).json()["data"] == []
    for action in ("capture", "void", "refund"):
        assert_refused(psp.post(f"/v1/charges/{charge}/{action}", {}, token=OTHER_MERCHANT), 404, "not_found")
    for token in (AGENT, "nobody"):
        assert_refused(psp.post("/v1/charges", {}, token=token), 401, "unauthorized")


def test_charges_are_listed_in_pages_and_by_status(fresh: Psp) -> None:
    made = [fresh.charge(fresh.token(), capture=bool(n % 2)).json()["id"] for n in range(5)]
    headers = {"Authorization": f"Bearer {MERCHANT}"}
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = fresh.http.get("/v1/charges", params={"limit": 2, "after": after}, headers=headers).json()
        seen += [charge["id"] for charge in page["data"]]
        after = page["next"]
    assert seen == made
    assert [charge["id"] for charge in fresh.charges(status="captured")] == made[1::2]
    for query in ({"limit": "0"}, {"limit": "x"}, {"after": "-1"}):
        assert fresh.http.get("/v1/charges", params=query, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"amount": 0}, "$.amount"),
        ({"amount": -5}, "$.amount"),
        ({"amount": "5"}, "$.amount"),
        ({"amount": True}, "$.amount"),
        ({"amount": 2**53}, "$.amount"),
        ({"currency": "USD"}, "$.currency"),
        ({"more": 1}, "$.more"),
        ({"capture": "yes"}, "$.capture"),
    ],
)
def test_a_charge_of_the_wrong_shape_is_refused(psp: Psp, changes: dict[str, Any], param: str) -> None:
    """ERR-06."""
    refused = psp.charge("vt_x", **changes)
    assert refused.status_code == 400
    assert refused.json()["param"] == param


def test_charges_need_a_key(psp: Psp) -> None:
    """IDEM-05."""
    response = psp.http.post("/v1/charges", json={}, headers={"Authorization": f"Bearer {MERCHANT}"})
    assert_refused(response, 400, "idempotency_key_required")


@pytest.mark.parametrize("where", ["authorize", "capture", "refund"])
def test_armed_faults_fail_as_often_as_armed(fresh: Psp, where: str) -> None:
    token = fresh.token()
    charge = fresh.charge(fresh.token(), capture=where == "refund").json()["id"]

    def act(key: str) -> httpx.Response:
        if where == "authorize":
            return fresh.charge(token, key=key)
        return fresh.post(f"/v1/charges/{charge}/{where}", {"amount": 100}, key=key)

    fresh.app.state.faults.arm(where, "error_500", 2)
    assert [act("k").status_code for _ in range(2)] == [500, 500]
    fresh.app.state.faults.arm(where, "drop_connection")
    with pytest.raises(httpx.RemoteProtocolError):
        act("k")
    replay = act("k")
    assert replay.is_success
    assert replay.headers["idempotent-replayed"] == "true", (
        "the effect had happened before the connection broke"
    )
    fresh.app.state.faults.arm(where, "timeout")
    started = time.monotonic()
    act("k2")
    assert time.monotonic() - started >= 0.6
    assert fresh.app.state.faults.pending() == {}


def test_unknown_faults_cannot_be_armed(psp: Psp) -> None:
    faults = psp.app.state.faults
    for where, kind, times in (("void", "slow", 1), ("capture", "fire", 1), ("capture", "slow", 0)):
        with pytest.raises(ValueError):
            faults.arm(where, kind, times)
    faults.arm("capture", "slow", 3)
    faults.clear()
    assert faults.pending() == {}
