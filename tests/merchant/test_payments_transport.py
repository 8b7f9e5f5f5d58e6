"""The lean transport: HTTP/1.1 by the letter, connections reused and never confused, errors that are httpx's own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acpref_merchant.payments.transport import MAX_ANSWER_BYTES, LeanTransport

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """A server that says exactly what a test wants, and counts its connections."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.asked = asyncio.Event()
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

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


def talk(
    answers: list[bytes | None],
    act: Callable[[httpx.AsyncClient, Peer], Awaitable[None]],
    *,
    seconds: float = 5,
    max_connections: int = 100,
    idle_seconds: float = 4,
) -> None:
    """Run ``act`` against a peer that gives ``answers`` in turn; ``None`` closes the connection."""
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.request(reader)
            answer = left.pop(0)
            if answer is None:
                return
            writer.write(answer)

    peer = Peer(script)

    async def main() -> None:
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = LeanTransport(max_connections=max_connections, idle_seconds=idle_seconds)
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=seconds, trust_env=False
        ) as client:
            await act(client, peer)
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_requests_arrive_as_they_were_made() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        response = await client.post("/a%20b?c=d", json={"x": 1}, headers={"Idempotency-Key": "k"})
        assert (response.status_code, response.text) == (200, "ok")
        (head,) = peer.heads
        assert head.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
        assert b"\r\nIdempotency-Key: k\r\n" in head
        assert b"\r\nHost: 127.0.0.1:" in head
        assert b"\r\nContent-Length: 7\r\n" in head

    talk([OK], act)


def test_a_connection_is_used_again() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        for _ in range(3):
            assert (await client.get("/")).text == "ok"
        assert peer.connections == 1

    talk([OK] * 3, act)


def test_answers_in_chunks_and_after_interim_answers_are_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"

    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        assert (await client.get("/")).text == "ok"
        final = await client.get("/")
        assert (final.status_code, final.text) == (201, "ok")
        assert final.headers["x"] == "y"
        assert "early" not in final.headers
        assert (await client.get("/")).status_code == 204
        assert peer.connections == 1

    interim = b"HTTP/1.1 103 Early Hints\r\nearly: 1\r\n\r\n"
    talk(
        [
            chunked,
            interim + b"HTTP/1.1 201 Created\r\nX: y\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ],
        act,
    )


def test_a_connection_that_the_server_is_about_to_close_is_not_used_again() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        for _ in range(2):
            assert (await client.get("/")).text == "ok"
        assert peer.connections == 2

    talk([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"] * 2, act)


def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        for _ in range(2):
            assert (await client.get("/")).text == "ok"
        assert peer.connections == 2

    talk([OK] * 2, act, idle_seconds=0)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"SSH-2.0-nonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (MAX_ANSWER_BYTES + 1),
    ],
)
def test_an_answer_that_is_none_is_an_error_and_the_next_request_is_unharmed(answer: bytes | None) -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")
        assert (await client.get("/")).text == "ok"
        assert peer.connections == 2

    talk([answer, OK], act)


def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        await client.get("/first")
        with pytest.raises(httpx.RemoteProtocolError, match="closed"):
            await client.get("/second")

    talk([OK, None], act)


def test_an_answer_that_is_late_is_an_error_and_meets_no_other_request() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/late", timeout=0.05)
        assert (await client.get("/next")).text == "ok"
        assert peer.connections == 2

    talk([b"HTTP/1.1 200 OK\r\nContent-Le", OK], act)


def test_a_request_that_was_given_up_leaves_its_connection() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.get("/given-up")
        assert (await client.get("/next")).text == "ok"
        assert peer.connections == 2

    talk([b"HTTP/1.1 200 OK\r\n", OK], act)


@pytest.mark.parametrize("stray", [b"HTTP/1.1 500 Stray\r\nX: y\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 5"])
def test_a_server_that_speaks_unasked_loses_its_connection(stray: bytes) -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        first = await client.get("/")
        assert (first.text, dict(first.headers)) == ("ok", {"content-length": "2"})
        # The stray answer came in the same bytes as the first: it must not be taken for the answer to the next request.
        assert (await client.get("/")).text == "ok"
        assert peer.connections == 2

    talk([OK + stray, OK], act)


def test_connections_are_limited_and_waiting_for_one_ends() -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        first = asyncio.ensure_future(client.get("/hangs", timeout=2))
        await peer.asked.wait()
        with pytest.raises(httpx.PoolTimeout):
            await client.get("/waits", timeout=0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await client.get("/next")).text == "ok"

    talk([b"HTTP/1.1 200 OK\r\n", OK], act, max_connections=1)


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\0b"])
def test_a_header_cannot_smuggle_another(value: str) -> None:
    async def act(client: httpx.AsyncClient, peer: Peer) -> None:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("/", headers={"Idempotency-Key": value})
        assert peer.heads == []

    talk([OK], act)


def test_https_is_spoken_and_certificates_are_checked(tmp_path: Path) -> None:
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
        await peer.request(reader)
        writer.write(OK)

    peer = Peer(script)

    async def main() -> None:
        server = await asyncio.start_server(peer.serve, "localhost", 0, family=socket.AF_INET, ssl=ours)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        async with httpx.AsyncClient(transport=LeanTransport(), trust_env=False) as stranger:
            with pytest.raises(httpx.ConnectError):
                await stranger.get(url)
        assert peer.heads == []
        trusting = LeanTransport(tls=ssl.create_default_context(cafile=str(file)))
        async with httpx.AsyncClient(transport=trusting, trust_env=False) as friend:
            assert (await friend.get(url)).text == "ok"
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_nobody_listening_is_a_connect_error() -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=LeanTransport(), trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:9/")

    asyncio.run(main())
