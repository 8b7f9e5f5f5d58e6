"""The clients: one method per operation of the protocol, synchronous and asynchronous.

Each method hands the flow of ``operations`` to the driver in ``transport``; what an operation sends, what
it expects and what it raises is documented there, and is the same for both. Wherever a method takes an
``idempotency_key``, one is made when none is given; give your own to be able to repeat the call after a
crash.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable

import httpx

from acpref_agent import reading
from acpref_agent.operations import Merchant, Options, PaymentProvider
from acpref_agent.transport import AsyncTransport, Transport
from acpref_protocol.models import (
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    DelegatePaymentRequest,
    DelegatePaymentResponse,
    DiscoveryResponse,
    FeedProduct,
    IntentTrace,
    Order,
)

_DEFAULTS = Options()


class Client(Transport):
    """A buying agent's connection to one merchant. Use it as a context manager, or call ``close``.

    ``base_url`` is the API's address as discovery gives it; ``token`` is the agent's bearer token at this
    merchant.
    """

    def __init__(
        self, base_url: str, token: str, *, options: Options = _DEFAULTS, http: httpx.Client | None = None
    ) -> None:
        super().__init__(http)
        self.operations = Merchant(base_url, token, options)

    def discover(self) -> DiscoveryResponse:
        """The merchant's discovery document (DIS-01)."""
        return self.run(self.operations.discover())

    def create_checkout_session(
        self, request: CheckoutSessionCreateRequest, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Open a session."""
        return self.run(self.operations.create_checkout_session(request, idempotency_key))

    def get_checkout_session(self, session_id: str) -> CheckoutSession:
        """The current session."""
        return self.run(self.operations.get_checkout_session(session_id))

    def update_checkout_session(
        self,
        session_id: str,
        request: CheckoutSessionUpdateRequest,
        *,
        idempotency_key: str | None = None,
        clear: Iterable[str] = (),
    ) -> CheckoutSession:
        """Change a session; members named in ``clear`` are removed from it."""
        return self.run(self.operations.update_checkout_session(session_id, request, idempotency_key, clear))

    def complete_checkout_session(
        self, session_id: str, request: CheckoutSessionCompleteRequest, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Pay and order."""
        return self.run(self.operations.complete_checkout_session(session_id, request, idempotency_key))

    def cancel_checkout_session(
        self, session_id: str, intent_trace: IntentTrace | None = None, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Give a session up."""
        return self.run(self.operations.cancel_checkout_session(session_id, intent_trace, idempotency_key))

    def get_order(self, order_id: str) -> Order:
        """The current order."""
        return self.run(self.operations.get_order(order_id))

    def products(self) -> Generator[FeedProduct, None, None]:
        """The products of the merchant's feed, as they arrive."""
        for line in self.lines(self.operations.open_feed()):
            yield reading.parse(FeedProduct, line)


class AsyncClient(AsyncTransport):
    """``Client`` for asyncio: the same operations, awaited."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        options: Options = _DEFAULTS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(http)
        self.operations = Merchant(base_url, token, options)

    async def discover(self) -> DiscoveryResponse:
        """The merchant's discovery document (DIS-01)."""
        return await self.run(self.operations.discover())

    async def create_checkout_session(
        self, request: CheckoutSessionCreateRequest, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Open a session."""
        return await self.run(self.operations.create_checkout_session(request, idempotency_key))

    async def get_checkout_session(self, session_id: str) -> CheckoutSession:
        """The current session."""
        return await self.run(self.operations.get_checkout_session(session_id))

    async def update_checkout_session(
        self,
        session_id: str,
        request: CheckoutSessionUpdateRequest,
        *,
        idempotency_key: str | None = None,
        clear: Iterable[str] = (),
    ) -> CheckoutSession:
        """Change a session; members named in ``clear`` are removed from it."""
        flow = self.operations.update_checkout_session(session_id, request, idempotency_key, clear)
        return await self.run(flow)

    async def complete_checkout_session(
        self, session_id: str, request: CheckoutSessionCompleteRequest, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Pay and order."""
        return await self.run(self.operations.complete_checkout_session(session_id, request, idempotency_key))

    async def cancel_checkout_session(
        self, session_id: str, intent_trace: IntentTrace | None = None, *, idempotency_key: str | None = None
    ) -> CheckoutSession:
        """Give a session up."""
        flow = self.operations.cancel_checkout_session(session_id, intent_trace, idempotency_key)
        return await self.run(flow)

    async def get_order(self, order_id: str) -> Order:
        """The current order."""
        return await self.run(self.operations.get_order(order_id))

    async def products(self) -> AsyncGenerator[FeedProduct, None]:
        """The products of the merchant's feed, as they arrive."""
        async for line in self.lines(self.operations.open_feed()):
            yield reading.parse(FeedProduct, line)


class PaymentProviderClient(Transport):
    """A buying agent's connection to a payment provider; ``token`` is the agent's bearer token there."""

    def __init__(
        self, base_url: str, token: str, *, options: Options = _DEFAULTS, http: httpx.Client | None = None
    ) -> None:
        super().__init__(http)
        self.operations = PaymentProvider(base_url, token, options)

    def delegate_payment(
        self, request: DelegatePaymentRequest, *, idempotency_key: str | None = None
    ) -> DelegatePaymentResponse:
        """Exchange a card and an allowance for a token that is good for one purchase."""
        return self.run(self.operations.delegate_payment(request, idempotency_key))


class AsyncPaymentProviderClient(AsyncTransport):
    """``PaymentProviderClient`` for asyncio."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        options: Options = _DEFAULTS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(http)
        self.operations = PaymentProvider(base_url, token, options)

    async def delegate_payment(
        self, request: DelegatePaymentRequest, *, idempotency_key: str | None = None
    ) -> DelegatePaymentResponse:
        """Exchange a card and an allowance for a token that is good for one purchase."""
        return await self.run(self.operations.delegate_payment(request, idempotency_key))
