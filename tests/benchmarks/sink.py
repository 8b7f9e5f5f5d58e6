"""A webhook receiver that takes every event and counts it: the cheapest listener that a merchant could have.

It shares a small machine with the merchant, so it is written on the event loop itself, without a framework: its time
would count as the merchant's latency.

Usage: ``python -m tests.benchmarks.sink PORT``. ``GET /received`` tells how many events have come.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import httptools
import uvloop
from typing_extensions import override


class Sink:
    """What has come."""

    received = 0


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._parser = httptools.HttpRequestParser(self)

    @override
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_complete(self) -> None:
        """Count a POST; tell the count otherwise."""
        if self._parser.get_method() == b"POST":
            self._sink.received += 1
            body = b"{}"
        else:
            body = b'{"received":%d}' % self._sink.received
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def serve(port: int) -> None:
    """Take events on ``port`` of loopback until the process is ended."""
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(sink), "127.0.0.1", port)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
