"""Serving on a socket that is already bound, with a word when requests are answered."""

from __future__ import annotations

import gc
import logging
import signal
import socket
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from acpref_psp.http1 import Http1


class StartError(Exception):
    """The service did not come up; the message says why."""


class _Application:
    """``app``, with the reason of a failed start kept in ``failure`` in place of a logged stack trace."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.failure: Exception | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            if scope["type"] == "lifespan":
                self.failure = error
            raise


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: _Application, announcement: str) -> None:
        super().__init__(config)
        self._app = app
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        log = logging.getLogger("uvicorn.error")
        level = log.level
        log.setLevel(logging.CRITICAL)  # why the start failed is said in one line, below
        try:
            await super().startup(sockets)
        except SystemExit:
            raise StartError(str(self._app.failure or "the service did not come up")) from self._app.failure
        finally:
            log.setLevel(level)
        if not self.should_exit:
            gc.collect()
            gc.freeze()  # what is there now stays: a full collection over it would hold up requests for 30 ms
            gc.set_threshold(10_000, 20, 20)
            typer.echo(self._announcement)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler
        """Stop, which is a success: uvicorn would raise the signal again afterwards."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def run(app: FastAPI, listener: socket.socket, announcement: str) -> None:
    """Serve ``app`` on ``listener`` until SIGINT or SIGTERM; prints ``announcement`` once it answers.

    Raises StartError when the application does not start.
    """
    application = _Application(app)
    config = uvicorn.Config(
        application,
        http=Http1,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    _Announcing(config, application, announcement).run([listener])
