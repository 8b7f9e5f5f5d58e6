"""Rules between members, unions told apart, and the leniency towards unknown capabilities."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from acpref_protocol import models
from acpref_protocol.models import (
    AffiliateAttribution,
    AuthenticationResult,
    Capabilities,
    CheckoutSession,
    CheckoutSessionCreateRequest,
    CheckoutSessionWithOrder,
    DiscountsRequest,
    FeedDescription,
    FulfillmentOptionPickup,
    IntentTrace,
    MessageInfo,
    MessageWarning,
    PaymentData,
    WebhookEvent,
    lenient_capabilities,
)
from acpref_protocol.models.delegate_authentication import BrowserInfo, ThreeDsAction
from acpref_protocol.schema_documents import documents
from acpref_protocol.wire import v2026_04_17

INSTRUMENT = {"type": "card", "credential": {"type": "spt", "token": "vt_1"}}
SESSION: dict[str, Any] = {
    "id": "cs_1",
    "status": "incomplete",
    "currency": "usd",
    "line_items": [],
    "totals": [],
    "fulfillment_options": [],
    "messages": [],
    "links": [],
    "capabilities": {},
}
ORDER = {"id": "o_1", "checkout_session_id": "cs_1", "permalink_url": "https://example.com/o_1"}


@pytest.mark.parametrize(
    ("model", "good", "bad"),
    [
        (PaymentData, {"handler_id": "h", "instrument": INSTRUMENT}, {"handler_id": "h"}),
        (PaymentData, {"purchase_order_number": "po"}, {"instrument": INSTRUMENT}),
        (PaymentData, {"purchase_order_number": "po", "handler_id": "h"}, {}),
        (AffiliateAttribution, {"provider": "p", "token": "t"}, {"provider": "p"}),
        (AffiliateAttribution, {"provider": "p", "publisher_id": "x"}, {"provider": "p", "campaign_id": "x"}),
        (AuthenticationResult, {"outcome": "denied"}, {"outcome": "authenticated"}),
        (AuthenticationResult, {"outcome": "canceled"}, {"outcome": "attempt_acknowledged"}),
        (FeedDescription, {"plain": ""}, {}),
        (CheckoutSessionWithOrder, {**SESSION, "order": ORDER}, SESSION),
        (
            ThreeDsAction,
            {
                "type": "challenge",
                "challenge": dict.fromkeys(
                    ("acs_trans_id", "three_ds_server_trans_id", "message_version"), "x"
                )
                | {"acs_url": "https://a.example"},
            },
            {"type": "fingerprint"},
        ),
        (
            BrowserInfo,
            {
                "accept_header": "*",
                "ip_address": "::1",
                "javascript_enabled": False,
                "language": "en",
                "user_agent": "u",
            },
            {
                "accept_header": "*",
                "ip_address": "::1",
                "javascript_enabled": True,
                "language": "en",
                "user_agent": "u",
            },
        ),
    ],
)
def test_members_that_need_each_other(
    model: type[BaseModel], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """PAY-12, FEED-09, DA-CRE-06 and the like."""
    assert model.model_validate(good).model_dump(exclude_none=True) == good
    with pytest.raises(ValidationError):
        model.model_validate(bad)


def test_a_session_always_has_its_arrays_and_capabilities() -> None:
    """CHK-STA-02, CHK-STA-03."""
    assert CheckoutSession.model_validate(SESSION).to_object() == SESSION
    for name in SESSION:
        with pytest.raises(ValidationError):
            CheckoutSession.model_validate({key: value for key, value in SESSION.items() if key != name})


def test_a_create_needs_a_line_a_currency_and_capabilities() -> None:
    """CHK-CRE-03."""
    body: dict[str, Any] = {"line_items": [{"id": "a"}], "currency": "usd", "capabilities": {}}
    assert CheckoutSessionCreateRequest.model_validate(body).line_items[0].quantity is None
    for wrong in (
        {**body, "line_items": []},
        {"line_items": [{"id": "a"}], "currency": "usd"},
        {**body, "items": []},
    ):
        with pytest.raises(ValidationError):
            CheckoutSessionCreateRequest.model_validate(wrong)


def test_options_and_messages_are_told_apart_by_type() -> None:
    """FUL-05, ERR-12."""
    address = {"name": "A", "line_one": "1", "city": "C", "state": "", "country": "US", "postal_code": ""}
    session = CheckoutSession.model_validate(
        {
            **SESSION,
            "fulfillment_options": [
                {
                    "type": "pickup",
                    "id": "p",
                    "title": "P",
                    "totals": [],
                    "location": {"name": "L", "address": address},
                }
            ],
            "messages": [
                {"type": "warning", "code": "low_stock", "content_type": "plain", "content": "Few left"}
            ],
        }
    )
    assert isinstance(session.fulfillment_options[0], FulfillmentOptionPickup)
    assert isinstance(session.messages[0], MessageWarning)
    for messages in (
        [{"type": "info", "code": "missing", "content_type": "plain", "content": ""}],
        [{"type": "hint"}],
    ):
        with pytest.raises(ValidationError):
            CheckoutSession.model_validate({**SESSION, "messages": messages})


def test_an_info_message_has_no_code() -> None:
    """ERR-08."""
    with pytest.raises(ValidationError):
        MessageInfo.model_validate(
            {"type": "info", "code": "missing", "content_type": "plain", "content": "x"}
        )


def test_a_webhook_carries_an_order_with_type_and_status() -> None:
    """WH-06, WH-12: the event type is open, the order's members are not."""
    data = {**ORDER, "type": "order", "status": "created"}
    assert WebhookEvent.model_validate({"type": "order_frobnicated", "data": data}).data.status == "created"
    for name in ("type", "status", "id"):
        with pytest.raises(ValidationError):
            WebhookEvent.model_validate(
                {"type": "order_update", "data": {k: v for k, v in data.items() if k != name}}
            )


def test_trace_metadata_is_flat() -> None:
    assert IntentTrace.model_validate({"reason_code": "other", "metadata": {"a": 1, "b": "x", "c": True}})
    for wrong in (None, [], {}):
        with pytest.raises(ValidationError) as raised:
            IntentTrace.model_validate({"reason_code": "other", "metadata": {"a": wrong}})
        assert raised.value.errors()[0]["loc"] == ("metadata", "a")


def test_codes_may_be_an_empty_list() -> None:
    assert DiscountsRequest.model_validate({"codes": []}).codes == []


def test_extensions_are_names_from_agents_and_declarations_from_sellers() -> None:
    """EXT-01, EXT-03, EXT-08: the empty list is taken from agents, although it matches both published alternatives."""
    assert Capabilities.model_validate({"extensions": ["discount"]}).extensions == ["discount"]
    assert Capabilities.model_validate({"extensions": []}).extensions == []
    for wrong in (
        ["discount", "discount"],
        ["discount", {"name": "discount"}],
        [{"name": "Discount"}],
        "discount",
    ):
        with pytest.raises(ValidationError) as raised:
            Capabilities.model_validate({"extensions": wrong})
        assert [error["loc"] for error in raised.value.errors()] == [("extensions",)]
    twice = [{"name": "discount", "extends": ["$.A.b"]}] * 2
    with pytest.raises(ValidationError):
        Capabilities.model_validate({"extensions": twice})


def test_unknown_capability_values_and_members_are_ignored() -> None:
    """CAP-09."""
    raw = {
        "interventions": {
            "supported": ["3ds", "telepathy"],
            "required": ["address_verification"],
            "display_context": "hologram",
            "redirect_context": "in_app",
            "max_redirects": 2,
            "mood": "good",
        },
        "extensions": ["discount"],
        "holograms": True,
    }
    capabilities = Capabilities.model_validate(lenient_capabilities(raw))
    assert capabilities.to_object() == {
        "interventions": {
            "supported": ["3ds"],
            "required": [],
            "redirect_context": "in_app",
            "max_redirects": 2,
        },
        "extensions": ["discount"],
    }
    assert raw["interventions"]["supported"] == ["3ds", "telepathy"], "the raw body is left alone"  # type: ignore[index]


def test_payment_in_a_request_is_ignored() -> None:
    """CAP-07."""
    assert lenient_capabilities({"payment": {"handlers": "whatever"}}) == {}


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "3ds",
        {"interventions": []},
        {"interventions": {"supported": "3ds"}},
        {"interventions": {"supported": [3]}},
        {"interventions": {"display_context": 1}},
        {"interventions": {"max_redirects": -1}},
        {"interventions": {"max_redirects": "2"}},
        {"extensions": {}},
    ],
)
def test_leniency_does_not_extend_to_wrong_types(raw: object) -> None:
    """CAP-09 covers unknown values, ERR-06 wrong types."""
    with pytest.raises(ValidationError):
        Capabilities.model_validate(lenient_capabilities(raw))


def test_the_public_names_are_those_of_all() -> None:
    public = {
        name
        for name, value in vars(models).items()
        if not name.startswith("_") and not hasattr(value, "__path__")
    }
    modules = {name for name in public if getattr(getattr(models, name), "__spec__", None) is not None}
    assert public - modules - {"annotations"} == set(models.__all__)


def test_the_bodies_of_the_version_are_types_of_its_schema_documents() -> None:
    """A wire module holds what travels in its version, nothing else."""
    defined = [
        kind for document in documents()[v2026_04_17.VERSION].values() for kind in document.types.values()
    ]
    bodies = [getattr(v2026_04_17, name) for name in v2026_04_17.__all__ if name != "VERSION"]
    assert [body.__name__ for body in bodies if body not in defined] == []
