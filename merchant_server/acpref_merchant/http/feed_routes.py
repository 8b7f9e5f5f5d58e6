"""The product feed for download (FEED-07 to FEED-12). It is public, like a shop window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from acpref_merchant.catalog.feed import feed_lines, feed_metadata
from acpref_merchant.domain.item import Item
from acpref_merchant.http.edge import Edge
from acpref_merchant.operations.call import Merchant
from acpref_merchant.store import items

router = APIRouter(tags=["Feed"], prefix="/feeds")

PAGE_ITEMS = 200


@router.get("/metadata.json", operation_id="feedMetadata")
async def metadata(request: Request) -> Response:
    """The feed's description."""
    edge: Edge = request.app.state.edge
    shop = edge.merchant.shop
    body = feed_metadata(shop, feed_id=shop.merchant_id).model_dump_json(exclude_none=True)
    return Response(body, media_type="application/json", headers=edge.echo(request, None))


@router.get("/products.jsonl", operation_id="feedProducts", response_class=StreamingResponse)
async def products(request: Request) -> Response:
    """Every product, one JSON object a line, with the price and availability of this moment."""
    edge: Edge = request.app.state.edge
    return StreamingResponse(
        _lines(edge.merchant), media_type="application/jsonl", headers=edge.echo(request, None)
    )


async def _lines(merchant: Merchant) -> AsyncIterator[bytes]:
    """The feed a page at a time, so that a large catalog occupies neither memory nor the database's reader."""
    waiting: list[Item] = []
    after: tuple[int, str] | None = None
    while True:
        page, after = await merchant.store.read(partial(items.page, after=after, limit=PAGE_ITEMS))
        waiting += page
        # The last product may go on with the next page.
        open_product = waiting[-1].product_id if after is not None and waiting else None
        complete = [item for item in waiting if item.product_id != open_product]
        waiting = [item for item in waiting if item.product_id == open_product]
        yield b"".join(feed_lines(complete, merchant.shop))
        if after is None:
            return
