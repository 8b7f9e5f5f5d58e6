"""What a card number says: whether it can exist, its brand, and what the sandbox's issuer answers for it. Pure.

Card numbers and codes are arguments here, never members of an object whose repr could print them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from acpref_protocol.card_numbers import brand_of, luhn

_DIGITS = re.compile(r"[0-9]{12,19}\Z")
_MONTH = re.compile(r"(0[1-9]|1[0-2])\Z")
_YEAR = re.compile(r"[0-9]{4}\Z")
_CVC = {True: re.compile(r"[0-9]{4}\Z"), False: re.compile(r"[0-9]{3}\Z")}


class Verdict(StrEnum):
    """What the issuer does with an authorisation."""

    APPROVED = "approved"
    DECLINED = "declined"
    REQUIRES_3DS = "requires_3ds"
    FAILS_ONCE = "fails_once"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The issuer's verdict; ``code`` names a decline as the charge API reports it."""

    verdict: Verdict
    code: str = ""


APPROVED = Outcome(Verdict.APPROVED)

TEST_CARDS: dict[str, Outcome] = {
    "4242424242424242": APPROVED,
    "4000056655665556": APPROVED,  # visa debit
    "5555555555554444": APPROVED,
    "2223003122003222": APPROVED,  # mastercard, the newer range
    "378282246310005": APPROVED,  # amex: 15 digits, a code of 4
    "6011111111111117": APPROVED,
    "3056930009020004": APPROVED,
    "3566002020360505": APPROVED,
    "6200000000000005": APPROVED,
    "4000000000000002": Outcome(Verdict.DECLINED, "generic_decline"),
    "4000000000009995": Outcome(Verdict.DECLINED, "insufficient_funds"),
    "4000000000009987": Outcome(Verdict.DECLINED, "lost_card"),
    "4000000000009979": Outcome(Verdict.DECLINED, "stolen_card"),
    "4000000000000069": Outcome(Verdict.DECLINED, "expired_card"),
    "4000000000000127": Outcome(Verdict.DECLINED, "incorrect_cvc"),
    "4000002760003184": Outcome(Verdict.REQUIRES_3DS, "authentication_required"),
    "4000000000000119": Outcome(Verdict.FAILS_ONCE, "processing_error"),
    "4000000000006009": Outcome(Verdict.SLOW),
}
"""Outcomes by number, the same wherever the card is charged. Every other valid number is approved."""


def outcome_of(number: str) -> Outcome:
    """What the sandbox's issuer answers when this card is charged."""
    return TEST_CARDS.get(number, APPROVED)


def number_problem(number: str) -> str | None:
    """Why ``number`` cannot be a card number, or ``None``. The words never repeat it."""
    if not _DIGITS.match(number):
        return "The card number has 12 to 19 digits and nothing else."
    if brand_of(number) == "amex" and len(number) != 15:
        return "The card number does not have the length that its brand uses."
    return None if luhn(number) else "The card number's check digit is wrong."


def cvc_problem(cvc: str, brand: str) -> str | None:
    """Why ``cvc`` cannot belong to a card of ``brand``, or ``None``."""
    four = brand == "amex"
    return None if _CVC[four].match(cvc) else f"The security code has {4 if four else 3} digits."


def month_problem(month: str) -> str | None:
    """Why ``month`` is no expiry month (DP-REQ-06), or ``None``."""
    return None if _MONTH.match(month) else "The expiry month is 01 to 12, as two digits."


def year_problem(year: str) -> str | None:
    """Why ``year`` is no expiry year (DP-REQ-06), or ``None``."""
    return None if _YEAR.match(year) else "The expiry year has four digits."


def expired(month: str, year: str, now: int) -> bool:
    """Whether a card valid through ``month``/``year`` (both well-formed) is past it at ``now`` (ms, in UTC)."""
    today = datetime.fromtimestamp(now // 1000, UTC)
    return (int(year), int(month)) < (today.year, today.month)
