"""``acpref merchant``: run the server, and what its operator does after a purchase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acpref_merchant import cli_orders, cli_webhooks
from acpref_merchant.catalog.problems import CatalogError
from acpref_merchant.cli_common import fail, say
from acpref_merchant.http.app import create_app
from acpref_merchant.http.server import PortError, Server, StartError, listen, url_of
from acpref_merchant.logs import log_to_stderr
from acpref_merchant.serve import open_merchant
from acpref_merchant.settings import (
    ConfigurationError,
    load_settings,
    refuse_sandbox_outside_loopback,
    require_agents,
    unknown_variables,
)
from acpref_merchant.store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Run the merchant server, and its operator's tasks."
)
cli_orders.mount(app)
cli_webhooks.mount(app)


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
    for line in unknown_variables():
        say(f"acpref merchant: warning: {line}")
    try:
        settings = load_settings(config, host=host, port=port)
        settings.catalog_path()
        require_agents(settings)
        refuse_sandbox_outside_loopback(settings)
    except ConfigurationError as error:
        fail(*error.args)
    log_to_stderr()
    try:
        sock = listen(settings.host, settings.port)
        # Port 0 has become a real one, which discovery tells.
        settings = settings.model_copy(update={"port": sock.getsockname()[1]})
        application = create_app(lambda: open_merchant(settings))
        Server(application, on_ready=lambda: say(f"merchant on {url_of(sock)}")).run(sockets=[sock])
    except (PortError, StartError, CatalogError, StoreError, ValueError, OSError) as error:
        fail(str(error))
