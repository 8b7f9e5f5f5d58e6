"""Retrying, decided without any network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acpref_agent.exceptions import TransportError
from acpref_agent.flow import Request, Response, Retry, exchange

REQUEST = Request("POST", "https://example.com/x", {"Idempotency-Key": "k"}, b"{}")


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answer(status: int, code: str = "c", **headers: str) -> Response:
    body = {"type": "invalid_request", "code": code, "message": "m"}
    names = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return Response(status, names, json.dumps(body).encode())


IN_FLIGHT = answer(409, "idempotency_in_flight", retry_after="3")


def play(answers: list[Response | Exception], retry: Retry, clock: Clock) -> tuple[list[Request], Any]:
    """Run the flow against ``answers``; returns the requests and the result (a response or an exception)."""
    flow = exchange(REQUEST, retry)
    sent: list[Request] = []
    try:
        request = next(flow)
        for reply in answers:
            sent.append(request)
            clock.now += request.delay
            request = flow.throw(reply) if isinstance(reply, Exception) else flow.send(reply)
    except StopIteration as stop:
        return sent, stop.value
    except TransportError as error:
        return sent, error
    raise AssertionError("the flow wants more answers than there are")


def retry(clock: Clock, **changes: Any) -> Retry:
    return Retry(**{"attempts": 3, "jitter": lambda: 0.0, "clock": clock, **changes})


def test_every_try_of_an_operation_sends_the_same_key_and_body() -> None:
    """IDEM-19, IDEM-16."""
    clock = Clock()
    good = answer(201)
    sent, result = play([answer(503), TransportError("lost"), good], retry(clock), clock)
    assert result is good
    assert {(r.method, r.url, r.headers["Idempotency-Key"], r.body) for r in sent} == {
        ("POST", REQUEST.url, "k", b"{}")
    }


@pytest.mark.parametrize(
    "final",
    [
        answer(200),
        answer(201),
        answer(302),
        answer(400),
        answer(401),
        answer(404),
        answer(405),
        answer(409, "conflict"),
        answer(422, "idempotency_conflict"),
        answer(429, "rate_limited", retry_after="1"),
    ],
    ids=lambda final: str(final.status),
)
def test_nothing_but_lost_answers_5xx_and_in_flight_is_tried_again(final: Response) -> None:
    """IDEM-15, IDEM-19."""
    clock = Clock()
    sent, result = play([final], retry(clock), clock)
    assert len(sent) == 1
    assert result is final


def test_in_flight_is_tried_again_after_the_time_that_the_server_names() -> None:
    """IDEM-17, IDEM-19."""
    clock = Clock()
    sent, result = play([IN_FLIGHT, answer(201)], retry(clock), clock)
    assert [r.delay for r in sent] == [0, 3]
    assert result.status == 201


def test_a_time_that_is_too_long_ends_the_operation_instead_of_coming_back_early() -> None:
    clock = Clock()
    late = answer(503, retry_after="31")
    sent, result = play([late], retry(clock, max_retry_after=30), clock)
    assert len(sent) == 1
    assert result is late


def test_waits_double_up_to_a_limit_and_jitter_takes_away_up_to_half() -> None:
    clock = Clock()
    many = retry(clock, attempts=6, base_seconds=1, max_seconds=4)
    sent, _ = play([answer(500)] * 6, many, clock)
    assert [r.delay for r in sent] == [0, 1, 2, 4, 4, 4]
    sent, _ = play(
        [answer(500)] * 6, retry(clock, attempts=6, base_seconds=1, max_seconds=4, jitter=lambda: 0.5), clock
    )
    assert [r.delay for r in sent] == [0, 0.75, 1.5, 3, 3, 3]


def test_tries_are_bounded_and_the_last_outcome_is_the_result() -> None:
    clock = Clock()
    last = answer(502)
    sent, result = play([TransportError("lost"), answer(500), last], retry(clock), clock)
    assert (len(sent), result) == (3, last)
    lost = TransportError("lost again")
    sent, result = play([answer(500), answer(500), lost], retry(clock), clock)
    assert (len(sent), result) == (3, lost)


def test_total_time_is_bounded() -> None:
    clock = Clock()
    bounded = retry(clock, attempts=100, base_seconds=4, max_seconds=4, total_seconds=10, attempt_seconds=15)
    sent, result = play([answer(503)] * 3, bounded, clock)
    assert [r.delay for r in sent] == [0, 4, 4]
    assert [r.timeout for r in sent] == [10, 6, 2]
    assert result.status == 503


def test_what_cannot_work_next_time_is_not_tried_again() -> None:
    clock = Clock()
    hopeless = TransportError("no such scheme", retryable=False)
    sent, result = play([hopeless], retry(clock), clock)
    assert (len(sent), result) == (1, hopeless)


def test_headers_that_age_are_made_anew_for_each_try() -> None:
    """SIGN-02."""
    stamps = iter("abc")
    flow = exchange(REQUEST, Retry(attempts=3), lambda: {"Timestamp": next(stamps)})
    first = next(flow)
    second = flow.send(answer(500))
    assert (first.headers["Timestamp"], second.headers["Timestamp"]) == ("a", "b")
    flow.close()


def test_neither_token_nor_body_is_in_the_representation_of_a_request() -> None:
    """HTTP-14."""
    request = Request(
        "POST", "https://example.com", {"Authorization": "Bearer tok_secret"}, b"4242424242424242"
    )
    assert "tok_secret" not in repr(request)
    assert "4242" not in repr(request)
