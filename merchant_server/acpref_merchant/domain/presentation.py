"""The session as the agent sees it: an assessment put into the protocol's words (CHK-STA-01 to CHK-STA-03).

What differs from session to session is gathered as plain JSON values and validated once by the protocol's own
model, so that nothing can be sent that the specification does not allow. What sessions have in common (capabilities,
links, options, what is said about an item) is built once, as models, and shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.assessment import Assessment
from acpref_merchant.domain.discounts import Applied
from acpref_merchant.domain.fulfillment import Goods
from acpref_merchant.domain.item import Option
from acpref_merchant.domain.negotiation import discounts_active, negotiate
from acpref_merchant.domain.options import HOUR, option
from acpref_merchant.domain.pricing import LinePrice, Price
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Discount, Shop
from acpref_merchant.domain.taxes import Tax, is_exempt
from acpref_protocol.base import Uri
from acpref_protocol.markdown import contains_raw_html
from acpref_protocol.models import (
    CheckoutSession,
    Disclosure,
    Link,
    ProtocolVersion,
    Total,
    VariantOption,
    WeightInfo,
)
from acpref_protocol.money import format_amount

PROTOCOL_VERSION = "2026-04-17"
"""The newest version; the edge puts older ones into its answers."""

_PROTOCOL = ProtocolVersion(version=PROTOCOL_VERSION)

Json = dict[str, Any]

_AS_STATED = ("buyer", "fulfillment_details", "locale", "timezone", "quote_id", "metadata", "order")
"""Members of a session that are shown as they are, if there are any."""

_time = lru_cache(maxsize=4096)(rfc3339)
"""``rfc3339``, remembered: the times of a session are shown again with every answer."""


def view(session: Session, shop: Shop, assessment: Assessment, now: int) -> CheckoutSession:
    """``session`` in full as ``assessment`` found it at ``now`` (milliseconds since 1970 UTC)."""
    goods, price = assessment.goods, assessment.price
    body: Json = {
        "id": session.id,
        "protocol": _PROTOCOL,
        "capabilities": negotiate(shop, session.declared_capabilities),
        "status": assessment.status.value,
        "currency": session.currency,
        "line_items": [
            _line(index, line, cost, price, shop)
            for index, (line, cost) in enumerate(zip(goods, price.lines, strict=True))
        ],
        "fulfillment_options": [
            option(offer.source, amount, shop.fulfillment.digital_title, now // HOUR)
            for offer, amount in zip(price.offers, price.costs, strict=True)
        ],
        "selected_fulfillment_options": list(price.selected),
        "totals": _totals(price, shop),
        "messages": list(assessment.messages),
        "links": _links(shop),
        "created_at": _time(session.created_at),
        "updated_at": _time(session.updated_at),
        "expires_at": _time(session.expires_at),
        "continue_url": f"{shop.public_url.rstrip('/')}/checkout/{session.id}",
    }
    for name in _AS_STATED:
        if (value := getattr(session, name)) is not None:
            body[name] = value
    if session.fulfillment_groups:
        body["fulfillment_groups"] = list(session.fulfillment_groups)
    if session.discount_codes or discounts_active(session.declared_capabilities):
        body["discounts"] = _discounts(session, price, shop)
    return CheckoutSession.model_validate(body)


@lru_cache(maxsize=64)
def _links(shop: Shop) -> list[Link]:
    return [Link(type=link.type, url=link.url, title=link.title) for link in shop.links]


# --- lines ----------------------------------------------------------------------------------------------------------


def _line(index: int, line: Goods, cost: LinePrice, price: Price, shop: Shop) -> Json:
    """A line with its display data and totals (CHK-LIN-02 to CHK-LIN-05)."""
    body: Json = {
        "id": line.line_id,
        "item": {"id": line.item.id},
        "quantity": line.quantity,
        "unit_amount": line.item.unit_amount,
        "totals": _line_totals(cost.base, cost.discount, cost.tax),
    }
    if line.known:
        body.update(_described(*_DESCRIPTION(line.item)))
        body.update(_availability(line, shop))
    else:
        body.update(name=line.item.title, availability_status="out_of_stock")
    if details := [
        _discount_detail(applied, applied.shares[index])
        for applied in price.applied
        if applied.discount.method == "each" and applied.shares[index]
    ]:
        body["discount_details"] = details
    if is_exempt(shop.taxes, line.item.tax_class):
        body.update(tax_exempt=True, tax_exemption_reason="Goods of this class are not taxed.")
    return body


_DESCRIPTION = attrgetter(
    "id",
    "product_id",
    "title",
    "variant_title",
    "description",
    "images",
    "disclosures",
    "category",
    "tags",
    "weight_grams",
    "options",
    "max_quantity_per_order",
)
"""What ``_described`` takes of an item: all but its price and stock, which seldom stay the same for long."""


@lru_cache(maxsize=4096)
def _described(
    variant_id: str,
    product_id: str,
    title: str,
    variant_title: str,
    description: str,
    images: tuple[str, ...],
    disclosures: tuple[str, ...],
    category: str,
    tags: tuple[str, ...],
    weight_grams: int,
    options: tuple[Option, ...],
    max_quantity_per_order: int | None,
) -> Json:
    """What a line says about its item, whatever the session."""
    body: Json = {"name": title, "variant_id": variant_id, "product_id": product_id}
    if variant_title and variant_title != title:
        body["name"] = f"{title} ({variant_title})"
    if description:
        body["description"] = description
    if uris := _uris(images):
        body["images"] = uris
    if disclosures:
        body["disclosures"] = [_disclosure(text) for text in disclosures]
    if category:
        body["category"] = category
    if tags:
        body["tags"] = list(tags)
    if weight_grams:
        body["weight"] = WeightInfo(value=weight_grams, unit="g")
    if options:
        body["variant_options"] = [VariantOption(name=chosen.name, value=chosen.value) for chosen in options]
    if max_quantity_per_order is not None:
        body["max_quantity_per_order"] = max_quantity_per_order
    return body


def _availability(line: Goods, shop: Shop) -> Json:
    available = line.item.available
    if available is None:
        return {"availability_status": "in_stock"}
    if available <= 0:
        return {"availability_status": "out_of_stock", "available_quantity": 0}
    low = available <= shop.low_stock_threshold
    return {"availability_status": "low_stock" if low else "in_stock", "available_quantity": available}


@lru_cache(maxsize=1024)
def _disclosure(text: str) -> Disclosure:
    """A legal text. One with raw HTML may not travel as Markdown, so it is shown as it is written (MD-02, MD-03)."""
    kind: Literal["plain", "markdown"] = "plain" if contains_raw_html(text) else "markdown"
    return Disclosure(type="disclaimer", content_type=kind, content=text)


_URI: TypeAdapter[str] = TypeAdapter(Uri)


def _uris(texts: Iterable[str]) -> list[str]:
    """Those of ``texts`` that are absolute URIs: a catalog's relative image paths mean nothing to an agent."""
    found = []
    for text in texts:
        try:
            found.append(_URI.validate_python(text))
        except ValidationError:
            continue
    return found


# --- totals ---------------------------------------------------------------------------------------------------------


_TOTALS: TypeAdapter[list[Total]] = TypeAdapter(list[Total])


@lru_cache(maxsize=4096)
def _line_totals(base: int, discount: int, tax: int) -> list[Total]:
    """The totals of a line; the same few items in the same few quantities are in most sessions."""
    subtotal = base - discount
    totals = [_total("items_base_amount", "Base amount", base)]
    if discount:
        totals.append(_total("items_discount", "Discount", discount))
    totals.append(_total("subtotal", "Subtotal", subtotal))
    totals.append(_total("tax", "Tax", tax))
    totals.append(_total("total", "Total", subtotal + tax))
    return _TOTALS.validate_python(totals)


def _totals(price: Price, shop: Shop) -> list[Json]:
    """The session's totals, in a fixed order; what does not occur is left out (CHK-TOT-01 to CHK-TOT-04)."""
    totals = [_total("items_base_amount", "Items", price.base)]
    if price.item_discount:
        totals.append(_total("items_discount", "Item discounts", price.item_discount))
    totals.append(_total("subtotal", "Subtotal", price.subtotal))
    if price.discount:
        totals.append(_total("discount", "Order discounts", price.discount))
    if price.fulfillment is not None:
        totals.append(_total("fulfillment", "Fulfillment", price.fulfillment))
    tax = _total("tax", "Tax", price.tax)
    if price.added:
        tax["breakdown"] = [
            {"jurisdiction": part.jurisdiction, "rate": float(part.rate), "amount": part.amount}
            for part in price.added
        ]
    if description := _tax_description(price, shop):
        tax["description"] = description
    totals.append(tax)
    totals.append(_total("total", "Total", price.total))
    return totals


def _tax_description(price: Price, shop: Shop) -> str:
    parts = []
    if not price.taxable:
        parts.append("Taxes are added once the address is known.")
    parts.extend(_included(part, shop) for part in price.included)
    return " ".join(parts)


def _included(part: Tax, shop: Shop) -> str:
    amount = format_amount(part.amount, shop.currency)
    return f"Prices include {amount} of tax ({part.jurisdiction}, {(part.rate * 100).normalize():f}%)."


def _total(kind: str, text: str, amount: int) -> Json:
    return {"type": kind, "display_text": text, "amount": amount}


# --- discounts ------------------------------------------------------------------------------------------------------


def _discounts(session: Session, price: Price, shop: Shop) -> Json:
    """Codes as submitted, every discount that counts, and every code that does not (DISC-04 to DISC-10)."""
    body: Json = {
        "codes": list(session.discount_codes),
        "applied": [_applied(applied, shop) for applied in price.applied],
    }
    if price.rejected:
        body["rejected"] = [
            {"code": code.code, "reason": code.reason, "message": code.message} for code in price.rejected
        ]
    return body


def _applied(applied: Applied, shop: Shop) -> Json:
    discount = applied.discount
    body: Json = {
        "id": f"di_{discount.id}",
        "coupon": _coupon(discount, shop),
        "amount": applied.amount,
        "method": discount.method,
        "priority": discount.priority,
    }
    if applied.code is None:
        body["automatic"] = True
    else:
        body["code"] = applied.code
    for name, moment in (("start", discount.starts_at), ("end", discount.ends_at)):
        if moment is not None:
            body[name] = moment.isoformat().replace("+00:00", "Z")
    if discount.method == "each" and applied.amount:
        body["allocations"] = [
            {"path": f"$.line_items[{index}]", "amount": share}
            for index, share in enumerate(applied.shares)
            if share
        ]
    return body


def _coupon(discount: Discount, shop: Shop) -> Json:
    body: Json = {"id": discount.id, "name": discount.name, "duration": "once"}
    if discount.percent_off is not None:
        body["percent_off"] = discount.percent_off
    else:
        body.update(amount_off=discount.amount_off, currency=shop.currency)
    return body


def _discount_detail(applied: Applied, share: int) -> Json:
    discount = applied.discount
    body: Json = {
        "type": "fixed" if discount.percent_off is None else "percentage",
        "amount": share,
        "description": discount.name,
        "source": "automatic" if applied.code is None else "coupon",
    }
    if applied.code is not None:
        body["code"] = applied.code
    return body


def total_of(shown: CheckoutSession) -> int:
    """The amount due that ``shown`` tells, in minor units."""
    return amount_of(shown, "total")


def amount_of(shown: CheckoutSession, kind: str) -> int:
    """The sum of the entries of type ``kind`` in the totals of ``shown``."""
    return sum(total.amount for total in shown.totals if total.type == kind)


# --- what was agreed on ---------------------------------------------------------------------------------------------


def freeze(agreed: CheckoutSession) -> str:
    """``agreed`` as the text that a session keeps from the moment that payment begins."""
    return agreed.to_json().decode()


def thaw(session: Session, frozen: str) -> CheckoutSession:
    """The session as it was frozen, with the status and the order that it has by now."""
    return bring_up(CheckoutSession.model_validate_json(frozen), session)


def bring_up(agreed: CheckoutSession, session: Session) -> CheckoutSession:
    """``agreed``, what was shown when payment began, with the status and the order that ``session`` has by now."""
    update: Json = {"status": session.status.value, "updated_at": _time(session.updated_at)}
    if session.order is not None:
        update["order"] = session.order
    return agreed.model_copy(update=update)
