"""JSON Schemas of the catalog files, built from the models; ``schema_build`` keeps them in ``catalogs/schema``.

The models know the shapes; the words are here. A field without a description fails the build, and so does a
description of a field that no longer exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from acpref_merchant.catalog.importers.mapping import Mapping
from acpref_merchant.catalog.schema_words import FIELDS, TYPES
from acpref_merchant.domain.item import Product
from acpref_merchant.domain.shop import Shop

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, type[BaseModel]] = {
    "product.schema.json": Product,
    "shop.schema.json": Shop,
    "mapping.schema.json": Mapping,
}


def build(model: type[BaseModel], file_name: str) -> dict[str, Any]:
    """The schema of ``model``. Raises KeyError when a type or a field has no words."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})
    described = {name: _described(name, definition) for name, definition in sorted(definitions.items())}
    document = {
        "$schema": DIALECT,
        "$id": f"https://schemas.acpref.example.com/catalogs/{file_name}",
        **_described(model.__name__, schema),
    }
    return {**document, "$defs": described} if described else document


def _described(type_name: str, schema: dict[str, Any]) -> dict[str, Any]:
    schema = {key: value for key, value in schema.items() if key not in {"title", "description"}}
    properties = {
        name: {**_without_titles(value), "description": FIELDS[f"{type_name}.{name}"]}
        for name, value in schema.get("properties", {}).items()
    }
    if type_name == "Discount":
        # An absent member and null mean the same in these files.
        given = [
            {"required": [one], "properties": {one: {"type": "integer"}}}
            for one in ("percent_off", "amount_off")
        ]
        schema["oneOf"] = given
    return {"title": type_name, "description": TYPES[type_name], **schema, "properties": properties}


def _without_titles(value: Any) -> Any:
    """pydantic repeats each field's name as its title; that tells nobody anything."""
    if isinstance(value, dict):
        return {k: _without_titles(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))}
    return [_without_titles(one) for one in value] if isinstance(value, list) else value


def unused_words() -> list[str]:
    """The descriptions that belong to no field of any document."""
    used: set[str] = set()
    for model in DOCUMENTS.values():
        schema = model.model_json_schema()
        for name, definition in {**schema.get("$defs", {}), model.__name__: schema}.items():
            used |= {name, *(f"{name}.{field}" for field in definition.get("properties", {}))}
    return sorted({*FIELDS, *TYPES} - used)


def rendered() -> Iterator[tuple[str, str]]:
    """Each document's file name and text."""
    for file_name, model in DOCUMENTS.items():
        yield file_name, json.dumps(build(model, file_name), indent=2, ensure_ascii=False) + "\n"
