"""Idempotency records: one key, one effect, whoever asks and whenever."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from acpref_merchant.store import Store, Tx, idempotency, meta
from acpref_merchant.store.idempotency import Claimed, Conflict, InFlight, Replay, Resumable

DAY = 24 * 3600 * 1000
KEY = {"agent_id": "agent_a", "path": "/checkout_sessions", "key": "k1"}


def _claim(
    store: Store, *, fingerprint: str = "f", now: int = 1000, lease_until: int = 6000, **key: str
) -> idempotency.Claim:
    values: dict[str, Any] = {**KEY, **key}
    return store.run_sync(
        lambda tx: idempotency.claim(
            tx, fingerprint=fingerprint, now=now, lease_until=lease_until, expires_at=now + DAY, **values
        )
    )


def _finish(store: Store, body: bytes = b'{"id":"cs_1"}', status: int = 201) -> None:
    headers = {"Content-Type": "application/json"}
    store.run_sync(lambda tx: idempotency.finish(tx, **KEY, status_code=status, headers=headers, body=body))


def test_the_first_request_claims_the_key(store: Store) -> None:
    assert _claim(store) == Claimed()


def test_a_finished_request_is_replayed_byte_for_byte(store: Store) -> None:
    """IDEM-11."""
    _claim(store)
    body = bytes(range(256)) + '{"é":"\\u0000"}'.encode()
    _finish(store, body, 409)
    assert _claim(store, now=DAY) == Replay(409, {"Content-Type": "application/json"}, body)


def test_another_body_is_a_conflict_when_finished_and_while_in_flight(store: Store) -> None:
    """IDEM-15, IDEM-17."""
    _claim(store)
    assert _claim(store, fingerprint="g") == Conflict()
    _finish(store)
    assert _claim(store, fingerprint="g") == Conflict()


def test_a_second_request_hears_until_when_the_first_may_run(store: Store) -> None:
    """IDEM-17, IDEM-18."""
    _claim(store, now=1000, lease_until=6000)
    assert _claim(store, now=5999) == InFlight(6000)


def test_a_lapsed_lease_is_taken_over_once_with_what_was_begun(store: Store) -> None:
    """IDEM-22."""
    _claim(store, now=1000, lease_until=6000, resource_id="pay_1")
    assert _claim(store, now=6000, lease_until=9000) == Resumable("pay_1")
    assert _claim(store, now=6000, lease_until=9500) == InFlight(9000)


def test_a_lapsed_request_with_another_body_is_still_a_conflict(store: Store) -> None:
    """IDEM-15: what was begun under the key may have had effects already."""
    _claim(store, now=1000, lease_until=6000)
    assert _claim(store, now=7000, fingerprint="g") == Conflict()


def test_a_lease_can_be_extended_while_in_flight_only(store: Store) -> None:
    _claim(store, lease_until=6000)
    assert store.run_sync(lambda tx: idempotency.extend(tx, **KEY, lease_until=20_000))
    assert _claim(store, now=19_999) == InFlight(20_000)
    _finish(store)
    assert not store.run_sync(lambda tx: idempotency.extend(tx, **KEY, lease_until=30_000))


def test_a_released_key_is_new_again_even_with_another_body(store: Store) -> None:
    """IDEM-16."""
    _claim(store)
    assert store.run_sync(lambda tx: idempotency.release(tx, **KEY))
    assert _claim(store, fingerprint="g") == Claimed()


def test_a_finished_request_is_neither_released_nor_finished_again(store: Store) -> None:
    """IDEM-11."""
    _claim(store)
    _finish(store, b"first")
    assert not store.run_sync(lambda tx: idempotency.release(tx, **KEY))
    _finish(store, b"second")
    replay = _claim(store)
    assert isinstance(replay, Replay)
    assert replay.body == b"first"


@pytest.mark.parametrize(
    "other", [{"agent_id": "agent_b"}, {"path": "/checkout_sessions/cs_1"}, {"key": "k2"}]
)
def test_a_key_belongs_to_one_agent_and_one_path(store: Store, other: dict[str, str]) -> None:
    """IDEM-04."""
    _claim(store)
    assert _claim(store, fingerprint="g", **other) == Claimed()


def test_an_expired_key_counts_as_new(store: Store) -> None:
    """IDEM-20."""
    _claim(store, now=1000)
    _finish(store)
    assert isinstance(_claim(store, now=1000 + DAY - 1), Replay)
    assert _claim(store, now=1000 + DAY, fingerprint="g") == Claimed()
    assert _claim(store, now=1001 + DAY, fingerprint="f") == Conflict()


def test_purging_deletes_expired_records_and_no_others(store: Store) -> None:
    """IDEM-20."""
    for n in range(5):
        _claim(store, key=f"old{n}", now=n)
    _claim(store, key="young", now=1000)
    assert store.run_sync(lambda tx: idempotency.purge(tx, DAY + 10, 3)) == 3
    assert store.run_sync(lambda tx: idempotency.purge(tx, DAY + 10, 3)) == 2
    assert store.run_sync(lambda tx: idempotency.purge(tx, DAY + 10, 3)) == 0
    assert isinstance(_claim(store, key="young", now=1001), InFlight)


def test_of_twenty_requests_at_once_one_acts_and_the_others_get_its_answer(store: Store) -> None:
    """IDEM-14."""

    def act(tx: Tx, n: int) -> str:
        claim = idempotency.claim(tx, **KEY, fingerprint="f", now=1, lease_until=1, expires_at=DAY)
        if isinstance(claim, Replay):
            return claim.body.decode()
        assert claim == Claimed()
        meta.put(tx, f"effect{n}", "1")
        idempotency.finish(tx, **KEY, status_code=201, headers={}, body=str(n).encode())
        return str(n)

    async def scenario() -> list[str]:
        return await asyncio.gather(*(store.run(lambda tx, n=n: act(tx, n)) for n in range(20)))  # type: ignore[misc]

    answers = Counter(asyncio.run(scenario()))
    assert list(answers.values()) == [20]
    effects = store.read_sync(lambda tx: [n for n in range(20) if meta.get(tx, f"effect{n}")])
    assert [str(n) for n in effects] == list(answers)


def test_a_key_whose_first_transaction_failed_is_claimed_by_the_one_that_waited(store: Store) -> None:
    def fail(tx: Tx) -> None:
        idempotency.claim(tx, **KEY, fingerprint="f", now=1, lease_until=1, expires_at=DAY)
        raise LookupError

    def act(tx: Tx) -> idempotency.Claim:
        return idempotency.claim(tx, **KEY, fingerprint="f", now=1, lease_until=2, expires_at=DAY)

    async def scenario() -> list[Any]:
        return await asyncio.gather(store.run(fail), store.run(fail), store.run(act), return_exceptions=True)

    results = asyncio.run(scenario())
    assert [type(result) for result in results] == [LookupError, LookupError, Claimed]
