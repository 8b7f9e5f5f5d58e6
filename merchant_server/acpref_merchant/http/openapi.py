"""The OpenAPI description of the application, made from the same models that read and write the bodies.

Routes take the raw request, because every body passes the edge's own checks first; what FastAPI cannot see in their
signatures is said here.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from acpref_protocol import models, versions

_REF = "#/components/schemas/{model}"
_HEADERS: dict[str, dict[str, Any]] = {
    "API-Version": {
        "required": True,
        "description": "The dated version of the protocol that this request speaks.",
        "schema": {"type": "string", "enum": list(versions.SUPPORTED)},
    },
    "Idempotency-Key": {
        "required": True,
        "description": "Names this request for good: repeating it under the same key acts once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
    },
    "Request-Id": {
        "required": False,
        "description": "Repeated in the response, for correlation.",
        "schema": {"type": "string", "maxLength": 255},
    },
}
_REQUESTS: tuple[type[BaseModel], ...] = (
    models.CheckoutSessionCreateRequest,
    models.CheckoutSessionUpdateRequest,
    models.CheckoutSessionCompleteRequest,
    models.CancelSessionRequest,
)
_ANSWERS: tuple[type[BaseModel], ...] = (models.CheckoutSession, models.Order, models.ErrorBody)


def operation(
    operation_id: str,
    answer: type[BaseModel],
    status: int,
    *,
    path: str | None = None,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
) -> dict[str, Any]:
    """What a route of the protocol says about itself: its id, its bodies, its headers and its errors.

    ``path`` names the parameter in its path. Endpoints read that themselves: having the framework take parameters apart
    costs a tenth of a whole update.
    """
    headers = ["API-Version", "Request-Id", *(["Idempotency-Key"] if body is not None else [])]
    extra: dict[str, Any] = {
        "security": [{"bearer": []}],
        "parameters": [{"name": name, "in": "header", **_HEADERS[name]} for name in headers],
    }
    if path is not None:
        extra["parameters"].append(
            {"name": path, "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if body is not None:
        extra["requestBody"] = {
            "required": body_required,
            "content": {"application/json": {"schema": {"$ref": _REF.format(model=body.__name__)}}},
        }
    return {
        "operation_id": operation_id,
        "status_code": status,
        "response_class": Response,
        "responses": {
            status: _response("The whole resource as it stands now.", answer),
            "4XX": _response("The request was refused; nothing was changed.", models.ErrorBody),
            "5XX": _response(
                "The server could not answer; repeat the request under the same key.", models.ErrorBody
            ),
        },
        "openapi_extra": extra,
    }


def _response(description: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def describe(app: FastAPI) -> None:
    """Give ``app`` a description that contains the protocol's models and its security scheme."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=versions.LATEST, summary=app.summary, routes=app.routes
            )
            components = document.setdefault("components", {})
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            components.setdefault("schemas", {}).update(_schemas())
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    _, requests = models_json_schema([(model, "validation") for model in _REQUESTS], ref_template=_REF)
    _, answers = models_json_schema([(model, "validation") for model in _ANSWERS], ref_template=_REF)
    schemas: dict[str, Any] = {**answers["$defs"], **requests["$defs"]}
    return schemas
