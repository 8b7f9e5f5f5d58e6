"""What the composition root makes agree before anything is served."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr
from tests.merchant.domain_world import shop

from acpref_merchant.serve import with_provider
from acpref_merchant.settings import PaymentSettings


def stripe(key: str) -> PaymentSettings:
    return PaymentSettings(provider="stripe", stripe_api_key=SecretStr(key))


@pytest.mark.parametrize(
    ("payment", "said"),
    [
        (PaymentSettings(), ("acpref_sandbox", "sandbox")),
        (stripe("sk_test_1"), ("stripe", "sandbox")),
        (stripe("rk_live_1"), ("stripe", "production")),
    ],
)
def test_agents_are_sent_to_the_provider_that_charges(
    payment: PaymentSettings, said: tuple[str, str]
) -> None:
    """PAY-04."""
    handler = with_provider(shop(), payment).card_handler
    assert (handler.psp, handler.environment) == said


@pytest.mark.parametrize("card_handler", [{"psp": "stripe"}, {"psp": "acme", "environment": "sandbox"}])
def test_a_shop_that_sends_cards_elsewhere_is_not_served(card_handler: dict[str, Any]) -> None:
    contradictory = shop(card_handler=card_handler)
    with pytest.raises(ValueError, match=r"card_handler\.psp"):
        with_provider(contradictory, PaymentSettings())


def test_what_a_shop_says_of_its_environment_counts() -> None:
    handler = with_provider(shop(card_handler={"environment": "production"}), PaymentSettings()).card_handler
    assert (handler.psp, handler.environment) == ("acpref_sandbox", "production")
