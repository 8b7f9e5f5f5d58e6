"""The lean transport: HTTP/1.1 by the letter, connections reused and never confused, errors of a few kinds.

Everything runs on both event loops: uvloop is what the server runs on, asyncio's own where there is no uvloop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acpref_merchant.transport import (
    MAX_ANSWER_BYTES,
    Answer,
    AnswerTimeoutError,
    ConnectError,
    ConnectTimeoutError,
    HttpClient,
    Target,
    TransportError,
    UnreadableAnswerError,
    UnsendableError,
    _Connection,
)

Run = Callable[[Coroutine[Any, Any, None]], None]
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Last(bytes):
    """What a server says before it closes the connection."""


class Peer:
    """A server that says exactly what a test wants, and counts its connections."""

    def __init__(self, script: Script) -> None:
        self.connections = self.open = 0
        self.heads: list[bytes] = []
        self.asked = asyncio.Event()
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            await self._script(reader, writer)
        finally:
            self.open -= 1

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        self.asked.set()
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        return await reader.readexactly(length)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of the event loops."""

    def on_loop(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main)

    return on_loop


@asynccontextmanager
async def listening(serve: Script, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[str]:
    """The address, host and port, at which ``serve`` answers."""
    served: list[asyncio.Task[Any] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, host, 0, family=socket.AF_INET, **options)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        async with asyncio.timeout(5):
            await asyncio.gather(*(task for task in served if task is not None))


class Caller:
    """A client and the address of the peer."""

    def __init__(self, client: HttpClient, url: str) -> None:
        self._client = client
        self._target = Target.at(url, {"Authorization": "Bearer t"})

    async def post(self, path: str = "/", *, seconds: float = 5, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._client.post(self._target.below(path), sent, b'{"x":1}', seconds)


Act = Callable[[Caller, Peer], Awaitable[None]]
Talk = Callable[..., None]


@pytest.fixture
def talk(run: Run) -> Talk:
    """Runs ``act`` against a peer that gives ``answers`` in turn; the others of the arguments are the client's."""

    def talking(answers: list[bytes], act: Act, **options: Any) -> None:
        left = list(answers)

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await peer.request(reader)
                answer = left.pop(0)
                writer.write(answer)
                if isinstance(answer, Last):
                    return

        peer = Peer(script)

        async def main() -> None:
            async with listening(peer.serve) as address, HttpClient(**options) as client:
                await act(Caller(client, f"http://{address}/p"), peer)

        run(main())

    return talking


async def ok(caller: Caller) -> None:
    """The next exchange gets the answer that is its own."""
    assert (await caller.post()).body == b"ok"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("body", [b"", b'{"received":true}'])
def test_an_answer_without_a_length_ends_with_its_connection(talk: Talk, version: str, body: bytes) -> None:
    """RFC 9112, 6.3: as many simple receivers answer."""

    async def act(caller: Caller, peer: Peer) -> None:
        answer = await caller.post()
        assert (answer.status, answer.body) == (200, body)
        await ok(caller)

    talk([Last(f"HTTP/{version} 200 OK\r\nConnection: close\r\n\r\n".encode() + body), OK], act)


def test_requests_arrive_as_they_were_made(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        assert await caller.post("/a%20b?c=d", Idempotency_Key="k") == (
            200,
            [(b"Content-Length", b"2")],
            b"ok",
        )
        (head,) = peer.heads
        first, *lines = head.decode().split("\r\n")
        assert first == "POST /p/a%20b?c=d HTTP/1.1"
        assert lines[0].startswith("Host: 127.0.0.1:")
        assert lines[1:] == ["Authorization: Bearer t", "Idempotency-Key: k", "Content-Length: 7", "", ""]

    talk([OK], act)


@pytest.mark.parametrize(
    ("url", "host", "origin", "path"),
    [
        ("http://127.0.0.1:8001/v1", "127.0.0.1:8001", ("127.0.0.1", 8001, False), "/v1"),
        ("http://localhost", "localhost", ("localhost", 80, False), "/"),
        ("https://Pay.Example:443/", "pay.example", ("pay.example", 443, True), "/"),
        ("https://pay.example:80", "pay.example:80", ("pay.example", 80, True), "/"),
        ("http://[::1]:2/x", "[::1]:2", ("::1", 2, False), "/x"),
        ("https://b\u00fccher.example/\u00fc b%20c?d=e f", "xn--bcher-kva.example",
         ("xn--bcher-kva.example", 443, True), "/%C3%BC%20b%20c?d=e%20f"),
        ("https://user:word@pay.example/", "pay.example", ("pay.example", 443, True), "/"),
    ],
)  # fmt: skip
def test_an_address_is_taken_apart(url: str, host: str, origin: tuple[str, int, bool], path: str) -> None:
    target = Target.at(url, {"Authorization": "Bearer secret"})
    assert (target.origin, target.path) == (origin, path)
    message = target.request({}, b"{}")
    assert message.startswith(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization".encode())
    assert message.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8001", "ftp://a", "//a/b", "http://", "http:///x", "http://a:port", "http://a:99999",
     "http://[::1", "http://a..b", f"https://{'a' * 64}.example"],
)  # fmt: skip
def test_what_is_no_address_is_refused_when_it_is_prepared(url: str) -> None:
    with pytest.raises(UnsendableError):
        Target.at(url, {})


def test_a_connection_is_used_again(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        for _ in range(3):
            await ok(caller)
        assert peer.connections == 1

    talk([OK] * 3, act)


def test_answers_in_chunks_and_after_interim_answers_are_whole(talk: Talk) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"

    async def act(caller: Caller, peer: Peer) -> None:
        await ok(caller)
        final = await caller.post()
        assert (final.status, final.body) == (201, b"ok")
        assert (final.header("X"), final.header("early")) == ("y", None)
        assert (await caller.post()).status == 204
        await ok(caller)
        assert peer.connections == 1

    interim = b"HTTP/1.1 103 Early Hints\r\nearly: 1\r\n\r\n"
    talk(
        [
            chunked,
            interim * 2 + b"HTTP/1.1 201 Created\r\nx: y\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            OK,
        ],
        act,
    )


def test_a_connection_that_the_server_is_about_to_close_is_not_used_again(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        for _ in range(2):
            await ok(caller)
        assert peer.connections == 2

    talk([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"] * 2, act)


def test_a_connection_that_the_server_closed_while_it_was_idle_is_not_used_again(run: Run) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        writer.write(OK)
        await hang_up.wait()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    peer = Peer(script)
    hang_up, hung_up = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        async with listening(peer.serve) as address, HttpClient() as client:
            caller = Caller(client, f"http://{address}")
            await ok(caller)
            hang_up.set()
            await hung_up.wait()
            await asyncio.sleep(0.05)  # the news have to cross the loopback; nobody can be asked for them
            await ok(caller)
        assert peer.connections == 2

    run(main())


def test_a_connection_that_was_idle_for_too_long_is_not_used_again(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        for _ in range(2):
            await ok(caller)
        assert peer.connections == 2

    talk([OK] * 2, act, idle_seconds=0)


def test_after_a_rush_the_connections_that_nobody_needs_are_closed(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        await asyncio.gather(*(ok(caller) for _ in range(5)))
        assert peer.open == 5
        async with asyncio.timeout(10):
            while peer.open > 1:
                await ok(caller)
                await asyncio.sleep(0.01)
        assert peer.connections == 5

    talk([OK] * 10_000, act, idle_seconds=0.2)


def test_a_connection_that_is_gone_before_it_is_asked_is_an_error_of_connecting(run: Run) -> None:
    async def main() -> None:
        gone = _Connection()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        gone.ask(b"POST", answer)
        with pytest.raises(ConnectError):
            await answer

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        Last(),
        b"SSH-2.0-nonsense\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_ANSWER_BYTES + 1),
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MAX_ANSWER_BYTES // 28 + 1),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_the_next_request_is_unharmed(
    talk: Talk, answer: bytes
) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        with pytest.raises(UnreadableAnswerError):
            await caller.post()
        await ok(caller)
        assert peer.connections == 2

    talk([answer, OK], act)


@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]])
def test_an_answer_that_breaks_off_is_an_error(talk: Talk, part: bytes) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        await ok(caller)
        with pytest.raises(UnreadableAnswerError, match="closed"):
            await caller.post()
        await ok(caller)
        assert peer.connections == 2

    talk([OK, Last(part), OK], act)


def test_an_answer_that_is_late_is_an_error_and_meets_no_other_request(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        await ok(caller)
        with pytest.raises(AnswerTimeoutError):
            await caller.post("/late", seconds=0.05)
        await ok(caller)
        assert peer.connections == 2

    talk([OK, b"HTTP/1.1 200 OK\r\nContent-Le", OK], act)


def test_a_request_that_was_given_up_leaves_its_connection(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await caller.post("/given-up")
        await ok(caller)
        assert peer.connections == 2

    talk([b"HTTP/1.1 200 OK\r\n", OK], act)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 500 Stray\r\nX: y\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 5"])
def test_a_server_that_speaks_unasked_loses_its_connection(talk: Talk, stray: bytes) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        # The stray answer came in the same bytes as the first: it must not be taken for the answer to the next request.
        assert await caller.post() == (200, [(b"Content-Length", b"2")], b"ok")
        await ok(caller)
        assert peer.connections == 2

    talk([OK + stray, OK], act)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n", b"HT", b"\r\n"])
def test_a_server_that_speaks_into_an_idle_connection_loses_it(run: Run, stray: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        writer.write(OK)
        await speak.wait()
        writer.write(stray)
        assert await reader.read() == b""  # the client hangs up
        hung_up.set()

    peer = Peer(script)
    speak, hung_up = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        async with listening(peer.serve) as address, HttpClient() as client:
            caller = Caller(client, f"http://{address}")
            await ok(caller)
            speak.set()
            async with asyncio.timeout(5):
                await hung_up.wait()
            await ok(caller)
        assert peer.connections == 2

    run(main())


def test_a_server_that_greets_before_it_is_asked_is_none_of_ours(run: Run) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async def main() -> None:
        async with listening(greet) as address, HttpClient() as client:
            with pytest.raises(TransportError):
                await Caller(client, f"http://{address}").post()

    run(main())


def test_connections_are_limited_and_waiting_for_one_ends(talk: Talk) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        first = asyncio.ensure_future(caller.post("/hangs"))
        await peer.asked.wait()
        with pytest.raises(ConnectTimeoutError):
            await caller.post("/waits", seconds=0.05)
        impatient = asyncio.ensure_future(caller.post("/waits"))
        patient = asyncio.ensure_future(caller.post("/waits"))
        await asyncio.sleep(0)
        impatient.cancel()
        first.cancel()
        assert (await patient).body == b"ok"
        for given_up in (first, impatient):
            with pytest.raises(asyncio.CancelledError):
                await given_up
        await ok(caller)
        assert len(peer.heads) == 3

    talk([b"HTTP/1.1 200 OK\r\n", OK, OK], act, max_connections=1)


def test_a_turn_that_comes_as_its_waiter_is_cancelled_is_passed_on(run: Run) -> None:
    async def main() -> None:
        client = HttpClient(max_connections=1)
        loop = asyncio.get_running_loop()
        client._free = 0
        second, third = (asyncio.ensure_future(client._turn(loop.time() + 5)) for _ in range(2))
        await asyncio.sleep(0)
        client._pass_turn()  # to the second, which will not hear of it
        second.cancel()
        async with asyncio.timeout(5):
            await third
        assert second.cancelled()
        client._pass_turn()
        assert client._free == 1

    run(main())


def test_many_exchanges_at_once_share_few_connections_and_get_their_own_answers(run: Run) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.request(reader)
            path = peer.heads[-1].split(b" ")[1]
            await asyncio.sleep(0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    peer = Peer(echo)

    async def main() -> None:
        async with listening(peer.serve) as address, HttpClient(max_connections=4) as client:
            caller = Caller(client, f"http://{address}")
            answers = await asyncio.gather(*(caller.post(f"x{number}") for number in range(100)))
        assert [answer.body for answer in answers] == [b"/x%d" % number for number in range(100)]
        assert peer.connections == 4

    run(main())


@pytest.mark.parametrize(
    "value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\0b", "a\r\n\r\nGET / HTTP/1.1", "\u00e9"]
)
def test_a_header_cannot_smuggle_another(talk: Talk, value: str) -> None:
    async def act(caller: Caller, peer: Peer) -> None:
        with pytest.raises(UnsendableError):
            await caller.post(Idempotency_Key=value)
        smuggling: dict[str, Any] = {f"X{value}": "1"}
        with pytest.raises(UnsendableError):
            await caller.post(**smuggling)
        with pytest.raises(UnsendableError):
            Target.at("http://localhost", {"Authorization": f"Bearer {value}"})
        assert peer.heads == []
        await ok(caller)

    talk([OK], act, max_connections=1)


def test_a_header_is_found_in_whatever_case() -> None:
    answer = Answer(503, [(b"X", b"1"), (b"rEtry-After", b"5"), (b"Retry-After", b"6"), (b"Y", b"\xe9")], b"")
    assert answer.header("Retry-After") == answer.header("retry-after") == "5"
    assert answer.header("y") == "\u00e9"
    assert answer.header("Retry") is None


def test_https_is_spoken_and_certificates_are_checked(run: Run, tmp_path: Path) -> None:
    """HTTP-01."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(file)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.request(reader)
            writer.write(OK)

    peer = Peer(script)

    async def meet(url: str) -> None:
        async with HttpClient() as stranger:
            with pytest.raises(ConnectError):
                await Caller(stranger, url).post()
        assert peer.heads == []
        async with HttpClient(tls=ssl.create_default_context(cafile=str(file))) as friend:
            for _ in range(2):
                await ok(Caller(friend, url))
            # The certificate is one for localhost.
            with pytest.raises(ConnectError):
                await Caller(friend, url.replace("localhost", "127.0.0.1")).post()
        assert peer.connections == 1

    async def main() -> None:
        async with listening(peer.serve, "localhost", ssl=ours) as address:
            await meet(f"https://{address}")

    run(main())


def test_older_versions_of_tls_are_refused() -> None:
    """HTTP-01."""

    async def main() -> None:
        async with HttpClient() as client:
            with pytest.raises(ConnectError):
                await Caller(client, "https://127.0.0.1:9/").post()
            assert client._tls is not None
            assert client._tls.minimum_version >= ssl.TLSVersion.TLSv1_2
            assert client._tls.verify_mode is ssl.CERT_REQUIRED
            assert client._tls.check_hostname

    asyncio.run(main())


def test_nobody_listening_is_a_connect_error(run: Run) -> None:
    async def main() -> None:
        async with HttpClient(max_connections=1) as client:
            for _ in range(2):
                with pytest.raises(ConnectError, match="ConnectionRefusedError"):
                    await Caller(client, "http://127.0.0.1:9/").post()

    run(main())


def test_a_connection_that_does_not_come_about_in_time_is_an_error_of_connecting(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hear a greeting of TLS and say nothing."""
        await reader.read()

    async def main() -> None:
        async with listening(silent) as address, HttpClient(max_connections=1) as client:
            caller = Caller(client, f"https://{address}")
            for _ in range(2):
                with pytest.raises(ConnectTimeoutError):
                    await caller.post(seconds=0.05)

    run(main())
