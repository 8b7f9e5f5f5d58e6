"""The policy of repeated deliveries, by the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpref_merchant.webhooks.endpoints import UnsafeEndpointError, WebhookEndpoint
from acpref_merchant.webhooks.retry import (
    LONGEST_PAUSE_MS,
    PATIENCE_MS,
    PATIENT_ATTEMPTS,
    REJECTED_ATTEMPTS,
    Answer,
    full_jitter,
    next_attempt,
    retry_after_ms,
)

NOW = 1_770_000_000_000


def attempts_until_dead(answer: Answer, created_at: int = NOW, start: int = NOW) -> tuple[int, int]:
    """How many attempts an event gets that always fails like this, and how old it is at the last."""
    now, attempts = start, 0
    while True:
        attempts += 1
        again = next_attempt(
            answer, attempts=attempts, created_at=created_at, now=now, jitter=lambda b: b // 2
        )
        if again is None:
            return attempts, now - created_at
        now = again


@pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 502, 503, 599])
def test_passing_trouble_is_retried_for_at_least_a_day(status: int | None) -> None:
    """WH-13."""
    attempts, age = attempts_until_dead(Answer(status))
    assert age >= PATIENCE_MS == 24 * 3_600_000
    assert attempts < 200


def test_an_event_that_waited_for_its_sender_for_days_still_gets_its_attempts() -> None:
    attempts, _ = attempts_until_dead(Answer(503), start=NOW + 3 * PATIENCE_MS)
    assert attempts == PATIENT_ATTEMPTS


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 422])
def test_a_mistake_is_retried_some_times_only(status: int) -> None:
    attempts, age = attempts_until_dead(Answer(status))
    assert attempts == REJECTED_ATTEMPTS
    assert 60_000 < age < 3_600_000


def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    assert attempts_until_dead(Answer(410)) == (1, 0)


@given(attempts=st.integers(1, 10_000), wait=st.none() | st.integers(0, 10**12))
def test_pauses_grow_within_their_bound_and_honour_retry_after(attempts: int, wait: int | None) -> None:
    answer = Answer(503, retry_after_ms=wait)
    bounds: list[int] = []

    def jitter(bound: int) -> int:
        bounds.append(bound)
        return full_jitter(bound)

    again = next_attempt(answer, attempts=attempts, created_at=NOW, now=NOW, jitter=jitter)
    assert again is not None
    assert bounds == [min(1000 * 2 ** (attempts - 1), LONGEST_PAUSE_MS)]
    assert min(wait or 0, LONGEST_PAUSE_MS) <= again - NOW <= LONGEST_PAUSE_MS


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0),
        (" 7 ", 7000),
        ("99999999999999999999", LONGEST_PAUSE_MS),
        ("Mon, 02 Feb 2026 02:41:00 GMT", 60_000),
        ("Mon, 02 Feb 2026 02:39:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("\u0663", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, expected: int | None) -> None:
    assert retry_after_ms(header, NOW) == expected


SECRET = b"a secret of 24 bytes ..."


@pytest.mark.parametrize(
    "base", ["https://agent.example", "http://127.0.0.1:8003/", "http://localhost:1", "http://[::1]:2"]
)
def test_receivers_are_https_or_on_this_machine(base: str) -> None:
    """WH-02."""
    endpoint = WebhookEndpoint(base, SECRET)
    assert endpoint.url == base.rstrip("/") + "/agentic_checkout/webhooks/order_events"
    assert "secret" not in repr(endpoint)


@pytest.mark.parametrize(
    "base",
    [
        "http://agent.example", "http://10.0.0.1", "http://169.254.169.254", "http://127.0.0.1.agent.example",
        "ftp://agent.example", "file:///etc/passwd", "agent.example", "//agent.example", "https://", "",
        "https://user:word@agent.example", "https://agent.example?x=1", "https://agent.example#x",
        "https://agent.example:port", "https://agent..example",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(base: str) -> None:
    with pytest.raises(UnsafeEndpointError):
        WebhookEndpoint(base, SECRET)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UnsafeEndpointError):
        WebhookEndpoint("https://agent.example", b"short")
