"""Reading answers: strict about what matters, tolerant of what is new."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from acpref_agent import reading
from acpref_agent.exceptions import ProtocolViolation
from acpref_protocol.models import CheckoutSession, FeedProduct, WebhookEvent

Make = Callable[..., dict[str, Any]]


def message(**changes: Any) -> dict[str, Any]:
    return {"type": "error", "code": "invalid", "content_type": "plain", "content": "x", **changes}


def test_a_valid_session_is_read_as_it_is(session: Make) -> None:
    """CHK-STA-02."""
    assert reading.read(CheckoutSession, session()).to_object() == session()


def test_values_that_are_new_to_an_enumeration_are_kept(session: Make) -> None:
    """ERR-11, ORD-04, CHK-STA-06."""
    document = session(
        status="thinking",
        messages=[message(code="planet_restricted"), message(), message(severity="cosmic", code="other")],
    )
    before = copy.deepcopy(document)
    read = reading.read(CheckoutSession, document)
    assert str(read.status) == "thinking"
    assert [m.code for m in read.messages if m.type == "error"] == ["planet_restricted", "invalid", "other"]
    assert str(read.messages[2].severity) == "cosmic"
    assert document == before


def test_members_that_are_unknown_are_dropped_wherever_they_are(session: Make) -> None:
    """HTTP-11."""
    document = session(new=1, messages=[message(extra={"a": 1})])
    document["line_items"][0]["item"]["colour"] = "red"
    document["totals"][0]["new"] = None
    read = reading.read(CheckoutSession, document)
    assert read.to_object() == session(messages=[message()])


def test_elements_of_an_unknown_kind_are_left_out(session: Make) -> None:
    """CAP-09, CAP-16."""
    document = session(messages=[{"type": "poem", "lines": 4}, message(code="new"), {"type": "song"}])
    document["fulfillment_options"].insert(0, {"type": "drone", "id": "d", "title": "Drone", "totals": []})
    document["capabilities"]["interventions"] = {"supported": ["telepathy", "3ds", "rune"]}
    read = reading.read(CheckoutSession, document)
    assert [m.code for m in read.messages if m.type == "error"] == ["new"]
    assert len(read.messages) == 1
    assert [option.id for option in read.fulfillment_options] == ["fast", "slow", "desk"]
    assert read.capabilities.interventions is not None
    assert read.capabilities.interventions.supported == ["3ds"]


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": 7},
        {"totals": "2600"},
        {"totals": [{"type": "total", "display_text": "T", "amount": "2600"}]},
        {"totals": [{"type": "total", "display_text": "T", "amount": 26.5}]},
        {"totals": [{"type": "total", "display_text": "T"}]},
        {"line_items": [{"id": "li", "item": {}, "quantity": 1, "totals": []}]},
        {"line_items": [{"id": "li", "item": {"id": "a"}, "quantity": 0, "totals": []}]},
        {"messages": [{"content": "no type"}]},
        {"messages": ["text"]},
        {"status": 3},
        {"order": {}},
        {"capabilities": []},
        {"continue_url": "not a uri"},
    ],
)
def test_anything_else_that_is_wrong_is_a_violation(session: Make, change: dict[str, Any]) -> None:
    """CHK-STA-02, HTTP-04."""
    with pytest.raises(ProtocolViolation, match=r"not valid at \$"):
        reading.read(CheckoutSession, session(**change))


def test_something_new_does_not_hide_something_wrong(session: Make) -> None:
    document = session(new=1, status="thinking", messages=[{"type": "poem"}], currency=5)
    with pytest.raises(ProtocolViolation, match=r"\$\.currency"):
        reading.read(CheckoutSession, document)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"id": 1, "id": 2}', b"\xff", b"[" * 10_000])
def test_what_is_not_strict_json_is_a_violation(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="strict JSON"):
        reading.parse(CheckoutSession, body)


@pytest.mark.parametrize("document", [None, [], "x", 1, {}, {"variants": 1}])
def test_a_document_of_another_shape_is_a_violation(document: Any) -> None:
    with pytest.raises(ProtocolViolation):
        reading.parse(FeedProduct, json.dumps(document).encode())


def test_no_value_of_the_answer_is_repeated(session: Make) -> None:
    """HTTP-14."""
    with pytest.raises(ProtocolViolation) as violation:
        reading.read(CheckoutSession, session(currency=["4242424242424242"]))
    assert "4242" not in str(violation.value)


def test_open_values_of_orders_are_accepted(order: dict[str, Any]) -> None:
    """ORD-04, WH-12."""
    data = {
        **order,
        "type": "order",
        "status": "beamed_up",
        "adjustments": [{"id": "a", "type": "new", "occurred_at": "2026-04-17T00:00:00Z", "status": "new"}],
    }
    event = reading.read(WebhookEvent, {"type": "order_teleported", "data": data, "seq": 9})
    assert (event.type, event.data.status) == ("order_teleported", "beamed_up")
