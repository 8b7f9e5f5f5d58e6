"""The ``acpref`` command itself: help, unknown names, missing configuration."""

from __future__ import annotations

import pytest
from tests.e2e.commands import acpref

from acpref.cli import COMMANDS


def test_help_lists_every_command() -> None:
    done = acpref("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = acpref(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope",),
        ("merchant", "serve"),
        ("merchant", "serve", "--config", "/no/such/file.toml"),
        ("sandbox", "--risk", "enforce"),
    ],
)
def test_wrong_usage_is_one_line_and_status_two(arguments: tuple[str, ...]) -> None:
    done = acpref(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("acpref")


def test_the_sandbox_provider_is_not_served_beyond_this_machine() -> None:
    done = acpref(
        "merchant",
        "serve",
        "--host",
        "0.0.0.0",
        ACPREF_CATALOG="catalogs/corner_shop",
        ACPREF_AGENTS='[{"id": "agent", "token": "sandbox_token_of_an_agent"}]',
    )
    assert done.returncode == 2
    assert "moves no money" in done.stderr
