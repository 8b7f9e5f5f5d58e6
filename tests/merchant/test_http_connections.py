"""What a connection may carry before it becomes a request: the merchant's server and the provider's behave alike."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.merchant.shop_server import RawAnswer, exchange, raw_request, received
from tests.psp.server import serving

from acpref_merchant.http import http1 as merchant_http1
from acpref_psp import http1 as provider_http1

HEAD_LIMIT = merchant_http1.HEAD_LIMIT
KIB = 1024
CHUNKED = raw_request("POST", "/x").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


@dataclass
class Counter:
    """An application that answers with the length of the body. ``heard`` lists the paths that it was asked for."""

    heard: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.heard.append(scope["path"])
        length = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            length += len(message["body"])
            more = message["more_body"]
        body = str(length).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Served:
    url: str
    app: Counter

    def refused(self, answer: RawAnswer | None, status: int, code: str, param: str | None = None) -> None:
        """A flat error that closes the connection, of which the application never heard."""
        assert answer is not None
        error = json.loads(answer.body)
        assert (answer.status, error["code"], error.get("param")) == (status, code, param)
        assert (error["type"], answer.headers["content-type"]) == ("invalid_request", "application/json")
        assert answer.headers["connection"] == "close"


@pytest.fixture(
    scope="module", params=[merchant_http1.Http1, provider_http1.Http1], ids=["merchant", "provider"]
)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    app = Counter()
    with serving(app, http=request.param, lifespan="off") as url:
        yield Served(url, app)


@pytest.fixture
def unheard(served: Served) -> Iterator[None]:
    """The application is asked nothing during the test."""
    served.app.heard.clear()
    yield
    assert served.app.heard == []


@pytest.mark.usefixtures("unheard")
@pytest.mark.parametrize(
    "start", [b"GET /x HTTP/1.1\r\nX-Long: ", b"GET /x HTTP/1.1\r\nX-", b"GET /x HTTP/1.1\r\na: b\r\n"]
)
def test_a_head_that_does_not_end_is_refused(served: Served, start: bytes) -> None:
    """ERR-01: the parser alone would take whatever comes, and more slowly the longer it is."""
    head = (start + b"a: b\r\n" * HEAD_LIMIT if start.endswith(b"\n") else start + b"v" * HEAD_LIMIT)[
        : HEAD_LIMIT + 1
    ]
    served.refused(exchange(served.url, head), 431, "headers_too_large")


@pytest.mark.usefixtures("unheard")
def test_a_head_has_a_hundred_headers_at_most(served: Served) -> None:
    """ERR-01."""
    many = raw_request("GET", "/x", **{f"X_{n}": b"v" for n in range(100)})
    served.refused(exchange(served.url, many), 431, "headers_too_large")


@pytest.mark.parametrize("start", [b"1;", b"0\r\nX-Trailer: "], ids=["a chunk's extension", "a trailer"])
def test_what_stands_between_the_pieces_of_a_body_is_bounded_too(served: Served, start: bytes) -> None:
    """ERR-01: who goes on sending after the refusal may find the connection closed before it was read."""
    assert flood(served.url, CHUNKED + b"3\r\nabc\r\n" + start, b"v" * HEAD_LIMIT) in {None, 431}


def test_bodies_are_not_bounded_here(served: Served) -> None:
    """HTTP-05: how much is too much is for the application to say."""
    answer = exchange(served.url, raw_request("POST", "/x", b"b" * 400 * KIB))
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"409600")
    many = b"1\r\nb\r\n" * 20 * KIB + b"0\r\nX-Trailer: v\r\n\r\n"
    answer = exchange(served.url, CHUNKED, many)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"20480")


@pytest.mark.usefixtures("unheard")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        raw_request("GET", "/x", Content_Length=b"-1"),
        raw_request("GET", "/x", Content_Length=b"1, 1"),
        raw_request("POST", "/x", b"abc", Transfer_Encoding=b"chunked"),
        raw_request("GET", "/\u00e9"),
        raw_request("GET", "/x", X_A=b"a\0b"),
        raw_request("GET", "/" + "x" * 70_000),
        bytes(range(256)),
    ],
)
def test_what_is_no_http_is_refused_in_the_protocols_form(served: Served, request_bytes: bytes) -> None:
    """ERR-01, ERR-06."""
    served.refused(exchange(served.url, request_bytes, end=True), 400, "invalid")


@pytest.mark.usefixtures("unheard")
def test_a_request_says_which_host_it_is_for(served: Served) -> None:
    """ERR-06: RFC 9112 wants a 400 otherwise. HTTP/1.0 did not know the header."""
    request = raw_request("GET", "/x").replace(b"Host: shop\r\n", b"")
    served.refused(exchange(served.url, request), 400, "invalid", "Host")
    old = exchange(served.url, request.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert old is not None
    assert old.status == 200
    served.app.heard.clear()


def flood(url: str, start: bytes, piece: bytes) -> int | None:
    """Send ``start`` and then ``piece`` up to a hundred times; the status of the answer, if one could be read."""
    host, _, port = url.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        try:
            connection.sendall(start)
            for _ in range(100):
                connection.sendall(piece)
            connection.sendall(b"\r\n\r\n")
        except OSError:
            pass  # refused on the way
        try:
            answer = received(connection)
        except OSError:
            return None
    return None if answer is None else answer.status
