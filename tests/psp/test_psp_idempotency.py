"""One effect per key, whatever clients and the machine do."""

from __future__ import annotations

import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.psp.server import OTHER_AGENT, Psp, body, running

HOUR = 3600


def rows(psp: Psp, table: str) -> int:
    with sqlite3.connect(psp.folder / "psp.db") as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_repeated_request_gets_the_same_bytes_and_no_second_token(fresh: Psp) -> None:
    """DP-IDEM-03, DP-IDEM-04, IDEM-11, IDEM-12, IDEM-14."""
    first, second = fresh.delegate(key="k"), fresh.delegate(key="k", Request_Id="req_9")
    assert (second.status_code, second.content) == (201, first.content)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["request-id"] == "req_9"
    assert rows(fresh, "vault_token") == 1


def test_the_meaning_of_bodies_is_compared_not_their_text(fresh: Psp) -> None:
    """IDEM-06, IDEM-07."""
    first = fresh.delegate(key="k")
    again = dict(reversed(body(allowance__max_amount=2000.0).items()))
    assert fresh.delegate(again, key="k").content == first.content


def test_another_body_under_the_key_is_a_conflict_without_effect(fresh: Psp) -> None:
    """DP-IDEM-02, IDEM-15, IDEM-08."""
    fresh.delegate(key="k")
    for other in (body(allowance__max_amount=2001), body(billing_address=...)):
        refused = fresh.delegate(other, key="k")
        assert refused.status_code == 422
        assert refused.json()["type"] == "invalid_request"
        assert refused.json()["code"] == "idempotency_conflict"
    assert rows(fresh, "vault_token") == 1


def test_a_key_belongs_to_its_identity(fresh: Psp) -> None:
    """IDEM-04."""
    first, second = fresh.delegate(key="k"), fresh.delegate(key="k", token=OTHER_AGENT)
    assert first.json()["id"] != second.json()["id"]


def test_a_key_belongs_to_its_path(fresh: Psp) -> None:
    """IDEM-04."""
    one, two = (fresh.charge(fresh.token()).json()["id"] for _ in range(2))
    captured = [fresh.post(f"/v1/charges/{charge}/capture", {}, key="same") for charge in (one, two)]
    assert [response.json()["id"] for response in captured] == [one, two]


def test_a_refusal_of_the_operation_is_replayed(fresh: Psp) -> None:
    """IDEM-11: a stored 4xx, also when it would be judged otherwise now."""
    expired = body(allowance__expires_at="2026-04-12T13:20:00Z")
    first = fresh.delegate(expired, key="k")
    fresh.clock.advance(-HOUR)
    second = fresh.delegate(expired, key="k")
    assert first.status_code == 422
    assert second.content == first.content
    assert second.headers["idempotent-replayed"] == "true"


def test_a_record_lives_a_day_and_then_the_key_is_new(fresh: Psp) -> None:
    """DP-IDEM-05, IDEM-20."""
    body_ = body(allowance__expires_at="2027-01-01T00:00:00Z")
    first = fresh.delegate(body_, key="k")
    fresh.clock.advance(24 * HOUR - 1)
    assert fresh.delegate(body_, key="k").content == first.content
    fresh.clock.advance(1)
    changed = fresh.delegate(body(allowance__expires_at="2027-01-02T00:00:00Z"), key="k")
    assert changed.status_code == 201
    assert changed.json()["id"] != first.json()["id"]


def test_records_past_their_day_are_purged(fresh: Psp) -> None:
    """DP-IDEM-05."""
    for _ in range(5):
        fresh.delegate()
    fresh.clock.advance(25 * HOUR)
    fresh.delegate(body(allowance__expires_at="2027-01-01T00:00:00Z"))
    assert rows(fresh, "idempotency_record") == 1


def test_a_server_error_is_not_recorded(fresh: Psp) -> None:
    """DP-IDEM-04, IDEM-16."""
    fresh.app.state.faults.arm("delegate_payment", "error_500")
    failed = fresh.delegate(key="k")
    assert failed.status_code == 500
    assert failed.json() == {
        "type": "processing_error",
        "code": "internal_server_error",
        "message": "The request could not be processed.",
    }
    again = fresh.delegate(body(allowance__max_amount=1999), key="k")
    assert again.status_code == 201
    assert "idempotent-replayed" not in again.headers


def test_while_the_first_request_runs_others_are_told_to_wait(fresh: Psp) -> None:
    """DP-IDEM-02, IDEM-17, IDEM-18."""
    fresh.app.state.faults.arm("delegate_payment", "slow")
    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(lambda _: fresh.delegate(key="k"), range(8)))
    statuses = sorted(response.status_code for response in same)
    assert statuses == [201] + [409] * 7
    for response in same:
        if response.status_code == 409:
            assert response.json()["code"] == "idempotency_in_flight"
            assert int(response.headers["retry-after"]) >= 1
    assert fresh.delegate(key="k").headers["idempotent-replayed"] == "true"


def test_a_different_body_during_the_first_request_is_a_conflict(fresh: Psp) -> None:
    """IDEM-17: the mismatch is permanent and already known."""
    fresh.app.state.faults.arm("delegate_payment", "slow")
    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(
            response.status_code
            for response in pool.map(
                lambda n: fresh.delegate(body(allowance__max_amount=n), key="k"), (1000, 1001)
            )
        )
    assert statuses == [201, 422]


def test_twenty_identical_concurrent_requests_make_one_token(fresh: Psp) -> None:
    """DP-IDEM-04."""

    def until_answered(_: int) -> str:
        while (response := fresh.delegate(key="k")).status_code == 409:
            pass
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    with ThreadPoolExecutor(20) as pool:
        tokens = set(pool.map(until_answered, range(20)))
    assert len(tokens) == 1
    assert rows(fresh, "vault_token") == 1


def test_the_same_key_in_two_processes_has_one_effect(tmp_path: Path) -> None:
    """DP-IDEM-04: the database decides, also when nobody shares memory."""
    with running(tmp_path) as one, running(tmp_path) as two:
        keys = [str(uuid.uuid4()) for _ in range(20)]

        def send(job: tuple[Psp, str]) -> tuple[str, str]:
            psp, key = job
            response = psp.delegate(key=key)
            assert response.status_code == 201, response.text
            return key, response.json()["id"]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, [(psp, key) for key in keys for psp in (one, two)]))
        assert len(set(answers)) == len(keys)
        assert rows(one, "vault_token") == len(keys)
