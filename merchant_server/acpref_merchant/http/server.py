"""Running the application on a socket: what cannot start says why in one line."""

from __future__ import annotations

import gc
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from acpref_merchant.http.http1 import Http1


class PortError(Exception):
    """A port cannot be had; the message says which one and what to do."""


class StartError(Exception):
    """A server did not come up; the message says why."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on ``host``; port 0 picks a free one. Raises PortError when it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortError(
            f"{host} cannot be listened on ({error.strerror}); choose another with --host"
        ) from error
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        reason = f"port {port} on {host} cannot be used ({error.strerror})"
        raise PortError(f"{reason}; choose another with --port") from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The base URL of a listening socket."""
    host, port, *_ = sock.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, with a start that fails as an exception instead of a log and an exit, and a stop that is a success.

    The application tells why in its attribute ``start_failure``, if it has one (see ``app.Application``). ``on_ready``
    is called once requests are answered.
    """

    def __init__(self, app: Any, *, on_ready: Callable[[], None] = lambda: None) -> None:
        # Requests that fail are logged by the application, which knows what may be said about them.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().__init__(
            uvicorn.Config(
                app,
                http=Http1,
                ws="none",
                interface="asgi3",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start. Raises the application's own failure, or StartError."""
        try:
            await super().startup(sockets)
        except SystemExit:
            cause = getattr(self._app, "start_failure", None)
            if isinstance(cause, Exception):
                raise cause from None
            raise StartError("the server did not come up") from None
        _settle_garbage_collector()
        if not self.should_exit:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler
        """Stop; a second Ctrl-C does not wait for requests under way.

        uvicorn would note the signal and raise it again after the stop, which then looks like a death by it.
        """
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _settle_garbage_collector() -> None:
    """Spare requests the collector's walks over what never changes: modules, models, routes.

    A full collection over those took 100 ms and more, which was the 99th percentile of every operation. Requests leave
    few reference cycles, so the young generation may also be larger than the default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
