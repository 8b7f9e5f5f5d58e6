"""JSON that has one meaning only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acpref_protocol import strict_json
from acpref_protocol.errors import ProtocolError

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
# Beyond 2**53, the shortest text of a float is another number than the float: it is the text that counts.
numbers = st.integers(-(2**63), 2**63) | st.floats(-(2**53), 2**53)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=25,
)


def refuse(raw: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as refusal:
        strict_json.loads(raw)
    error = refusal.value
    assert (error.status, error.type, error.code) == (400, "invalid_request", "invalid_json")
    return error


@given(documents, st.booleans())
def test_every_document_within_the_limits_reads_back(document: Any, ascii_only: bool) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert strict_json.loads(raw) == document


@given(documents, st.integers(1, 60))
def test_values_are_counted_as_they_are_and_not_by_their_commas(document: Any, most: int) -> None:
    def count(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(count, inner))

    raw = json.dumps(document).encode()
    if count(document) <= most:
        assert strict_json.loads(raw, max_values=most) == document
    else:
        with pytest.raises(ProtocolError, match=f"more than {most} values"):
            strict_json.loads(raw, max_values=most)


@given(st.binary(max_size=200))
def test_any_bytes_are_either_read_or_refused(raw: bytes) -> None:
    """ERR-06."""
    try:
        value = strict_json.loads(raw)
    except ProtocolError:
        refuse(raw)
    else:
        assert value == json.loads(raw)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.0", 1), ("1e2", 100), ("-0.0", 0), ("120E-1", 12), ("9007199254740993.0", 9007199254740993)],
)
def test_a_number_whose_value_is_an_integer_is_an_integer(text: str, value: int) -> None:
    """IDEM-07, HTTP-04."""
    read = strict_json.loads(text.encode())
    assert read == value
    assert type(read) is int


@pytest.mark.parametrize("text", ["1.5", "0.0825", "1e-400", "1.00000000000000000001"])
def test_other_numbers_stay_as_they_are(text: str) -> None:
    assert type(strict_json.loads(text.encode())) is float


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"{",
        b"{'a': 1}",
        b"[1,]",
        b"01",
        b"+1",
        b"nul",
        b"1 2",
        b'"\x01"',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"1e999999999999999999999",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        '"é"'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
        rb'"\ud800"',
        rb'{"a": ["x\udfff"]}',
        rb'{"\uD834": 1}',
        rb'"a\u0000b"',
        b"9223372036854775809",
        b"-9223372036854775809",
        b"1e19",
        b"1" * 5000,
        b"0." + b"1" * 5000,
    ],
)
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    """ERR-06."""
    refuse(raw)


def test_a_surrogate_pair_and_an_escaped_backslash_are_text() -> None:
    assert strict_json.loads(rb'"\ud834\udd1e"') == "\U0001d11e"
    assert strict_json.loads(rb'"\\ud800 \\u0000"') == r"\ud800 \u0000"


@pytest.mark.parametrize("raw", [b'{"a": 4242, "a": 5}', rb'{"b": [{"a": 1, "\u0061": 4242}]}'])
def test_a_repeated_member_is_refused_by_name_and_without_its_value(raw: bytes) -> None:
    message = refuse(raw).message
    assert "'a'" in message
    assert "4242" not in message


def test_the_name_of_a_repeated_member_is_cut_and_cleaned() -> None:
    name = json.dumps("\x1b" + "n" * 5000)
    message = refuse(f"{{{name}: 1, {name}: 2}}".encode()).message
    assert len(message) < 150
    assert message.isprintable()


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_sixty_four_levels_are_read_and_one_more_is_refused(opening: str, closing: str) -> None:
    def nested(levels: int) -> bytes:
        return (opening * levels + "1" + closing * levels).encode()

    strict_json.loads(nested(64))
    assert "64" in refuse(nested(65)).message
    assert "64" in refuse(nested(100_000)).message


def test_brackets_within_strings_and_wide_documents_are_not_depth() -> None:
    strict_json.loads(json.dumps(["[" * 1000, *([[]] * 1000)]).encode())
    strict_json.loads(json.dumps([[[1]] * 100] * 100).encode())
