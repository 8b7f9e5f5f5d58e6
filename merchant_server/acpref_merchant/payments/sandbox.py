"""The adapter to the sandbox payment provider, over HTTP.

No retries in here: every call is made once, and an outcome that is not known for certain is ``ProviderUnavailable``, so
that the caller repeats it under the same key when it is ready to.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn
from urllib.parse import quote

from acpref_merchant.payments.port import (
    Authorized,
    ChargeRequest,
    Declined,
    ProviderRefused,
    ProviderUnavailable,
)
from acpref_merchant.transport import HttpClient, Target, TransportError

# Refusals that say nothing about the payment itself: somebody has to wait, or to repair the configuration.
_NOT_ABOUT_THE_PAYMENT = frozenset({401, 408, 409, 425, 429})
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class SandboxProvider:
    """A merchant's account at the sandbox payment provider.

    ``token`` is the merchant's bearer token, from which the provider knows the merchant; ``timeout_seconds`` bounds a
    call, from connecting to the end of the answer. Construction raises ValueError for an address or a token that
    cannot be put into a request.
    """

    name = "sandbox"

    def __init__(self, base_url: str, token: str, *, timeout_seconds: float = 10.0) -> None:
        self._charges = Target.at(
            base_url.rstrip("/") + "/v1/charges",
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        self._timeout_seconds = timeout_seconds
        self._client = HttpClient()

    async def authorize(self, charge: ChargeRequest) -> Authorized | Declined:
        """Charge the token. Raises ProviderUnavailable when the outcome is unknown."""
        status, answer = await self._post(
            self._charges,
            {
                "token": charge.token,
                "amount": charge.amount,
                "currency": charge.currency,
                "checkout_session_id": charge.checkout_session_id,
                "capture": charge.capture,
            },
            charge.idempotency_key,
        )
        if status == 201:
            if answer.get("status") not in {"authorized", "captured"} or not isinstance(
                answer.get("id"), str
            ):
                raise ProviderUnavailable("the payment provider's answer cannot be read")
            return Authorized(provider_payment_id=answer["id"], captured=answer["status"] == "captured")
        code, reason = _flat_error(status, answer)
        return Declined(
            code=code,
            reason=reason,
            allowance_violation=answer["type"] == "allowance_violation",
            requires_3ds=code == "authentication_required",
        )

    async def capture(
        self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str
    ) -> None:
        """Take ``amount`` of the authorised money. Raises ProviderRefused or ProviderUnavailable."""
        await self._act(
            provider_payment_id, "capture", {"amount": amount, "currency": currency}, idempotency_key
        )

    async def void(self, provider_payment_id: str, idempotency_key: str) -> None:
        """Release an authorisation that was not captured. Raises ProviderRefused or ProviderUnavailable."""
        await self._act(provider_payment_id, "void", {}, idempotency_key)

    async def refund(self, provider_payment_id: str, amount: int, currency: str, idempotency_key: str) -> str:
        """Give ``amount`` back; returns the refund's id. Raises ProviderRefused or ProviderUnavailable."""
        content = {"amount": amount, "currency": currency}
        answer = await self._act(provider_payment_id, "refund", content, idempotency_key)
        if not isinstance(answer.get("id"), str):
            raise ProviderUnavailable("the payment provider's answer cannot be read")
        return str(answer["id"])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _act(
        self, provider_payment_id: str, action: str, content: dict[str, Any], idempotency_key: str
    ) -> dict[str, Any]:
        target = self._charges.below(f"/{quote(provider_payment_id, safe='')}/{action}")
        status, answer = await self._post(target, content, idempotency_key)
        if not 200 <= status < 300:
            raise ProviderRefused(*_flat_error(status, answer))
        return answer

    async def _post(
        self, target: Target, content: dict[str, Any], idempotency_key: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer that decides something; anything else raises ProviderUnavailable."""
        try:
            status, _, body = await self._client.post(
                target,
                {"Idempotency-Key": idempotency_key},
                _to_json(content).encode(),
                self._timeout_seconds,
            )
        except TransportError as error:
            raise ProviderUnavailable(
                f"the payment provider did not answer ({type(error).__name__})"
            ) from error
        if status in _NOT_ABOUT_THE_PAYMENT or not (200 <= status < 300 or 400 <= status < 500):
            _unavailable(status)
        try:
            answer = json.loads(body)
        except ValueError:
            _unavailable(status)
        if not isinstance(answer, dict):
            _unavailable(status)
        return status, answer


def _flat_error(status: int, answer: dict[str, Any]) -> tuple[str, str]:
    """Code and words of a refusal. What is not the provider's flat error came from elsewhere and decides nothing."""
    if not all(isinstance(answer.get(member), str) for member in ("type", "code", "message")):
        _unavailable(status)
    return answer["code"], answer["message"]


def _unavailable(status: int) -> NoReturn:
    raise ProviderUnavailable(f"the payment provider answered {status}")
