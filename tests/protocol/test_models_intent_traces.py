"""Why a buyer did not buy: reasons that are not known do not stop a cancellation."""

from __future__ import annotations

from typing import Any

import pytest

from acpref_protocol.models import CancelSessionRequest, lenient_cancel


def test_a_reason_that_is_not_known_is_read_as_another_one() -> None:
    """INT-02, INT-05."""
    body = {"intent_trace": {"reason_code": "martians", "trace_summary": "They came."}}
    read = CancelSessionRequest.model_validate(lenient_cancel(body))
    assert read.intent_trace is not None
    assert read.intent_trace.reason_code == "other"
    assert body["intent_trace"]["reason_code"] == "martians"


@pytest.mark.parametrize("reason", ["price_sensitivity", "other"])
def test_a_known_reason_stays(reason: str) -> None:
    body = {"intent_trace": {"reason_code": reason}}
    assert lenient_cancel(body) == body


@pytest.mark.parametrize(
    "body", [None, [], {}, {"intent_trace": None}, {"intent_trace": {"reason_code": 3}}, {"intent_trace": []}]
)
def test_what_is_broken_is_left_for_validation(body: Any) -> None:
    """INT-06."""
    assert lenient_cancel(body) is body
