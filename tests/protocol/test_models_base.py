"""What holds for every model: null and absence, numbers, formats, secrets."""

from __future__ import annotations

import json
import warnings

import pytest
from pydantic import TypeAdapter, ValidationError

from acpref_protocol.models import (
    Address,
    AffiliateAttribution,
    Allowance,
    AppliedDiscount,
    BillingAddress,
    Buyer,
    CancelSessionRequest,
    CheckoutSessionCreateRequest,
    CheckoutSessionUpdateRequest,
    DelegatePaymentResponse,
    DiscoveryCapabilities,
    ExtensionDeclaration,
    FulfillmentOption,
    FulfillmentOptionLocalDelivery,
    Link,
    Order,
    PaymentData,
    PaymentMethodCard,
    RequestItem,
    TaxBreakdownItem,
    WeightInfo,
)

CARD_NUMBER = "4242424242424242"


def test_an_absent_member_is_none_and_stays_absent() -> None:
    buyer = Buyer.model_validate({"email": "ada@example.com"})
    assert buyer.first_name is None
    assert buyer.to_json() == b'{"email":"ada@example.com"}'
    assert buyer.model_dump(exclude_none=True) == {"email": "ada@example.com"} == buyer.to_object()


def test_null_is_not_absence_on_the_wire() -> None:
    with pytest.raises(ValidationError) as raised:
        Buyer.model_validate({"email": "ada@example.com", "first_name": None})
    assert raised.value.errors()[0]["loc"] == ("first_name",)


def test_none_is_absence_in_python() -> None:
    buyer = Buyer(email="ada@example.com", first_name=None)
    assert buyer == Buyer.model_validate({"email": "ada@example.com"})
    assert buyer.model_fields_set == {"email"}


def test_writing_a_model_with_absent_members_warns_of_nothing() -> None:
    order = Order.model_validate(
        {"id": "o", "checkout_session_id": "c", "permalink_url": "https://example.com/o"}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert json.loads(order.model_dump_json(exclude_none=True)) == order.to_object()


def test_nulls_inside_free_form_objects_survive() -> None:
    body = {"line_items": [{"id": "a"}], "currency": "usd", "capabilities": {}}
    metadata = {"a": None, "b": [None, {"c": None}], "d": {"e": None}}
    request = CheckoutSessionCreateRequest.model_validate({**body, "metadata": metadata})
    assert json.loads(request.to_json())["metadata"] == metadata


def test_unknown_members_of_open_objects_survive_even_null() -> None:
    body = {"intent_trace": {"reason_code": "other", "x": None}, "y": None, "z": {"n": None}}
    assert json.loads(CancelSessionRequest.model_validate(body).to_json()) == body
    attribution = {"provider": "p", "token": "t", "extra": None}
    assert json.loads(AffiliateAttribution.model_validate(attribution).to_json()) == attribution


def test_unknown_members_survive_inside_a_choice_of_types() -> None:
    """FUL-05: a pickup option is one of four kinds of option."""
    option = {
        "type": "pickup",
        "id": "p",
        "title": "Pickup",
        "location": {
            "name": "Shop",
            "address": {
                "name": "a",
                "line_one": "b",
                "city": "c",
                "state": "d",
                "country": "US",
                "postal_code": "e",
            },
            "floor": None,
        },
        "totals": [],
    }
    options: TypeAdapter[FulfillmentOption] = TypeAdapter(FulfillmentOption)
    assert json.loads(options.dump_json(options.validate_python(option), exclude_none=True)) == option


def test_absent_open_objects_can_be_written_as_null() -> None:
    assert FulfillmentOptionLocalDelivery(
        type="local_delivery", id="l", title="L", totals=[]
    ).model_dump() == {
        "type": "local_delivery",
        "id": "l",
        "title": "L",
        "description": None,
        "delivery_window": None,
        "service_area": None,
        "totals": [],
    }


def test_closed_objects_refuse_unknown_members() -> None:
    with pytest.raises(ValidationError) as raised:
        CheckoutSessionUpdateRequest.model_validate({"currency": "usd"})
    assert raised.value.errors()[0]["type"] == "extra_forbidden"


def test_models_are_frozen() -> None:
    buyer = Buyer(email="ada@example.com")
    with pytest.raises(ValidationError):
        buyer.email = "eve@example.com"  # type: ignore[misc]


@pytest.mark.parametrize("quantity", [True, "2", 2.0, 2.5, 0, -1, None])
def test_integers_are_json_integers(quantity: object) -> None:
    """CHK-CRE-06: the quantity is an integer of at least 1."""
    with pytest.raises(ValidationError):
        RequestItem.model_validate({"id": "a", "quantity": quantity})


@pytest.mark.parametrize("rate", [0, 1, 0.0825, -2.5])
def test_numbers_keep_their_kind(rate: float) -> None:
    item = TaxBreakdownItem.model_validate({"jurisdiction": "CA", "rate": rate, "amount": 1})
    assert type(item.rate) is type(rate)
    assert json.loads(item.to_json())["rate"] == rate


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf")])
def test_numbers_are_json_numbers(value: object) -> None:
    with pytest.raises(ValidationError) as raised:
        WeightInfo.model_validate({"value": value, "unit": "g"})
    assert [error["loc"] for error in raised.value.errors()] == [("value",)]


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-17T10:00:00Z",
        "2026-04-17t10:00:00z",
        "2026-12-31T23:59:59.123456789+05:30",
        "2024-02-29T00:00:00-00:00",
        "2000-02-29T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "0004-02-29T00:00:00Z",
    ],
)
def test_times_are_kept_as_they_were_sent(text: str) -> None:
    assert (
        DelegatePaymentResponse.model_validate({"id": "t", "created": text, "metadata": {}}).created == text
    )


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-17",
        "2026-04-17T10:00:00",
        "2026-04-17 10:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "2026-04-17T24:00:00Z",
        "2026-04-17T10:60:00Z",
        "2026-04-17T10:00:61Z",
        "2026-04-17T10:00:00+24:00",
        "2026-04-17T10:00:00+0530",
        "2026-04-17T10:00:00.Z",
        "2026-04-17T10:00:00Z\n",
        "\uff12\uff10\uff12\uff16-04-17T10:00:00Z",
        "",
        1776420000,
    ],
)
def test_what_is_no_time_is_refused_in_plain_words(text: object) -> None:
    with pytest.raises(ValidationError) as raised:
        DelegatePaymentResponse.model_validate({"id": "t", "created": text, "metadata": {}})
    assert raised.value.errors()[0]["msg"] == "Must be an RFC 3339 date and time with an offset"


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com",
        "HTTPS://u:p@[::1]:8443/a/b;c?d=e/f?#g",
        "urn:isbn:0451450523",
        "a:",
        "mailto:a@b.c",
    ],
)
def test_absolute_uris_are_taken(uri: str) -> None:
    assert Link.model_validate({"type": "faq", "url": uri}).url == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "example.com",
        "/a",
        "//a",
        "https://a b",
        "https://a/%zz",
        "https://a/\n",
        "ht tp://a",
        "1a:b",
        "https://a/<",
        "https://ä",
        "https://a#b#c",
    ],
)
def test_what_is_no_absolute_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValidationError):
        Link.model_validate({"type": "faq", "url": uri})


@pytest.mark.parametrize(
    "email", ["a@b", "ada.park+x@mail.example.com", '"a b"@example.com', "a@[127.0.0.1]"]
)
def test_email_addresses_are_taken(email: str) -> None:
    assert Buyer.model_validate({"email": email}).email == email


@pytest.mark.parametrize(
    "email", ["", "a", "@b", "a@", "a b@c", "a@b c", "a@b\r\nBcc: c@d", ".a@b", "a..b@c", "a@-b", 5]
)
def test_what_is_no_email_address_is_refused(email: object) -> None:
    with pytest.raises(ValidationError):
        Buyer.model_validate({"email": email})


def test_patterns_take_ascii_digits_only_and_no_trailing_newline() -> None:
    for currency in ("USD", "us", "usd\n"):
        with pytest.raises(ValidationError):
            DiscoveryCapabilities.model_validate({"services": [], "supported_currencies": [currency]})
    with pytest.raises(ValidationError):
        ExtensionDeclaration.model_validate({"name": "discount@\uff12\uff10\uff12\uff16-01-30"})


def test_distinct_items_are_demanded_where_the_schema_says_so() -> None:
    """DIS-05."""
    assert DiscoveryCapabilities.model_validate({"services": ["checkout", "orders"]}).services == [
        "checkout",
        "orders",
    ]
    with pytest.raises(ValidationError) as raised:
        DiscoveryCapabilities.model_validate({"services": ["checkout", "checkout"]})
    assert raised.value.errors()[0]["type"] == "unique_items"


def test_a_member_named_schema_travels_under_that_name() -> None:
    """EXT-03."""
    body = {"name": "discount", "schema": "https://example.com/discount.json"}
    declaration = ExtensionDeclaration.model_validate(body)
    assert declaration == ExtensionDeclaration(name="discount", schema="https://example.com/discount.json")
    assert declaration.to_object() == body == declaration.model_dump(exclude_none=True)
    with pytest.raises(ValidationError):
        ExtensionDeclaration.model_validate({"name": "discount", "schema_": "https://example.com"})


def test_a_documented_default_is_not_added_to_what_was_sent() -> None:
    body = {"id": "d", "coupon": {"id": "c", "name": "C"}, "amount": 5}
    assert AppliedDiscount.model_validate(body).to_object() == body


def test_secrets_appear_in_no_repr() -> None:
    """DP-SEC-01."""
    card = PaymentMethodCard(
        type="card",
        card_number_type="fpan",
        number=CARD_NUMBER,
        cvc="987",
        cryptogram="AAAB",
        display_card_funding_type="credit",
        metadata={},
    )
    payment = PaymentData.model_validate(
        {
            "handler_id": "h",
            "instrument": {
                "type": "card",
                "number": CARD_NUMBER,
                "credential": {"type": "spt", "token": "vt_secret", "cvc": "987"},
            },
        }
    )
    for text in (repr(card), str(card), repr(payment), str(payment), f"{[card, payment]}"):
        assert CARD_NUMBER not in text
        assert "987" not in text
        assert "AAAB" not in text
        assert "vt_secret" not in text
    assert payment.to_object()["instrument"]["number"] == CARD_NUMBER


def test_validation_errors_do_not_show_what_was_sent() -> None:
    """DP-SEC-01."""
    with pytest.raises(ValidationError) as raised:
        PaymentMethodCard.model_validate(
            {"type": "card", "number": [CARD_NUMBER], "cvc": "98765", CARD_NUMBER[:4]: 1}
        )
    assert CARD_NUMBER not in str(raised.value)
    assert "98765" not in str(raised.value)


def test_limits_count_characters() -> None:
    """DP-REQ-11."""
    address = {
        "name": "ä" * 256,
        "line_one": "a",
        "city": "c",
        "state": "",
        "country": "DE",
        "postal_code": "",
    }
    assert BillingAddress.model_validate(address).name == "ä" * 256
    with pytest.raises(ValidationError):
        BillingAddress.model_validate({**address, "name": "ä" * 257})
    assert Address.model_validate({**address, "name": "ä" * 257}).company is None


def test_allowances_are_whole_minor_units() -> None:
    """DP-REQ-10."""
    allowance = {
        "reason": "one_time",
        "max_amount": 5000,
        "currency": "usd",
        "checkout_session_id": "c",
        "merchant_id": "m",
        "expires_at": "2026-05-01T00:00:00Z",
    }
    assert Allowance.model_validate(allowance).to_object() == allowance
    for wrong in (
        {"max_amount": 50.5},
        {"currency": "USD"},
        {"reason": "recurring"},
        {"merchant_id": "m" * 257},
    ):
        with pytest.raises(ValidationError):
            Allowance.model_validate({**allowance, **wrong})
