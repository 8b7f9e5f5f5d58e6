"""What is wrong with a configuration, in words for whoever wrote it: one line for each problem.

Every line begins with the place to repair: the environment variable, the member of the TOML file, or the option of the
command line that the value came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table of names and values",
    "model_type": "must be a table of names and values",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "finite_number": "must be a finite number",
}
# Kinds of problem that only settings without a secret have: their value can be shown.
_SHOWN = frozenset({"int_parsing", "float_parsing", "bool_parsing", "literal_error"})


def problems(
    error: ValidationError,
    *,
    prefix: str,
    environment: Mapping[str, str],
    file: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> list[str]:
    """A line for each problem of ``error``. Secrets are never in it.

    ``prefix`` begins the variables' names, ``environment`` holds them; ``file`` is the TOML file, if there is one, and
    ``options`` are the members that the command line gave, with the names of their options.
    """
    variables = {name.upper() for name in environment}
    lines = []
    for problem in error.errors(include_url=False):
        path = [part for part in problem["loc"] if isinstance(part, str | int)]
        words = _words(problem["type"], problem["msg"], problem.get("ctx", {}), problem["input"])
        lines.append(f"{_place(path, prefix, variables, file, options or {})}: {words}")
    return lines


def not_json(error: Exception, *, prefix: str) -> str:
    """The line for pydantic-settings' SettingsError: a variable that must be JSON is none."""
    field = re.search(r'field "(\w+)"', str(error))
    name = f"{prefix}{field[1].upper()}" if field else f"a variable {prefix}..."
    cause = error.__cause__
    where = f" (line {cause.lineno}, column {cause.colno})" if isinstance(cause, json.JSONDecodeError) else ""
    return f"{name}: must be JSON, and is not{where}"


def unknown_variables(
    names: Iterable[str], *, prefix: str, known: Collection[str], tables: Collection[str] = ()
) -> list[str]:
    """A line for each of the variables ``names`` that begins with ``prefix`` and sets nothing.

    ``known`` are the settings' names, of which ``tables`` have members with variables of their own.
    """
    variables = {f"{prefix}{name}".upper() for name in known}
    parents = tuple(f"{prefix}{name}__".upper() for name in tables)
    lines = []
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(prefix) or upper in variables or upper.startswith(parents):
            continue
        close = get_close_matches(upper, variables, n=1, cutoff=0.85)
        hint = f"; did you mean {close[0]}?" if close else ""
        lines.append(f"{name} is not a setting and has no effect{hint}")
    return lines


def _place(
    path: list[str | int], prefix: str, variables: set[str], file: Path | None, options: Mapping[str, str]
) -> str:
    """Where the value at ``path`` came from: the first that wins and is there."""
    if path and path[0] in options:
        return options[str(path[0])]
    for length in range(len(path), 0, -1):
        name = prefix + "__".join(str(part) for part in path[:length]).upper()
        if name in variables:
            return name + _member(path[length:])
    if file is not None:
        return f"{file}, {_member(path).removeprefix('.')}"
    return prefix + "__".join(str(part) for part in path).upper()


def _member(path: list[str | int]) -> str:
    """``.agents[1].token``; entries of lists are counted from 1, as people count."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)


def _words(kind: str, message: str, context: Mapping[str, Any], value: object) -> str:
    if kind == "value_error":
        return str(context.get("error", message))
    if kind not in _WORDS:
        return message.replace("Input should be", "must be").replace("Value error, ", "")
    words = _WORDS[kind].format(**context)
    return f"{words}, not {value!r}" if kind in _SHOWN and len(repr(value)) < 60 else words
