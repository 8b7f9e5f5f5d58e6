"""Whether a token permits a charge (DP-TOK-01 to DP-TOK-03). Pure, and never switched off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grant:
    """What the buyer's agent allowed. ``expires_at`` is milliseconds since the epoch, ``max_amount`` minor units."""

    merchant_id: str
    checkout_session_id: str
    currency: str
    max_amount: int
    expires_at: int
    used: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a merchant wants to charge. ``merchant_id`` comes from its credentials, never from its request."""

    merchant_id: str
    checkout_session_id: str
    currency: str
    amount: int


def violation(grant: Grant, attempt: Attempt, now: int) -> tuple[str, str] | None:
    """Code and words of the first bound that ``attempt`` breaks at ``now``, or ``None``.

    The merchant comes first, so that nobody learns anything about a token made for another.
    """
    if attempt.merchant_id != grant.merchant_id:
        return "wrong_merchant", "The token was made for another merchant."
    if grant.used:
        return "token_used", "The token has paid already."
    if now >= grant.expires_at:  # DP-TOK-02: from that moment on
        return "token_expired", "The token's allowance has expired."
    if attempt.checkout_session_id != grant.checkout_session_id:
        return "wrong_session", "The token was made for another checkout session."
    if attempt.currency != grant.currency:
        return "wrong_currency", "The token was made for another currency."
    if attempt.amount > grant.max_amount:
        return "amount_exceeds_allowance", "The amount is higher than the token allows."
    return None
