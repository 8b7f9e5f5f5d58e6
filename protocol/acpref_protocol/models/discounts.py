"""The discount extension: codes that were asked for, discounts that apply, codes that were refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from acpref_protocol.base import Currency, DateTime, Model, Opt, number

_Refusal = Literal[
    "discount_code_expired",
    "discount_code_invalid",
    "discount_code_already_applied",
    "discount_code_combination_disallowed",
    "discount_code_minimum_not_met",
    "discount_code_user_not_logged_in",
    "discount_code_user_ineligible",
    "discount_code_usage_limit_reached",
]

DiscountErrorCode = TypeAliasType(
    "DiscountErrorCode", Annotated[_Refusal, Field(description="Why a discount code was refused.")]
)
"""Why a discount code was refused."""


class DiscountAllocation(Model):
    """The part of a discount that falls on one place of the session."""

    path: str
    """JSONPath of the line or total."""
    amount: Annotated[int, Field(ge=0)]
    """Minor units."""


class Coupon(Model):
    """The rule behind a discount."""

    id: str
    """The seller's id of the rule."""
    name: str
    """Name for the buyer."""
    percent_off: Opt[Annotated[int | float, number(minimum=0, maximum=100)]] = None
    """Per cent taken off."""
    amount_off: Opt[Annotated[int, Field(ge=0)]] = None
    """Minor units taken off."""
    currency: Opt[Currency] = None
    """Currency of ``amount_off``."""
    duration: Opt[Literal["once", "repeating", "forever"]] = None
    """How often it applies to one buyer."""
    duration_in_months: Opt[Annotated[int, Field(ge=1)]] = None
    """Months, for a repeating coupon."""
    max_redemptions: Opt[Annotated[int, Field(ge=1)]] = None
    """How often it can be used in all."""
    times_redeemed: Opt[Annotated[int, Field(ge=0)]] = None
    """How often it has been used."""
    metadata: Opt[dict[str, str]] = None
    """The seller's notes."""


class AppliedDiscount(Model):
    """A discount that counts in the totals."""

    id: str
    """Names the discount within the session."""
    code: Opt[str] = None
    """Code that brought it; absent for automatic discounts."""
    coupon: Coupon
    """Rule that is applied."""
    amount: Annotated[int, Field(ge=0)]
    """Minor units taken off in all."""
    automatic: Opt[bool] = Field(default=None, json_schema_extra={"default": False})
    """Whether it came without a code; absent means no."""
    start: Opt[DateTime] = None
    """From when it holds."""
    end: Opt[DateTime] = None
    """Until when it holds."""
    method: Opt[Literal["each", "across"]] = None
    """Whether every line gets it or the lines share it."""
    priority: Opt[Annotated[int, Field(ge=1)]] = None
    """Order of application; 1 is first."""
    allocations: Opt[list[DiscountAllocation]] = None
    """Where the amount falls."""


class RejectedDiscount(Model):
    """A code that does not count, and why."""

    code: str
    """Code as the agent sent it."""
    reason: DiscountErrorCode
    """Why it was refused."""
    message: Opt[str] = None
    """Explanation for the buyer."""


class DiscountsRequest(Model):
    """Codes that the agent wants applied; they replace the earlier ones."""

    codes: Opt[list[str]] = None
    """The codes."""


class DiscountsResponse(Model):
    """What became of the codes, and the discounts that apply."""

    codes: Opt[list[str]] = None
    """Codes that were asked for."""
    applied: Opt[list[AppliedDiscount]] = None
    """Discounts that count in the totals."""
    rejected: Opt[list[RejectedDiscount]] = None
    """Codes that do not count."""
