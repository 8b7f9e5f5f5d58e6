"""The sandbox adapter against the real payment provider, and against servers that answer anything else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from tests.psp.server import MERCHANT, MERCHANT_ID, OTHER_MERCHANT, Psp, running, serving

from acpref_merchant.payments import provider_from_settings
from acpref_merchant.payments.port import (
    Authorized,
    ChargeRequest,
    Declined,
    PaymentProvider,
    ProviderRefused,
    ProviderUnavailable,
)
from acpref_merchant.payments.sandbox import SandboxProvider
from acpref_merchant.settings import PaymentSettings

T = TypeVar("T")


@pytest.fixture(scope="module")
def psp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Psp]:
    with running(tmp_path_factory.mktemp("psp"), timeout_seconds=0.3) as service:
        yield service


@pytest.fixture
def session_id() -> str:
    """A checkout session of the test's own."""
    return f"cs_{uuid.uuid4()}"


def run(
    url: str, act: Callable[[PaymentProvider], Awaitable[T]], *, token: str = MERCHANT, seconds: float = 5
) -> T:
    async def main() -> T:
        provider = SandboxProvider(url, token, timeout_seconds=seconds)
        try:
            return await act(provider)
        finally:
            await provider.aclose()

    return asyncio.run(main())


def charge_of(token: str, **changes: Any) -> ChargeRequest:
    charge = ChargeRequest(
        idempotency_key=str(uuid.uuid4()),
        token=token,
        amount=1500,
        currency="usd",
        merchant_id=MERCHANT_ID,
        checkout_session_id="cs_1",
        capture=False,
    )
    return replace(charge, **changes)


def test_a_payment_goes_its_whole_way(psp: Psp, session_id: str) -> None:
    """PAY-20."""

    async def act(provider: PaymentProvider) -> None:
        token = psp.token(allowance__checkout_session_id=session_id)
        outcome = await provider.authorize(charge_of(token, checkout_session_id=session_id))
        assert isinstance(outcome, Authorized)
        assert not outcome.captured
        name = outcome.provider_payment_id
        for _ in range(2):
            await provider.capture(name, 1500, "usd", "capture")
        refunds = {await provider.refund(name, 500, "usd", "refund") for _ in range(2)}
        assert len(refunds) == 1
        (charge,) = await asyncio.to_thread(psp.charges, checkout_session_id=session_id)
        assert (charge["amount_captured"], charge["amount_refunded"]) == (1500, 500)

        held = await provider.authorize(charge_of(psp.token()))
        assert isinstance(held, Authorized)
        await provider.void(held.provider_payment_id, "void")
        taken = await provider.authorize(charge_of(psp.token(), capture=True))
        assert isinstance(taken, Authorized)
        assert taken.captured

    run(psp.url, act)


@pytest.mark.parametrize(
    ("number", "code", "requires_3ds"),
    [
        ("4000000000000002", "generic_decline", False),
        ("4000000000009995", "insufficient_funds", False),
        ("4000000000000069", "expired_card", False),
        ("4000002760003184", "authentication_required", True),
    ],
)
def test_what_the_issuer_declines_is_declined(psp: Psp, number: str, code: str, requires_3ds: bool) -> None:
    charge = charge_of(psp.token(payment_method__number=number))
    outcome = run(psp.url, lambda provider: provider.authorize(charge))
    assert outcome == Declined(code, "The issuer declined the charge.", requires_3ds=requires_3ds)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 2001}, "amount_exceeds_allowance"),
        ({"currency": "eur"}, "wrong_currency"),
        ({"checkout_session_id": "cs_2"}, "wrong_session"),
        ({"token": "vt_nobody"}, "token_unknown"),
    ],
)
def test_what_the_allowance_forbids_is_a_violation(psp: Psp, changes: dict[str, Any], code: str) -> None:
    """PAY-21, DP-TOK-01."""
    charge = charge_of(**{"token": psp.token(), **changes})
    outcome = run(psp.url, lambda provider: provider.authorize(charge))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.allowance_violation) == (code, True)


def test_a_token_is_for_its_merchant_its_time_and_one_payment(psp: Psp) -> None:
    """DP-TOK-01 to DP-TOK-03."""
    charge = charge_of(psp.token())

    def code(key: str, token: str = MERCHANT) -> str:
        outcome = run(psp.url, lambda p: p.authorize(replace(charge, idempotency_key=key)), token=token)
        return "authorized" if isinstance(outcome, Authorized) else outcome.code

    assert code("a", OTHER_MERCHANT) == "wrong_merchant"
    assert code("b") == "authorized"
    assert code("c") == "token_used"
    late = charge_of(psp.token())
    psp.clock.advance(3600)
    try:
        outcome = run(psp.url, lambda provider: provider.authorize(late))
    finally:
        psp.clock.advance(-3600)
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.allowance_violation) == ("token_expired", True)


def test_what_cannot_be_done_with_a_payment_is_refused_with_its_reason(psp: Psp) -> None:
    async def act(provider: PaymentProvider) -> None:
        outcome = await provider.authorize(charge_of(psp.token()))
        assert isinstance(outcome, Authorized)
        name = outcome.provider_payment_id
        for key, call, code in (
            ("1", provider.capture(name, 1501, "usd", "1"), "amount_too_large"),
            ("2", provider.capture(name, 1, "eur", "2"), "wrong_currency"),
            ("3", provider.refund(name, 1, "usd", "3"), "charge_not_refundable"),
            ("4", provider.capture("ch_nobody", 1, "usd", "4"), "not_found"),
            ("5", provider.capture("a/b?c", 1, "usd", "5"), "not_found"),
        ):
            with pytest.raises(ProviderRefused) as refused:
                await call
            assert refused.value.code == code, key
        await provider.capture(name, 1, "usd", "6")
        with pytest.raises(ProviderRefused):
            await provider.void(name, "7")

    run(psp.url, act)


@pytest.mark.parametrize("kind", ["error_500", "timeout", "drop_connection"])
@pytest.mark.parametrize("where", ["authorize", "capture", "refund"])
def test_an_unknown_outcome_is_said_to_be_unknown_and_the_repetition_moves_money_once(
    psp: Psp, session_id: str, where: str, kind: str
) -> None:
    """IDEM-14, IDEM-16."""

    async def act(provider: PaymentProvider) -> None:
        token = psp.token(allowance__checkout_session_id=session_id)
        charge = charge_of(token, checkout_session_id=session_id)
        calls: dict[str, Callable[[str], Awaitable[Any]]] = {
            "authorize": lambda _: provider.authorize(charge),
            "capture": lambda name: provider.capture(name, 1000, "usd", "capture"),
            "refund": lambda name: provider.refund(name, 400, "usd", "refund"),
        }
        name = ""
        for step, call in calls.items():
            if step == where:
                psp.app.state.faults.arm(where, kind)
                with pytest.raises(ProviderUnavailable):
                    await call(name)
            result = await call(name)
            if isinstance(result, Authorized):
                name = result.provider_payment_id
        (made,) = await asyncio.to_thread(psp.charges, checkout_session_id=session_id)
        assert (made["amount_captured"], made["amount_refunded"]) == (1000, 400)

    run(psp.url, act, seconds=0.15 if kind == "timeout" else 5)


def test_a_charge_that_is_still_running_elsewhere_is_unknown(psp: Psp) -> None:
    """IDEM-17."""

    async def act(provider: PaymentProvider) -> None:
        charge = charge_of(psp.token(payment_method__number="4000000000006009"))
        outcomes = await asyncio.gather(
            *(provider.authorize(charge) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(outcome, Authorized) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, ProviderUnavailable) for outcome in outcomes) == 3

    run(psp.url, act)


def test_a_wrong_merchant_token_decides_nothing(psp: Psp) -> None:
    charge = charge_of(psp.token())
    with pytest.raises(ProviderUnavailable, match="401"):
        run(psp.url, lambda provider: provider.authorize(charge), token="wrong")
    assert isinstance(run(psp.url, lambda provider: provider.authorize(charge)), Authorized)


def test_a_service_that_is_not_there_decides_nothing() -> None:
    with pytest.raises(ProviderUnavailable, match="ConnectError"):
        run("http://127.0.0.1:9", lambda provider: provider.authorize(charge_of("vt_1")))


@pytest.mark.parametrize(
    ("base_url", "token"),
    [("127.0.0.1:8001", "t"), ("http://a:port", "t"), ("http://a", "a\r\nX: y"), ("http://a", "\u00fc")],
)
def test_an_address_or_a_token_that_cannot_be_sent_is_refused_before_anything_is_served(
    base_url: str, token: str
) -> None:
    settings = PaymentSettings(base_url=base_url, token=SecretStr(token))
    with pytest.raises(ValueError, match=r"payment\.base_url or payment\.token is not usable") as refused:
        provider_from_settings(settings)
    assert token not in str(refused.value) or token == "t"


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>", 403),
        PlainTextResponse("", 201),
        RedirectResponse("/elsewhere", 307),
        JSONResponse([], 201),
        JSONResponse({"id": 1, "status": "captured"}, 201),
        JSONResponse({"id": "ch_1", "status": "on its way"}, 201),
        JSONResponse({"error": "no"}, 402),
        JSONResponse({"type": "a", "code": 1, "message": "b"}, 402),
        JSONResponse({"type": "x", "code": "busy", "message": "b"}, 429),
        JSONResponse({"type": "x", "code": "busy", "message": "b"}, 503),
    ],
)
def test_an_answer_that_is_not_the_providers_decides_nothing(answer: Response) -> None:
    with serving(answer) as url, pytest.raises(ProviderUnavailable):
        run(url, lambda provider: provider.authorize(charge_of("vt_1")))
