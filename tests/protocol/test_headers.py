"""Header syntax and version negotiation."""

from __future__ import annotations

import pytest

from acpref_protocol import headers, versions
from acpref_protocol.errors import ProtocolError


@pytest.mark.parametrize("value", ["a", "x" * 255, "0b9e… ".replace("…", "-"), "~!@#"])
def test_a_key_of_1_to_255_printable_characters_is_taken_as_it_is(value: str) -> None:
    """IDEM-02."""
    assert headers.idempotency_key(value) == value


@pytest.mark.parametrize("value", [None, ""])
def test_an_absent_or_empty_key_is_required(value: str | None) -> None:
    """IDEM-05."""
    with pytest.raises(ProtocolError) as refusal:
        headers.idempotency_key(value)
    assert (refusal.value.status, refusal.value.code) == (400, "idempotency_key_required")


@pytest.mark.parametrize("value", ["x" * 256, "a\tb", "a\n", "é", "\x7f"])
def test_an_over_long_or_unprintable_key_is_invalid(value: str) -> None:
    """IDEM-02."""
    with pytest.raises(ProtocolError) as refusal:
        headers.idempotency_key(value)
    assert (refusal.value.code, refusal.value.param) == ("invalid", "Idempotency-Key")


@pytest.mark.parametrize("value", ["Bearer tok_1", "bearer tok_1", "BEARER   tok_1"])
def test_a_bearer_token_is_read(value: str) -> None:
    """AUTH-01."""
    assert headers.bearer_token(value) == "tok_1"


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Basic dTpw", "tok_1", "Bearer a b", "Bearer a\n"]
)
def test_anything_else_is_unauthorized(value: str | None) -> None:
    """AUTH-02."""
    with pytest.raises(ProtocolError) as refusal:
        headers.bearer_token(value)
    assert (refusal.value.status, refusal.value.code) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("value", "echo"),
    [
        ("req-1", "req-1"),
        (None, None),
        ("", None),
        ("a\r\nSet-Cookie: x", None),
        ("x" * 256, None),
        ("é", None),
    ],
)
def test_only_a_harmless_request_id_is_repeated(value: str | None, echo: str | None) -> None:
    """HTTP-08."""
    assert headers.request_id(value) == echo


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ("application/json;charset=latin-1", False),
        ("text/json", False),
        ("application/jsonl", False),
        (None, False),
    ],
)
def test_only_utf8_json_is_json(value: str | None, json: bool) -> None:
    """HTTP-05."""
    assert headers.is_json(value) is json


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), (" 12 ", 12), ("1.5", None), ("-1", None), (None, None)]
)
def test_retry_after_is_whole_seconds(value: str | None, seconds: int | None) -> None:
    """IDEM-18."""
    assert headers.retry_after_seconds(value) == seconds


def test_a_supported_version_is_chosen() -> None:
    """VER-02."""
    assert [versions.negotiate(version) for version in versions.SUPPORTED] == list(versions.SUPPORTED)
    assert versions.LATEST == "2026-04-17"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_api_version"),
        ("", "missing_api_version"),
        ("2026-04-18", "unsupported_api_version"),
        ("unreleased", "unsupported_api_version"),
        ("2026-4-17", "unsupported_api_version"),
        (" 2026-04-17", "unsupported_api_version"),
    ],
)
def test_any_other_version_is_refused_with_the_list_of_versions(header: str | None, code: str) -> None:
    """VER-02, VER-03, VER-04."""
    with pytest.raises(ProtocolError) as refusal:
        versions.negotiate(header)
    assert (refusal.value.status, refusal.value.code) == (400, code)
    assert refusal.value.supported_versions == list(reversed(versions.SUPPORTED))
