"""``acpref psp``: the sandbox payment provider as a foreground process."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError

from acpref_protocol import configuration
from acpref_psp import keys

PREFIX = "ACPREF_PSP_"

app = typer.Typer(help="The sandbox payment provider.", no_args_is_help=True, add_completion=False)


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
    from pydantic_settings import SettingsError

    from acpref_psp.app import create_app
    from acpref_psp.server import StartError, run
    from acpref_psp.settings import Settings

    if not allow_remote and not _is_loopback(host):
        _stop(
            f"{host} is reachable from other machines; a sandbox listens on loopback unless given --allow-remote"
        )
    for line in configuration.unknown_variables(os.environ, prefix=PREFIX, known=Settings.model_fields):
        _say(f"warning: {line}")
    try:
        service = create_app(Settings())
    except ValidationError as error:
        _stop(*configuration.problems(error, prefix=PREFIX, environment=os.environ))
    except SettingsError as error:
        _stop(configuration.not_json(error, prefix=PREFIX))
    except (keys.KeyDocumentError, ValueError, OSError) as error:
        _stop(str(error))
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            _stop(f"cannot listen on {host} port {port}: {error.strerror}")
        name = f"[{host}]" if ":" in host else host
        try:
            run(service, listener, f"payment provider on http://{name}:{listener.getsockname()[1]}")
        except StartError as error:
            _stop(f"the database of ACPREF_PSP_DATABASE cannot be used: {error}")


@app.command("rotate-keys")
def rotate_keys(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The key file beside the database."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Add a sealing key and make it the current one; restart the service afterwards."""
    try:
        keys.rotate_file(file)
    except (keys.KeyDocumentError, OSError) as error:
        _stop(str(error))
    document = json.loads(file.read_text())
    current = document["current"]
    older = sorted(name for name in document["sealing"] if name != current)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "current": current, "older": older}))
    else:
        typer.echo(
            f"{file}: {current} seals from the next start on; {', '.join(older)} still {_open(older)} what was sealed."
        )


def _open(names: list[str]) -> str:
    return "opens" if len(names) == 1 else "open"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _stop(*lines: str) -> NoReturn:
    for line in lines:
        _say(" ".join(line.split()))
    raise typer.Exit(2)


def _say(line: str) -> None:
    typer.echo(f"acpref psp: {line}", err=True)
