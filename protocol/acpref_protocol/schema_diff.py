"""Compares our JSON Schema documents with a checkout of the published specification, structurally.

Two schemas are the same here if they accept the same things in the same form: names of ``$defs``, keywords and values
count; wording, identifiers, the order of members and of alternatives do not. What differs on purpose, or because a
published file is wrong, stands in ``schema_known`` with the published value and the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acpref_protocol.schema_build import build
from acpref_protocol.schema_tree import Schema, transform

Kind = Literal["missing", "added", "changed"]

_WORDING = frozenset({"$id", "$schema", "$comment", "title", "description", "examples", "example"})
_UNORDERED = ("required", "enum", "type", "allOf", "anyOf", "oneOf")


class UpstreamError(Exception):
    """The directory is no checkout of the published specification, or lacks the version."""


@dataclass(frozen=True)
class Difference:
    """One place where the documents differ.

    ``path`` is a JSON Pointer into the normal form of the document, empty for the document as a whole. ``kind`` says
    whether we lack what is published (``missing``), have what is not (``added``), or have it otherwise (``changed``).
    ``ours`` and ``theirs`` are the values in normal form, ``None`` where there is none.
    """

    document: str
    path: str
    kind: Kind
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Known:
    """A difference that is meant to be, with what is published there at the time of writing.

    ``theirs`` is the published value in normal form, or its ``digest`` where the value is somebody else's prose.
    """

    document: str
    path: str
    kind: Kind
    theirs: Any
    reason: str


@dataclass(frozen=True)
class Report:
    """The differences, and the entries of the table that no longer apply."""

    version: str
    explained: list[tuple[Difference, Known]]
    unexplained: list[Difference]
    stale: list[Known]

    @property
    def clean(self) -> bool:
        """Whether every difference is explained and every explanation is needed."""
        return not self.unexplained and not self.stale


def normal_form(schema: Schema) -> Schema:
    """``schema`` without wording, with references by name and without order where order means nothing."""

    def normalise(inner: Schema) -> Schema:
        kept = {keyword: value for keyword, value in inner.items() if keyword not in _WORDING}
        if kept.get("additionalProperties") is True:
            del kept["additionalProperties"]
        if kept.get("properties") == {}:
            del kept["properties"]
        if "$ref" in kept:
            kept["$ref"] = _reference(kept["$ref"])
        for keyword in _UNORDERED:
            if isinstance(kept.get(keyword), list):
                kept[keyword] = sorted(kept[keyword], key=_text)
        return kept

    return transform(schema, normalise)


def differences(document: str, ours: Schema, theirs: Schema) -> list[Difference]:
    """Every difference between two versions of one document, in the order of their paths."""
    found = [
        Difference(document, path, kind, left, right)
        for path, kind, left, right in _compare("", normal_form(ours), normal_form(theirs))
    ]
    return sorted(found, key=lambda difference: difference.path)


def compare(ours: Mapping[str, Schema], theirs: Mapping[str, Schema]) -> list[Difference]:
    """Every difference between two sets of documents."""
    found: list[Difference] = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours:
            found.append(Difference(name, "", "missing", None, None))
        elif name not in theirs:
            found.append(Difference(name, "", "added", None, None))
        else:
            found.extend(differences(name, ours[name], theirs[name]))
    return found


def judge(version: str, found: Iterable[Difference], known: Iterable[Known]) -> Report:
    """Sorts the differences by whether the table explains them; an entry explains at most one."""
    table = {(entry.document, entry.path, entry.kind): entry for entry in known}
    explained: list[tuple[Difference, Known]] = []
    unexplained: list[Difference] = []
    for difference in found:
        key = (difference.document, difference.path, difference.kind)
        entry = table.get(key)
        if entry is not None and _text(entry.theirs) in (
            _text(difference.theirs),
            _text(digest(difference.theirs)),
        ):
            explained.append((difference, table.pop(key)))
        else:
            unexplained.append(difference)
    return Report(version, explained, unexplained, list(table.values()))


def digest(value: Any) -> str:
    """A short stand-in for a published value."""
    return "sha256:" + hashlib.sha256(_text(value).encode()).hexdigest()


def load_upstream(directory: Path, version: str) -> dict[str, Schema]:
    """The published documents of ``version`` by name, from ``versions/<version>/json-schema/schema.<name>.json``.

    Raises UpstreamError if there are none or one is not JSON.
    """
    folder = directory / "versions" / version / "json-schema"
    paths = sorted(folder.glob("schema.*.json"))
    if not paths:
        raise UpstreamError(f"no published schemas in {folder}")
    documents: dict[str, Schema] = {}
    for path in paths:
        try:
            documents[_name(path.name)] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UpstreamError(f"cannot read {path}: {error}") from error
    return documents


def diff_version(directory: Path, version: str, known: Iterable[Known]) -> Report:
    """Compares what the models say now with the checkout in ``directory``. Raises UpstreamError."""
    return judge(version, compare(build(version), load_upstream(directory, version)), known)


def _compare(path: str, ours: Any, theirs: Any) -> Iterator[tuple[str, Kind, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            place = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in ours:
                yield place, "missing", None, theirs[name]
            elif name not in theirs:
                yield place, "added", ours[name], None
            else:
                yield from _compare(place, ours[name], theirs[name])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
            yield from _compare(f"{path}/{index}", left, right)
    elif _text(ours) != _text(theirs):  # as text, because to Python True equals 1
        yield path, "changed", ours, theirs


def _reference(target: str) -> str:
    """``document#Name`` or ``#Name``: documents have other addresses with us, definitions the same names."""
    address, _, pointer = target.partition("#")
    return f"{_name(address.rpartition(':')[2])}#{pointer.removeprefix('/$defs/')}"


def _name(file: str) -> str:
    return file.removeprefix("schema.").removesuffix(".json")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
