"""The ``acpref`` command itself: help, unknown names, missing configuration."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from tests.e2e.commands import ROOT, acpref

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
        ("sandbox", "--port", "x"),
        ("merchant", "shp"),
        ("merchant", "ship"),
        ("merchant", "ship", "1008", "--force=yes"),
        ("merchant", "serve", "--port", "x"),
        ("merchant", "orders", "list", "--limit", "0"),
        ("psp", "rotate-keys", "/no/such/file"),
        ("protocol", "schemas"),
        ("protocol", "diff"),
    ],
)
def test_wrong_usage_is_one_line_and_status_two(arguments: tuple[str, ...]) -> None:
    done = acpref(*arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("acpref")
    assert "Input should be" not in done.stderr


def test_a_wrong_number_is_explained_with_the_command_that_helps() -> None:
    done = acpref("merchant", "serve", "--port", "x")
    assert done.stderr == (
        "acpref merchant serve: invalid value for '--port': it must be a whole number "
        "('acpref merchant serve --help' explains it)\n"
    )


@pytest.mark.parametrize("words", [("--version",), ("merchant", "--version"), ("psp", "--version")])
def test_every_command_tells_its_version(words: tuple[str, ...]) -> None:
    done = acpref(*words)
    assert (done.returncode, done.stdout) == (0, f"acpref {version('acpref')}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_offers_what_changes_the_shell(name: str) -> None:
    assert "--install-completion" not in acpref(name, "--help").stdout


def test_arguments_are_named_in_one_style() -> None:
    for words, usage in (
        (("merchant", "progress"), "{ORDER} {EVENT}"),
        (("merchant", "webhooks", "replay"), "[EVENT]..."),
        (("psp", "rotate-keys"), "{FILE}"),
    ):
        assert usage in acpref(*words, "--help", COLUMNS="120").stdout


@pytest.mark.parametrize("name", ["merchant", "psp", "protocol", "catalog"])
def test_a_group_without_words_shows_its_help(name: str) -> None:
    done = acpref(name)
    assert done.returncode == 2
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_a_package_that_a_command_misses_when_it_runs_is_named_with_the_extra() -> None:
    program = "import sys; sys.modules['fastapi'] = None; from acpref.cli import main; main(['psp', 'serve'])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "acpref: 'acpref psp' needs the package fastapi: install acpref[merchant]\n"


def test_a_check_of_the_schemas_says_what_it_found() -> None:
    done = acpref("protocol", "schemas", "--check")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    report = json.loads(acpref("protocol", "schemas", "--check", "--json").stdout)
    assert report["current"] is True
    assert report["stale"] == []


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
