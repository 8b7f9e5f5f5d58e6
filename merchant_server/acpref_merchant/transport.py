"""HTTP/1.1 as the merchant speaks it to others: JSON posted over connections that are kept, and nothing else.

Every completed checkout waits for the payment provider and is told to its agent, so that what an exchange costs the
processor counts. What stays the same from request to request is prepared once, in a ``Target``; the rest is one string,
one write, one timer and one future. No proxies, no HTTP/2, no upgrades, no redirects, no cookies, no retries; answers
are held in memory up to a limit.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self, cast
from urllib.parse import quote, urlsplit

import httptools

MAX_ANSWER_BYTES = 1024 * 1024
"""Bytes of an answer as it is sent: its head, its body, and whatever interim answers precede it."""

_PORTS = {"http": 80, "https": 443}
_PATH = "/%:@!$&'()*+,;="
"""What stands in a path as it is, beside letters and digits."""


class TransportError(Exception):
    """There is no answer. Whether the request has reached the server, and was acted on, its kind tells."""


class UnsendableError(TransportError, ValueError):
    """This cannot be put into a request: nothing was sent."""


class ConnectError(TransportError):
    """There is no connection to the server: nothing was sent."""


class ConnectTimeoutError(ConnectError):
    """There was no connection in time, or none that was free."""


class AnswerTimeoutError(TransportError):
    """The request was sent and not answered in time. The server may have acted on it."""


class UnreadableAnswerError(TransportError):
    """The answer is cut off, too long or not HTTP/1.1. The server may have acted on the request."""


class Answer(NamedTuple):
    """What a server answered. Header names are spelled as they came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, in whatever case."""
        wanted = name.lower().encode("ascii")
        for key, value in self.headers:
            if key.lower() == wanted:
                return value.decode("latin-1")
        return None


class Origin(NamedTuple):
    """Whom to connect to, with TLS or without. Requests to one origin share connections."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True, slots=True)
class Target:
    """An http or https address that JSON is posted to, with the headers that every request to it has."""

    origin: Origin
    path: str
    _common: bytes = field(repr=False)
    _head: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        start = f"POST {self.path} HTTP/1.1\r\n".encode("ascii")
        object.__setattr__(self, "_head", start + self._common)

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str]) -> Self:
        """Where ``url`` leads. Raises UnsendableError when it is no address of HTTP, or a header is none."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        except ValueError as error:  # of brackets, ports and names that are none
            raise UnsendableError(f"not a URL: {error}") from error
        if parts.scheme not in _PORTS or not host:
            raise UnsendableError("an address starts with http:// or https:// and the name of a host")
        usual = _PORTS[parts.scheme]
        name = f"[{host}]" if ":" in host else host
        if port is not None and port != usual:
            name += f":{port}"
        path = quote(parts.path or "/", safe=_PATH)
        if parts.query:
            path += "?" + quote(parts.query, safe=_PATH + "?")
        common = _lines({"Host": name, **headers})
        return cls(Origin(host, usual if port is None else port, parts.scheme == "https"), path, common)

    def below(self, path: str) -> Self:
        """The address that continues this one by ``path``, which is quoted already."""
        return type(self)(self.origin, self.path + path, self._common)

    def request(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """The bytes of a request with further ``headers``. Raises UnsendableError for headers that are none."""
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, _lines(headers), len(body), body)


def _lines(headers: Mapping[str, str]) -> bytes:
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # One line for each header: whatever would smuggle another, or the end of the head, breaks one more.
    if not text.count("\r") == text.count("\n") == len(headers) or "\0" in text:
        raise UnsendableError("a header has a line break in it")
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise UnsendableError("a header is not ASCII") from None


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time. The methods ``on_...`` are httptools' callbacks."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._ended = False
        self._until_closed = False  # whether the answer under way goes on until the connection is closed
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    @property
    def usable(self) -> bool:
        """Whether another request may be sent here."""
        return not self._ended and self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, answer: asyncio.Future[Answer]) -> None:
        """Send ``request``; ``answer`` gets what comes of it."""
        if self._transport is None or not self.usable:
            answer.set_exception(ConnectError("the server closed the connection at once"))
            return
        self._answer = answer
        self._received = 0
        self._until_closed = False
        self._headers = []
        self._body = []
        self._transport.write(request)

    def abort(self, reason: TransportError | None = None) -> None:
        """Close at once; whoever waits, if anybody does, gets ``reason``."""
        if self._ended:
            return
        self._ended = True
        if self._transport is not None:
            self._transport.abort()
        if reason is not None and self._answer is not None and not self._answer.done():
            self._answer.set_exception(reason)

    def late(self) -> None:
        """Close because the answer's time is up."""
        self.abort(AnswerTimeoutError("no answer in time"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._until_closed:
            self._complete()
        self.abort(UnreadableAnswerError("the server closed the connection before its answer was complete"))

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort(UnreadableAnswerError("the server spoke without being asked"))
            return
        self._received += len(data)
        if self._received > MAX_ANSWER_BYTES:
            self.abort(UnreadableAnswerError("the server's answer is too long"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort(UnreadableAnswerError("the server's answer is not HTTP/1.1"))

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():  # a second answer on the heels of the first
            self._headers, self._body = [], []
            self.abort(UnreadableAnswerError("the server spoke without being asked"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        # An answer that announces no length ends with its connection (RFC 9112, 6.3).
        given = {name.lower() for name, _ in self._headers}
        self._until_closed = given.isdisjoint({b"content-length", b"transfer-encoding"})

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # an interim answer: the real one follows
            self._headers, self._body = [], []
            return
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        self._complete()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, self._headers, b"".join(self._body)))


class HttpClient:
    """Connections to any number of servers, at most ``max_connections`` of them at work at once.

    A connection that was idle for ``idle_seconds``, shorter than common servers keep them (5 s), is not used again.
    ``tls`` replaces the system's trusted authorities, for a service with a private one.
    """

    def __init__(
        self, *, max_connections: int = 100, idle_seconds: float = 4.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._idle_seconds = idle_seconds
        self._free = max_connections
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tls = tls

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """Send ``body`` and wait for the answer; ``seconds`` bound the whole, a connection included.

        Raises TransportError.
        """
        request = target.request(headers, body)
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = now + seconds
        if self._free:
            self._free -= 1
        else:
            await self._turn(deadline)
            now = loop.time()
        try:
            connection = self._reusable(target.origin, now) or await self._connect(target.origin, deadline)
            result: asyncio.Future[Answer] = loop.create_future()
            timer = loop.call_at(deadline, connection.late)
            try:
                connection.ask(request, result)
                answer = await result
            except BaseException:
                connection.abort()  # also when cancelled: a late answer must not meet another request
                raise
            finally:
                timer.cancel()
            if connection.usable:
                connection.idle_since = loop.time()
                self._idle.setdefault(target.origin, deque()).append(connection)
            return answer
        finally:
            self._pass_turn()

    async def aclose(self) -> None:
        """Close every idle connection."""
        for connections in self._idle.values():
            while connections:
                connections.pop().abort()

    async def __aenter__(self) -> Self:
        """The client itself, closed in the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every idle connection."""
        await self.aclose()

    async def _turn(self, deadline: float) -> None:
        """Wait until somebody passes on the right to a connection."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came in the same moment
                self._pass_turn()
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError("every connection is in use") from None
            raise

    def _pass_turn(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _reusable(self, origin: Origin, now: float) -> _Connection | None:
        connections = self._idle.get(origin)
        if not connections:
            return None
        oldest = now - self._idle_seconds
        found = None
        while connections and found is None:
            connection = connections.pop()  # the most recently used: after a rush, the others grow old
            if connection.usable and connection.idle_since > oldest:
                found = connection
            else:
                connection.abort()
        while connections and connections[0].idle_since <= oldest:
            connections.popleft().abort()
        return found

    async def _connect(self, origin: Origin, deadline: float) -> _Connection:
        if origin.secure and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, origin.host, origin.port, ssl=self._tls if origin.secure else None
                )
        except TimeoutError:
            raise ConnectTimeoutError("no connection in time") from None
        except OSError as error:
            raise ConnectError(type(error).__name__) from error
        return connection
