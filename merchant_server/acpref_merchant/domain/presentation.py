"""The session as the agent sees it: an assessment put into the protocol's words (CHK-STA-01 to CHK-STA-03).

What differs from session to session is gathered as plain JSON values and validated once by the protocol's own
model, so that nothing can be sent that the specification does not allow. What sessions have in common (capabilities,
links, options) is built once, as models, and shared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from acpref_merchant.clock import rfc3339
from acpref_merchant.domain.assessment import Assessment
from acpref_merchant.domain.discounts import Applied
from acpref_merchant.domain.fulfillment import Goods
from acpref_merchant.domain.item import Item
from acpref_merchant.domain.negotiation import discounts_active, negotiate
from acpref_merchant.domain.options import HOUR, option
from acpref_merchant.domain.pricing import LinePrice, Price
from acpref_merchant.domain.session import Session
from acpref_merchant.domain.shop import Discount, Shop, ShopLink
from acpref_merchant.domain.taxes import Tax, is_exempt
from acpref_protocol.base import Uri
from acpref_protocol.markdown import contains_raw_html
from acpref_protocol.models import CheckoutSession, Link
from acpref_protocol.money import format_amount

PROTOCOL_VERSION = "2026-04-17"
"""The newest version; the edge puts older ones into its answers."""

Json = dict[str, Any]


def view(session: Session, shop: Shop, assessment: Assessment, now: int) -> CheckoutSession:
    """``session`` in full as ``assessment`` found it at ``now`` (milliseconds since 1970 UTC)."""
    goods, price = assessment.goods, assessment.price
    body: Json = {
        "id": session.id,
        "protocol": {"version": PROTOCOL_VERSION},
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
        "links": list(_links(shop.links)),
        "created_at": rfc3339(session.created_at),
        "updated_at": rfc3339(session.updated_at),
        "expires_at": rfc3339(session.expires_at),
        "continue_url": f"{shop.public_url.rstrip('/')}/checkout/{session.id}",
    }
    for name, value in (
        ("buyer", session.buyer),
        ("fulfillment_details", session.fulfillment_details),
        ("locale", session.locale),
        ("timezone", session.timezone),
        ("quote_id", session.quote_id),
        ("metadata", session.metadata),
        ("order", session.order),
    ):
        if value is not None:
            body[name] = value
    if session.fulfillment_groups:
        body["fulfillment_groups"] = list(session.fulfillment_groups)
    if session.discount_codes or discounts_active(session.declared_capabilities):
        body["discounts"] = _discounts(session, price, shop)
    return CheckoutSession.model_validate(body)


@lru_cache(maxsize=64)
def _links(links: tuple[ShopLink, ...]) -> tuple[Link, ...]:
    return tuple(Link(type=link.type, url=link.url, title=link.title) for link in links)


# --- lines ----------------------------------------------------------------------------------------------------------


def _line(index: int, line: Goods, cost: LinePrice, price: Price, shop: Shop) -> Json:
    """A line with its display data and totals (CHK-LIN-02 to CHK-LIN-05)."""
    body: Json = {
        "id": line.line_id,
        "item": {"id": line.item.id},
        "quantity": line.quantity,
        "unit_amount": line.item.unit_amount,
        "totals": _line_totals(cost),
    }
    if line.known:
        body.update(_static(line.item))
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


def _static(item: Item) -> Json:
    """What a line says about its item, whatever the session."""
    body: Json = {"name": item.title, "variant_id": item.id, "product_id": item.product_id}
    if item.variant_title and item.variant_title != item.title:
        body["name"] = f"{item.title} ({item.variant_title})"
    if item.description:
        body["description"] = item.description
    if images := _uris(item.images):
        body["images"] = images
    if item.disclosures:
        body["disclosures"] = [_disclosure(text) for text in item.disclosures]
    if item.category:
        body["category"] = item.category
    if item.tags:
        body["tags"] = list(item.tags)
    if item.weight_grams:
        body["weight"] = {"value": item.weight_grams, "unit": "g"}
    if item.options:
        body["variant_options"] = [{"name": option.name, "value": option.value} for option in item.options]
    if item.max_quantity_per_order is not None:
        body["max_quantity_per_order"] = item.max_quantity_per_order
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
def _disclosure(text: str) -> Json:
    """A legal text. One with raw HTML may not travel as Markdown, so it is shown as it is written (MD-02, MD-03)."""
    kind = "plain" if contains_raw_html(text) else "markdown"
    return {"type": "disclaimer", "content_type": kind, "content": text}


_URI: TypeAdapter[str] = TypeAdapter(Uri)


@lru_cache(maxsize=4096)
def _uris(texts: tuple[str, ...]) -> list[str]:
    """Those of ``texts`` that are absolute URIs: a catalog's relative image paths mean nothing to an agent."""
    found = []
    for text in texts:
        try:
            found.append(_URI.validate_python(text))
        except ValidationError:
            continue
    return found


# --- totals ---------------------------------------------------------------------------------------------------------


def _line_totals(cost: LinePrice) -> list[Json]:
    totals = [_total("items_base_amount", "Base amount", cost.base)]
    if cost.discount:
        totals.append(_total("items_discount", "Discount", cost.discount))
    totals.append(_total("subtotal", "Subtotal", cost.subtotal))
    totals.append(_total("tax", "Tax", cost.tax))
    totals.append(_total("total", "Total", cost.total))
    return totals


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
    update: Json = {"status": session.status.value, "updated_at": rfc3339(session.updated_at)}
    if session.order is not None:
        update["order"] = session.order
    return agreed.model_copy(update=update)
