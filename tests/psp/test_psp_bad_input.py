"""Whatever is sent: a flat 4xx or a correct answer, never a server error."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.schemas import APIOperation
from tests.psp.server import AGENT, MERCHANT, VERSION, Psp, body

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4)
    ),
    max_leaves=8,
)
FAST = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
PLACES = [
    (*above, name)
    for above, part in (
        ((), body()),
        *(((name,), part) for name, part in body().items() if isinstance(part, dict)),
    )
    for name in part
]


def assert_sane(response: Any) -> None:
    assert response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/json"
    if response.status_code >= 400:
        error = response.json()
        assert {"type", "code", "message"} <= set(error) <= {"type", "code", "message", "param", "charge_id"}
        assert all(isinstance(value, str) for value in error.values())


@FAST
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_in_any_place_of_a_delegate_payment(psp: Psp, place: tuple[str, ...], value: Any) -> None:
    """ERR-06, DP-ERR-01."""
    assert_sane(psp.delegate(body(**{"__".join(place): value})))


@FAST
@given(name=st.sampled_from(["token", "amount", "currency", "checkout_session_id", "capture"]), value=JSON)
def test_any_value_in_any_place_of_a_charge(psp: Psp, name: str, value: Any) -> None:
    """ERR-06."""
    content = {
        "token": "vt_nobody",
        "amount": 1500,
        "currency": "usd",
        "checkout_session_id": "cs_1",
        name: value,
    }
    assert_sane(psp.post("/v1/charges", content))


@FAST
@given(
    raw=st.binary(max_size=200), path=st.sampled_from(["/agentic_commerce/delegate_payment", "/v1/charges"])
)
def test_any_bytes_as_a_body(psp: Psp, raw: bytes, path: str) -> None:
    """ERR-06."""
    token = MERCHANT if path == "/v1/charges" else AGENT
    headers = {
        "Authorization": f"Bearer {token}",
        "API-Version": VERSION,
        "Idempotency-Key": str(uuid.uuid4()),
        "Content-Type": "application/json",
    }
    response = psp.http.post(path, content=raw, headers=headers)
    assert_sane(response)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "name", ["Authorization", "API-Version", "Idempotency-Key", "Content-Type", "Request-Id"]
)
def test_a_header_that_says_one_thing_comes_once(psp: Psp, name: str) -> None:
    """IDEM-04, AUTH-02, DP-ERR-03: whoever stands between may have read the other one."""
    for method, path, token in (
        ("POST", "/agentic_commerce/delegate_payment", AGENT),
        ("POST", "/v1/charges", MERCHANT),
        ("GET", "/v1/charges", MERCHANT),
        ("GET", "/v1/charges/ch_1", MERCHANT),
    ):
        sent = {
            "Authorization": f"Bearer {token}",
            "API-Version": VERSION,
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": "application/json",
            "Request-Id": "r",
        }
        response = psp.http.request(method, path, content=b"{}", headers=[*sent.items(), (name, sent[name])])
        assert_sane(response)
        assert (response.status_code, response.json()["param"]) == (400, name)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=bogus", "status"),
        ("status=", "status"),
        ("after=-1", "after"),
        ("after=9999999999999999999", "after"),
        ("limit=0", "limit"),
        ("limit=%D9%A3", "limit"),
    ],
)
def test_a_query_that_means_nothing_is_refused_in_words_that_can_be_read(
    psp: Psp, query: str, param: str
) -> None:
    """ERR-04, ERR-06."""
    response = psp.http.get(f"/v1/charges?{query}", headers={"Authorization": f"Bearer {MERCHANT}"})
    assert_sane(response)
    assert (response.status_code, response.json()["param"]) == (400, param)
    assert "[number]" not in response.text


# What is well-formed but impossible (a used key, a card number without its check digit) is refused all the same, which
# schemathesis' other checks take for a defect.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
OPERATIONS = [
    "delegatePayment",
    "createCharge",
    "listCharges",
    "getCharge",
    "captureCharge",
    "voidCharge",
    "refundCharge",
]


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_requests_made_from_the_services_own_description_are_answered_as_described(
    psp: Psp, operation_id: str
) -> None:
    """ERR-01: the OpenAPI document is true."""
    schema = schemathesis.openapi.from_dict(psp.http.get("/openapi.json").json())
    operations: dict[str, APIOperation[Any, Any, Any]] = {
        found.ok().definition.raw["operationId"]: found.ok() for found in schema.get_all_operations()
    }
    assert sorted(operations) == sorted(OPERATIONS)
    token = AGENT if operation_id == "delegatePayment" else MERCHANT

    @settings(parent=FAST, max_examples=10)
    @given(case=operations[operation_id].as_strategy())
    def run(case: schemathesis.Case) -> None:
        response = case.call(base_url=psp.url, headers={"Authorization": f"Bearer {token}"})
        case.validate_response(response, checks=CHECKS)

    run()
