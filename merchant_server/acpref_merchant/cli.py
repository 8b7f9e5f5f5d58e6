"""``acpref merchant``: run the server, and what its operator does after a purchase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from acpref_merchant import cli_orders
from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.http.app import create_app
from acpref_merchant.http.server import PortError, Server, StartError, listen, url_of
from acpref_merchant.logs import log_to_stderr
from acpref_merchant.serve import open_merchant
from acpref_merchant.settings import (
    CONFIG_FILE_VARIABLE,
    ConfigurationError,
    Settings,
    refuse_sandbox_outside_loopback,
)
from acpref_merchant.store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Run the merchant server, and its operator's tasks."
)
cli_orders.mount(app)


@app.callback()
def _main() -> None:
    """The merchant server, and what its operator does."""


@app.command()
def serve(
    config: Annotated[
        Path | None, typer.Option(help="A TOML file; ACPREF_... variables win over it.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the protocol to agents until SIGTERM or Ctrl-C."""
    settings = load_settings(config, host=host, port=port)
    try:
        settings.catalog_path()
        refuse_sandbox_outside_loopback(settings)
    except ConfigurationError as error:
        fail(str(error))
    if not settings.agents:
        fail('no agents: set ACPREF_AGENTS, such as \'[{"id": "agent", "token": "a long secret"}]\'')
    log_to_stderr()
    try:
        sock = listen(settings.host, settings.port)
        Console(stderr=True).print(f"merchant on {url_of(sock)}", highlight=False)
        # Port 0 has become a real one, which discovery tells.
        settings = settings.model_copy(update={"port": sock.getsockname()[1]})
        Server(create_app(lambda: open_merchant(settings))).run(sockets=[sock])
    except (PortError, StartError, CatalogError, StoreError, ValueError, OSError) as error:
        fail(str(error))


def load_settings(config: Path | None, **overrides: object) -> Settings:
    """The settings of this process; ends it with one line per problem when they do not hold together."""
    import os

    if config is not None:
        if not config.is_file():
            fail(f"there is no configuration file at {config}")
        os.environ[CONFIG_FILE_VARIABLE] = str(config)
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        fail(
            "; ".join(
                f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False)
            )
        )


def fail(message: str) -> NoReturn:
    """End with exit status 2 and one line that says what to do."""
    Console(stderr=True).print(f"acpref merchant: {message}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(2)
