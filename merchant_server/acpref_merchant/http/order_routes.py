"""Reading an order: a documented extension for agents that missed a webhook."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from acpref_merchant.agents import Agent
from acpref_merchant.http.edge import Edge
from acpref_merchant.http.openapi import operation
from acpref_merchant.http.wire import Wire
from acpref_merchant.store import orders
from acpref_protocol.errors import not_found
from acpref_protocol.models import Order

router = APIRouter(tags=["Orders"])


@router.get("/orders/{order_id}", **operation("getOrder", Order, 200, path="order_id"))
async def get_order(request: Request) -> Response:
    """The order as it stands now; 404 for an unknown id and for another agent's order alike."""
    edge: Edge = request.app.state.edge
    order_id: str = request.path_params["order_id"]

    async def act(agent: Agent, wire: Wire) -> bytes:
        stored = await edge.merchant.store.read(lambda tx: orders.load(tx, order_id, agent_id=agent.id))
        if stored is None:
            raise not_found("order")
        return wire.order(Order.model_validate_json(stored.data))

    return await edge.get(request, act)
