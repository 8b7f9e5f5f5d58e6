"""Composition: settings and a clock become an application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from acpref_protocol.errors import invalid_request
from acpref_protocol.signing import RequestVerifier, load_public_key
from acpref_psp import keys
from acpref_psp.clock import Clock, NewId, random_id, system_clock
from acpref_psp.edge import Edge, Service, refusal
from acpref_psp.idempotency import Idempotency
from acpref_psp.identities import Identities
from acpref_psp.limits import RateLimit
from acpref_psp.openapi import document
from acpref_psp.settings import Settings
from acpref_psp.store import Store


def create_app(settings: Settings, clock: Clock = system_clock, new_id: NewId = random_id) -> FastAPI:
    """The service. Its database opens with the application's lifespan; the key file is read (or made) right away.

    ``app.state.faults`` arms failures on demand (``faults.Faults``). Raises KeyDocumentError for unusable vault keys
    and ValueError for unusable signature keys.
    """
    ring = (
        keys.parse(settings.keys.get_secret_value()) if settings.keys else keys.from_file(settings.key_path)
    )
    service = Service(
        settings=settings,
        clock=clock,
        new_id=new_id,
        store=Store(settings.database, settings.busy_seconds),
        keys=ring,
        idempotency=Idempotency(ring.idempotency_key, settings.retention_ms),
        agents=Identities(settings.agents),
        merchants=Identities(settings.merchants),
        verifier=RequestVerifier(
            {
                agent: [load_public_key(pem.encode()) for pem in pems]
                for agent, pems in settings.agent_keys.items()
            },
            required=settings.require_signature,
        ),
        rate_limit=RateLimit(settings.rate_limit_per_minute) if settings.rate_limit_per_minute else None,
    )
    edge = Edge(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.store.open()
        try:
            yield
        finally:
            service.store.close()

    app = FastAPI(
        title="acpref sandbox payment provider",
        version="2026-04-17",
        description="Delegate payment of the Agentic Commerce Protocol, and a charge API that is this sandbox's own.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _flat},
    )
    app.state.faults = service.faults
    app.openapi = lambda: document(app.title, app.version, app.description)  # type: ignore[method-assign]
    app.add_route("/agentic_commerce/delegate_payment", edge.delegate_payment, methods=["POST"])
    app.add_route("/v1/charges", edge.create_charge, methods=["POST"])
    app.add_route("/v1/charges", edge.list_charges, methods=["GET"])
    app.add_route("/v1/charges/{charge_id}", edge.get_charge, methods=["GET"])
    app.add_route("/v1/charges/{charge_id}/capture", edge.capture_charge, methods=["POST"])
    app.add_route("/v1/charges/{charge_id}/void", edge.void_charge, methods=["POST"])
    app.add_route("/v1/charges/{charge_id}/refund", edge.refund_charge, methods=["POST"])
    app.add_route("/healthz", _healthz, methods=["GET"], include_in_schema=False)
    return app


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _flat(request: Request, error: Exception) -> Response:
    """What the router refuses (unknown path, wrong method), as a flat error (ERR-01)."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    words = {
        404: ("not_found", "There is nothing here."),
        405: ("method_not_allowed", "This method is not allowed."),
    }
    code, message = words.get(status, ("invalid", "The request was refused."))
    response = refusal(request, invalid_request(message, code=code, status=status))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
