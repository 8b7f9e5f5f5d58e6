"""The five checkout operations (HTTP-13)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from acpref_merchant.http.edge import Edge, Post
from acpref_merchant.http.openapi import operation
from acpref_merchant.http.parsing import parse
from acpref_merchant.operations import checkout
from acpref_merchant.operations.call import Reply
from acpref_merchant.operations.complete import complete
from acpref_protocol.models import (
    CancelSessionRequest,
    CheckoutSession,
    CheckoutSessionCompleteRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
)

router = APIRouter(tags=["CheckoutSessions"])


@router.post(
    "/checkout_sessions",
    **operation("createCheckoutSession", CheckoutSession, 201, body=CheckoutSessionCreateRequest),
)
async def create_session(request: Request) -> Response:
    """Open a checkout session (CHK-CRE-01)."""
    edge: Edge = request.app.state.edge

    async def act(post: Post) -> Reply:
        return await checkout.create(edge.merchant, post.call, post.wire.parse_create(post.body))

    return await edge.post(request, act)


@router.post(
    "/checkout_sessions/{session_id}",
    **operation(
        "updateCheckoutSession", CheckoutSession, 200, path="session_id", body=CheckoutSessionUpdateRequest
    ),
)
async def update_session(request: Request) -> Response:
    """Change a checkout session (CHK-UPD-01). A member sent as null is cleared, an absent one stays (CHK-UPD-05)."""
    edge: Edge = request.app.state.edge

    async def act(post: Post) -> Reply:
        wanted, cleared = post.wire.parse_update(post.body)
        return await checkout.update(
            edge.merchant, post.call, request.path_params["session_id"], wanted, cleared
        )

    return await edge.post(request, act)


@router.get(
    "/checkout_sessions/{session_id}",
    **operation("getCheckoutSession", CheckoutSession, 200, path="session_id"),
)
async def get_session(request: Request) -> Response:
    """Read a checkout session (CHK-GET-01)."""
    edge: Edge = request.app.state.edge
    return await edge.get(
        request,
        lambda agent, wire: checkout.get(edge.merchant, agent, request.path_params["session_id"], wire),
    )


@router.post(
    "/checkout_sessions/{session_id}/complete",
    **operation(
        "completeCheckoutSession",
        CheckoutSession,
        200,
        path="session_id",
        body=CheckoutSessionCompleteRequest,
    ),
)
async def complete_session(request: Request) -> Response:
    """Pay for a checkout session and make it an order (CHK-CMP-01)."""
    edge: Edge = request.app.state.edge

    async def act(post: Post) -> Reply:
        return await complete(
            edge.merchant, post.call, request.path_params["session_id"], parse(post.wire.complete, post.body)
        )

    return await edge.post(request, act)


@router.post(
    "/checkout_sessions/{session_id}/cancel",
    **operation(
        "cancelCheckoutSession",
        CheckoutSession,
        200,
        path="session_id",
        body=CancelSessionRequest,
        body_required=False,
    ),
)
async def cancel_session(request: Request) -> Response:
    """Cancel a checkout session (CHK-CAN-01), with or without a body (CHK-CAN-03)."""
    edge: Edge = request.app.state.edge

    async def act(post: Post) -> Reply:
        wanted = None if post.body is None else post.wire.parse_cancel(post.body)
        return await checkout.cancel(edge.merchant, post.call, request.path_params["session_id"], wanted)

    return await edge.post(request, act, body_required=False)
