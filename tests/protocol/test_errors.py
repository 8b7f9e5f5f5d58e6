"""Protocol errors and what becomes of a validation error."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from acpref_protocol import errors
from acpref_protocol.errors import ProtocolError

SUPPORTED = ("2025-09-29", "2026-04-17")

ALL = {
    "invalid_request": errors.invalid_request("No."),
    "missing": errors.missing("$.currency"),
    "not_found": errors.not_found("checkout session"),
    "unauthorized": errors.unauthorized(),
    "forbidden": errors.forbidden(),
    "idempotency_key_required": errors.idempotency_key_required(),
    "idempotency_conflict": errors.idempotency_conflict(),
    "idempotency_in_flight": errors.idempotency_in_flight(2),
    "unsupported_version": errors.unsupported_version(SUPPORTED),
    "missing_version": errors.missing_version(SUPPORTED),
    "invalid_signature": errors.invalid_signature("No."),
    "payload_too_large": errors.payload_too_large(10),
    "rate_limited": errors.rate_limited(7),
    "not_cancelable": errors.not_cancelable(),
    "session_closed": errors.session_closed(),
    "processing_error": errors.processing_error(),
    "service_unavailable": errors.service_unavailable(3),
}


@pytest.mark.parametrize("name", ALL)
def test_every_error_is_one_flat_object_of_a_known_type(name: str) -> None:
    """ERR-01, ERR-02, ERR-05."""
    error = ALL[name]
    body = error.body()
    assert set(body) - {"param", "supported_versions"} == {"type", "code", "message"}
    assert body["type"] in {"invalid_request", "processing_error", "service_unavailable"}
    assert all(isinstance(body[member], str) and body[member] for member in ("type", "code", "message"))
    assert 400 <= error.status <= 599
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize(
    ("name", "status", "code", "headers"),
    [
        ("idempotency_key_required", 400, "idempotency_key_required", {}),  # IDEM-05
        ("idempotency_conflict", 422, "idempotency_conflict", {}),  # IDEM-15
        ("idempotency_in_flight", 409, "idempotency_in_flight", {"Retry-After": "2"}),  # IDEM-17, IDEM-18
        ("unauthorized", 401, "unauthorized", {"WWW-Authenticate": "Bearer"}),  # AUTH-02
        ("not_cancelable", 405, "session_not_cancelable", {"Allow": "GET"}),  # CHK-CAN-02
        ("session_closed", 405, "session_closed", {"Allow": "GET"}),  # CHK-UPD-06
        ("rate_limited", 429, "rate_limited", {"Retry-After": "7"}),
        ("service_unavailable", 503, "service_unavailable", {"Retry-After": "3"}),  # ERR-07
        ("not_found", 404, "not_found", {}),  # CHK-GET-02
    ],
)
def test_status_code_and_headers_are_those_of_the_specification(
    name: str, status: int, code: str, headers: dict[str, str]
) -> None:
    error = ALL[name]
    assert (error.status, error.code, error.headers) == (status, code, headers)


@pytest.mark.parametrize("name", ALL)
def test_supported_versions_are_listed_newest_first_in_version_errors_only(name: str) -> None:
    """VER-03, VER-05."""
    listed = ALL[name].body().get("supported_versions")
    expected = ["2026-04-17", "2025-09-29"] if name in {"unsupported_version", "missing_version"} else None
    assert listed == expected


class Card(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["card"]
    number: str = Field(max_length=4)
    exp_month: str | int = "01"

    @field_validator("number")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "echo":
            raise ValueError(f"{value} is refused")
        if value == "lib":
            raise UnicodeError("lib is refused")
        if value == "own":
            raise ValueError("the number fails the check")
        return value


class Bank(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["bank"]
    iban: str


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: str


class Purchase(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    line_items: list[Line] = Field(default_factory=list)
    method: Annotated[Card | Bank, Field(discriminator="type")] | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    amount: int = 0


def refuse(document: Any, *, with_document: bool = True) -> ProtocolError:
    with pytest.raises(ValidationError) as refusal:
        Purchase.model_validate(document)
    if with_document:
        return errors.from_validation(refusal.value, document)
    return errors.from_validation(refusal.value)


@pytest.mark.parametrize(
    ("document", "code", "param"),
    [
        ({"line_items": [{"id": 7}]}, "invalid", "$.line_items[0].id"),
        ({"line_items": [{"id": "a"}, {}]}, "missing", "$.line_items[1].id"),
        ({"metadata": {"a b": 1}}, "invalid", "$.metadata['a b']"),
        ({"metadata": {"it's \\ \n": 1}}, "invalid", r"$.metadata['it\'s \\ \u000a']"),
        ({"metadata": {"Key": 1}}, "invalid", "$.metadata.Key"),
        ({"colour": "red"}, "invalid", "$.colour"),
        ({"method": {"type": "card"}}, "missing", "$.method.number"),
        ({"method": {"type": "card", "number": "12345"}}, "invalid", "$.method.number"),
        ({"method": {"type": "card", "number": "1", "exp_month": []}}, "invalid", "$.method.exp_month"),
        ({"method": {"type": "cash"}}, "invalid", "$.method.type"),
        ({"method": {}}, "missing", "$.method.type"),
        ([], "invalid", "$"),
    ],
)
def test_the_first_complaint_is_located_by_json_path_without_names_of_union_branches(
    document: Any, code: str, param: str
) -> None:
    """ERR-04, ERR-06."""
    error = refuse(document)
    assert (error.status, error.type, error.code, error.param) == (400, "invalid_request", code, param)


def test_class_and_validator_names_stay_out_of_the_path_even_without_the_document() -> None:
    error = refuse({"line_items": [{"id": 7}]}, with_document=False)
    assert error.param == "$.line_items[0].id"
    error = refuse({"method": {"type": "card", "number": "1", "exp_month": []}}, with_document=False)
    assert error.param is not None
    assert not error.param.endswith(("str", "int"))


SECRET = "4242424242424242"


@pytest.mark.parametrize(
    "document",
    [
        {"amount": SECRET},
        {"line_items": SECRET},
        {"method": {"type": SECRET}},
        {"method": {"type": "card", "number": SECRET}},
        {"method": SECRET},
        {"extra": SECRET},
        {"metadata": {"a": [SECRET]}},
        SECRET,
    ],
)
def test_a_refused_value_is_never_repeated(document: Any) -> None:
    """HTTP-14."""
    for with_document in (True, False):
        error = refuse(document, with_document=with_document)
        assert SECRET not in json.dumps(error.body())
        assert SECRET not in str(error)


@pytest.mark.parametrize(("number", "told"), [("echo", False), ("lib", False), ("own", True)])
def test_only_own_words_of_validators_are_passed_on(number: str, told: bool) -> None:
    error = refuse({"method": {"type": "card", "number": number}})
    assert (error.message == "the number fails the check") is told
    assert "refused" not in error.message


def test_the_name_of_an_unknown_member_is_told_but_cut_and_cleaned() -> None:
    """HTTP-11."""
    assert refuse({"colour": 1}).message == "Unknown member 'colour'."
    error = refuse({"x\n\x1b[31m" + "y" * 10_000: 1})
    assert len(error.message) < 100
    assert error.message.isprintable()
    assert error.param == "$"
