"""Several ASGI applications in one process, each on a loopback port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from acpref_merchant.http.server import Server


class _Quiet(Server):
    """A server that leaves the process's signals to the sandbox, which stops all of them in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, sock: socket.socket) -> AsyncIterator[None]:
    """Serve ``app`` on ``sock`` until the block ends; entered once the application has started.

    Raises what kept the application from starting, or StartError.
    """
    server = _Quiet(app)
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
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running
        sock.close()
