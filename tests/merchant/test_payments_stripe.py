"""The Stripe adapter against a local server with Stripe's shapes, and against Stripe itself when there is a key."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr
from tests.merchant.stripe_server import KEY, StripeServer
from tests.psp.server import serving

from acpref_merchant.payments import provider_from_settings
from acpref_merchant.payments.port import (
    Authorized,
    ChargeRequest,
    Declined,
    ProviderRefused,
    ProviderUnavailable,
)
from acpref_merchant.payments.stripe import API_VERSION, StripeProvider, UnsupportedAmountError, stripe_amount
from acpref_merchant.settings import PaymentSettings

T = TypeVar("T")

# The stripe package hands its encoded form to httpx by a name that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning"
)


class Account:
    """The local Stripe, and a way to run the adapter against it."""

    def __init__(self, server: StripeServer, url: str) -> None:
        self.server = server
        self.url = url

    def run(self, act: Callable[[StripeProvider], Awaitable[T]], **options: Any) -> T:
        async def main() -> T:
            provider = StripeProvider(
                **{
                    "api_key": KEY,
                    "api_base": self.url,
                    "timeout_seconds": 5,
                    "now": lambda: 1_800_000_000,
                    **options,
                }
            )
            try:
                return await act(provider)
            finally:
                await provider.aclose()

        return asyncio.run(main())

    def authorize(self, charge: ChargeRequest, **options: Any) -> Authorized | Declined:
        return self.run(lambda provider: provider.authorize(charge), **options)


@pytest.fixture(scope="module")
def url_and_server() -> Iterator[tuple[str, list[StripeServer]]]:
    current: list[StripeServer] = [StripeServer()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await current[0].app(scope, receive, send)

    with serving(app) as url:
        yield url, current


@pytest.fixture
def stripe_account(url_and_server: tuple[str, list[StripeServer]]) -> Account:
    url, current = url_and_server
    current[0] = StripeServer()
    return Account(current[0], url)


def charge_of(token: str, **changes: Any) -> ChargeRequest:
    charge = ChargeRequest(
        idempotency_key="pay_1:authorize",
        token=token,
        amount=1500,
        currency="usd",
        merchant_id="merchant_m",
        checkout_session_id="cs_1",
        capture=True,
    )
    return replace(charge, **changes)


def test_a_granted_token_is_charged_as_stripe_documents_it(stripe_account: Account) -> None:
    """PAY-20, PAY-21."""
    server = stripe_account.server
    token = server.grant()
    outcome = stripe_account.authorize(charge_of(token))
    (intent,) = server.intents.values()
    assert outcome == Authorized(provider_payment_id=intent["id"], captured=True)
    (read, read_headers, _), (create, headers, sent) = server.requests
    assert read == f"GET /v1/shared_payment/granted_tokens/{token}"
    assert create == "POST /v1/payment_intents"
    assert headers["stripe-version"] == read_headers["stripe-version"] == API_VERSION
    assert headers["idempotency-key"] == "pay_1:authorize"
    assert headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert sent == {
        "amount": "1500",
        "currency": "usd",
        "confirm": "true",
        "capture_method": "automatic",
        "payment_method_data[shared_payment_granted_token]": token,
        "metadata[checkout_session_id]": "cs_1",
        "metadata[merchant_id]": "merchant_m",
    }


def test_money_can_be_held_and_taken_later(stripe_account: Account) -> None:
    async def act(provider: StripeProvider) -> None:
        held = await provider.authorize(charge_of(stripe_account.server.grant(), capture=False))
        assert isinstance(held, Authorized)
        assert not held.captured
        assert stripe_account.server.moved() == 0
        for _ in range(2):
            await provider.capture(held.provider_payment_id, 1200, "usd", "pay_1:capture")
        assert stripe_account.server.moved() == 1200
        with pytest.raises(ProviderRefused) as refused:
            await provider.capture(held.provider_payment_id, 1, "usd", "pay_1:capture-more")
        assert refused.value.code == "payment_intent_unexpected_state"

    stripe_account.run(act)


def test_a_hold_can_be_released_and_taken_money_given_back(stripe_account: Account) -> None:
    async def act(provider: StripeProvider) -> None:
        server = stripe_account.server
        held = await provider.authorize(charge_of(server.grant(), capture=False))
        taken = await provider.authorize(charge_of(server.grant(), idempotency_key="pay_2"))
        assert isinstance(held, Authorized)
        assert isinstance(taken, Authorized)
        await provider.void(held.provider_payment_id, "pay_1:void")
        assert server.intents[held.provider_payment_id]["status"] == "canceled"
        with pytest.raises(ProviderRefused):
            await provider.void(taken.provider_payment_id, "pay_2:void")
        refunds = {
            await provider.refund(taken.provider_payment_id, 1000, "usd", "refund_1") for _ in range(2)
        }
        assert refunds == {refund["id"] for refund in server.refunds}
        with pytest.raises(ProviderRefused) as refused:
            await provider.refund(taken.provider_payment_id, 501, "usd", "refund_2")
        assert refused.value.code == "charge_already_refunded"
        with pytest.raises(ProviderRefused) as unknown:
            await provider.capture("pi_nothing", 1, "usd", "k")
        assert unknown.value.code == "resource_missing"

    stripe_account.run(act)


@pytest.mark.parametrize(
    ("card", "declined"),
    [
        ("insufficient_funds", Declined("insufficient_funds", "Your card was declined.")),
        ("expired_card", Declined("expired_card", "Your card was declined.")),
        (
            "authentication_required",
            Declined("authentication_required", "Your card was declined.", requires_3ds=True),
        ),
    ],
)
def test_what_the_issuer_declines_is_declined(stripe_account: Account, card: str, declined: Declined) -> None:
    assert stripe_account.authorize(charge_of(stripe_account.server.grant(card=card))) == declined


def test_an_intent_that_waits_for_the_buyer_is_cancelled_and_declined(stripe_account: Account) -> None:
    outcome = stripe_account.authorize(charge_of(stripe_account.server.grant(card="requires_action")))
    assert isinstance(outcome, Declined)
    assert outcome.requires_3ds
    assert [intent["status"] for intent in stripe_account.server.intents.values()] == ["canceled"]


def test_a_processing_intent_is_asked_for_until_it_is_decided(stripe_account: Account) -> None:
    charge = charge_of(stripe_account.server.grant(card="processing"))
    with pytest.raises(ProviderUnavailable, match="processing"):
        stripe_account.authorize(charge)
    (intent,) = stripe_account.server.intents.values()
    intent["status"] = "succeeded"
    assert stripe_account.authorize(charge) == Authorized(intent["id"], captured=True)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"currency": "eur"}, "wrong_currency"),
        ({"max_amount": 1499}, "amount_exceeds_allowance"),
        ({"max_amount": None}, "amount_exceeds_allowance"),
        ({"expires_at": 1_800_000_000}, "token_expired"),
        ({"expires_at": None}, "token_expired"),
    ],
)
def test_a_charge_outside_the_granted_limits_is_refused_and_takes_nothing(
    stripe_account: Account, limits: dict[str, Any], code: str
) -> None:
    """DP-TOK-01, DP-TOK-02, PAY-21."""
    outcome = stripe_account.authorize(charge_of(stripe_account.server.grant(**limits)))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.allowance_violation) == (code, True)
    assert stripe_account.server.moved() == 0
    assert all(intent["status"] == "canceled" for intent in stripe_account.server.intents.values())


def test_a_revoked_or_unknown_token_is_refused(stripe_account: Account) -> None:
    token = stripe_account.server.grant()
    stripe_account.server.revoke(token)
    for name, code in (
        (token, "token_deactivated"),
        ("spt_nobody", "token_unknown"),
        ("../refunds", "token_invalid"),
    ):
        outcome = stripe_account.authorize(charge_of(name))
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.allowance_violation) == (code, True)
    assert stripe_account.server.moved() == 0


def test_a_token_pays_once(stripe_account: Account) -> None:
    """DP-TOK-03."""
    token = stripe_account.server.grant()
    first = stripe_account.authorize(charge_of(token, idempotency_key="pay_1"))
    second = stripe_account.authorize(charge_of(token, idempotency_key="pay_2"))
    assert isinstance(first, Authorized)
    assert isinstance(second, Declined)
    assert second.allowance_violation
    assert stripe_account.server.moved() == 1500


@pytest.mark.parametrize("fault", ["stall", "drop"])
def test_a_success_whose_answer_was_lost_is_found_again_though_the_token_is_used_and_expired(
    stripe_account: Account, fault: str
) -> None:
    """IDEM-14: the token says "used" because of this very charge."""
    charge = charge_of(stripe_account.server.grant(expires_at=1_800_000_100))
    stripe_account.server.faults.append(fault)
    with pytest.raises(ProviderUnavailable):
        stripe_account.authorize(charge, timeout_seconds=0.3)
    assert stripe_account.server.moved() == 1500
    outcome = stripe_account.authorize(charge, now=lambda: 1_800_000_200)
    (intent,) = stripe_account.server.intents.values()
    assert outcome == Authorized(intent["id"], captured=True)
    assert stripe_account.server.moved() == 1500


@pytest.mark.parametrize("fault", ["rate_limit", "error_500", "in_use", "html"])
def test_an_answer_that_decides_nothing_is_unknown_and_the_next_try_pays_once(
    stripe_account: Account, fault: str
) -> None:
    charge = charge_of(stripe_account.server.grant())
    stripe_account.server.faults.append(fault)
    with pytest.raises(ProviderUnavailable):
        stripe_account.authorize(charge)
    assert isinstance(stripe_account.authorize(charge), Authorized)
    assert stripe_account.server.moved() == 1500


def test_captures_and_refunds_of_unknown_outcome_say_so(stripe_account: Account) -> None:
    async def act(provider: StripeProvider) -> None:
        server = stripe_account.server
        held = await provider.authorize(charge_of(server.grant(), capture=False))
        assert isinstance(held, Authorized)
        name = held.provider_payment_id
        for call in (
            lambda: provider.capture(name, 1500, "usd", "pay_1:capture"),
            lambda: provider.refund(name, 1500, "usd", "refund_1"),
        ):
            server.faults.extend(["error_500", "rate_limit", "drop"])
            for _ in range(3):
                with pytest.raises(ProviderUnavailable):
                    await call()
            await call()
        assert server.moved() == 1500
        assert len(server.refunds) == 1
        server.faults.append("in_use")
        with pytest.raises(ProviderUnavailable):
            await provider.void(name, "pay_1:void")

    stripe_account.run(act)


def test_another_charge_under_a_used_key_is_refused(stripe_account: Account) -> None:
    """IDEM-15."""
    one, two = stripe_account.server.grant(), stripe_account.server.grant()
    stripe_account.authorize(charge_of(one))
    outcome = stripe_account.authorize(charge_of(two))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.allowance_violation) == ("idempotency_conflict", True)


def test_a_refusal_that_is_not_about_the_token_is_no_allowance_violation(stripe_account: Account) -> None:
    outcome = stripe_account.authorize(charge_of(stripe_account.server.grant(), amount=49))
    assert outcome == Declined("amount_too_small", "Amount is too small.")


def test_a_wrong_key_or_no_server_decides_nothing(stripe_account: Account) -> None:
    charge = charge_of(stripe_account.server.grant())
    with pytest.raises(ProviderUnavailable, match="AuthenticationError 401"):
        stripe_account.authorize(charge, api_key="sk_test_wrong")
    with pytest.raises(ProviderUnavailable, match="APIConnectionError"):
        stripe_account.authorize(charge, api_base="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("amount", "currency", "counted"),
    [(1999, "usd", 1999), (500, "jpy", 500), (5, "isk", 500), (1200, "mga", 12), (5120, "kwd", 5120)],
)
def test_amounts_are_counted_as_stripe_counts_them(amount: int, currency: str, counted: int) -> None:
    """HTTP-04."""
    assert stripe_amount(amount, currency) == counted


@pytest.mark.parametrize(("amount", "currency"), [(5124, "kwd"), (1201, "mga"), (100, "ugx")])
def test_amounts_that_stripe_cannot_charge_exactly_are_refused_not_rounded(
    stripe_account: Account, amount: int, currency: str
) -> None:
    """HTTP-04."""
    with pytest.raises(UnsupportedAmountError):
        stripe_amount(amount, currency)
    outcome = stripe_account.authorize(charge_of("spt_1", amount=amount, currency=currency))
    assert isinstance(outcome, Declined)
    assert outcome.code == "amount_not_supported"
    assert stripe_account.server.requests == []


def test_the_provider_is_chosen_by_name() -> None:
    async def main() -> None:
        chosen = provider_from_settings(PaymentSettings(provider="stripe", stripe_api_key=SecretStr(KEY)))
        assert chosen.name == "stripe"
        await chosen.aclose()
        sandbox = provider_from_settings(PaymentSettings())
        assert sandbox.name == "sandbox"
        await sandbox.aclose()

    asyncio.run(main())
    with pytest.raises(ValueError, match="stripe_api_key"):
        provider_from_settings(PaymentSettings(provider="stripe"))


@pytest.mark.skipif(
    "STRIPE_API_KEY" not in os.environ, reason="needs STRIPE_API_KEY: a test-mode key of a Stripe account"
)
def test_stripe_itself_in_test_mode_holds_takes_and_gives_back() -> None:
    import stripe

    key = os.environ["STRIPE_API_KEY"]
    assert key.startswith(("sk_test_", "rk_test_")), "STRIPE_API_KEY is not a test-mode key"

    async def main() -> None:
        client = stripe.StripeClient(
            key, stripe_version=API_VERSION, http_client=stripe.HTTPXClient(timeout=30)
        )
        granted = await client.raw_request_async(
            "post",
            "/v1/test_helpers/shared_payment/granted_tokens",
            payment_method="pm_card_visa",
            usage_limits={"currency": "usd", "max_amount": 2000, "expires_at": int(time.time()) + 3600},
        )
        provider = StripeProvider(key, timeout_seconds=30)
        run = f"acpref-{time.time_ns()}"
        charge = charge_of(granted.data["id"], idempotency_key=run, capture=False)
        held = await provider.authorize(charge)
        assert isinstance(held, Authorized), held
        assert not held.captured
        assert await provider.authorize(charge) == held, "repeated under its key, the charge is the first one"
        await provider.capture(held.provider_payment_id, 1500, "usd", f"{run}:capture")
        assert await provider.refund(held.provider_payment_id, 500, "usd", f"{run}:refund")
        again = await provider.authorize(replace(charge, idempotency_key=f"{run}:again"))
        assert isinstance(again, Declined)
        await provider.aclose()

    asyncio.run(main())
