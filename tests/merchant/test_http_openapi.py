"""The running application against its own description, by requests that the description allows or nearly allows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from tests.merchant.shop_server import AGENT, VERSION, Json, ShopServer, shop_server

# What the description says about an answer has to be so, whatever was asked.
CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]

OPERATIONS = {
    "createCheckoutSession": ("POST", "/checkout_sessions"),
    "updateCheckoutSession": ("POST", "/checkout_sessions/{session_id}"),
    "getCheckoutSession": ("GET", "/checkout_sessions/{session_id}"),
    "completeCheckoutSession": ("POST", "/checkout_sessions/{session_id}/complete"),
    "cancelCheckoutSession": ("POST", "/checkout_sessions/{session_id}/cancel"),
    "getOrder": ("GET", "/orders/{order_id}"),
    "discover": ("GET", "/.well-known/acp.json"),
    "feedMetadata": ("GET", "/feeds/metadata.json"),
    "feedProducts": ("GET", "/feeds/products.jsonl"),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(tmp_path_factory.mktemp("shop")) as server:
        yield server


@pytest.fixture(scope="module")
def document(shop: ShopServer) -> Json:
    answer = shop.http.get("/openapi.json")
    assert answer.status_code == 200
    described: Json = answer.json()
    return described


def _found(document: Json) -> dict[str, tuple[str, str, Json]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_description_names_every_operation_and_no_other(document: Json) -> None:
    """HTTP-13."""
    assert {name: where[:2] for name, where in _found(document).items()} == OPERATIONS
    assert document["info"]["version"] == VERSION


def test_the_description_says_what_every_request_must_carry(document: Json) -> None:
    """VER-01, AUTH-01, IDEM-01."""
    for name, (method, _, operation) in _found(document).items():
        required = {
            one["name"]
            for one in operation.get("parameters", [])
            if one["required"] and one["in"] == "header"
        }
        public = name in {"discover", "feedMetadata", "feedProducts"}
        assert required == (
            set() if public else {"API-Version"} | ({"Idempotency-Key"} if method == "POST" else set())
        )
        assert operation.get("security", []) == ([] if public else [{"bearer": []}])


def test_every_schema_of_the_description_is_one(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


CASES = [
    *((name, GenerationMode.POSITIVE) for name in OPERATIONS),
    # What takes no argument cannot be asked wrongly.
    *(
        (name, GenerationMode.NEGATIVE)
        for name, (method, path) in OPERATIONS.items()
        if method == "POST" or "{" in path
    ),
]


@pytest.mark.parametrize(("name", "mode"), CASES, ids=[f"{name} {mode.value}" for name, mode in CASES])
def test_answers_are_as_described(shop: ShopServer, document: Json, name: str, mode: GenerationMode) -> None:
    """ERR-01, ERR-06, HTTP-03: never a server error, and status, type and body as the description has them."""
    method, path = OPERATIONS[name]
    operation = schemathesis.openapi.from_dict(document)[path][method]
    known = {
        "session_id": shop.agent.ready({"song": 1})["id"],
        "order_id": shop.agent.buy({"song": 1})["order"]["id"],
    }

    # The same examples on every run.
    @settings(
        max_examples=10,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        headers = {"Authorization": f"Bearer {AGENT}", "API-Version": VERSION}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        # Every other case is about something that exists; otherwise hardly anything would be found.
        for parameter, value in list(case.path_parameters.items()):
            if len(str(value)) % 2:
                case.path_parameters[parameter] = known[parameter]
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            _name_real_things(case.body)
        response = case.call(base_url=shop.url, headers=headers, timeout=20)
        case.validate_response(response, checks=CHECKS)

    holds()


def _name_real_things(body: Json) -> None:
    if "currency" in body:
        body["currency"] = "usd"
    for line in body.get("line_items") or ():
        line["id"] = "mug"
        if "quantity" in line:
            line["quantity"] %= 5
            line["quantity"] += 1
