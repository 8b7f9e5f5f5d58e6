"""The checked-in schema documents: current, complete, self-contained, in our own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from acpref_protocol import schema_build, schemas
from acpref_protocol.cli import app
from acpref_protocol.schema_documents import documents
from acpref_protocol.schema_tree import transform

VERSION = "2026-04-17"
NAMES = schemas.names(VERSION)


def parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(inner: dict[str, Any]) -> dict[str, Any]:
        found.append(inner)
        return inner

    transform(schema, note)
    return found


def references(schema: dict[str, Any]) -> Iterator[str]:
    return (part["$ref"] for part in parts(schema) if "$ref" in part)


def test_the_checked_in_documents_are_current() -> None:
    assert schema_build.stale(schema_build.files()) == []
    assert set(NAMES) == set(documents()[VERSION])


def test_building_twice_gives_the_same_bytes() -> None:
    assert schema_build.files() == schema_build.files()


def test_the_check_fails_when_a_document_is_missing_changed_or_superfluous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema_build, "DIRECTORY", tmp_path)
    assert schema_build.main(["--check"]) == 1, "nothing is there yet"
    assert schema_build.main([]) == 0
    assert schema_build.main(["--check"]) == 0
    feed = tmp_path / VERSION / "feed.json"
    feed.write_text(feed.read_text(encoding="utf-8").replace("products", "goods", 1), encoding="utf-8")
    capsys.readouterr()
    assert schema_build.main(["--check"]) == 1
    assert capsys.readouterr().out == f"stale: {VERSION}/feed.json\n"
    assert schema_build.main([]) == 0
    (tmp_path / VERSION / "left_over.json").write_text("{}", encoding="utf-8")
    assert schema_build.main(["--check"]) == 1
    assert schema_build.main([]) == 0
    assert not (tmp_path / VERSION / "left_over.json").exists()
    assert schema_build.main(["--chekc"]) == 2


def test_the_command_builds_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_build, "DIRECTORY", tmp_path)
    runner = CliRunner()
    assert runner.invoke(app, ["schemas", "--check"]).exit_code == 1
    assert runner.invoke(app, ["schemas", "--write"]).exit_code == 0
    assert runner.invoke(app, ["schemas", "--check"]).exit_code == 0
    assert runner.invoke(app, ["schemas"]).exit_code == 2


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.document(VERSION, name))


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_to_a_definition_of_ours(name: str) -> None:
    document = schemas.document(VERSION, name)
    assert document["$id"] == schemas.identifier(VERSION, name)
    for reference in references(document):
        address, _, target = reference.partition("#/$defs/")
        other = address.removeprefix(schemas.identifier(VERSION, "")) if address else name
        assert target in schemas.document(VERSION, other)["$defs"]


@pytest.mark.parametrize("name", NAMES)
def test_every_definition_and_member_is_described_there_or_where_it_refers_to(name: str) -> None:
    document = schemas.document(VERSION, name)
    undescribed = [key for key, schema in document["$defs"].items() if "description" not in schema]
    undescribed += [
        member
        for schema in parts(document)
        if schema.get("type") == "object" and "description" in schema
        for member, described in schema.get("properties", {}).items()
        if not described.keys() & {"description", "$ref"}
    ]
    assert set(undescribed) <= {"discount", "extension_identifier", "extends_target"}


@pytest.mark.parametrize("name", NAMES)
def test_no_document_lets_null_through_or_shows_traces_of_the_generator(name: str) -> None:
    for schema in parts(schemas.document(VERSION, name)):
        assert schema.get("type") != "null"
        assert "discriminator" not in schema
        assert "default" not in schema or schema["default"] is not None
    assert "example.com" not in json.dumps(schemas.document(VERSION, name))
