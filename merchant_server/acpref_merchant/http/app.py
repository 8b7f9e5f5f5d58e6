"""The FastAPI application of one merchant: every route of the REST binding, and nothing that decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from acpref_merchant.http import checkout_routes, discovery, feed_routes, order_routes
from acpref_merchant.http.edge import Edge, LastResort, error_response
from acpref_merchant.http.openapi import describe
from acpref_merchant.operations.call import Merchant
from acpref_protocol.errors import ProtocolError, invalid_request

Opened = AbstractAsyncContextManager[Merchant]


def create_app(
    open_merchant: Callable[[], Opened], *, extend: Callable[[FastAPI, Edge], None] | None = None
) -> Application:
    """The ASGI application. ``open_merchant`` is entered when the server starts and left when it stops.

    ``extend`` may add routes once the merchant is open (the sandbox's management endpoints).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_merchant() as merchant:
            edge = Edge(merchant)
            app.state.edge = edge
            app.state.merchant = merchant
            if extend is not None:
                extend(app, edge)
            yield

    app = FastAPI(
        title="acpref merchant",
        summary="Agentic Commerce Protocol, seller side",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.add_exception_handler(HTTPException, _routing_error)
    # Inside the framework's own handling of errors, which would answer in plain text and leave the traceback to a log.
    app.add_middleware(LastResort)
    for area in (checkout_routes, order_routes, discovery, feed_routes):
        # Taken over as they are: an included router is matched anew on every request, a tenth of an update's cost.
        app.router.routes.extend(area.router.routes)
    describe(app)
    return Application(app)


class Application:
    """The ASGI application. ``start_failure`` is why it could not start, for whoever runs the server."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.start_failure: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve; a start that fails is kept in place of a printed stack trace."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def tell(message: Any) -> None:
            if message["type"].endswith(".failed"):
                message = {**message, "message": ""}
            await send(message)

        try:
            await self._app(scope, receive, tell)
        except Exception as failure:
            self.start_failure = failure
            raise


async def _routing_error(request: Request, failure: Exception) -> Response:
    """Unknown paths and methods as flat errors (ERR-01)."""
    assert isinstance(failure, HTTPException)  # noqa: S101 - registered for this class alone
    if failure.status_code == 405:
        error = invalid_request("This path does not know that method.", code="method_not_allowed", status=405)
        error.headers["Allow"] = ", ".join(_methods(request))
    elif failure.status_code == 404:
        error = invalid_request("There is nothing at this path.", code="not_found", status=404)
    else:
        error = ProtocolError(
            failure.status_code, "invalid_request", "invalid", "The request cannot be answered."
        )
    return error_response(error, Edge.echo(request, request.headers.get("idempotency-key")))


def _methods(request: Request) -> list[str]:
    """Every method that the request's path knows; the router itself names those of the first route only."""

    def known(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT") if known(method)]
