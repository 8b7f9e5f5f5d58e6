"""Builds the JSON Schema documents of every version from the models.

Run as ``python -m acpref_protocol.schema_build [--check]``. The documents are checked in, so that users of any language
can read them and a change shows in review. Structure follows the published documents (names of ``$defs``, how types
are composed, which values are constants); identifiers and descriptions are our own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType

from acpref_protocol.base import Composed, Inline
from acpref_protocol.schema_documents import Document, documents
from acpref_protocol.schema_tree import Schema, transform
from acpref_protocol.schemas import DIRECTORY as DIRECTORY
from acpref_protocol.schemas import identifier

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build(version: str) -> dict[str, Schema]:
    """The documents of ``version`` by name. Raises KeyError for a version that is unknown."""
    return {name: _document(name, document, version) for name, document in documents()[version].items()}


def files() -> dict[Path, str]:
    """What every schema file should contain."""
    return {
        DIRECTORY / version / f"{name}.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        for version in documents()
        for name, document in build(version).items()
    }


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Schema files that are missing, differ from ``wanted`` (what ``files`` returns), or should not exist."""
    wrong = [
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return sorted([*wrong, *(path for path in DIRECTORY.glob("*/*.json") if path not in wanted)])


def write(wanted: Mapping[Path, str]) -> list[Path]:
    """Brings every schema file up to date with ``wanted``. Returns those that had to change."""
    changed = stale(wanted)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return changed


def _document(name: str, document: Document, version: str) -> Schema:
    definitions = _definitions(document.types)
    _compose(definitions)
    _inline(definitions)
    names = {_python_name(kind, published): published for published, kind in document.types.items()}

    def rename(schema: Schema) -> Schema:
        if "$ref" in schema:
            target = schema["$ref"].removeprefix("#/$defs/")
            if target in names or document.uses is None:
                schema["$ref"] = f"#/$defs/{names.get(target, target)}"
            else:
                schema["$ref"] = f"{identifier(version, document.uses)}#/$defs/{target}"
        return schema

    definitions = {
        names.get(key, key): transform(_tidy(schema), rename)
        for key, schema in definitions.items()
        if key in names or document.uses is None
    }
    for shared in document.shared:
        definitions = {
            key: schema if key == shared else transform(schema, _reference_to(shared, definitions[shared]))
            for key, schema in definitions.items()
        }
    definitions.update(document.literal)
    return {
        "$schema": DIALECT,
        "$id": identifier(version, name),
        "title": document.title,
        "$defs": {key: definitions[key] for key in sorted(definitions)},
    }


def _definitions(types: Mapping[str, Any]) -> dict[str, Schema]:
    """Every type with all that it refers to, by its name in Python."""
    adapters = {_python_name(kind, published): TypeAdapter[Any](kind) for published, kind in types.items()}
    schemas, referred = GenerateJsonSchema().generate_definitions(
        [(name, "validation", adapter.core_schema) for name, adapter in adapters.items()]
    )
    definitions: dict[str, Schema] = {str(name): schema for name, schema in referred.items()}
    for (name, _), schema in schemas.items():
        if "$ref" not in schema:
            definitions[name] = schema
    return definitions


def _python_name(kind: Any, published: str) -> str:
    """The name under which pydantic refers to ``kind``; a text with a pattern has none."""
    return kind.__name__ if isinstance(kind, type | TypeAliasType) else published


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)


def _compose(definitions: dict[str, Schema]) -> None:
    """Describes the types marked so by their base and what they add."""
    for child in _subclasses(Composed):
        described = definitions.get(child.__name__)
        if described is None:
            continue
        (base,) = (parent for parent in child.__bases__ if issubclass(parent, BaseModel))
        parts: list[Schema] = [{"$ref": f"#/$defs/{base.__name__}"}]
        added = {name: described["properties"][name] for name in child.__annotations__}
        if added:
            parts.append({"type": "object", "properties": added})
            if required := [name for name in described["required"] if name in added]:
                parts[1]["required"] = required
        definitions[child.__name__] = {"description": described["description"], "allOf": parts}


def _inline(definitions: dict[str, Schema]) -> None:
    """Writes the types marked so in place of the references to them."""
    nameless = {child.__name__ for child in _subclasses(Inline)} & definitions.keys()

    def expand(schema: Schema) -> Schema:
        target = schema.get("$ref", "").removeprefix("#/$defs/")
        if target not in nameless:
            return schema
        siblings = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
        return {**transform(definitions[target], expand), **siblings}

    for name in definitions.keys() - nameless:
        definitions[name] = transform(definitions[name], expand)
    for name in nameless:
        del definitions[name]


def _reference_to(name: str, definition: Schema) -> Any:
    meaning = {keyword: value for keyword, value in definition.items() if keyword != "description"}

    def replace(schema: Schema) -> Schema:
        if {keyword: value for keyword, value in schema.items() if keyword != "description"} != meaning:
            return schema
        return {"$ref": f"#/$defs/{name}", **{k: v for k, v in schema.items() if k == "description"}}

    return replace


_ORDER = (
    "$ref",
    "type",
    "description",
    "const",
    "enum",
    "format",
    "pattern",
    "additionalProperties",
    "properties",
    "required",
)


def _tidy(schema: Schema) -> Schema:
    """``schema`` without what pydantic adds of its own, its keywords in a fixed order."""

    def tidy(inner: Schema) -> Schema:
        kept = {
            keyword: value
            for keyword, value in inner.items()
            if keyword not in ("title", "discriminator") and not (keyword == "default" and value is None)
        }
        if "description" in kept:
            kept["description"] = " ".join(kept["description"].replace("``", "`").split())
        rank = {keyword: index for index, keyword in enumerate(_ORDER)}
        return {keyword: kept[keyword] for keyword in sorted(kept, key=lambda k: (rank.get(k, len(rank)), k))}

    return transform(schema, tidy)


def main(arguments: list[str]) -> int:
    """Writes the files, or with ``--check`` only looks whether they are current. Returns the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m acpref_protocol.schema_build [--check]", file=sys.stderr)
        return 2
    paths = stale(files()) if arguments else write(files())
    for path in paths:
        print(f"{'stale' if arguments else 'written'}: {path.relative_to(DIRECTORY)}")
    return 1 if arguments and paths else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
