"""When two bodies are the same request."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acpref_protocol import strict_json
from acpref_protocol.idempotency import fingerprint, keyed_fingerprint

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, documents, min_size=1, max_size=5)


def reordered(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: reordered(value[name], chance) for name in names}
    if isinstance(value, list):
        return [reordered(member, chance) for member in value]
    return value


def with_fractions(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: with_fractions(member) for name, member in value.items()}
    if isinstance(value, list):
        return [with_fractions(member) for member in value]
    return float(value) if type(value) is int else value


@given(documents, st.randoms(use_true_random=False))
def test_member_order_and_white_space_are_irrelevant(document: Any, chance: random.Random) -> None:
    """IDEM-06, IDEM-07."""
    other = json.dumps(reordered(document, chance), indent=chance.choice([None, 3])).encode()
    assert fingerprint(strict_json.loads(other)) == fingerprint(document)


@given(documents)
def test_one_and_one_point_zero_are_equal(document: Any) -> None:
    """IDEM-07."""
    assert fingerprint(with_fractions(document)) == fingerprint(document)
    written = json.dumps(with_fractions(document)).encode()
    assert fingerprint(strict_json.loads(written)) == fingerprint(document)


@given(objects, st.data())
def test_null_differs_from_an_absent_member(document: dict[str, Any], data: st.DataObject) -> None:
    """IDEM-08."""
    name = data.draw(st.sampled_from(sorted(document)))
    absent = {other: value for other, value in document.items() if other != name}
    assert fingerprint({**document, name: None}) != fingerprint(absent)


@given(st.lists(documents, min_size=2, max_size=5))
def test_arrays_are_compared_in_order(values: list[Any]) -> None:
    """IDEM-08."""
    turned = values[1:] + values[:1]
    assume(json.dumps(turned, sort_keys=True) != json.dumps(values, sort_keys=True))
    assert fingerprint(turned) != fingerprint(values)


@given(documents, documents)
def test_different_documents_have_different_fingerprints(one: Any, other: Any) -> None:
    """IDEM-06."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, 1), (False, 0), ("1", 1), (None, ""), ({}, []), (1.5, 1), ({"a": 1}, {"a": "1"})],
)
def test_types_are_kept_apart(one: Any, other: Any) -> None:
    """IDEM-07."""
    assert fingerprint(one) != fingerprint(other)


def test_zero_has_no_sign() -> None:
    assert fingerprint(-0.0) == fingerprint(0)


@given(st.floats(-1e300, 1e300), st.sampled_from(["1.0", "a.0b", "1e+16", "e+", ""]))
def test_a_float_that_is_an_integer_is_written_as_one_wherever_it_is(number: float, text: str) -> None:
    """IDEM-07: whatever the strings beside it look like."""
    number = round(number) if abs(number) > 2**53 else number
    for value in (number, float(number), float(int(number))):
        meant = int(value) if float(value).is_integer() else value
        written = json.dumps([{text: meant}, text], separators=(",", ":")).encode()
        assert fingerprint([{text: value}, text]) == hashlib.sha256(written).hexdigest()


def test_fingerprints_stay_what_they_are() -> None:
    """They are stored with the keys, and compared with those of later releases."""
    body = {"b": [1, 2.0, None, True], "a": {"é": "x.0", "": -0.5}}
    written = b'{"a":{"":-0.5,"\\u00e9":"x.0"},"b":[1,2,null,true]}'
    assert fingerprint(body) == hashlib.sha256(written).hexdigest()


def test_the_keyed_fingerprint_agrees_with_the_plain_one_and_depends_on_the_key() -> None:
    """DP-IDEM-05."""
    key, other = b"k" * 32, b"o" * 32
    assert keyed_fingerprint({"a": 1, "b": 2.0}, key) == keyed_fingerprint({"b": 2, "a": 1}, key)
    assert keyed_fingerprint({"a": 1}, key) != keyed_fingerprint({"a": 2}, key)
    assert keyed_fingerprint({"a": 1}, key) != keyed_fingerprint({"a": 1}, other)
    assert keyed_fingerprint({"a": 1}, key) != fingerprint({"a": 1})
    with pytest.raises(ValueError, match="16 bytes"):
        keyed_fingerprint({}, b"short")
