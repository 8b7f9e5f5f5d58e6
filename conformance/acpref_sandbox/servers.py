"""Several ASGI applications in one process, each on a loopback port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn


class PortError(Exception):
    """A port cannot be had; the message says which one and what to do."""


class StartError(Exception):
    """A server did not come up."""


class _Quiet(uvicorn.Server):
    """A server that leaves the process's signals, and its end, to the sandbox, which stops all of them in order."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise StartError("a server did not come up; the log above says why") from None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int) -> socket.socket:
    """A listening loopback socket; port 0 picks a free one. Raises PortError when the port is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise PortError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port"
        ) from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The base URL of a listening socket."""
    return f"http://127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def serving(app: Any, sock: socket.socket) -> AsyncIterator[None]:
    """Serve ``app`` on ``sock`` until the block ends; entered once the application has started.

    Raises what the application's start-up raised.
    """
    config = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Quiet(config)
    running = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started:
            # uvicorn tells of its start in this flag alone; a server that fails to start ends its task.
            await asyncio.wait({running}, timeout=0.01)
            if running.done():
                running.result()
        yield
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError, StartError):
            await running
        sock.close()
