"""A lean HTTP/1.1 transport for httpx: keep-alive connections on asyncio and httptools, nothing else.

Every completed checkout waits for the payment provider, so the client's share of the processor counts: httpx's own
transport runs some two thousand Python calls for one exchange, this one about a tenth. It speaks what a JSON API needs
and no more: no proxies, no HTTP/2, no upgrades, no retries, answers held in memory up to a limit.

Errors are httpx's own: ConnectError, ConnectTimeout, ReadTimeout, ReadError, RemoteProtocolError, LocalProtocolError.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import cast

import httptools
import httpx

MAX_ANSWER_BYTES = 1024 * 1024
_FORBIDDEN = re.compile(rb"[\r\n\0]")
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]
Origin = tuple[bytes, str, int]


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time. The methods ``on_...`` are httptools' callbacks."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: Headers = []
        self._body = bytearray()

    @property
    def usable(self) -> bool:
        """Whether another request may be sent here."""
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort(httpx.RemoteProtocolError("the server spoke without being asked"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort(httpx.RemoteProtocolError("the server's answer is not HTTP/1.1"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._closed = True
        self._fail(
            httpx.RemoteProtocolError("the server closed the connection before its answer was complete")
        )

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():  # a second answer on the heels of the first
            self._headers, self._body = [], bytearray()
            self.abort(httpx.RemoteProtocolError("the server spoke without being asked"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_ANSWER_BYTES:
            self.abort(httpx.RemoteProtocolError("the server's answer is too long"))

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer: the real one follows
            self._headers, self._body = [], bytearray()
            return
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, self._headers, bytes(self._body)))

    async def exchange(self, message: bytes, seconds: float | None) -> Answer:
        """Send ``message`` and wait for the answer, at most ``seconds``."""
        assert self._transport is not None  # noqa: S101 - set before create_connection returns
        loop = asyncio.get_running_loop()
        self._begin()
        self._answer = loop.create_future()
        timer = (
            None
            if seconds is None
            else loop.call_later(seconds, self.abort, httpx.ReadTimeout("no answer in time"))
        )
        try:
            self._transport.write(message)
            return await self._answer
        except BaseException:
            self.abort(
                httpx.ReadError("given up")
            )  # also when cancelled: a late answer must not meet another request
            raise
        finally:
            self._answer = None
            if timer is not None:
                timer.cancel()

    def abort(self, reason: Exception) -> None:
        """Close at once; whoever waits gets ``reason``."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        self._fail(reason)

    def _fail(self, reason: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(reason)


class LeanTransport(httpx.AsyncBaseTransport):
    """Keep-alive connections to any origin. ``idle_seconds`` is shorter than common servers keep them (5 s).

    ``tls`` replaces the system's trusted authorities, for a service with a private one.
    """

    def __init__(
        self, *, max_connections: int = 100, idle_seconds: float = 4.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._idle: dict[Origin, list[_Connection]] = {}
        self._idle_seconds = idle_seconds
        self._slots = asyncio.Semaphore(max_connections)
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange. Raises httpx's transport errors."""
        message = _message(request)
        timeouts = request.extensions.get("timeout", {})
        url = request.url
        origin = (url.raw_scheme, url.host, url.port or (443 if url.raw_scheme == b"https" else 80))
        try:
            async with asyncio.timeout(timeouts.get("pool")):
                await self._slots.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("every connection is in use") from None
        try:
            connection = self._reusable(origin) or await self._connect(origin, timeouts.get("connect"))
            status, headers, body = await connection.exchange(message, timeouts.get("read"))
            if connection.usable:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.setdefault(origin, []).append(connection)
        finally:
            self._slots.release()
        return httpx.Response(status, headers=headers, content=body, request=request)

    async def aclose(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            for connection in connections:
                connection.abort(httpx.ReadError("closed"))
        self._idle.clear()

    def _reusable(self, origin: Origin) -> _Connection | None:
        connections = self._idle.get(origin)
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while connections:
            connection = connections.pop()  # the most recently used: the others grow old and are closed
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort(httpx.ReadError("idle for too long"))
        return None

    async def _connect(self, origin: Origin, seconds: float | None) -> _Connection:
        scheme, host, port = origin
        if scheme == b"https" and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, host, port, ssl=self._tls if scheme == b"https" else None
                )
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as error:
            raise httpx.ConnectError(type(error).__name__) from error
        return connection


def _message(request: httpx.Request) -> bytes:
    """The bytes of ``request``. Its body must be in memory."""
    parts = [request.method.encode("ascii"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            raise httpx.LocalProtocolError("a header has a line break in it")
        parts += (name, b": ", value, b"\r\n")
    parts += (b"\r\n", request.content)
    return b"".join(parts)
