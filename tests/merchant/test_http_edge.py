"""What the edge does with requests that are not as they should be: a flat 4xx with the place, and nothing changes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pydantic import SecretStr
from tests.merchant.shop_server import (
    AGENT,
    APPROVED,
    BUYER,
    OTHER_AGENT,
    VERSION,
    Agent,
    Json,
    RawAnswer,
    ShopServer,
    assert_valid,
    complete_body,
    create_body,
    exchange,
    path_of,
    raw_request,
    received,
    shop_server,
)

from acpref_merchant.clock import new_id
from acpref_merchant.settings import AgentSettings
from acpref_merchant.store.errors import StoreUnavailable
from acpref_protocol.signing import NO_BODY, RequestSigner

MIB = 1_048_576
SIGNER_TOKEN = "token-of-the-agent-that-signs"
ED25519 = RequestSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ES256 = RequestSigner(ec.derive_private_key(0xACDC, ec.SECP256R1()))
STRANGER = RequestSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))


def _pem(signer: RequestSigner) -> str:
    return (
        signer._key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


SIGNER = AgentSettings(
    id="signer", token=SecretStr(SIGNER_TOKEN), public_keys={"a": _pem(ED25519), "b": _pem(ES256)}
)


class Ids:
    """The merchant's ids, which can be made to fail: a stand-in for whatever nobody expects."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    def __call__(self, prefix: str) -> str:
        if self.failure is not None:
            raise self.failure
        return new_id(prefix)


IDS = Ids()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    with shop_server(tmp_path_factory.mktemp("shop"), agents=(SIGNER,), ids=IDS) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopServer]:
    """A shop on each kind of database, for what could depend on it."""
    folder = tmp_path_factory.mktemp("either")
    if request.param == "sqlite":
        with shop_server(folder) as server:
            yield server
    else:
        database = request.getfixturevalue("postgres_server").database()
        with database as url, shop_server(folder, url) as server:
            yield server


@pytest.fixture
def agent(shop: ShopServer) -> Agent:
    return shop.agent


@pytest.fixture
def unchanged(shop: ShopServer) -> Iterator[None]:
    """Nothing is written during the test."""
    before = shop.counts()
    yield
    assert shop.counts() == before


def flat(answer: RawAnswer | None) -> Json:
    """The flat error of a raw answer."""
    assert answer is not None
    assert 400 <= answer.status < 500, answer
    assert answer.headers["content-type"] == "application/json", answer
    error: Json = json.loads(answer.body)
    assert_valid(error, "Error")
    return error


CREATE = json.dumps(create_body()).encode()
GET_PATHS = ("/checkout_sessions/cs_1", "/orders/ord_1")
POST_PATHS = (
    "/checkout_sessions",
    "/checkout_sessions/cs_1",
    "/checkout_sessions/cs_1/complete",
    "/checkout_sessions/cs_1/cancel",
)


# --- who and which version --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "version", [None, "", "2026-04-16", "2025-09-29", "latest", "2026-04-17, 2026-01-30", "v" * 999]
)
def test_every_operation_speaks_a_version_that_is_served(agent: Agent, version: str | None) -> None:
    """VER-01, VER-02, VER-03, VER-04, VER-05."""
    code = "unsupported_api_version" if version else "missing_api_version"
    answers = [agent.get(path, API_Version=version) for path in GET_PATHS]
    answers += [agent.post(path, create_body(), API_Version=version) for path in POST_PATHS]
    for answer in answers:
        error = agent.refused(answer, 400, code, "API-Version")
        assert error["supported_versions"] == [VERSION]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer nobody-has-this-token",
        "Bearer token-of-the-first-agent x",
        "Bearer token-of-the-first-agen",
        "Basic dG9rZW4tb2YtdGhlLWZpcnN0LWFnZW50",
        "token-of-the-first-agent",
        "Bearer \U0001f511".encode().decode("latin-1"),
    ],
)
def test_every_operation_needs_a_valid_bearer_token(agent: Agent, authorization: str | None) -> None:
    """AUTH-01, AUTH-02: before anything else is said about the request."""
    sent = None if authorization is None else authorization.encode("latin-1")
    for method, path in [("GET", path) for path in GET_PATHS] + [("POST", path) for path in POST_PATHS]:
        headers: Any = {
            name: value.encode() for name, value in agent.headers(API_Version="1999-01-01").items()
        }
        if sent is None:
            del headers["Authorization"]
        else:
            headers["Authorization"] = sent
        answer = agent.http.request(method, path, headers=headers, content=b"{not json")
        agent.refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["request-id"] == headers["Request-Id"].decode()


def test_the_scheme_is_read_in_any_case(agent: Agent) -> None:
    """AUTH-01."""
    session = agent.create()
    assert agent.get(path_of(session), Authorization=f"bEARER  {agent.token}").status_code == 200


# --- correlation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*GET_PATHS, "/.well-known/acp.json", "/feeds/metadata.json", "/feeds/products.jsonl", "/nothing/here"],
)
def test_a_request_id_comes_back_from_everywhere(shop: ShopServer, path: str) -> None:
    """HTTP-08: errors and unknown paths included."""
    sent = "order/17 <a@b> \"x\" 'y' 100%"
    answer = shop.http.get(path, headers={"Request-Id": sent})
    assert answer.headers["request-id"] == sent
    assert "request-id" not in shop.http.get(path).headers


@pytest.mark.parametrize("path", [*POST_PATHS, "/nothing/here", "/.well-known/acp.json"])
def test_a_key_comes_back_from_every_post(shop: ShopServer, path: str) -> None:
    """HTTP-10: errors and unknown paths included."""
    answer = shop.http.post(path, headers={"Idempotency-Key": "the key"})
    assert answer.status_code in {401, 404, 405}
    assert answer.headers["idempotency-key"] == "the key"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("value", [b"r\xe9sum\xe9", "\U0001f4b3".encode(), b"x" * 256, b"a\tb"])
def test_a_request_id_that_could_do_harm_is_not_repeated(shop: ShopServer, value: bytes) -> None:
    """HTTP-08."""
    answer = exchange(shop.url, raw_request("GET", "/orders/ord_1", Request_Id=value))
    assert answer is not None
    assert (answer.status, "request-id" in answer.headers) == (404, False)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "API_Version",
        "Idempotency_Key",
        "Content_Type",
        "Signature",
        "Timestamp",
        "Request_Id",
    ],
)
@pytest.mark.parametrize(
    "value", [b"\xff\xfe", "é\U0001f4b3".encode(), b"\x80", b"a\xa0b", b"%0d%0aX-Injected: 1"]
)
def test_no_header_can_break_the_answer(shop: ShopServer, name: str, value: bytes) -> None:
    """HTTP-03, ERR-01, ERR-06: an answer of one header block, without anything that was injected."""
    body = (
        json.dumps(create_body({"nothing": 1})).encode()
        if name in {"Idempotency_Key", "Request_Id"}
        else CREATE
    )
    fields = {name: value} | ({"Signature": b"abcd"} if name == "Timestamp" else {})
    if name in {"Idempotency_Key", "Request_Id"}:
        fields["API_Version"] = b"none"
    answer = exchange(shop.url, raw_request("POST", "/checkout_sessions", body, **fields))
    flat(answer)
    assert answer is not None
    assert "x-injected" not in answer.headers
    assert all(char.isascii() and char.isprintable() for value in answer.headers.values() for char in value)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "value", [b"a\rX-Injected: 1", b"a\nX-Injected: 1", b"a\r\n X-Injected: 1", b"a\x00b"]
)
def test_control_characters_in_a_header_end_the_conversation(shop: ShopServer, value: bytes) -> None:
    """ERR-06: some are refused by the server itself; none reaches the answer or the database."""
    request = raw_request("POST", "/checkout_sessions", CREATE, Request_Id=value, API_Version=b"none")
    answer = exchange(shop.url, request)
    assert answer is not None
    assert answer.status == 400
    assert "x-injected" not in answer.headers


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Authorization", (AGENT, OTHER_AGENT)),
        ("API-Version", (VERSION, "1999-01-01")),
        ("Idempotency-Key", ("a", "b")),
        ("Idempotency-Key", ("a", "a")),
        ("Request-Id", ("a", "b")),
        ("Content-Type", ("application/json", "text/plain")),
        ("Signature", ("a", "b")),
        ("Timestamp", ("a", "b")),
        ("Host", ("shop", "elsewhere")),
    ],
)
def test_a_header_that_says_one_thing_comes_once(
    shop: ShopServer, name: str, values: tuple[str, str]
) -> None:
    """IDEM-04, AUTH-02, VER-02: whoever stands between may have read the other one."""
    lines = "".join(f"\r\n{name}: {'Bearer ' * (name == 'Authorization')}{value}" for value in values)
    for method, path, body in (("POST", "/checkout_sessions", CREATE), ("GET", "/orders/ord_1", b"")):
        sent = raw_request(method, path, body, **{name.replace("-", "_"): b"x"})
        answer = exchange(shop.url, sent.replace(f"\r\n{name}: x".encode(), lines.encode()))
        assert answer is not None
        assert (answer.status, flat(answer)["param"]) == (400, name)


def test_other_headers_may_come_as_often_as_they_like(shop: ShopServer) -> None:
    """HTTP-06."""
    sent = raw_request("POST", "/checkout_sessions", CREATE, Accept=b"a/b\r\nAccept: */*\r\nVia: a\r\nVia: b")
    answer = exchange(shop.url, sent)
    assert answer is not None
    assert answer.status == 201


# --- signatures -------------------------------------------------------------------------------------------------------


def signer(shop: ShopServer) -> Agent:
    return Agent(shop.http, shop.provider, shop.clock, SIGNER_TOKEN)


def seconds(shop: ShopServer, shift: int = 0) -> float:
    return shop.clock() / 1000 + shift


@pytest.mark.parametrize("key", [ED25519, ES256], ids=["Ed25519", "ES256"])
@pytest.mark.parametrize("shift", [0, 300, -300])
def test_a_good_signature_is_accepted(shop: ShopServer, key: RequestSigner, shift: int) -> None:
    """SIGN-02, SIGN-03: over the meaning of the body, in whatever form it was sent."""
    body = create_body(metadata={"n": 1, "é": [1.5, None]})
    text = json.dumps(body, indent=3).replace('"n": 1', '"n": 1.0').encode()
    answer = signer(shop).post("/checkout_sessions", raw=text, **key.headers(body, seconds(shop, shift)))
    assert answer.status_code == 201
    path = f"{path_of(answer.json())}/cancel"
    assert signer(shop).post(path, **key.headers(NO_BODY, seconds(shop))).status_code == 200


def test_a_signature_is_optional_unless_the_shop_says_otherwise(shop: ShopServer) -> None:
    """SIGN-02."""
    assert signer(shop).create()["status"] == "incomplete"


def _another_time(text: str | None) -> Any:
    return lambda now: {**ED25519.headers(create_body(), now), "Timestamp": text}


def _another_signature(change: Any) -> Any:
    def headers(now: float) -> dict[str, str]:
        good = ED25519.headers(create_body(), now)
        return {**good, "Signature": change(good["Signature"])}

    return headers


BAD_SIGNATURES: dict[str, Any] = {
    "another body": lambda now: ED25519.headers(create_body({"lamp": 1}), now),
    "another key": lambda now: STRANGER.headers(create_body(), now),
    "no body": lambda now: ED25519.headers(NO_BODY, now),
    "stale": lambda now: ED25519.headers(create_body(), now - 301),
    "from the future": lambda now: ED25519.headers(create_body(), now + 301),
    "no time": _another_time(None),
    "no real time": _another_time("yesterday"),
    "a time without offset": _another_time("2026-04-12T13:20:00"),
    "not base64url": _another_signature(lambda good: "?" * 86),
    "empty": _another_signature(lambda good: ""),
    "truncated": _another_signature(lambda good: good[:-4]),
    "padded": _another_signature(lambda good: good + "=="),
    "very long": _another_signature(lambda good: "A" * 20_000),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("kind", list(BAD_SIGNATURES))
def test_a_bad_signature_is_refused(shop: ShopServer, kind: str) -> None:
    """SIGN-03."""
    answer = signer(shop).post("/checkout_sessions", create_body(), **BAD_SIGNATURES[kind](seconds(shop)))
    signer(shop).refused(answer, 401, "invalid_signature")


@pytest.mark.usefixtures("unchanged")
def test_nobody_can_sign_for_another_agent(shop: ShopServer) -> None:
    """SIGN-03: an agent without registered keys cannot sign at all."""
    answer = shop.agent.post(
        "/checkout_sessions", create_body(), **ED25519.headers(create_body(), seconds(shop))
    )
    shop.agent.refused(answer, 401, "invalid_signature")


@pytest.mark.usefixtures("unchanged")
def test_a_body_that_has_no_canonical_form_cannot_be_signed(shop: ShopServer) -> None:
    """SIGN-02, SIGN-03: integers beyond 2**53."""
    body = create_body(metadata={"n": 2**60})
    headers = ED25519.headers(create_body(), seconds(shop))
    signer(shop).refused(signer(shop).post("/checkout_sessions", body, **headers), 401, "invalid_signature")


def test_a_shop_can_demand_signatures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SIGN-03: then unsigned requests are refused, and nothing happens."""
    with shop_server(tmp_path_factory.mktemp("strict"), agents=(SIGNER,), signatures="required") as strict:
        agent = signer(strict)
        before = strict.counts()
        agent.refused(agent.post("/checkout_sessions", create_body()), 401, "invalid_signature")
        assert strict.counts() == before
        signed = agent.post(
            "/checkout_sessions", create_body(), **ES256.headers(create_body(), seconds(strict))
        )
        session = agent.expect(201, signed)
        assert agent.read(session) == session


# --- content type and size --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json5",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonl",
        ";",
    ],
)
def test_bodies_are_json_and_say_so(agent: Agent, content_type: str | None) -> None:
    """HTTP-05."""
    for path in POST_PATHS:
        answer = agent.post(path, raw=CREATE, Content_Type=content_type)
        agent.refused(answer, 415, "unsupported_media_type", "Content-Type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        'application/json; charset="utf-8"',
        "application/json ; a=b",
    ],
)
def test_parameters_and_case_of_the_content_type_do_not_matter(agent: Agent, content_type: str) -> None:
    """HTTP-05."""
    assert agent.post("/checkout_sessions", raw=CREATE, Content_Type=content_type).status_code == 201


def test_a_body_may_be_as_long_as_the_limit(agent: Agent) -> None:
    assert agent.post("/checkout_sessions", raw=CREATE.ljust(MIB)).status_code == 201


@pytest.mark.usefixtures("unchanged")
def test_a_longer_body_is_refused_before_it_is_read(shop: ShopServer) -> None:
    """ERR-01, ERR-06: by its declared length, without waiting for any of it."""
    for size in (MIB + 1, 10**15):
        answer = exchange(
            shop.url,
            raw_request("POST", "/checkout_sessions", Content_Length=str(size).encode(), Request_Id=b"r1"),
        )
        assert flat(answer)["code"] == "payload_too_large"
        assert answer is not None
        assert (answer.status, answer.headers["request-id"]) == (413, "r1")


@pytest.mark.usefixtures("unchanged")
def test_a_longer_body_without_a_declared_length_is_refused_on_the_way(shop: ShopServer) -> None:
    """ERR-01, ERR-06."""
    head = raw_request("POST", "/checkout_sessions").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = exchange(shop.url, head, *[chunk] * 16, b"1\r\n \r\n")
    assert flat(answer)["code"] == "payload_too_large"
    assert answer is not None
    assert answer.status == 413


def test_a_chunked_body_is_as_good_as_any(shop: ShopServer) -> None:
    """HTTP-05."""
    head = raw_request("POST", "/checkout_sessions").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    pieces = [CREATE[at : at + 7] for at in range(0, len(CREATE), 7)]
    answer = exchange(
        shop.url, head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"
    )
    assert answer is not None
    assert answer.status == 201


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("sent", [0, 20, len(CREATE) - 1])
def test_a_body_that_never_ends_changes_nothing(shop: ShopServer, sent: int) -> None:
    """ERR-06: the client has gone before it was complete."""
    request = raw_request("POST", "/checkout_sessions", CREATE)
    answer = exchange(shop.url, request[: len(request) - len(CREATE) + sent], end=True)
    assert answer is None or answer.status == 400


def test_a_slow_body_holds_up_nobody(shop: ShopServer, agent: Agent) -> None:
    """HTTP-05: others are served while it trickles in, and it is served when it is there."""
    host, _, port = shop.url.rpartition("//")[2].partition(":")
    request = raw_request("POST", "/checkout_sessions", CREATE)
    with socket.create_connection((host, int(port)), 20) as slow:
        for piece in (request[:-40], request[-40:-20], request[-20:-1]):
            slow.sendall(piece)
            assert agent.create()["status"] == "incomplete"
        slow.sendall(request[-1:])
        answer = received(slow)
    assert answer is not None
    assert answer.status == 201


# --- JSON -------------------------------------------------------------------------------------------------------------

BROKEN: dict[str, bytes] = {
    "cut off": b'{"line_items": [{"id": "mug"',
    "trailing text": b"{} {}",
    "trailing comma": b'{"currency": "usd",}',
    "single quotes": b"{'currency': 'usd'}",
    "a comment": b'{"currency": "usd" /* dollars */}',
    "only spaces": b"  \n ",
    "a member twice": b'{"currency": "usd", "currency": "usd"}',
    "a nested member twice": b'{"buyer": {"email": "a@b.c", "email": "d@e.f"}}',
    "a member twice by escapes": b'{"currency": "usd", "\\u0063urrency": "usd"}',
    "NaN": b'{"metadata": {"n": NaN}}',
    "Infinity": b'{"metadata": {"n": -Infinity}}',
    "a number too big": b'{"metadata": {"n": 1e400}}',
    "an integer too big": b'{"metadata": {"n": 9223372036854775809}}',
    "an integer of 100000 digits": b'{"metadata": {"n": ' + b"9" * 100_000 + b"}}",
    "an exponent of 100000 digits": b'{"metadata": {"n": 1e' + b"9" * 100_000 + b"}}",
    "65 levels": b'{"metadata": ' + b"[" * 64 + b"]" * 64 + b"}",
    "half a million levels": b"[" * 500_000,
    "objects without end": b'{"a":' * 100_000,
    "invalid UTF-8": b'{"currency": "\xff\xfe"}',
    "overlong UTF-8": b'{"currency": "\xc0\xaf"}',
    "UTF-8 of a surrogate": b'{"currency": "\xed\xa0\x80"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"currency": "usd"}'.encode("utf-16"),
    "half a surrogate pair": b'{"metadata": {"n": "\\ud83d"}}',
    "half a surrogate pair in a name": b'{"metadata": {"\\ude00": 1}}',
    "U+0000": b'{"metadata": {"n": "a\\u0000b"}}',
    "a control character": b'{"metadata": {"n": "a\x01b"}}',
    "a bad escape": b'{"metadata": {"n": "\\x41"}}',
    "a leading zero": b'{"metadata": {"n": 01}}',
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("kind", list(BROKEN))
def test_what_is_not_plain_json_is_refused(agent: Agent, kind: str) -> None:
    """ERR-06, IDEM-06: one text, one meaning, or none at all."""
    for path in POST_PATHS:
        agent.refused(agent.post(path, raw=BROKEN[kind]), 400, "invalid_json")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("text", [b"null", b"true", b"1", b'"text"', b"[]", b'[{"id": "mug"}]'])
def test_what_is_no_object_is_refused(agent: Agent, text: bytes) -> None:
    """ERR-04, ERR-06."""
    for path in POST_PATHS:
        error = agent.post(path, raw=text).json()
        assert (error["code"], error["param"]) == ("invalid", "$")


@pytest.mark.usefixtures("unchanged")
def test_only_a_cancel_may_come_without_a_body(agent: Agent) -> None:
    """ERR-04, ERR-06, CHK-CAN-03."""
    for path in POST_PATHS[:3]:
        agent.refused(agent.post(path), 400, "missing", "$")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        (create_body(surprise=1), "$.surprise"),
        (create_body(buyer={**BUYER, "surprise": 1}), "$.buyer.surprise"),
        (create_body(line_items=[{"id": "mug"}, {"id": "mug", "surprise": 1}]), "$.line_items[1].surprise"),
        ({**create_body(), "a b": 1}, "$['a b']"),
        ({**create_body(), "": 1}, "$['']"),
        ({**create_body(), "it's": 1}, "$['it\\'s']"),
        ({**create_body(), "é\n": 1}, "$['é\\u000a']"),
        ({**create_body(), "x" * 10_000: 1}, "$"),
    ],
)
def test_unknown_members_are_named(agent: Agent, body: Json, param: str) -> None:
    """ERR-04, HTTP-11."""
    agent.refused(agent.post("/checkout_sessions", body), 400, "invalid", param)


def test_a_refusal_never_repeats_what_was_sent(agent: Agent) -> None:
    """HTTP-14: a card number in the wrong place does not come back."""
    session = agent.ready({"song": 1})
    for path, body in (
        ("/checkout_sessions", create_body(currency=APPROVED)),
        ("/checkout_sessions", create_body(line_items=[{"id": APPROVED}])),
        ("/checkout_sessions", create_body(buyer={"email": APPROVED})),
        ("/checkout_sessions", create_body(buyer={**BUYER, "account_type": APPROVED})),
        (
            path_of(session),
            {"selected_fulfillment_options": [{"type": APPROVED, "option_id": "a", "item_ids": []}]},
        ),
        (
            path_of(session),
            {"fulfillment_groups": [{"id": APPROVED, "item_ids": [APPROVED], "destination_type": "x"}]},
        ),
        (f"{path_of(session)}/complete", {"payment_data": APPROVED}),
        (
            f"{path_of(session)}/complete",
            {"payment_data": {"handler_id": APPROVED, "instrument": {"type": APPROVED}}},
        ),
        (f"{path_of(session)}/complete", {"payment_data": {"number": APPROVED}}),
        (f"{path_of(session)}/cancel", {"intent_trace": {"reason_code": [APPROVED]}}),
        (f"{path_of(session)}/cancel", {"intent_trace": APPROVED}),
    ):
        answer = agent.post(path, body)
        assert answer.status_code == 400
        assert APPROVED not in answer.text
    assert agent.read(session) == session


def test_text_is_kept_as_it_was_sent(either: ShopServer) -> None:
    """IDEM-06, HTTP-03: whatever Unicode it is made of, in either database."""
    text = "\u0001\u001f\u007f\u0085\u00e9\u2028\u202e\ufeff\uffff\U0001f4b3\U0010ffff\"\\/'"
    metadata: Json = {text: [text, {"n": -(2**63), "m": 2**63, "f": 1e-300, "x": 0.1}]}
    session = either.agent.create(metadata=metadata, buyer={**BUYER, "first_name": text})
    assert (session["metadata"], session["buyer"]["first_name"]) == (metadata, text)
    assert either.agent.read(session) == session


# --- methods and paths ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/checkout_sessions", {"POST"}),
        ("/checkout_sessions/cs_1", {"GET", "POST"}),
        ("/checkout_sessions/cs_1/complete", {"POST"}),
        ("/checkout_sessions/cs_1/cancel", {"POST"}),
        ("/orders/ord_1", {"GET"}),
        ("/.well-known/acp.json", {"GET"}),
        ("/feeds/products.jsonl", {"GET"}),
    ],
)
def test_other_methods_are_refused_and_the_right_ones_named(
    shop: ShopServer, path: str, allowed: set[str]
) -> None:
    """HTTP-13: an update is a POST, not a PUT or PATCH."""
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
        answer = exchange(shop.url, raw_request(method, path, b"{}", Request_Id=b"r1"))
        assert answer is not None
        assert (answer.status, flat(answer)["code"]) == (405, "method_not_allowed")
        assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed
        assert answer.headers["request-id"] == "r1"
    head = exchange(shop.url, raw_request("HEAD", path))
    assert head is not None
    assert (head.status, head.body) == (405, b"")


IDS_THAT_NOBODY_HAS = {
    "NUL": "%00",
    "a NUL within": "cs%00_1",
    "invalid UTF-8": "%FF%FE",
    "a surrogate": "%ED%A0%80",
    "a line break": "a%0D%0AX-Injected:%201",
    "a question mark": "a%3Fb",
    "a hash": "a%23b",
    "a lone percent": "a%",
    "a bad escape": "%zz",
    "a space": "a%20b",
    "dots": "..",
    "encoded dots": "%2e%2e",
    "a wildcard": "*",
    "SQL": "'%20OR%20'1'='1",
    "non-ASCII": "%C3%A9%F0%9F%92%B3",
    "3000 letters": "x" * 3000,
    "9000 bytes that do not repeat": "".join(f"{n:04x}" for n in range(2250)),
    "2000 wide characters": "%F0%9F%92%B3" * 2000,
}


@pytest.mark.parametrize("kind", list(IDS_THAT_NOBODY_HAS))
def test_any_id_is_at_worst_unknown(either: ShopServer, kind: str) -> None:
    """CHK-GET-02, ERR-06: in either database."""
    name = IDS_THAT_NOBODY_HAS[kind]
    complete = json.dumps(complete_body("vt_1")).encode()
    for method, path, body in (
        ("GET", f"/checkout_sessions/{name}", b""),
        ("GET", f"/orders/{name}", b""),
        ("POST", f"/checkout_sessions/{name}", b"{}"),
        ("POST", f"/checkout_sessions/{name}/complete", complete),
        ("POST", f"/checkout_sessions/{name}/cancel", b""),
    ):
        for _ in range(2):
            answer = exchange(either.url, raw_request(method, path, body, Idempotency_Key=b"the same"))
            assert answer is not None
            assert (answer.status, flat(answer)["code"]) == (404, "not_found")
            assert "x-injected" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/checkout_sessions/a%2Fb",
        "/checkout_sessions/",
        "//checkout_sessions",
        "/",
        "*",
        "/checkout_sessions/a/complete/",
        "/checkout_sessions/a/refund",
        "/orders",
        "/checkout_sessions/a/complete%2F..%2F..",
        "/CHECKOUT_SESSIONS",
        "/feeds/..%2fetc",
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_path_that_is_not_served_is_not_found(shop: ShopServer, path: str) -> None:
    """HTTP-03, HTTP-13, ERR-01: flat as well, and never a redirect."""
    for method in ("GET", "POST"):
        answer = exchange(shop.url, raw_request(method, path, b"{}"))
        assert answer is not None
        assert (answer.status, flat(answer)["code"]) == (404, "not_found")


def test_neither_host_nor_query_has_a_meaning(shop: ShopServer, agent: Agent) -> None:
    """IDEM-04, IDEM-06: the key belongs to the path alone."""
    for number, host in enumerate([b"", b"[", b"a/b?c", b"\xff", b"shop:99999"]):
        target = "/checkout_sessions?a=b&c[]=%00" if number % 2 else "http://elsewhere/checkout_sessions"
        answer = exchange(shop.url, raw_request("POST", target, CREATE, Host=host, Idempotency_Key=b"hosts"))
        assert answer is not None
        assert answer.status == 201
        assert ("idempotent-replayed" in answer.headers) == (number > 0)
        assert "elsewhere" not in answer.body.decode()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /checkout_sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /checkout_sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /checkout_sessions HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2\r\n\r\n",
        b"POST /checkout_sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    ],
)
def test_what_is_no_http_is_refused(shop: ShopServer, request_bytes: bytes) -> None:
    """ERR-06: by the HTTP server itself, in words of its own, and the connection ends."""
    answer = exchange(shop.url, request_bytes, end=True)
    assert answer is None or answer.status == 400


# --- the server's own failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (LookupError(f"card {APPROVED}"), 500, "processing_error"),
        (StoreUnavailable("away"), 503, "service_unavailable"),
    ],
)
def test_what_fails_within_is_a_flat_5xx_and_the_same_key_may_try_again(
    shop: ShopServer, agent: Agent, failure: Exception, status: int, kind: str
) -> None:
    """ERR-07, IDEM-16, HTTP-08, HTTP-10: nothing is stored, nothing is said about the inside."""
    before = shop.counts()
    IDS.failure = failure
    try:
        answer = agent.post("/checkout_sessions", create_body(), key=kind)
    finally:
        IDS.failure = None
    assert (answer.status_code, answer.json()["type"]) == (status, kind)
    assert APPROVED not in answer.text
    assert "LookupError" not in answer.text
    assert shop.counts() == before
    again = agent.post("/checkout_sessions", create_body({"lamp": 1}), key=kind)
    assert (again.status_code, "idempotent-replayed" in again.headers) == (201, False)


def test_no_header_tells_what_the_server_is_made_of(agent: Agent) -> None:
    """HTTP-03: exactly the headers that mean something."""
    answer: Any = agent.post("/checkout_sessions", create_body())
    assert set(answer.headers) - {"date", "server"} == {
        "content-length",
        "content-type",
        "idempotency-key",
        "request-id",
    }
