"""Messages: what stands between a session and its payment, said once each, all at once (ERR-05, ERR-08 to ERR-16).

Every message has a severity and a resolution, and a JSONPath if it is about a member of the session. The words
are plain text; they never repeat more of the agent's input than a short quotation.
"""

from __future__ import annotations

from acpref_protocol.models import (
    DiscountErrorCode,
    ErrorCode,
    MessageError,
    MessageInfo,
    MessageWarning,
    Resolution,
    Severity,
    WarningCode,
)

Message = MessageInfo | MessageWarning | MessageError


def missing(param: str, content: str, *, resolution: Resolution = "requires_buyer_input") -> MessageError:
    """Something that has to be said before payment."""
    return _error("missing", param, content, resolution)


def out_of_stock(line: int) -> MessageError:
    """None of the item is left."""
    return _error(
        "out_of_stock",
        f"$.line_items[{line}]",
        "This item is out of stock. Remove it to continue.",
        "recoverable",
    )


def gone(line: int) -> MessageError:
    """The item has left the catalog since it was put into the session."""
    return _error(
        "not_found",
        f"$.line_items[{line}]",
        "This item is no longer sold. Remove it to continue.",
        "recoverable",
    )


def too_many(line: int, most: int, *, limited: bool) -> MessageError:
    """More than are left, or, if ``limited``, more than one order may contain."""
    words = f"At most {most} can be ordered at once." if limited else f"Only {most} can still be ordered."
    return _error("quantity_exceeded", f"$.line_items[{line}].quantity", words, "recoverable")


def low_stock(line: int, left: int) -> MessageWarning:
    """The item may run out."""
    return _warning("low_stock", f"$.line_items[{line}]", f"Only {left} left.", "low")


def no_way_there(param: str, line: int) -> MessageError:
    """No option brings the item to the address."""
    return _error(
        "region_restricted",
        param,
        f"The item in line {line + 1} cannot be delivered to this address.",
        "requires_buyer_input",
    )


def no_way(line: int) -> MessageError:
    """The shop has no option at all for the item, or none that the line's group allows."""
    return _error(
        "unsupported",
        f"$.line_items[{line}]",
        "There is no way of delivering this item in the way that was asked for.",
        "recoverable",
    )


def intervention_required(names: str) -> MessageError:
    """The shop insists on an intervention that the agent cannot show (CAP-12)."""
    return _error(
        "intervention_required",
        "$.capabilities.interventions.required",
        f"This shop requires an intervention that the agent does not support: {names}.",
        "requires_buyer_review",
    )


def price_changed(before: str, after: str) -> MessageWarning:
    """The total differs from the one that was shown last; amounts are formatted for people."""
    return _warning(
        "price_change",
        "$.totals[?@.type=='total']",
        f"The total has changed from {before} to {after}.",
        "medium",
        "requires_buyer_review",
    )


def discount_rejected(index: int, reason: DiscountErrorCode, content: str) -> MessageWarning:
    """A submitted code does not count (DISC-12)."""
    return _warning(reason, f"$.discounts.codes[{index}]", content, "low")


def payment_declined() -> MessageError:
    """The payment was refused. The reason is between the buyer and the issuer, so the words stay general."""
    return _error(
        "payment_declined",
        None,
        "The payment was declined. Try another payment method.",
        "requires_buyer_input",
    )


def authentication_needed() -> MessageError:
    """The issuer wants the buyer to authenticate, which this shop cannot arrange for this card."""
    return _error(
        "requires_3ds",
        None,
        "The card's issuer asks for authentication. Try another payment method.",
        "requires_buyer_input",
    )


def expired() -> MessageError:
    """The session has outlived its time (CHK-STA-08)."""
    return _error("expired", "$.expires_at", "This session has expired. Start a new one.", "recoverable")


def exemption_not_honoured() -> MessageInfo:
    """A tax certificate was sent, and it is not taken into account (CHK-BUY-04)."""
    return MessageInfo(
        type="info",
        severity="info",
        resolution="requires_buyer_review",
        param="$.buyer.tax_exemption",
        content_type="plain",
        content="Tax certificates cannot be checked here: tax is charged as usual.",
    )


def _error(code: ErrorCode, param: str | None, content: str, resolution: Resolution) -> MessageError:
    return MessageError(
        type="error",
        code=code,
        severity="high",
        resolution=resolution,
        param=param,
        content_type="plain",
        content=content,
    )


def _warning(
    code: WarningCode, param: str, content: str, severity: Severity, resolution: Resolution = "recoverable"
) -> MessageWarning:
    return MessageWarning(
        type="warning",
        code=code,
        severity=severity,
        resolution=resolution,
        param=param,
        content_type="plain",
        content=content,
    )
