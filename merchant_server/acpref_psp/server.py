"""Serving on a socket that is already bound, with a word when requests are answered."""

from __future__ import annotations

import socket

import typer
import uvicorn
from fastapi import FastAPI

from acpref_psp.http1 import Http1


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        typer.echo(self._announcement)


def run(app: FastAPI, listener: socket.socket, announcement: str) -> None:
    """Serve ``app`` on ``listener`` until SIGINT or SIGTERM; prints ``announcement`` once it answers."""
    config = uvicorn.Config(
        app, http=Http1, ws="none", log_level="warning", access_log=False, server_header=False
    )
    _Announcing(config, announcement).run([listener])
