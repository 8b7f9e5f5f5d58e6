"""JSON as both sides of a signature and of a comparison must read it: one text, one meaning.

Lenient parsers keep the last of two equal members, accept NaN, or turn big integers into neighbours; two
programs then see different documents in the same bytes. This one refuses such texts (I-JSON, RFC 7493), and
reads ``1.0`` as the integer it is (IDEM-07, HTTP-04).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from acpref_protocol.errors import ProtocolError, invalid_request

MAX_DEPTH = 64
MAX_INTEGER = 2**63
_MAX_NUMBER_LENGTH = 64
_NAME_LIMIT = 64
# Escapes that may leave a NUL (which PostgreSQL cannot store) or half a surrogate pair in a string.
_SUSPECT_ESCAPE = re.compile(r"\\u(0000|[dD][89a-fA-F])")


def loads(raw: bytes, *, max_values: int | None = None) -> Any:
    """Parse ``raw``; raises a 400 ProtocolError of code ``invalid_json`` for anything outside the rules.

    ``max_values`` bounds the number of objects, arrays and scalars in the whole text: a million tiny wrong ones would
    cost seconds to complain about.

    The text is UTF-8 without byte order mark; member names are unique within their object; at most 64
    levels are nested; integers lie within ±2**63 and other numbers are finite; strings are Unicode text
    without U+0000. A number with a fraction or exponent whose value is an integer becomes an ``int``.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        _refuse("The body starts with a byte order mark.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _error(f"The body is not UTF-8 (byte {error.start}).") from None
    if not text.strip(" \t\n\r"):
        _refuse("The body is empty.")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _error(f"Malformed JSON at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    brackets = text.count("[") + text.count("{")
    # Fewer brackets than levels allowed, or fewer commas than values: no need to look.
    if brackets > MAX_DEPTH:
        _check_depth(value)
    if max_values is not None and brackets + text.count(",") >= max_values and _count(value) > max_values:
        _refuse(f"The body has more than {max_values} values.")
    if "\\u" in text and _SUSPECT_ESCAPE.search(text):
        _check_strings(value)
    return value


def _error(message: str) -> ProtocolError:
    return invalid_request(message, code="invalid_json")


def _refuse(message: str) -> NoReturn:
    raise _error(message)


def _too_deep() -> ProtocolError:
    return _error(f"The body nests more than {MAX_DEPTH} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                shown = "".join(c if c.isprintable() else "?" for c in name[:_NAME_LIMIT])
                _refuse(f"The member {shown!r} occurs twice in one object.")
            seen.add(name)
    return members


def _integer(literal: str) -> int:
    # 20 characters hold every integer within range; a longer literal is refused unread, since reading is
    # quadratic.
    if len(literal) > 20 or abs(value := int(literal)) > MAX_INTEGER:
        _refuse("An integer is out of range.")
    return value


def _number(literal: str) -> int | float:
    if len(literal) > _MAX_NUMBER_LENGTH:
        _refuse(f"A number is written with more than {_MAX_NUMBER_LENGTH} characters.")
    value = float(literal)
    if not value.is_integer():
        if value in (float("inf"), float("-inf")):
            _refuse("A number is out of range.")
        return value
    if abs(value) > MAX_INTEGER:
        _refuse("An integer is out of range.")
    try:
        exact = Decimal(literal)
    except InvalidOperation:
        raise _error("A number is out of range.") from None
    return int(exact) if exact == exact.to_integral_value() else value


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is not JSON.")


# Made once: ``json.loads`` makes a decoder for every call that asks for anything unusual.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant
)


def _count(value: Any) -> int:
    """How many values there are in ``value``, itself included."""
    level, count = [value], 0
    while level:
        count += len(level)
        level = _members(level)
    return count


def _members(level: list[Any]) -> list[Any]:
    """What the objects and arrays of ``level`` consist of."""
    return [
        member
        for container in level
        if isinstance(container, dict | list)
        for member in (container.values() if isinstance(container, dict) else container)
    ]


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = _members(level)
        if not level:
            return
    if any(isinstance(child, dict | list) for child in level):
        raise _too_deep()


def _check_strings(value: Any) -> None:
    for text in _strings(value):
        if "\0" in text:
            _refuse("A string contains U+0000.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            _refuse("A string contains half a surrogate pair.")


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, dict):
            waiting.extend(current.keys())
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
