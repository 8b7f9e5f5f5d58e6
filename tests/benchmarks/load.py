"""A lean HTTP/1.1 load generator: prepared requests over a fixed number of keep-alive connections.

It exists because a general HTTP client costs several times the CPU time of the server it would measure. Each connection
sends its next request when it has the answer to the one before, so at most as many requests are under way as there are
connections. The number of requests is the length of the list, and a deadline bounds the time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

CONNECTIONS = 16
DEADLINE_SECONDS = 300.0


def percentile(latencies: Sequence[float], share: float) -> float:
    """What ``share`` of the latencies (seconds) do not exceed, in milliseconds."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class LoadError(Exception):
    """The server closed a connection, answered what cannot be read, or did not finish before the deadline."""


@dataclass
class Load:
    """What came back: bodies and latencies (seconds) by the position of the request, and the wall time (seconds)."""

    bodies: list[bytes]
    latencies: list[float]
    statuses: Counter[int] = field(default_factory=Counter)
    wall: float = 0.0

    def documents(self) -> list[dict[str, Any]]:
        """The bodies as JSON objects."""
        return [json.loads(body) for body in self.bodies]

    def expect(self, *allowed: int) -> None:
        """Raise LoadError unless every answer had one of the statuses; a benchmark of refusals is worth nothing."""
        if set(self.statuses) - set(allowed):
            example = next((body for body in self.bodies if b'"code"' in body or b"detail" in body), b"")
            raise LoadError(f"statuses {dict(self.statuses)}, expected {allowed}: {example[:500]!r}")


def encode(
    method: str, path: str, *, headers: dict[str, str] | None = None, document: object | None = None
) -> bytes:
    """One request as bytes; ``document`` travels as compact JSON."""
    body = b"" if document is None else json.dumps(document, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if document is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int = CONNECTIONS,
    deadline: float = DEADLINE_SECONDS,
) -> Load:
    """Send every request once to ``port`` on loopback. Raises LoadError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(port, requests, connections, deadline))


async def _run(port: int, requests: Sequence[bytes], connections: int, deadline: float) -> Load:
    count = len(requests)
    load = Load(bodies=[b""] * count, latencies=[0.0] * count)
    loop = asyncio.get_running_loop()
    work = _Work(requests, load, loop.create_future())
    opened = [
        (await loop.create_connection(lambda: _Connection(work), "127.0.0.1", port))[1]
        for _ in range(min(connections, count))
    ]
    # A collection of the generator's own garbage would count as latency of the server.
    gc.disable()
    started = time.perf_counter()
    try:
        for connection in opened:
            connection.send_next()
        async with asyncio.timeout(deadline):
            await work.finished
    except TimeoutError:
        raise LoadError(f"not finished after {deadline:.0f} s") from None
    finally:
        load.wall = time.perf_counter() - started
        gc.enable()
        for connection in opened:
            connection.close()
    return load


class _Work:
    """The requests that are left, and where the answers go."""

    def __init__(self, requests: Sequence[bytes], load: Load, finished: asyncio.Future[None]) -> None:
        self.load = load
        self.finished = finished
        self._requests = requests
        self._next = 0
        self._left = len(requests)

    def take(self) -> tuple[int, bytes] | None:
        """The next request and its position, or None when all are under way."""
        if self._next == len(self._requests):
            return None
        self._next += 1
        return self._next - 1, self._requests[self._next - 1]

    def answered(self, position: int, latency: float, status: int, body: bytes) -> None:
        """Record an answer; the last one ends the run."""
        self.load.latencies[position] = latency
        self.load.statuses[status] += 1
        self.load.bodies[position] = body
        self._left -= 1
        if not self._left and not self.finished.done():
            self.finished.set_result(None)

    def failed(self, reason: str) -> None:
        """End the run with an error."""
        if not self.finished.done():
            self.finished.set_exception(LoadError(reason))


class _Connection(asyncio.Protocol):
    """One keep-alive connection. Answers must carry Content-Length, as those of the servers measured here do."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._position = -1
        self._sent_at = 0.0
        self._wanted = -1  # bytes of head and body; unknown until the head is complete
        self._body_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        """Send the next request, if one is left."""
        if (job := self._work.take()) is None:
            self._position = -1
            return
        self._position, request = job
        self._sent_at = time.perf_counter()
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        """Close without telling the run that the connection was lost."""
        self._position = -1
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if self._wanted < 0:
            head_end = buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = buffer[:head_end].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                self._work.failed(f"an answer without Content-Length: {buffer[:80]!r}")
                return
            line_end = head.find(b"\r\n", at + 2)
            self._body_at = head_end + 4
            self._wanted = self._body_at + int(head[at + 17 : line_end if line_end >= 0 else None])
        if len(buffer) < self._wanted:
            return
        latency = time.perf_counter() - self._sent_at
        position, body = self._position, buffer[self._body_at : self._wanted]
        self._buffer = buffer[self._wanted :]
        self._wanted = -1
        self._work.answered(position, latency, int(buffer[9:12]), body)
        self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._position >= 0:
            self._work.failed(f"the server closed a connection: {exc!r}")
