"""``acpref psp``: the sandbox payment provider as a foreground process."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from acpref_psp import keys

app = typer.Typer(help="The sandbox payment provider.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep sub-commands as such while there are few."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8001,
    allow_remote: Annotated[
        bool, typer.Option(help="Listen beyond this machine: it is a sandbox, so think first.")
    ] = False,
) -> None:
    """Serve delegate payment and charges, configured by ACPREF_PSP_... variables."""
    from acpref_psp.app import create_app
    from acpref_psp.server import run
    from acpref_psp.settings import Settings

    if not allow_remote and not _is_loopback(host):
        _stop(
            f"{host} is reachable from other machines; a sandbox listens on loopback unless given --allow-remote"
        )
    try:
        service = create_app(Settings())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(("ACPREF_PSP", *(str(part) for part in first["loc"][:1]))).upper()
        _stop(f"{name}: {first['msg']}")
    except (keys.KeyDocumentError, ValueError) as error:
        _stop(str(error))
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            _stop(f"cannot listen on {host} port {port}: {error.strerror}")
        name = f"[{host}]" if ":" in host else host
        run(service, listener, f"payment provider on http://{name}:{listener.getsockname()[1]}")


@app.command("rotate-keys")
def rotate_keys(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The key file beside the database.")
    ],
) -> None:
    """Add a sealing key and make it the current one; restart the service afterwards."""
    try:
        keys.rotate_file(file)
    except keys.KeyDocumentError as error:
        _stop(str(error))
    typer.echo(f"{file}: {keys.from_file(file)!r}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _stop(message: str) -> NoReturn:
    typer.echo(f"acpref psp: {message}", err=True)
    raise typer.Exit(2)
