"""The payment provider port and its adapters."""

from __future__ import annotations

from acpref_merchant.payments.port import PaymentProvider
from acpref_merchant.settings import PaymentSettings


def provider_from_settings(settings: PaymentSettings) -> PaymentProvider:
    """The provider that the merchant chose by name. Raises ValueError when its settings are incomplete or unusable.

    Only the chosen adapter is imported: the stripe package alone takes longer to load than the rest of the merchant.
    """
    if settings.provider == "stripe":
        if settings.stripe_api_key is None:
            raise ValueError("payment.stripe_api_key is required for the provider stripe")
        from acpref_merchant.payments.stripe import StripeProvider

        return StripeProvider(
            settings.stripe_api_key.get_secret_value(),
            api_base=settings.stripe_api_base,
            timeout_seconds=settings.timeout_seconds,
        )
    from acpref_merchant.payments.sandbox import SandboxProvider

    try:
        return SandboxProvider(
            settings.base_url, settings.token.get_secret_value(), timeout_seconds=settings.timeout_seconds
        )
    except ValueError as error:
        raise ValueError(f"payment.base_url or payment.token is not usable: {error}") from error
