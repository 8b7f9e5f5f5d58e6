"""The service's OpenAPI document. Requests are read by hand, so it is put together from the same models here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from acpref_protocol.models import DelegatePaymentError, DelegatePaymentRequest, DelegatePaymentResponse
from acpref_psp.charges import STATUSES, CaptureBody, ChargeBody, RefundBody, VoidBody

_REF = "#/components/schemas/{model}"
_TEXT = {"type": "string"}


class Card(BaseModel):
    """What is shown of a card."""

    brand: str
    last4: str


class ChargeView(BaseModel):
    """A charge; amounts are minor units."""

    model_config = ConfigDict(extra="forbid")

    id: str
    status: str
    amount: int
    currency: str
    amount_captured: int
    amount_refunded: int
    token: str
    merchant_id: str
    checkout_session_id: str
    card: Card
    created: str
    decline_code: str | None = None


class ChargePage(BaseModel):
    """Charges, oldest first; ``next`` continues as ``after``."""

    data: list[ChargeView]
    next: int | None


class RefundView(BaseModel):
    """Money given back."""

    id: str
    charge_id: str
    amount: int
    currency: str
    created: str


class FlatError(BaseModel):
    """Any refusal of the charge API; ``charge_id`` with a decline."""

    type: str
    code: str
    message: str
    param: str | None = None
    charge_id: str | None = None


def document(title: str, version: str, description: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    models: list[type[BaseModel]] = [
        DelegatePaymentRequest,
        DelegatePaymentResponse,
        DelegatePaymentError,
        ChargeBody,
        CaptureBody,
        VoidBody,
        RefundBody,
        ChargeView,
        ChargePage,
        RefundView,
        FlatError,
    ]
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    charge = [_parameter("path", "charge_id", required=True)]
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "security": [{"bearer": []}],
        "paths": {
            "/agentic_commerce/delegate_payment": {
                "post": {
                    "operationId": "delegatePayment",
                    "summary": "Put a card away and get a token that pays once, within its allowance",
                    "parameters": [
                        _parameter("header", "API-Version", required=True, schema={"const": version}),
                        _KEY,
                        _parameter("header", "Signature"),
                        _parameter("header", "Timestamp", schema={"type": "string", "format": "date-time"}),
                        _parameter("header", "Request-Id"),
                    ],
                    **_body(DelegatePaymentRequest),
                    **_answers(201, DelegatePaymentResponse, DelegatePaymentError),
                }
            },
            "/v1/charges": {
                "post": _action("createCharge", "Charge a token", ChargeBody, 201, ChargeView),
                "get": {
                    "operationId": "listCharges",
                    "summary": "The merchant's charges and declined attempts",
                    "parameters": [
                        _parameter("query", "checkout_session_id"),
                        _parameter("query", "status", schema={"type": "string", "enum": list(STATUSES)}),
                        _parameter("query", "after", schema={"type": "integer", "minimum": 0}),
                        _parameter(
                            "query", "limit", schema={"type": "integer", "minimum": 1, "maximum": 1000}
                        ),
                    ],
                    **_answers(200, ChargePage, FlatError),
                },
            },
            "/v1/charges/{charge_id}": {
                "parameters": charge,
                "get": {
                    "operationId": "getCharge",
                    "summary": "One charge",
                    **_answers(200, ChargeView, FlatError),
                },
            },
            "/v1/charges/{charge_id}/capture": {
                "parameters": charge,
                "post": _action("captureCharge", "Take authorised money", CaptureBody, 200, ChargeView),
            },
            "/v1/charges/{charge_id}/void": {
                "parameters": charge,
                "post": _action("voidCharge", "Release an authorisation", VoidBody, 200, ChargeView),
            },
            "/v1/charges/{charge_id}/refund": {
                "parameters": charge,
                "post": _action("refundCharge", "Give captured money back", RefundBody, 201, RefundView),
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _parameter(
    where: str, name: str, *, required: bool = False, schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"in": where, "name": name, "required": required, "schema": schema or _TEXT}


_KEY = _parameter(
    "header",
    "Idempotency-Key",
    required=True,
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
)


def _action(
    name: str, summary: str, body: type[BaseModel], status: int, answer: type[BaseModel]
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [_KEY],
        **_body(body),
        **_answers(status, answer, FlatError),
    }


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(model)}}


def _answers(status: int, answer: type[BaseModel], error: type[BaseModel]) -> dict[str, Any]:
    return {
        "responses": {
            str(status): {"description": "Done.", "content": _content(answer)},
            # Authentication, version and server errors have codes beyond delegate payment's own (DP-ERR-04, VER-04).
            "401": {"description": "No valid bearer token or signature.", "content": _content(FlatError)},
            "4XX": {"description": "Refused; nothing was done.", "content": _content(error)},
            "5XX": {"description": "Failed; repeat under the same key.", "content": _content(FlatError)},
        }
    }
