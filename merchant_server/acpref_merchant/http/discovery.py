"""The discovery document (DIS-01 to DIS-09): what this server speaks, without a word about who runs it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from acpref_merchant.http.edge import Edge
from acpref_merchant.operations.call import Merchant
from acpref_protocol import versions
from acpref_protocol.models import (
    DiscoveryCapabilities,
    DiscoveryExtension,
    DiscoveryProtocol,
    DiscoveryResponse,
)

router = APIRouter(tags=["Discovery"])


@router.get(
    "/.well-known/acp.json",
    operation_id="discover",
    response_class=Response,
    responses={200: {"model": DiscoveryResponse}},
)
async def discover(request: Request) -> Response:
    """Which versions, services and extensions are served here (DIS-02). No authentication (DIS-01)."""
    edge: Edge = request.app.state.edge
    return Response(
        document(edge.merchant),
        media_type="application/json",
        headers={"Cache-Control": "public, max-age=3600", **edge.echo(request, None)},
    )


def document(merchant: Merchant) -> bytes:
    """The document's bytes. Versions are listed oldest first (DIS-07)."""
    shop = merchant.shop
    return (
        DiscoveryResponse(
            protocol=DiscoveryProtocol(
                name="acp", version=versions.LATEST, supported_versions=list(versions.SUPPORTED)
            ),
            api_base_url=merchant.settings.base_url(),
            transports=["rest"],
            capabilities=DiscoveryCapabilities(
                services=["checkout", "orders"],
                extensions=[DiscoveryExtension(name="discount")],
                intervention_types=list(shop.interventions_supported),
                supported_currencies=[shop.currency],
                supported_locales=[shop.locale],
            ),
        )
        .model_dump_json(exclude_none=True)
        .encode()
    )
