"""A whole purchase by a scripted buyer: from the feed to the order, with every check in between.

``purchasing`` is the purchase without I/O: one flow that talks to the merchant and to the payment provider
in turn. ``purchase`` and ``purchase_async`` find the item in the merchant's feed and drive it. No model
decides anything here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from acpref_agent import verification
from acpref_agent.client import AsyncClient, AsyncPaymentProviderClient, Client, PaymentProviderClient
from acpref_agent.exceptions import NotPurchasable, PaymentDeclined, ProtocolViolation
from acpref_agent.flow import Flow
from acpref_agent.operations import Merchant, PaymentProvider
from acpref_protocol.models import (
    Address,
    Allowance,
    BillingAddress,
    Buyer,
    Capabilities,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    DelegatePaymentRequest,
    DiscountsRequest,
    FeedProduct,
    FeedVariant,
    FulfillmentDetails,
    FulfillmentOption,
    InterventionCapabilities,
    Order,
    PaymentData,
    PaymentHandler,
    PaymentInstrument,
    PaymentMethodCard,
    RequestItem,
    RiskSignal,
    SelectedFulfillmentOption,
)
from acpref_protocol.signing import parse_timestamp

_REFUSED_PAYMENT = frozenset({"payment_declined", "requires_3ds"})
CARD_HANDLER = "dev.acp.tokenized.card"
"""The payment handler that takes a delegated card (PAY-09)."""
_ALLOWANCE_LIFE = timedelta(minutes=15)
_LOOKS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each further look at a session that is still being completed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the buyer wants, and what they allow for it.

    ``item`` is an item id of the feed, or words of its title. ``max_total`` is the most that may be paid,
    in minor units of ``currency``. ``delivery`` lists the acceptable kinds of fulfillment.
    """

    item: str
    quantity: int
    max_total: int
    currency: str
    buyer: Buyer
    address: Address
    card: PaymentMethodCard = field(repr=False)
    discount_codes: tuple[str, ...] = ()
    delivery: tuple[str, ...] = ("shipping", "local_delivery", "digital")
    risk_signals: tuple[RiskSignal, ...] = ()
    locale: str = "en-US"


@dataclass(frozen=True, slots=True)
class Purchase:
    """A finished purchase. ``charged`` is in minor units of ``currency``."""

    session: CheckoutSession
    order: Order
    charged: int
    currency: str
    payment_token: str = field(repr=False)


OnStep = Callable[[str, CheckoutSession | None], None]
"""Told of each step by name (``created``, ``updated``, ...) with the session as it then stood."""


def _silent(step: str, session: CheckoutSession | None) -> None:
    del step, session


def match(products: Iterable[FeedProduct], wanted: str) -> FeedVariant:
    """The variant whose id is ``wanted``, else the first available one whose product title holds all its
    words.

    Raises NotPurchasable when there is none. The feed only tells where to look: checkout decides (FEED-13).
    """
    search = _Search(wanted)
    for product in products:
        if search.sees(product):
            break
    return search.result()


class _Search:
    """Looks at products one by one, so that a stream need not be read further than to the item itself."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._words = wanted.lower().split()
        self._exact: FeedVariant | None = None
        self._by_title: FeedVariant | None = None

    def sees(self, product: FeedProduct) -> bool:
        """Look at ``product``; whether the search is over."""
        for variant in product.variants:
            if variant.id == self._wanted:
                self._exact = variant
                return True
            title = f"{product.title or ''} {variant.title}".lower()
            available = variant.availability is None or variant.availability.available is not False
            if self._by_title is None and available and all(word in title for word in self._words):
                self._by_title = variant
        return False

    def result(self) -> FeedVariant:
        found = self._exact or self._by_title
        if found is None:
            raise NotPurchasable("the merchant's feed has no such item")
        return found


def purchasing(
    merchant: Merchant, provider: PaymentProvider, wanted: Wanted, *, on_step: OnStep = _silent
) -> Flow[Purchase]:
    """Buy the item whose id is ``wanted.item``.

    Every answer is checked: the session stays the same one, in the agreed currency, with sums that are sums
    and within ``max_total``; the token is worth exactly the total that was shown, to this merchant and for
    this session only (PAY-16); and the order costs that total. Raises PurchaseRefused, ApiError,
    ProtocolViolation or TransportError.
    """
    session = yield from merchant.create_checkout_session(
        CheckoutSessionCreateRequest(
            line_items=[RequestItem(id=wanted.item, quantity=wanted.quantity)],
            currency=wanted.currency,
            capabilities=Capabilities(interventions=InterventionCapabilities(supported=[])),  # CAP-01
            buyer=wanted.buyer,
            locale=wanted.locale,
            discounts=DiscountsRequest(codes=list(wanted.discount_codes)) if wanted.discount_codes else None,
        )
    )
    _check(session, wanted)
    on_step("created", session)

    session = yield from _update(
        merchant,
        session,
        wanted,
        CheckoutSessionUpdateRequest(
            fulfillment_details=FulfillmentDetails(
                name=wanted.address.name,
                email=wanted.buyer.email,
                phone_number=wanted.buyer.phone_number,
                address=wanted.address,
            )
        ),
    )
    on_step("addressed", session)

    option = cheapest_option(session, wanted.delivery)
    session = yield from _update(
        merchant,
        session,
        wanted,
        CheckoutSessionUpdateRequest(
            selected_fulfillment_options=[
                SelectedFulfillmentOption(
                    type=option.type, option_id=option.id, item_ids=[line.id for line in session.line_items]
                )
            ]
        ),
    )
    on_step("delivery_chosen", session)

    total = payable_total(session)
    handler = card_handler(session)
    response = yield from provider.delegate_payment(
        delegation(session, total, handler, wanted, now=merchant.options.clock())
    )
    on_step("payment_delegated", session)

    session = yield from merchant.complete_checkout_session(
        session.id, CheckoutSessionCompleteRequest(payment_data=payment_data(handler, response.id))
    )
    session = yield from _settled(merchant, session)
    order = ordered(session, total=total, currency=wanted.currency)
    on_step("completed", session)
    return Purchase(session, order, total, session.currency, response.id)


def purchase(
    client: Client, provider: PaymentProviderClient, wanted: Wanted, *, on_step: OnStep = _silent
) -> Purchase:
    """Find the item in the merchant's feed and buy it; see ``purchasing``."""
    variant = match(client.products(), wanted.item)
    on_step("found", None)
    found = replace(wanted, item=variant.id)
    return client.run(purchasing(client.operations, provider.operations, found, on_step=on_step))


async def purchase_async(
    client: AsyncClient, provider: AsyncPaymentProviderClient, wanted: Wanted, *, on_step: OnStep = _silent
) -> Purchase:
    """Find the item in the merchant's feed and buy it; see ``purchasing``."""
    search = _Search(wanted.item)
    async with aclosing(client.products()) as products:
        async for product in products:
            if search.sees(product):
                break
    on_step("found", None)
    found = replace(wanted, item=search.result().id)
    return await client.run(purchasing(client.operations, provider.operations, found, on_step=on_step))


# --- the decisions ----------------------------------------------------------------------------------------


def cheapest_option(session: CheckoutSession, acceptable: Iterable[str]) -> FulfillmentOption:
    """The cheapest fulfillment option of an acceptable kind; the first of equals.

    Raises NotPurchasable for none.
    """
    kinds = set(acceptable)
    options = [option for option in session.fulfillment_options if option.type in kinds]
    if not options:
        raise NotPurchasable(f"the merchant offers no way to deliver this{_reasons(session)}")
    return min(options, key=_price)


def _price(option: FulfillmentOption) -> int:
    by_type = {entry.type: entry.amount for entry in option.totals}
    return by_type.get("total", sum(by_type.values()))


def card_handler(session: CheckoutSession) -> PaymentHandler:
    """The handler through which a delegated card is accepted (PAY-14), the merchant's first choice
    (PAY-10)."""
    payment = session.capabilities.payment
    usable = [
        handler
        for handler in (payment.handlers if payment else [])
        if handler.name == CARD_HANDLER and handler.requires_delegate_payment
    ]
    if not usable:
        raise NotPurchasable("the merchant does not accept delegated cards")
    return min(usable, key=lambda handler: 0 if handler.display_order is None else handler.display_order)


def payable_total(session: CheckoutSession) -> int:
    """The total of a session that is ready for payment. Raises NotPurchasable with the merchant's reasons."""
    total = verification.total_of(session)
    if session.status != "ready_for_payment" or total is None:
        raise NotPurchasable(f"the session is {session.status}{_reasons(session)}")
    return total


def delegation(
    session: CheckoutSession, total: int, handler: PaymentHandler, wanted: Wanted, *, now: float
) -> DelegatePaymentRequest:
    """What the payment provider is asked for: a token for exactly ``total``, this merchant and this session
    (PAY-16).

    It lives for 15 minutes, or as long as the session if that is shorter. ``now`` is seconds since 1970.
    """
    merchant_id = handler.config.get("merchant_id")
    if not isinstance(merchant_id, str) or not merchant_id:
        raise ProtocolViolation("the payment handler names no merchant_id")  # PAY-07
    expiry = datetime.fromtimestamp(int(now), UTC) + _ALLOWANCE_LIFE
    session_end = parse_timestamp(session.expires_at) if session.expires_at else None
    if session_end is not None:
        expiry = min(expiry, datetime.fromtimestamp(int(session_end), UTC))
    address = wanted.address.to_object()
    address.pop("company", None)  # the provider's address has no such member
    return DelegatePaymentRequest(
        payment_method=wanted.card,
        allowance=Allowance(
            reason="one_time",
            max_amount=total,
            currency=session.currency.lower(),
            checkout_session_id=session.id,
            merchant_id=merchant_id,
            expires_at=expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ),
        billing_address=BillingAddress.model_validate(address),
        risk_signals=list(wanted.risk_signals),
        metadata={"checkout_session_id": session.id},
    )


def payment_data(handler: PaymentHandler, token: str) -> PaymentData:
    """The delegated token as an instrument of ``handler`` (PAY-12, PAY-13, PAY-15, PAY-17)."""
    instrument = {
        "id": f"instrument_{handler.id}",
        "handler_id": handler.id,
        "type": "card",
        "credential": {"type": "spt", "token": token},
    }
    return PaymentData(handler_id=handler.id, instrument=PaymentInstrument.model_validate(instrument))


def ordered(session: CheckoutSession, *, total: int, currency: str) -> Order:
    """The order of a completed session that costs the agreed ``total`` (CHK-CMP-01).

    Raises PaymentDeclined (CHK-CMP-06), NotPurchasable, ProtocolViolation, or what ``check_session`` raises.
    """
    if session.status != "completed":
        declined = [m for m in session.messages if m.type == "error" and m.code in _REFUSED_PAYMENT]
        if declined:
            raise PaymentDeclined(declined[0].content)
        raise NotPurchasable(f"the session is {session.status}{_reasons(session)}")
    verification.check_session(session, currency=currency, agreed_total=total)
    if session.order is None or session.order.checkout_session_id != session.id:
        raise ProtocolViolation("the completed session has no order of its own")
    return session.order


def _update(
    merchant: Merchant, session: CheckoutSession, wanted: Wanted, request: CheckoutSessionUpdateRequest
) -> Flow[CheckoutSession]:
    updated = yield from merchant.update_checkout_session(session.id, request)
    _check(updated, wanted)
    return updated


def _check(session: CheckoutSession, wanted: Wanted) -> None:
    verification.check_session(session, currency=wanted.currency, max_total=wanted.max_total)
    bought = [(line.item.id, line.quantity) for line in session.line_items]
    if bought != [(wanted.item, wanted.quantity)]:
        raise ProtocolViolation("the session is for other items than were asked for")


def _settled(merchant: Merchant, session: CheckoutSession) -> Flow[CheckoutSession]:
    """The session once the merchant has finished with it, as far as that takes a few looks only
    (CHK-CMP-08)."""
    for delay in _LOOKS:
        if session.status != "complete_in_progress":
            break
        session = yield from merchant.get_checkout_session(session.id, delay=delay)
    return session


def _reasons(session: CheckoutSession) -> str:
    reasons = [message.content for message in session.messages if message.type == "error"]
    return ": " + " ".join(reasons) if reasons else ""
