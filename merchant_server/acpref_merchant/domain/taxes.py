"""Taxes by destination and tax class.

Each rule is rounded half up on each line, so that lines add up to the session. The cost of fulfillment has no
tax class of its own: it follows the goods, each line carrying its share of it, which is taxed where the rule says so.
All amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from acpref_merchant.domain.shop import Taxes, TaxRule
from acpref_protocol.money import apply_rate, included_in


@dataclass(frozen=True, slots=True)
class Destination:
    """Where goods go, in capital letters as the tax table and the ways of fulfillment are compared with it."""

    country: str
    state: str = ""
    postal_code: str = ""

    @classmethod
    def of(cls, country: str, state: str, postal_code: str) -> Destination:
        """The destination of an address as somebody typed it."""
        return cls(country.strip().upper(), state.strip().upper(), postal_code.strip().upper())


@dataclass(frozen=True, slots=True)
class Tax:
    """What one rule takes on one line. An ``inclusive`` rule's amount is already part of the price."""

    jurisdiction: str
    rate: Decimal
    amount: int
    inclusive: bool


def rules_at(taxes: Taxes, destination: Destination) -> list[TaxRule]:
    """The rules that apply to goods that go to ``destination``."""
    return [
        rule
        for rule in taxes.rules
        if rule.country == destination.country
        and (rule.state is None or rule.state.upper() == destination.state)
        and (rule.postal_prefix is None or destination.postal_code.startswith(rule.postal_prefix.upper()))
    ]


def tax_line(
    taxes: Taxes, rules: Sequence[TaxRule], tax_class: str, goods: int, fulfillment: int
) -> list[Tax]:
    """The taxes on a line: ``goods`` is its price after all discounts, ``fulfillment`` its share of that cost."""
    applying = [rule for rule in rules if _covers(taxes, rule, tax_class)]
    included = sum((rule.rate for rule in applying if rule.inclusive), Decimal(0))
    result = []
    for rule in applying:
        base = goods + fulfillment if rule.on_fulfillment else goods
        if rule.inclusive:
            # The part of a price that contains several taxes is in proportion to the rates.
            amount = (
                included_in(base, included) if included == rule.rate else _part(base, rule.rate, included)
            )
        else:
            amount = apply_rate(base, rule.rate)
        result.append(Tax(rule.jurisdiction, rule.rate, amount, rule.inclusive))
    return result


def is_exempt(taxes: Taxes, tax_class: str) -> bool:
    """Whether goods of this class are never taxed."""
    return tax_class in taxes.exempt_classes


def _covers(taxes: Taxes, rule: TaxRule, tax_class: str) -> bool:
    return tax_class not in taxes.exempt_classes if rule.classes is None else tax_class in rule.classes


def _part(base: int, rate: Decimal, included: Decimal) -> int:
    return apply_rate(base, rate / (1 + included))
