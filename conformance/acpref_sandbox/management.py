"""The sandbox's management endpoints: what a test may do to the world that an agent may not.

They exist on the sandbox's seller alone, under ``/_sandbox``, and need a token of their own. ``acpref merchant serve``
never has them.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from acpref_merchant.clock import ShiftedClock
from acpref_merchant.http.edge import error_response, read_body
from acpref_merchant.http.parsing import parse
from acpref_merchant.operations.call import Merchant
from acpref_merchant.store import items
from acpref_protocol import strict_json
from acpref_protocol.errors import ProtocolError, invalid_request, not_found, unauthorized
from acpref_protocol.headers import bearer_token

MAX_ADVANCE_SECONDS = 400 * 24 * 3600
LAST_MOMENT = 4_102_444_800_000
"""The start of 2100, in milliseconds since 1970. The clock stops there: times have four digits for the year."""
MAX_STOCK = 10**12
MAX_UNIT_AMOUNT = 10**11
"""The fullest session at this price, 100 items of 100,000 units each, is still within what databases count to."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Advance(_Body):
    """Move the clock of every party forward."""

    advance_seconds: int = Field(ge=0, le=MAX_ADVANCE_SECONDS)


class Stock(_Body):
    """Set the units on hand of an item; ``null`` makes them unlimited."""

    item: str
    quantity: int | None = Field(ge=0, le=MAX_STOCK)


class Price(_Body):
    """Set the unit price of an item, in minor units."""

    item: str
    unit_amount: int = Field(ge=0, le=MAX_UNIT_AMOUNT)


class Fault(_Body):
    """Let the next ``times`` requests at ``where`` fail."""

    where: Literal["delegate_payment", "authorize", "capture", "refund", "webhook"]
    kind: Literal["error_500", "timeout", "drop_connection", "slow"]
    times: int = Field(default=1, ge=1, le=10_000)


@dataclass(slots=True)
class Management:
    """The handles that the endpoints turn.

    ``restore`` empties the merchant's and the provider's books and sets stock and prices as they were at the start.
    """

    token: str
    clock: ShiftedClock
    restore: Callable[[], Awaitable[None]]
    arm: Callable[[str, str, int], None]
    disarm: Callable[[], None]
    charges: Callable[[], Awaitable[list[dict[str, Any]]]]
    deliveries: list[dict[str, Any]] = field(default_factory=list)

    def router(self, merchant: Merchant) -> APIRouter:
        """The endpoints for ``merchant``."""
        router = APIRouter(prefix="/_sandbox", include_in_schema=False)

        def endpoint(path: str, method: str, act: Callable[[Any], Awaitable[Any]]) -> None:
            async def handle(request: Request) -> Response:
                try:
                    self._authenticate(request)
                    raw = await read_body(request, merchant.settings.body_limit)
                    return JSONResponse(await act(strict_json.loads(raw) if raw else None))
                except ProtocolError as error:
                    return error_response(error)

            router.add_api_route(path, handle, methods=[method])

        async def reset(_: Any) -> Any:
            self.clock.reset()
            self.disarm()
            self.deliveries.clear()
            await self.restore()
            return {"reset": True}

        async def advance(body: Any) -> Any:
            seconds = parse(Advance, body).advance_seconds
            if self.clock() + seconds * 1000 > LAST_MOMENT:
                raise invalid_request("The clock goes no further than 2100.", param="$.advance_seconds")
            self.clock.advance(seconds)
            merchant.deliveries.notify()
            return {"now": self.clock()}

        async def stock(body: Any) -> Any:
            wanted = parse(Stock, body)
            await _change(merchant, lambda tx: items.set_stock(tx, wanted.item, wanted.quantity))
            return {"item": wanted.item, "quantity": wanted.quantity}

        async def price(body: Any) -> Any:
            wanted = parse(Price, body)
            await _change(merchant, lambda tx: items.set_unit_amount(tx, wanted.item, wanted.unit_amount))
            return {"item": wanted.item, "unit_amount": wanted.unit_amount}

        async def fault(body: Any) -> Any:
            wanted = parse(Fault, body)
            self.arm(wanted.where, wanted.kind, wanted.times)
            return {"armed": wanted.model_dump()}

        async def charges(_: Any) -> Any:
            return {"charges": await self.charges()}

        async def deliveries(_: Any) -> Any:
            return {"webhook_deliveries": list(self.deliveries)}

        endpoint("/reset", "POST", reset)
        endpoint("/clock", "POST", advance)
        endpoint("/stock", "POST", stock)
        endpoint("/price", "POST", price)
        endpoint("/fault", "POST", fault)
        endpoint("/charges", "GET", charges)
        endpoint("/webhook_deliveries", "GET", deliveries)
        return router

    def _authenticate(self, request: Request) -> None:
        token = bearer_token(request.headers.get("authorization"))
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise unauthorized()


async def _change(merchant: Merchant, change: Callable[[Any], bool]) -> None:
    if not await merchant.store.run(change):
        raise not_found("item")
