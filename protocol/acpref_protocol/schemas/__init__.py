"""The JSON Schema documents, one folder per version: built from the models, checked in, read from here.

Documents refer to each other by their identifiers, ``urn:acpref:schema:<version>:<name>``.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent


def identifier(version: str, name: str) -> str:
    """The ``$id`` of a document."""
    return f"urn:acpref:schema:{version}:{name}"


def names(version: str) -> tuple[str, ...]:
    """Names of the documents of ``version``, such as ``agentic_checkout``; none for a version that is unknown."""
    return tuple(sorted(path.stem for path in (DIRECTORY / version).glob("*.json")))


@cache
def document(version: str, name: str) -> dict[str, Any]:
    """One document, which the caller must not change. Raises FileNotFoundError if there is none of that name."""
    loaded: dict[str, Any] = json.loads((DIRECTORY / version / f"{name}.json").read_text(encoding="utf-8"))
    return loaded
