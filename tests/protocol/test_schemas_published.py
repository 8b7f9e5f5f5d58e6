"""Against a checkout of the published specification, named by ACPREF_SPEC_DIR; skipped where there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter

from acpref_protocol.schema_build import build
from acpref_protocol.schema_diff import diff_version, load_upstream
from acpref_protocol.schema_documents import documents
from acpref_protocol.schema_known import KNOWN

VERSION = "2026-04-17"

# Definitions that stand for a whole body. Those with no required member would match any example.
BODIES = {
    "agentic_checkout": (
        "AuthenticationResult",
        "CheckoutSession",
        "CheckoutSessionCompleteRequest",
        "CheckoutSessionCreateRequest",
        "CheckoutSessionUpdateRequest",
        "CheckoutSessionWithOrder",
        "DiscoveryResponse",
        "Error",
        "Order",
    ),
    "delegate_authentication": (
        "DelegateAuthenticationAuthenticateRequest",
        "DelegateAuthenticationCreateRequest",
        "DelegateAuthenticationSession",
        "Error",
    ),
    "delegate_payment": ("DelegatePaymentRequest", "DelegatePaymentResponse", "Error"),
    "feed": ("Error", "FeedMetadata", "Product", "ProductsResponse"),
}


@pytest.fixture(scope="module")
def specification() -> Path:
    directory = os.environ.get("ACPREF_SPEC_DIR")
    if not directory:
        pytest.skip("ACPREF_SPEC_DIR is not set: nothing is compared with the published specification")
    return Path(directory)


@pytest.mark.parametrize("version", sorted(KNOWN))
def test_no_difference_is_unexplained_and_no_explanation_stale(specification: Path, version: str) -> None:
    report = diff_version(specification, version, KNOWN[version])
    assert report.unexplained == []
    assert report.stale == []


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in an example file; each may be an example of something."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from objects(member)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def examples(specification: Path) -> list[dict[str, Any]]:
    files = sorted((specification / "examples" / VERSION).rglob("*.json"))
    return [example for file in files for example in objects(json.loads(file.read_text(encoding="utf-8")))]


def validators(document: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    registry = jsonschema_rs.Registry([(document["$id"], document)])
    return {
        name: jsonschema_rs.Draft202012Validator(
            {"$ref": f"{document['$id']}#/$defs/{name}"}, registry=registry, validate_formats=True
        )
        for name in names
    }


def test_published_examples_that_are_valid_are_valid_here_and_survive_unchanged(specification: Path) -> None:
    published = load_upstream(specification, VERSION)
    bodies = examples(specification)
    seen: set[str] = set()
    for document, names in BODIES.items():
        theirs = validators(published[document], names)
        ours = validators(build(VERSION)[document], names)
        for name in names:
            adapter = TypeAdapter[Any](documents()[VERSION][document].types[name])
            for body in bodies:
                if not theirs[name].is_valid(body):
                    continue
                seen.add(f"{document}.{name}")
                ours[name].validate(body)
                assert json.loads(adapter.dump_json(adapter.validate_python(body), exclude_none=True)) == body
    assert seen == {f"{document}.{name}" for document, names in BODIES.items() for name in names}
