"""Walking JSON Schema documents: which members of a schema are schemas themselves (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLES = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)


def transform(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """A copy of ``schema`` after ``change`` of every schema inside, innermost first, and then of itself."""

    def visit(value: Any) -> Any:
        return transform(value, change) if isinstance(value, dict) else value

    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in MAPS:
            copy[keyword] = {name: visit(member) for name, member in value.items()}
        elif keyword in LISTS:
            copy[keyword] = [visit(member) for member in value]
        elif keyword in SINGLES:
            copy[keyword] = visit(value)
    return change(copy)
