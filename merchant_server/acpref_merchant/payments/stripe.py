"""The adapter to Stripe: PaymentIntents paid with a SharedPaymentToken, through the official package.

The agent grants the token for this seller with limits; Stripe enforces them, and they are read and checked here
before anything is charged. The stable package has no classes for shared payment, so the token travels in
``payment_method_data`` and is read with a raw request, both under a preview version of the API.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import stripe

from acpref_merchant.clock import system_clock
from acpref_merchant.payments.port import (
    Authorized,
    ChargeRequest,
    Declined,
    ProviderRefused,
    ProviderUnavailable,
)

API_VERSION = "2026-04-22.preview"
"""The version of Stripe's API that its examples of shared payment use."""

_TOKEN = re.compile(r"[A-Za-z0-9_]{1,255}\Z")
_IN_FLIGHT = frozenset({"idempotency_key_in_use", "lock_timeout"})
# Stripe counts some currencies otherwise than ISO 4217 does (its documentation, "Supported currencies"): two decimals
# for the króna, none for the ariary, and a last digit of zero for those with three. For the Ugandan shilling its pages
# contradict each other, so nothing is charged in it.
_TIMES_100 = frozenset({"isk"})
_DIVIDED_BY_100 = frozenset({"mga"})
_LAST_DIGIT_ZERO = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_UNCLEAR = frozenset({"ugx"})


class UnsupportedAmountError(Exception):
    """Stripe cannot charge this amount of this currency exactly."""


def stripe_amount(amount: int, currency: str) -> int:
    """``amount`` (ISO 4217 minor units) as Stripe counts it. Raises UnsupportedAmountError rather than round."""
    if currency in _UNCLEAR:
        raise UnsupportedAmountError(f"how Stripe counts {currency} is not certain")
    if currency in _TIMES_100:
        return amount * 100
    if currency in _DIVIDED_BY_100:
        if amount % 100:
            raise UnsupportedAmountError(f"Stripe charges whole units of {currency} only")
        return amount // 100
    if currency in _LAST_DIGIT_ZERO and amount % 10:
        raise UnsupportedAmountError(f"Stripe charges {currency} in steps of ten minor units")
    return amount


class StripeProvider:
    """A merchant's Stripe account. ``now`` gives seconds since 1970; ``api_base`` is for tests."""

    name = "stripe"

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        timeout_seconds: float = 10.0,
        now: Callable[[], float] = lambda: system_clock() / 1000,
    ) -> None:
        self._http = stripe.HTTPXClient(timeout=timeout_seconds)
        self._client = stripe.StripeClient(
            api_key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else None,
            http_client=self._http,
            max_network_retries=0,  # the caller repeats, under the same key
        )
        self._now = now

    async def authorize(self, charge: ChargeRequest) -> Authorized | Declined:
        """Charge the token. Raises ProviderUnavailable when the outcome is unknown.

        What can never have been right (currency, amount) is refused here. A token that has expired, was revoked or was
        used may be so *because of an earlier call under this key* whose answer got lost; then that answer counts.
        """
        if not _TOKEN.match(charge.token):
            return _violation("token_invalid", "The token is not one of Stripe's.")
        try:
            amount = stripe_amount(charge.amount, charge.currency)
        except UnsupportedAmountError as error:
            return Declined("amount_not_supported", str(error))
        try:
            grant = await self._granted(charge.token)
            if grant is None:
                return _violation("token_unknown", "Stripe does not know the token.")
            if (objection := _never(grant, amount, charge.currency)) is not None:
                return objection
            objection = _not_any_more(grant, amount, self._now())
            if objection is not None and not await self._tried_before(charge, amount):
                return objection
            return await self._outcome(await self._create(charge, amount), charge.idempotency_key)
        except stripe.StripeError as error:
            return _declined(error)

    async def capture(
        self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str
    ) -> None:
        """Take ``amount`` of the authorised money; Stripe releases the rest. Raises as the port says."""
        parameters = {"amount_to_capture": _exact(amount, currency)}
        try:
            await self._client.v1.payment_intents.capture_async(
                provider_payment_id, cast("Any", parameters), {"idempotency_key": idempotency_key}
            )
        except stripe.StripeError as error:
            raise _refused(error) from error

    async def void(self, provider_payment_id: str, idempotency_key: str) -> None:
        """Cancel a payment that was not captured. Raises as the port says."""
        try:
            await self._client.v1.payment_intents.cancel_async(
                provider_payment_id, {}, {"idempotency_key": idempotency_key}
            )
        except stripe.StripeError as error:
            raise _refused(error) from error

    async def refund(self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str) -> str:
        """Give ``amount`` back; returns the refund's id. Raises as the port says."""
        try:
            refund = await self._client.v1.refunds.create_async(
                {"payment_intent": provider_payment_id, "amount": _exact(amount, currency)},
                {"idempotency_key": idempotency_key},
            )
        except stripe.StripeError as error:
            raise _refused(error) from error
        if refund.status in {"failed", "canceled"}:
            raise ProviderRefused(f"refund_{refund.status}", "Stripe could not give the money back.")
        return refund.id

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _granted(self, token: str) -> dict[str, Any] | None:
        """The token as Stripe shows it to the seller, or ``None`` when there is none."""
        try:
            answer = await self._client.raw_request_async("get", f"/v1/shared_payment/granted_tokens/{token}")
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                return None
            # Not an answer about this token: the account may lack access to the preview.
            raise ProviderUnavailable(
                f"Stripe does not show shared payment tokens: {error.user_message}"
            ) from error
        if not isinstance(answer.data, dict):
            raise ProviderUnavailable("Stripe's answer cannot be read")
        return answer.data

    async def _create(
        self, charge: ChargeRequest, amount: int, *, confirm: bool = True
    ) -> stripe.PaymentIntent:
        parameters = {
            "amount": amount,
            "currency": charge.currency,
            "confirm": confirm,
            "capture_method": "automatic" if charge.capture else "manual",
            "payment_method_data": {"shared_payment_granted_token": charge.token},
            "metadata": {
                "checkout_session_id": charge.checkout_session_id,
                "merchant_id": charge.merchant_id,
            },
        }
        return await self._client.v1.payment_intents.create_async(
            cast("Any", parameters), {"idempotency_key": charge.idempotency_key}
        )

    async def _tried_before(self, charge: ChargeRequest, amount: int) -> bool:
        """Whether Stripe has seen this charge under its key.

        Asked without moving money: an unconfirmed intent under the same key is a conflict exactly when it has.
        """
        try:
            intent = await self._create(charge, amount, confirm=False)
        except stripe.IdempotencyError:
            return True
        except stripe.InvalidRequestError as error:
            if error.code in _IN_FLIGHT:
                raise
            return False  # the token itself was refused, so nothing was ever charged under this key
        with suppress(
            stripe.StripeError
        ):  # an intent that nobody confirms takes no money; this only tidies up
            await self._client.v1.payment_intents.cancel_async(
                intent.id, {}, {"idempotency_key": f"{charge.idempotency_key}:unused"}
            )
        return False

    async def _outcome(self, intent: stripe.PaymentIntent, key: str) -> Authorized | Declined:
        if intent.status == "processing":
            # A repeated call gets the first answer again, so the present one has to be asked for.
            intent = await self._client.v1.payment_intents.retrieve_async(intent.id)
        match intent.status:
            case "succeeded":
                return Authorized(provider_payment_id=intent.id, captured=True)
            case "requires_capture":
                return Authorized(provider_payment_id=intent.id, captured=False)
            case "requires_action":
                with suppress(
                    stripe.StripeError
                ):  # nothing is held; cancelling frees the token for another attempt
                    await self._client.v1.payment_intents.cancel_async(
                        intent.id, {}, {"idempotency_key": f"{key}:unauthenticated"}
                    )
                return Declined(
                    "authentication_required",
                    "The issuer wants the buyer to authenticate.",
                    requires_3ds=True,
                )
            case "requires_payment_method" | "canceled":
                return Declined("card_declined", f"The payment intent is {intent.status}.")
            case _:
                raise ProviderUnavailable(f"the payment intent is {intent.status}")


def _never(grant: dict[str, Any], amount: int, currency: str) -> Declined | None:
    """What the token's limits have never permitted (PAY-21)."""
    limits = grant.get("usage_limits") or {}
    if limits.get("currency") != currency:
        return _violation("wrong_currency", "The token was granted for another currency.")
    if not isinstance(limits.get("max_amount"), int) or amount > limits["max_amount"]:
        return _violation("amount_exceeds_allowance", "The amount is higher than the token allows.")
    return None


def _not_any_more(grant: dict[str, Any], amount: int, now: float) -> Declined | None:
    """What the token does not permit now, though it may have a moment ago."""
    limits, used = grant.get("usage_limits") or {}, grant.get("usage_details") or {}
    if grant.get("deactivated_at") is not None:
        return _violation(
            "token_deactivated", f"The token was deactivated: {grant.get('deactivated_reason')}."
        )
    if not isinstance(limits.get("expires_at"), int) or now >= limits["expires_at"]:
        return _violation("token_expired", "The token's allowance has expired.")
    captured = used.get("amount_captured") or 0
    if isinstance(captured, dict):  # some versions show money as an object
        captured = captured.get("value") or 0
    if captured + amount > limits["max_amount"]:
        return _violation("token_used", "The token has paid already.")
    return None


def _violation(code: str, reason: str) -> Declined:
    return Declined(code, reason, allowance_violation=True)


def _exact(amount: int, currency: str) -> int:
    try:
        return stripe_amount(amount, currency)
    except UnsupportedAmountError as error:
        raise ProviderRefused("amount_not_supported", str(error)) from None


def _declined(error: stripe.StripeError) -> Declined:
    """The refusal that ``error`` is; raises ProviderUnavailable when it is none."""
    reason = error.user_message or "refused by Stripe"
    if isinstance(error, stripe.CardError):
        detail = getattr(error.error, "decline_code", None)
        code = detail or error.code or "card_declined"
        return Declined(code, reason, requires_3ds="authentication_required" in {detail, error.code})
    if isinstance(error, stripe.IdempotencyError):
        return _violation("idempotency_conflict", reason)
    if isinstance(error, stripe.InvalidRequestError) and error.code not in _IN_FLIGHT:
        about_the_token = "shared_payment" in f"{error.param} {error.code}"
        return Declined(error.code or "invalid_request", reason, allowance_violation=about_the_token)
    raise ProviderUnavailable(_unknown(error)) from error


def _refused(error: stripe.StripeError) -> ProviderRefused | ProviderUnavailable:
    """What to raise for ``error`` of a capture, void or refund."""
    final = isinstance(error, stripe.CardError | stripe.IdempotencyError | stripe.InvalidRequestError)
    if final and error.code not in _IN_FLIGHT:
        return ProviderRefused(error.code or "refused", error.user_message or "refused by Stripe")
    return ProviderUnavailable(_unknown(error))


def _unknown(error: stripe.StripeError) -> str:
    status = f" {error.http_status}" if error.http_status else ""
    request = f", request {error.request_id}" if error.request_id else ""
    return f"Stripe: {type(error).__name__}{status}{request}"
