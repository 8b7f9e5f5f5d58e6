"""Models and schema documents say the same: random damage to valid bodies gets one verdict from both.

The bodies are made from the documents themselves, every member present, so that every definition takes part.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from acpref_protocol.schema_build import build
from acpref_protocol.schema_documents import documents
from acpref_protocol.schemas import identifier

VERSION = "2026-04-17"
DOCUMENTS = build(VERSION)
TYPES = [
    (document, published)
    for document, contents in documents()[VERSION].items()
    for published in sorted(contents.types)
]

FORMATS = {
    "date-time": "2026-04-17T10:00:00Z",
    "uri": "https://example.com/a?b=c",
    "email": "ada@example.com",
}
PATTERNS = {
    "^[a-z]{3}$": "usd",
    "^[A-Z]{3}$": "USD",
    "^[A-Z]{2}$": "US",
    "^[0-9]{4}$": "4242",
    r"^\d{4}-\d{2}-\d{2}$": "2026-04-17",
    r"^\$\.[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9_]*)*$": "$.CheckoutSession.discounts",
}


def instance(document: str, schema: dict[str, Any]) -> Any:
    """A valid body with every member that ``schema`` names; of alternatives, one list item for each."""
    if "$ref" in schema:
        address, _, pointer = schema["$ref"].partition("#/$defs/")
        target = address.rpartition(":")[2] or document
        return instance(target, DOCUMENTS[target]["$defs"][pointer])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "oneOf" in schema and "properties" not in schema:
        return instance(document, schema["oneOf"][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "allOf" in schema:
        parts = [part for part in schema.get("allOf", []) if "if" not in part]
        body = {name: value for part in parts for name, value in instance(document, part).items()}
        body |= {name: instance(document, member) for name, member in schema.get("properties", {}).items()}
        if isinstance(schema.get("additionalProperties"), dict):
            body["extra"] = instance(document, schema["additionalProperties"])
        return body
    if kind == "array":
        items = schema["items"]
        return [instance(document, alternative) for alternative in items.get("oneOf", [items])]
    if kind == "string":
        if "format" in schema:
            return FORMATS[schema["format"]]
        if "pattern" in schema:
            return PATTERNS.get(schema["pattern"], "discount")
        return "x" * schema.get("minLength", 1)
    return {"integer": 3, "number": 2.5, "boolean": True}[kind]


@cache
def validator(document: str, published: str) -> Any:
    registry = jsonschema_rs.Registry([(contents["$id"], contents) for contents in DOCUMENTS.values()])
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"{identifier(VERSION, document)}#/$defs/{published}"},
        registry=registry,
        validate_formats=True,
    )


@cache
def model(document: str, published: str) -> TypeAdapter[Any]:
    return TypeAdapter(documents()[VERSION][document].types[published])


@cache
def valid_body(document: str, published: str) -> Any:
    return instance(document, DOCUMENTS[document]["$defs"][published])


def model_takes(document: str, published: str, body: Any) -> bool:
    try:
        model(document, published).validate_python(body)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("document", "published"), TYPES)
def test_a_body_with_every_member_is_valid_and_survives_unchanged(document: str, published: str) -> None:
    body = valid_body(document, published)
    validator(document, published).validate(body)
    adapter = model(document, published)
    written = adapter.dump_json(adapter.validate_python(body), exclude_none=True)
    assert json.loads(written) == body


VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    101,
    2**40,
    0.5,
    -2.5,
    "",
    "x",
    "card",
    "usd",
    "USD",
    "12345",
    "y" * 5001,
    "2026-02-30T10:00:00Z",
    "2026-04-17T10:00:00+02:00",
    "2026-04-17",
    "https://example.com/b",
    "no uri",
    "ada@example.org",
    "no email",
    [],
    ["x"],
    ["x", "x"],
    [1],
    {},
    {"x": 1},
    {"x": None},
    {"type": "info"},
]
JUNK = st.sampled_from(VALUES).map(copy.deepcopy)


def places(body: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside ``body``."""
    if isinstance(body, dict | list):
        for key in list(body) if isinstance(body, dict) else range(len(body)):
            yield body, key
            yield from places(body[key])


def damage(draw: st.DrawFn, root: dict[str, Any]) -> None:
    """Changes ``root`` at one place."""
    container, key = draw(st.sampled_from(list(places(root))))
    match draw(st.sampled_from(["delete", "delete", "vary", "vary", "replace", "add", "repeat"])):
        case "delete" if container is not root:
            del container[key]
        case "vary":
            alike = [value for value in VALUES if type(value) is type(container[key])]
            container[key] = copy.deepcopy(draw(st.sampled_from(alike or VALUES)))
        case "add" if isinstance(container[key], dict):
            container[key]["unknown"] = draw(JUNK)
        case "add" if isinstance(container[key], list):
            container[key].append(draw(JUNK))
        case "repeat" if isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        case _:
            container[key] = draw(JUNK)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str, Any]:
    document, published = draw(st.sampled_from(TYPES))
    root = {"body": copy.deepcopy(valid_body(document, published))}
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        damage(draw, root)
    return document, published, root["body"]


def singly_damaged(body: Any, deepest: int) -> Iterator[Any]:
    """Copies of ``body``, each with one change at one place that is at most ``deepest`` steps inside."""
    if isinstance(body, dict):
        yield {**body, "unknown": "x"}
        for name, value in body.items():
            yield {other: body[other] for other in body if other != name}
            for changed in _changed(value, deepest):
                yield {**body, name: changed}
    elif isinstance(body, list):
        yield []
        yield body + body
        for index, value in enumerate(body):
            for changed in _changed(value, deepest):
                yield [*body[:index], changed, *body[index + 1 :]]


def _changed(value: Any, deepest: int) -> Iterator[Any]:
    yield from (None, True, 0, -1, 1.5, "", "x", "y" * 5001, [], {}, [value], str(value))
    if deepest > 1:
        yield from singly_damaged(value, deepest - 1)


def has_empty_extensions(body: Any) -> bool:
    return any(key == "extensions" and container[key] == [] for container, key in places({"body": body}))


@pytest.mark.parametrize(("document", "published"), TYPES)
def test_models_and_schemas_agree_about_every_single_damage(document: str, published: str) -> None:
    body = valid_body(document, published)
    deepest = (
        3 if len(list(places(body))) < 60 else 1
    )  # what large bodies contain is tested as types of its own
    for damaged_body in singly_damaged(body, deepest):
        schema_takes = validator(document, published).is_valid(damaged_body)
        if schema_takes != model_takes(document, published, damaged_body):
            assert has_empty_extensions(damaged_body), damaged_body


@settings(max_examples=400, deadline=None)  # the first body of a type compiles its schema
@given(damaged())
def test_models_and_schemas_agree_about_damaged_bodies(case: tuple[str, str, Any]) -> None:
    """The one exception is decided: ``capabilities.extensions: []`` is valid for the models alone (EXT-08)."""
    document, published, body = case
    schema_takes = validator(document, published).is_valid(body)
    if not schema_takes and has_empty_extensions(body):
        return
    assert model_takes(document, published, body) == schema_takes


@settings(deadline=None)
@given(damaged())
def test_what_the_models_take_survives_unchanged(case: tuple[str, str, Any]) -> None:
    document, published, body = case
    adapter = model(document, published)
    try:
        value = adapter.validate_python(body)
    except ValidationError:
        return
    assert json.loads(adapter.dump_json(value, exclude_none=True)) == body


def test_the_empty_extension_list_is_the_exception() -> None:
    """EXT-08: an empty list matches both alternatives of a oneOf, so the schema refuses it."""
    body: dict[str, Any] = {"extensions": []}
    assert not validator("agentic_checkout", "Capabilities").is_valid(body)
    assert model_takes("agentic_checkout", "Capabilities", body)
