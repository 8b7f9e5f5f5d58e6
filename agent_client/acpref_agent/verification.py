"""What an agent checks before it trusts a session with its buyer's money.

The seller computes; the agent does not compute again (CHK-AGT-01), but it checks that the sums are sums,
that the currency is the agreed one, and that the total is within what was authorised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from acpref_agent.exceptions import AmountExceeded, CurrencyChanged, ProtocolViolation, TotalsMismatch
from acpref_protocol.models import CheckoutSessionBase, Total

_SIGNS: dict[str, int] = {
    "items_base_amount": 1,
    "items_discount": -1,
    "discount": -1,
    "fulfillment": 1,
    "tax": 1,
    "fee": 1,
    "gift_wrap": 1,
    "tip": 1,
    "store_credit": -1,
}
"""How each entry counts toward the total (CHK-TOT-03); discounts and credits are positive amounts."""


def total_of(session: CheckoutSessionBase) -> int | None:
    """The amount due in minor units, or ``None`` while the seller cannot say.

    Raises TotalsMismatch for two.
    """
    amounts = [entry.amount for entry in session.totals if entry.type == "total"]
    if len(amounts) > 1:
        raise TotalsMismatch("the session has more than one total")
    return amounts[0] if amounts else None


def check_totals(session: CheckoutSessionBase) -> None:
    """Raises TotalsMismatch when the amounts of ``session`` do not add up (CHK-TOT-03, DISC-14).

    The total is items_base_amount - items_discount - discount + fulfillment + tax + fee + gift_wrap + tip -
    store_credit; the subtotal is items_base_amount - items_discount; and the lines sum up to the session's
    items_base_amount and items_discount. Discounts, credits and the total are not negative.
    """
    sums = _sums(session.totals)
    for kind in ("items_base_amount", "items_discount", "discount", "store_credit", "total"):
        if any(entry.amount < 0 for entry in session.totals if entry.type == kind):
            raise TotalsMismatch(f"{kind} is negative")
    total = total_of(session)
    computed = sum(sign * sums[kind] for kind, sign in _SIGNS.items())
    if total is not None and total != computed:
        raise TotalsMismatch(f"the total is {total}, but its parts add up to {computed}")
    given = {entry.type for entry in session.totals}
    items = sums["items_base_amount"] - sums["items_discount"]
    if "subtotal" in given and sums["subtotal"] != items:
        raise TotalsMismatch(f"the subtotal is {sums['subtotal']}, but the items add up to {items}")
    lines = [_sums(line.totals) for line in session.line_items]
    for kind in ("items_base_amount", "items_discount"):
        # A seller may leave the totals of lines empty (CHK-LIN-02); then there is nothing to compare.
        stated = any(kind in line for line in lines) and all(lines)
        if stated and kind in given and sums[kind] != sum(line.get(kind, 0) for line in lines):
            raise TotalsMismatch(f"the lines do not add up to the session's {kind}")


def check_session(
    session: CheckoutSessionBase,
    *,
    session_id: str | None = None,
    currency: str | None = None,
    max_total: int | None = None,
    agreed_total: int | None = None,
) -> int | None:
    """Check a session against what is known about it; returns its total.

    ``max_total`` is the most that the buyer authorised; ``agreed_total`` is what the session may cost
    exactly. Raises ProtocolViolation when it is another session than ``session_id``, CurrencyChanged,
    TotalsMismatch, or AmountExceeded.
    """
    if session_id is not None and session.id != session_id:
        raise ProtocolViolation("the answer is about another session")
    if currency is not None and session.currency.lower() != currency.lower():
        raise CurrencyChanged(currency, session.currency)
    check_totals(session)
    total = total_of(session)
    for limit in (max_total, agreed_total):
        if limit is not None and total is not None and total > limit:
            raise AmountExceeded(total, limit, session.currency)
    if agreed_total is not None and total != agreed_total:
        raise TotalsMismatch(f"the total is {total} instead of the agreed {agreed_total}")
    return total


def _sums(totals: Iterable[Total]) -> defaultdict[str, int]:
    sums: defaultdict[str, int] = defaultdict(int)
    for entry in totals:
        sums[entry.type] += entry.amount
    return sums
