"""The comparison of schema documents finds every kind of difference, and nothing in mere wording."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from acpref_protocol.cli import app
from acpref_protocol.schema_build import build
from acpref_protocol.schema_diff import (
    Difference,
    Known,
    UpstreamError,
    compare,
    diff_version,
    differences,
    digest,
    judge,
    load_upstream,
)

VERSION = "2026-04-17"

PUBLISHED: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.com/schemas/shop.json",
    "title": "Shop",
    "$defs": {
        "Thing": {
            "type": "object",
            "description": "A thing.",
            "additionalProperties": False,
            "properties": {
                "kind": {"type": "string", "const": "thing"},
                "colour": {"type": "string", "enum": ["red", "blue"], "examples": ["red"]},
                "description": {"type": "string", "maxLength": 5},
                "amount": {"type": "integer", "minimum": 0},
                "flag": {"type": "boolean", "default": False},
                "when": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "items": {"type": "string", "pattern": "^a$"}, "uniqueItems": True},
                "other": {"$ref": "schema.other.json#/$defs/Other"},
                "either": {"oneOf": [{"$ref": "#/$defs/Thing"}, {"type": "string"}]},
                "notes": {"type": "object", "additionalProperties": True},
            },
            "required": ["kind", "colour"],
            "anyOf": [{"required": ["amount"]}, {"required": ["flag"]}],
        },
        "More": {"allOf": [{"$ref": "#/$defs/Thing"}, {"type": "object", "required": ["amount"]}]},
    },
}


def found(change: Callable[[dict[str, Any]], None]) -> list[tuple[str, str]]:
    ours = copy.deepcopy(PUBLISHED)
    change(ours)
    return [(each.path, each.kind) for each in differences("shop", ours, PUBLISHED)]


def thing(document: dict[str, Any]) -> dict[str, Any]:
    return document["$defs"]["Thing"]  # type: ignore[no-any-return]


def member(name: str, **keywords: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: thing(document)["properties"][name].update(keywords)


def drop(name: str, keyword: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: thing(document)["properties"][name].pop(keyword)


def test_a_document_equals_itself() -> None:
    assert found(lambda document: None) == []


def test_wording_identifiers_and_order_do_not_count() -> None:
    def reword(document: dict[str, Any]) -> None:
        document.update({"$id": "urn:x", "title": "Another", "$comment": "!"})
        thing(document)["description"] = "Another thing."
        thing(document)["required"].reverse()
        thing(document)["anyOf"].reverse()
        thing(document)["properties"] = dict(reversed(thing(document)["properties"].items()))
        colour = thing(document)["properties"]["colour"]
        colour["enum"].reverse()
        colour["examples"] = []
        thing(document)["properties"]["other"]["$ref"] = "urn:acpref:schema:2026-04-17:other#/$defs/Other"
        del thing(document)["properties"]["notes"]["additionalProperties"]
        document["$defs"]["More"]["allOf"].reverse()

    assert found(reword) == []


T = "/$defs/Thing"
P = f"{T}/properties"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d["$defs"].pop("More"), ("/$defs/More", "missing")),
        (lambda d: d["$defs"].update(Extra={}), ("/$defs/Extra", "added")),
        (lambda d: thing(d)["properties"].pop("flag"), (f"{P}/flag", "missing")),
        (lambda d: thing(d)["properties"].update(extra={}), (f"{P}/extra", "added")),
        (lambda d: thing(d).pop("additionalProperties"), (f"{T}/additionalProperties", "missing")),
        (
            lambda d: thing(d).update(additionalProperties={"type": "string"}),
            (f"{T}/additionalProperties", "changed"),
        ),
        (lambda d: thing(d)["required"].append("flag"), (f"{T}/required", "changed")),
        (lambda d: thing(d).pop("anyOf"), (f"{T}/anyOf", "missing")),
        (lambda d: thing(d)["anyOf"].pop(), (f"{T}/anyOf", "changed")),
        (member("amount", type="number"), (f"{P}/amount/type", "changed")),
        (member("amount", type=["integer", "null"]), (f"{P}/amount/type", "changed")),
        (member("amount", minimum=1), (f"{P}/amount/minimum", "changed")),
        (drop("amount", "minimum"), (f"{P}/amount/minimum", "missing")),
        (member("amount", maximum=9), (f"{P}/amount/maximum", "added")),
        (member("colour", enum=["red", "blue", "green"]), (f"{P}/colour/enum", "changed")),
        (member("colour", enum=["red", "green"]), (f"{P}/colour/enum/0", "changed")),
        (member("description", maxLength=6), (f"{P}/description/maxLength", "changed")),
        (member("kind", const="other"), (f"{P}/kind/const", "changed")),
        (member("flag", default=True), (f"{P}/flag/default", "changed")),
        (member("flag", default=0), (f"{P}/flag/default", "changed")),
        (member("when", format="date"), (f"{P}/when/format", "changed")),
        (drop("tags", "uniqueItems"), (f"{P}/tags/uniqueItems", "missing")),
        (member("tags", items={"type": "string", "pattern": "^b$"}), (f"{P}/tags/items/pattern", "changed")),
        (member("other", **{"$ref": "#/$defs/Other"}), (f"{P}/other/$ref", "changed")),
        (lambda d: d["$defs"]["More"]["allOf"].pop(), ("/$defs/More/allOf", "changed")),
    ],
)
def test_every_planted_difference_is_found(
    change: Callable[[dict[str, Any]], None], expected: tuple[str, str]
) -> None:
    assert found(change) == [expected]


def test_a_constant_is_not_an_enumeration_and_one_of_is_not_any_of() -> None:
    def swap(document: dict[str, Any]) -> None:
        kind = thing(document)["properties"]["kind"]
        kind["enum"] = [kind.pop("const")]
        either = thing(document)["properties"]["either"]
        either["anyOf"] = either.pop("oneOf")

    assert found(swap) == [
        (f"{P}/either/anyOf", "added"),
        (f"{P}/either/oneOf", "missing"),
        (f"{P}/kind/const", "missing"),
        (f"{P}/kind/enum", "added"),
    ]


def test_whole_documents_may_be_missing_or_added() -> None:
    assert compare({"a": {}}, {"b": {}}) == [
        Difference("a", "", "added", None, None),
        Difference("b", "", "missing", None, None),
    ]


LONGER = Difference("shop", "/a/maxLength", "changed", 6, 5)


def test_an_explanation_holds_only_for_the_published_value_it_states() -> None:
    entry = Known("shop", "/a/maxLength", "changed", 5, "because")
    assert judge(VERSION, [LONGER], [entry]).clean
    report = judge(VERSION, [LONGER], [Known("shop", "/a/maxLength", "changed", 4, "because")])
    assert report.unexplained == [LONGER]
    assert len(report.stale) == 1


def test_an_explanation_that_is_not_needed_is_a_failure() -> None:
    report = judge(VERSION, [], [Known("shop", "/a", "added", None, "because")])
    assert not report.clean
    assert report.unexplained == []


def test_a_published_text_may_be_stated_by_its_digest() -> None:
    difference = Difference("shop", "/a/const", "missing", None, "Somebody else's words")
    assert judge(
        VERSION, [difference], [Known("shop", "/a/const", "missing", digest("Somebody else's words"), "-")]
    ).clean
    assert not judge(
        VERSION, [difference], [Known("shop", "/a/const", "missing", digest("Other words"), "-")]
    ).clean


def publish(directory: Path, documents: dict[str, Any]) -> None:
    folder = directory / "versions" / VERSION / "json-schema"
    folder.mkdir(parents=True)
    for name, document in documents.items():
        (folder / f"schema.{name}.json").write_text(json.dumps(document), encoding="utf-8")


def test_our_own_documents_do_not_differ_from_themselves(tmp_path: Path) -> None:
    publish(tmp_path, build(VERSION))
    assert diff_version(tmp_path, VERSION, ()).clean


def test_a_directory_without_schemas_or_with_broken_ones_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="no published schemas"):
        load_upstream(tmp_path, VERSION)
    publish(tmp_path, {})
    broken = tmp_path / "versions" / VERSION / "json-schema" / "schema.feed.json"
    broken.write_text("{", encoding="utf-8")
    with pytest.raises(UpstreamError, match="cannot read"):
        load_upstream(tmp_path, VERSION)


def test_the_command_reports_and_exits_as_documented(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["diff", "--upstream", str(tmp_path)]).exit_code == 2
    assert runner.invoke(app, ["diff", "--upstream", str(tmp_path), "--version", "2001-01-01"]).exit_code == 2
    documents = build(VERSION)
    documents["feed"]["$defs"]["Price"]["properties"]["amount"]["minimum"] = 1
    publish(tmp_path, documents)
    result = runner.invoke(app, ["diff", "--upstream", str(tmp_path), "--json"])
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert report["unexplained"] == [
        {
            "document": "feed",
            "path": "/$defs/Price/properties/amount/minimum",
            "kind": "changed",
            "ours": 0,
            "theirs": 1,
        }
    ]
    assert report["stale"], "the table explains differences that this checkout does not have"
    shown = runner.invoke(app, ["diff", "--upstream", str(tmp_path), "--version", VERSION])
    assert shown.exit_code == 1
    assert "UNEXPLAINED  changed feed/$defs/Price/properties/amount/minimum" in shown.stdout
