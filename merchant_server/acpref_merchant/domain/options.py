"""Fulfillment options as the agent sees them, made of the ways that the shop offers (FUL-04 to FUL-06)."""

from __future__ import annotations

from functools import lru_cache

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.shop import (
    DIGITAL_OPTION_ID,
    LocalDelivery,
    PickupPlace,
    ShippingRate,
    Source,
)
from acpref_protocol.models import (
    Address,
    DeliveryWindow,
    FulfillmentOption,
    FulfillmentOptionDigital,
    FulfillmentOptionLocalDelivery,
    FulfillmentOptionPickup,
    FulfillmentOptionShipping,
    PickupLocation,
    ServiceArea,
    Total,
)

HOUR = 3_600_000
"""Milliseconds."""
DAY = 24 * HOUR
"""Milliseconds."""


@lru_cache(maxsize=4096)
def option(source: Source, amount: int, digital_title: str, hour: int) -> FulfillmentOption:
    """An offer as an option (FUL-04 to FUL-06) in the given hour since 1970.

    Times are whole days or hours, so that an option stays the same for a while and can be shared by sessions.
    """
    match source:
        case ShippingRate() as rate:
            today = hour * HOUR // DAY * DAY
            return FulfillmentOptionShipping(
                type="shipping",
                id=rate.id,
                title=rate.title,
                description=rate.description or _days(rate),
                carrier=rate.carrier,
                earliest_delivery_time=rfc3339(today + rate.min_days * DAY),
                latest_delivery_time=rfc3339(today + (rate.max_days + 1) * DAY - 1000),
                totals=_option_totals("Shipping", amount),
            )
        case PickupPlace() as spot:
            ready = (hour + 1 + spot.ready_hours) * HOUR
            return FulfillmentOptionPickup(
                type="pickup",
                id=spot.id,
                title=spot.title,
                description=spot.description or f"Pick up at {spot.place.name}",
                location=PickupLocation(
                    name=spot.place.name,
                    address=Address(**spot.place.model_dump()),
                    phone=spot.phone,
                    instructions=spot.instructions,
                ),
                pickup_type=spot.pickup_type,
                ready_by=rfc3339(ready),
                pickup_by=rfc3339(ready + spot.hold_days * DAY),
                totals=_option_totals("Pickup", amount),
            )
        case LocalDelivery() as delivery:
            start = (hour + 1 + delivery.starts_in_hours) * HOUR
            return FulfillmentOptionLocalDelivery(
                type="local_delivery",
                id=delivery.id,
                title=delivery.title,
                description=delivery.description or "Delivered by the shop",
                delivery_window=DeliveryWindow(
                    start=rfc3339(start), end=rfc3339(start + delivery.window_hours * HOUR)
                ),
                service_area=ServiceArea(
                    radius_miles=delivery.radius_miles, center_postal_code=delivery.center_postal_code
                ),
                totals=_option_totals("Local delivery", amount),
            )
        case None:
            return FulfillmentOptionDigital(
                type="digital",
                id=DIGITAL_OPTION_ID,
                title=digital_title,
                description="Available as soon as the order is paid",
                totals=_option_totals("Digital delivery", amount),
            )


def _option_totals(text: str, amount: int) -> list[Total]:
    return [
        Total(type="fulfillment", display_text=text, amount=amount),
        Total(type="total", display_text="Total", amount=amount),
    ]


def _days(rate: ShippingRate) -> str:
    if rate.min_days == rate.max_days:
        return f"Arrives in {rate.max_days} day{'' if rate.max_days == 1 else 's'}"
    return f"Arrives in {rate.min_days} to {rate.max_days} days"
