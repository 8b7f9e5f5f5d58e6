"""Where a shop's settings and its products do not know each other: no error, but seldom meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from acpref_merchant.domain.shop import Shop


def dangling_references(
    shop: Shop, categories: Collection[str], item_ids: Collection[str], tax_classes: Collection[str]
) -> Iterator[tuple[str, str]]:
    """The JSONPath of each setting that refers to nothing in the catalog, and why it has no effect."""
    for index, discount in enumerate(shop.discounts):
        for category in discount.categories or ():
            if category not in categories:
                yield f"$.discounts[{index}].categories", f"no product is in the category {category!r}"
        for item_id in discount.item_ids or ():
            if item_id not in item_ids:
                yield f"$.discounts[{index}].item_ids", f"there is no item {item_id!r}"
    rules = shop.taxes.rules
    taxed = {one for rule in rules for one in rule.classes or ()} | set(shop.taxes.exempt_classes)
    if rules and all(rule.classes is not None for rule in rules):
        for tax_class in sorted(set(tax_classes) - taxed):
            yield "$.taxes.rules", f"no rule taxes the class {tax_class!r}"
