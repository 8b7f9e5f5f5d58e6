"""Discounts: which of them count, and what each takes off every line.

Two steps. ``judge`` decides which discounts count: the automatic ones whose conditions hold, and the submitted
codes that exist, are valid now, for this buyer and for these goods, and combine (DISC-03, DISC-10, DISC-11).
``apply`` computes them in the order of their priority, each on what the earlier ones left (DISC-08).

All amounts are minor units; every list of amounts has one entry per line, in the order of the lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from acpref_merchant.domain.item import Item
from acpref_merchant.domain.shop import Discount, Shop
from acpref_protocol.models import Buyer, DiscountErrorCode
from acpref_protocol.money import allocate, divide_half_up, format_amount

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Granted:
    """A discount that counts; ``code`` is the text that the agent submitted, or ``None`` if automatic."""

    discount: Discount
    code: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A submitted code that does not count. ``index`` is its place in the submitted list (DISC-12)."""

    index: int
    code: str
    reason: DiscountErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A granted discount and what it takes off each line; ``amount`` is the sum of ``shares`` (DISC-09)."""

    discount: Discount
    code: str | None
    amount: int
    shares: tuple[int, ...]


def judge(
    shop: Shop,
    codes: Sequence[str],
    *,
    items: Sequence[Item],
    base: int,
    buyer: Buyer | None,
    redeemed: Mapping[str, int],
    now: int,
) -> tuple[list[Granted], list[Rejected]]:
    """The discounts that count, and the codes that do not, each with its reason.

    ``base`` is the price of all goods before discounts, ``redeemed`` the number of orders that used a discount,
    by its id, and ``now`` is in milliseconds since 1970 UTC.
    """
    granted = [
        Granted(discount, None)
        for discount in shop.automatic_discounts
        if _objection(discount, shop, items, base, buyer, redeemed, now) is None
    ]
    rejected: list[Rejected] = []
    by_code: dict[str, Discount] = {}
    for index, code in enumerate(codes):
        key = code.casefold()
        objection: tuple[DiscountErrorCode, str] | None
        discount = shop.discounts_by_code.get(key)
        if key in by_code:
            objection = "discount_code_already_applied", "was entered more than once"
        elif discount is None:
            objection = "discount_code_invalid", "is not a valid code"
        else:
            objection = _objection(discount, shop, items, base, buyer, redeemed, now)
            if objection is None and any(discount.exclusive or other.exclusive for other in by_code.values()):
                objection = "discount_code_combination_disallowed", "cannot be combined with another code"
        if objection is None and discount is not None:
            by_code[key] = discount
            granted.append(Granted(discount, code))
        elif objection is not None:
            reason, words = objection
            rejected.append(Rejected(index, code, reason, f"The code {_quoted(code)} {words}."))
    return granted, rejected


def apply(granted: Sequence[Granted], items: Sequence[Item], bases: Sequence[int]) -> list[Applied]:
    """What each granted discount takes off each line whose price before discounts is in ``bases``.

    Lower priorities come first; among equals, discounts on items before those on the order, then automatic ones,
    then codes in the order of submission. No line ever falls below zero (DISC-08, DISC-09, DISC-14).
    """
    left = list(bases)
    applied = []
    for grant in sorted(granted, key=lambda g: (g.discount.priority, g.discount.method != "each")):
        discount = grant.discount
        shares = _shares(discount, [left[i] if covers(discount, item) else 0 for i, item in enumerate(items)])
        amount = sum(shares)
        if amount == 0 and grant.code is None:
            continue
        left = [rest - share for rest, share in zip(left, shares, strict=True)]
        applied.append(Applied(discount, grant.code, amount, tuple(shares)))
    return applied


def covers(discount: Discount, item: Item) -> bool:
    """Whether ``discount`` reduces the price of ``item``."""
    if discount.categories is not None and item.category not in discount.categories:
        return False
    return discount.item_ids is None or item.id in discount.item_ids


def _shares(discount: Discount, amounts: list[int]) -> list[int]:
    """What ``discount`` takes off ``amounts``, the rest of each line that it covers and zero for the others."""
    whole = sum(amounts)
    if discount.percent_off is not None:
        if discount.method == "each":
            return [divide_half_up(amount * discount.percent_off, 100) for amount in amounts]
        return allocate(divide_half_up(whole * discount.percent_off, 100), amounts)
    return allocate(min(discount.amount_off or 0, whole), amounts)


def _objection(
    discount: Discount,
    shop: Shop,
    items: Sequence[Item],
    base: int,
    buyer: Buyer | None,
    redeemed: Mapping[str, int],
    now: int,
) -> tuple[DiscountErrorCode, str] | None:
    """Why ``discount`` does not count: its reason and the rest of a sentence about it; ``None`` if it does.

    The buyer's sign-in is what the agent vouches for; the protocol offers the seller nothing better.
    """
    if discount.ends_at is not None and _ms(discount.ends_at) <= now:
        return "discount_code_expired", "has expired"
    if discount.starts_at is not None and now < _ms(discount.starts_at):
        return "discount_code_invalid", "is not valid yet"
    if discount.usage_limit is not None and redeemed.get(discount.id, 0) >= discount.usage_limit:
        return "discount_code_usage_limit_reached", "has been used up"
    signed_in = buyer is not None and buyer.authentication_status == "authenticated"
    if (discount.requires_sign_in or discount.customer_ids is not None) and not signed_in:
        return "discount_code_user_not_logged_in", "is for signed-in customers"
    if discount.customer_ids is not None and (
        buyer is None or buyer.customer_id not in discount.customer_ids
    ):
        return "discount_code_user_ineligible", "is not for this customer"
    if base < discount.minimum_subtotal:
        minimum = format_amount(discount.minimum_subtotal, shop.currency)
        return "discount_code_minimum_not_met", f"needs goods for at least {minimum}"
    if items and not any(covers(discount, item) for item in items):
        return "discount_code_invalid", "does not apply to these items"
    return None


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _quoted(code: str) -> str:
    """``code`` for a message: short, on one line."""
    clean = "".join(character if character.isprintable() else "?" for character in code[:41])
    return f"'{clean}'" if len(clean) <= 40 else f"'{clean[:39]}…'"
