"""Taxes by destination and tax class.

Each rule is rounded half up on each line, so that lines add up to the session. The cost of fulfillment has no
tax class of its own: it follows the goods, each line carrying its share of it, which is taxed where the rule says so.
All amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from acpref_merchant.domain.shop import Taxes, TaxRule
from acpref_protocol.money import apply_rate, included_in


class Destination(NamedTuple):
    """Where goods go, in capital letters as the tax table and the ways of fulfillment are compared with it."""

    country: str
    state: str = ""
    postal_code: str = ""

    @classmethod
    def of(cls, country: str, state: str, postal_code: str) -> Destination:
        """The destination of an address as somebody typed it."""
        return cls(country.strip().upper(), state.strip().upper(), postal_code.strip().upper())


class Tax(NamedTuple):
    """What one rule takes on one line. An ``inclusive`` rule's amount is already part of the price."""

    jurisdiction: str
    rate: Decimal
    amount: int
    inclusive: bool


def rules_at(taxes: Taxes, destination: Destination) -> list[TaxRule]:
    """The rules that apply to goods that go to ``destination``."""
    return [
        rule
        for rule in taxes.rules_in(destination.country, destination.state)
        if rule.postal_prefix is None or destination.postal_code.startswith(rule.postal_prefix.upper())
    ]


def tax_line(
    taxes: Taxes, rules: Sequence[TaxRule], tax_class: str, goods: int, fulfillment: int
) -> list[Tax]:
    """The taxes on a line: ``goods`` is its price after all discounts, ``fulfillment`` its share of that cost."""
    exempt = is_exempt(taxes, tax_class)
    applying = [rule for rule in rules if (not exempt if rule.classes is None else tax_class in rule.classes)]
    result = []
    for rule in applying:
        base = goods + fulfillment if rule.on_fulfillment else goods
        amount = _part(base, rule, applying) if rule.inclusive else apply_rate(base, rule.rate)
        result.append(Tax(rule.jurisdiction, rule.rate, amount, rule.inclusive))
    return result


def is_exempt(taxes: Taxes, tax_class: str) -> bool:
    """Whether goods of this class are never taxed."""
    return tax_class in taxes.exempt_classes


def _part(base: int, rule: TaxRule, applying: Sequence[TaxRule]) -> int:
    """The part of a price that is the tax of ``rule``: where the price contains several, in proportion to the rates."""
    included = sum([other.rate for other in applying if other.inclusive], Decimal(0))
    if included == rule.rate:
        return included_in(base, included)
    return apply_rate(base, rule.rate / (1 + included))
