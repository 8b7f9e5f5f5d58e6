"""What a merchant configures once: identity, taxes, fulfillment, discounts, links and payment handlers.

The same document is the ``shop.json`` of a catalog folder. Amounts are minor units of ``currency``; rates are
decimal strings ("0.0825"), never floats; durations are named with their unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from acpref_merchant.domain.item import FulfillmentType
from acpref_protocol.base import Uri
from acpref_protocol.money import MAX_AMOUNT


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise ValueError('write the rate as a decimal string, such as "0.0825"')
    try:
        rate = Decimal(value)
    except ArithmeticError as error:
        raise ValueError("not a decimal number") from error
    if not Decimal(0) <= rate <= Decimal(1):
        raise ValueError("a rate is between 0 and 1")
    return rate


Rate = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "string", "pattern": r"^(0(\.\d+)?|1(\.0+)?)$"}),
]


DIGITAL_OPTION_ID = "digital"
"""Id of the fulfillment option of digital goods, which need no configuration."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(_Frozen):
    """A postal address of the merchant's own."""

    name: str
    line_one: str
    line_two: str | None = None
    city: str
    state: str
    country: str = Field(pattern=r"^[A-Z]{2}$")
    postal_code: str


class TaxRule(_Frozen):
    """A tax that applies to destinations in ``country`` (and ``state`` / postal code prefix, when given).

    Every matching rule applies, so that a state and a city rate add up; ``classes`` limits it to tax classes
    of products (``None``: all but ``exempt_classes`` of the table). ``inclusive`` marks a tax that listed prices
    already contain: it changes no total, and is told in words.
    """

    jurisdiction: str
    country: str = Field(pattern=r"^[A-Z]{2}$")
    state: str | None = None
    postal_prefix: str | None = None
    rate: Rate
    classes: tuple[str, ...] | None = None
    inclusive: bool = Field(default=False, description="Whether listed prices already contain the tax.")
    on_fulfillment: bool = Field(
        default=False,
        description="Whether the rate also taxes the goods' share of the cost of fulfillment.",
    )


class Taxes(_Frozen):
    """The tax table. An unlisted destination is taxed at nothing."""

    rules: tuple[TaxRule, ...] = ()
    exempt_classes: tuple[str, ...] = ("exempt",)

    def rules_in(self, country: str, state: str) -> tuple[TaxRule, ...]:
        """The rules for addresses in ``state`` of ``country``, both in capitals, whatever their postal codes."""
        table = self._by_state
        return table.get((country, state)) or table.get((country, None), ())

    @cached_property
    def _by_state(self) -> dict[tuple[str, str | None], tuple[TaxRule, ...]]:
        """The rules by country and state, in their order; under the state ``None`` for states that none names."""
        places = {
            (rule.country, state)
            for rule in self.rules
            for state in (None, rule.state and rule.state.upper())
        }
        return {
            (country, state): tuple(
                rule
                for rule in self.rules
                if rule.country == country and (rule.state is None or rule.state.upper() == state)
            )
            for country, state in places
        }


class _Way(_Frozen):
    """What every way of reaching the buyer has. The id is the fulfillment option's, unique in the shop."""

    id: str
    title: str
    description: str = ""

    # Ways are keys of caches. To hash every member, as pydantic would, takes longer than what the caches save.
    def __hash__(self) -> int:
        return hash(self.id)


class ShippingRate(_Way):
    """A way of shipping: where to, what it costs and how long it takes (calendar days from now)."""

    carrier: str | None = None
    countries: tuple[str, ...] = Field(min_length=1)
    states: tuple[str, ...] | None = None
    amount: int = Field(ge=0, le=MAX_AMOUNT)
    amount_per_kg: int = Field(default=0, ge=0, le=MAX_AMOUNT)
    free_from: int | None = Field(default=None, ge=0, description="Goods total from which it costs nothing.")
    min_days: int = Field(ge=0)
    max_days: int = Field(ge=0)


class PickupPlace(_Way):
    """A place where the buyer collects the goods."""

    pickup_type: Literal["in_store", "curbside", "locker"] = "in_store"
    place: Place
    phone: str | None = None
    instructions: str | None = None
    ready_hours: int = Field(default=4, ge=0)
    hold_days: int = Field(default=7, ge=1)
    amount: int = Field(default=0, ge=0, le=MAX_AMOUNT)


class LocalDelivery(_Way):
    """Delivery by the merchant's own courier to addresses whose postal code has one of the prefixes."""

    country: str = Field(pattern=r"^[A-Z]{2}$")
    postal_prefixes: tuple[str, ...] = Field(min_length=1)
    center_postal_code: str
    radius_miles: int = Field(ge=1)
    amount: int = Field(ge=0, le=MAX_AMOUNT)
    starts_in_hours: int = Field(default=2, ge=0)
    window_hours: int = Field(default=4, ge=1)


Source = ShippingRate | PickupPlace | LocalDelivery | None
"""What a way is configured by; ``None`` is the download of digital goods."""


class Fulfillment(_Frozen):
    """Every way in which orders reach the buyer; an empty list switches the way off."""

    shipping: tuple[ShippingRate, ...] = ()
    pickup: tuple[PickupPlace, ...] = ()
    local_delivery: tuple[LocalDelivery, ...] = ()
    digital_title: str = "Instant download"

    @cached_property
    def ways(self) -> tuple[tuple[FulfillmentType, str, Source], ...]:
        """Type, option id and configuration of every way, in the order in which agents are shown them."""
        return (
            *(("shipping", rate.id, rate) for rate in self.shipping),
            *(("pickup", place.id, place) for place in self.pickup),
            *(("local_delivery", delivery.id, delivery) for delivery in self.local_delivery),
            ("digital", DIGITAL_OPTION_ID, None),
        )

    @cached_property
    def to_addresses(self) -> frozenset[FulfillmentType]:
        """The types of those ways that bring goods to an address."""
        return frozenset(kind for kind, _, _ in self.ways if kind in ("shipping", "local_delivery"))


class Discount(_Frozen):
    """A discount: a code that a buyer enters, or ``code=None`` for one that applies by itself (DISC-07).

    Exactly one of ``percent_off`` (0 to 100) and ``amount_off`` (minor units). ``method`` ``each`` reduces the
    lines it applies to; ``across`` reduces the order. Lower ``priority`` is computed first, on the amount that
    the earlier ones left (DISC-08). ``exclusive`` combines with no other code. ``minimum_subtotal`` is compared
    with the price of all goods before discounts.
    """

    id: str
    name: str
    code: str | None = None
    percent_off: int | None = Field(default=None, ge=0, le=100)
    amount_off: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    method: Literal["each", "across"] = "each"
    priority: int = Field(default=1, ge=1)
    categories: tuple[str, ...] | None = None
    item_ids: tuple[str, ...] | None = None
    minimum_subtotal: int = Field(default=0, ge=0, le=MAX_AMOUNT)
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = Field(default=None, description="The first moment at which it is over.")
    exclusive: bool = False
    requires_sign_in: bool = False
    customer_ids: tuple[str, ...] | None = None
    usage_limit: int | None = Field(
        default=None, ge=1, description="Orders that may use it, over all buyers."
    )

    @model_validator(mode="after")
    def _one_kind_of_reduction(self) -> Self:
        if (self.percent_off is None) == (self.amount_off is None):
            raise ValueError("a discount has exactly one of percent_off and amount_off")
        return self


class ShopLink(_Frozen):
    """A page that the buyer can read; the types are those of CHK-LNK-01 in the newest version."""

    type: Literal[
        "terms_of_use",
        "privacy_policy",
        "return_policy",
        "shipping_policy",
        "contact_us",
        "about_us",
        "faq",
        "support",
    ]
    url: Uri
    title: str | None = None


class Support(_Frozen):
    """Where a buyer gets help with an order."""

    email: str | None = None
    phone: str | None = None
    hours: str | None = None
    help_center_url: str | None = None


class CardHandler(_Frozen):
    """The tokenized-card payment handler that this shop declares in sessions (PAY-04 to PAY-09)."""

    id: str = Field(default="card_tokenized", pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    display_name: str = "Card"
    psp: str = Field(
        default="acpref_sandbox",
        description="Where agents take a card; when absent, the provider that the server is configured with.",
    )
    accepted_brands: tuple[str, ...] = ("visa", "mastercard", "amex", "discover")
    accepted_funding_types: tuple[str, ...] = ("credit", "debit", "prepaid")
    supports_3ds: bool = False
    environment: Literal["sandbox", "production"] = Field(
        default="sandbox", description="When absent, what the provider's key says."
    )


class Shop(_Frozen):
    """The whole of ``shop.json``."""

    merchant_id: str = Field(min_length=1, max_length=256)
    name: str
    currency: str = Field(pattern=r"^[a-z]{3}$")
    locale: str = "en-US"
    country: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    public_url: Uri = Field(
        default="http://127.0.0.1:8000", description="Where buyers' browsers reach the shop."
    )
    taxes: Taxes = Taxes()
    fulfillment: Fulfillment = Fulfillment()
    discounts: tuple[Discount, ...] = ()
    links: tuple[ShopLink, ...] = ()
    support: Support = Support()
    card_handler: CardHandler = CardHandler()
    interventions_supported: tuple[Literal["3ds", "biometric", "address_verification"], ...] = ()
    interventions_required: tuple[Literal["3ds", "biometric"], ...] = ()
    intervention_enforcement: Literal["always", "conditional", "optional"] = "conditional"
    session_ttl_seconds: int = Field(default=6 * 3600, ge=60)
    low_stock_threshold: int = Field(default=5, ge=0)
    max_lines: int = Field(default=100, ge=1, le=1_000)
    max_quantity_per_item: int = Field(default=100_000, ge=1, le=1_000_000)
    max_discount_codes: int = Field(default=20, ge=1)
    capture: Literal["automatic", "manual"] = Field(
        default="automatic",
        description="automatic: money is captured with the authorisation; manual: when the order ships.",
    )
    metadata: dict[str, Any] = Field(default_factory=dict)

    # A key of caches that seldom hold a second shop.
    def __hash__(self) -> int:
        return hash(self.merchant_id)

    @model_validator(mode="after")
    def _names_are_unambiguous(self) -> Self:
        ways = self.fulfillment
        option_ids = [rate.id for rate in ways.shipping]
        option_ids += [place.id for place in ways.pickup]
        option_ids += [delivery.id for delivery in ways.local_delivery]
        _distinct("fulfillment option", option_ids)
        if DIGITAL_OPTION_ID in option_ids:
            raise ValueError(f"{DIGITAL_OPTION_ID!r} is the id of the option for digital goods")
        _distinct("discount", (discount.id for discount in self.discounts))
        _distinct("discount code", (d.code.casefold() for d in self.discounts if d.code is not None))
        return self

    @cached_property
    def discounts_by_code(self) -> dict[str, Discount]:
        """Discounts that a code unlocks, by the code in folded case (DISC-03)."""
        return {d.code.casefold(): d for d in self.discounts if d.code is not None}

    @cached_property
    def automatic_discounts(self) -> tuple[Discount, ...]:
        """Discounts that apply by themselves (DISC-07)."""
        return tuple(d for d in self.discounts if d.code is None)


def _distinct(what: str, ids: Iterable[str]) -> None:
    repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
    if repeated:
        raise ValueError(f"every {what} needs an id of its own; repeated: {', '.join(repeated)}")


__all__ = [
    "DIGITAL_OPTION_ID",
    "CardHandler",
    "Discount",
    "Fulfillment",
    "FulfillmentType",
    "LocalDelivery",
    "PickupPlace",
    "Place",
    "Rate",
    "ShippingRate",
    "Shop",
    "ShopLink",
    "Source",
    "Support",
    "TaxRule",
    "Taxes",
]
