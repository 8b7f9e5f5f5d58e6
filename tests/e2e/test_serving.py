"""``acpref merchant serve`` and ``acpref psp serve`` as processes: they say when they serve, and stop as a success."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.commands import ROOT, SECONDS, acpref, clean_environment

AGENTS = '[{"id": "agent_a", "token": "sandbox_token_of_agent_a"}]'


def shop(folder: Path) -> dict[str, str]:
    return {
        "ACPREF_CATALOG": "catalogs/corner_shop",
        "ACPREF_AGENTS": AGENTS,
        "ACPREF_DATABASE_URL": f"sqlite:///{folder}/shop.db",
    }


def provider(folder: Path) -> dict[str, str]:
    return {
        "ACPREF_PSP_AGENTS": json.dumps({"agent_a": "sandbox_token_of_agent_a"}),
        "ACPREF_PSP_MERCHANTS": json.dumps({"merchant_a": "sandbox_merchant_token"}),
        "ACPREF_PSP_DATABASE": f"{folder}/psp.db",
    }


@contextmanager
def served(party: str, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server's first line and its process, which is killed if the test leaves it running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "acpref", party, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**clean_environment(), **environment},
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        yield process.stdout.readline(), process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("party", "environment", "path"),
    [("merchant", shop, "/.well-known/acp.json"), ("psp", provider, "/healthz")],
)
def test_a_server_says_when_it_answers_and_a_clean_stop_is_a_success(
    party: str,
    environment: Callable[[Path], dict[str, str]],
    path: str,
    number: signal.Signals,
    tmp_path: Path,
) -> None:
    with served(party, environment(tmp_path)) as (line, process):
        assert " on http://127.0.0.1:" in line
        with urllib.request.urlopen(line.split()[-1] + path, timeout=SECONDS) as answer:
            assert answer.status == 200
        process.send_signal(number)
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert "Traceback" not in said


def test_a_server_that_cannot_start_never_says_that_it_serves(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("a shopping list\n" * 500)
    (tmp_path / "psp.db").write_text("a shopping list\n" * 500)
    for party, environment in (("merchant", shop(tmp_path)), ("psp", provider(tmp_path))):
        done = acpref(party, "serve", "--port", "0", **environment)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.strip().splitlines()
        assert line.endswith("file is not a database")


def test_a_misspelt_variable_is_named_at_the_start(tmp_path: Path) -> None:
    settings = {**shop(tmp_path), "ACPREF_SIGNATURE": "required", "ACPREF_PSP_AGENTS": "{}"}
    with served("merchant", settings) as (line, process):
        assert line == (
            "acpref merchant: warning: ACPREF_SIGNATURE is not a setting and has no effect; "
            "did you mean ACPREF_SIGNATURES?\n"
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("merchant on http://")
    with served("psp", {**provider(tmp_path), "ACPREF_PSP_REQUIRE_SIGNATURES": "1"}) as (line, _):
        assert "did you mean ACPREF_PSP_REQUIRE_SIGNATURE?" in line


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"ACPREF_AGENTS": "[{]"},
            "acpref merchant: ACPREF_AGENTS: must be JSON, and is not (line 1, column 3)",
        ),
        ({"ACPREF_PORT": "x"}, "acpref merchant: ACPREF_PORT: must be a whole number, not 'x'"),
        ({"ACPREF_CONFIG": "nope.toml"}, "acpref merchant: there is no configuration file at nope.toml"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(environment: dict[str, str], line: str) -> None:
    for words in (("serve",), ("orders", "list")):
        done = acpref("merchant", *words, **environment)
        assert done.returncode == 2
        assert done.stderr.startswith(line)
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port =\n", "cannot be read as TOML: Invalid value (at line 1, column 7)"),
        ("port = 'x'\n", "port: must be a whole number, not 'x'"),
        ("prot = 1\n", "prot: is not a setting"),
        ("port = 1\n", 'no catalog is configured: put catalog = "FOLDER" into '),
        ("catalog = 'catalogs/corner_shop'\n", "no agents: put [[agents]] with id and token into "),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_the_member(
    text: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(text)
    done = acpref("merchant", "serve", "--config", str(file))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
    assert str(file) in line


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(b"port = '\xff'\n")
    done = acpref("merchant", "serve", "--config", str(file))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_wrong_settings_of_the_provider_are_named_a_line_each() -> None:
    done = acpref("psp", "serve", ACPREF_PSP_AGENTS="{", ACPREF_PSP_MERCHANTS="{}")
    assert done.stderr == "acpref psp: ACPREF_PSP_AGENTS: must be JSON, and is not (line 1, column 2)\n"
    done = acpref("psp", "serve", ACPREF_PSP_MERCHANTS='{"a": "x", "b": "x"}')
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "acpref psp: ACPREF_PSP_AGENTS: is missing",
        "acpref psp: ACPREF_PSP_MERCHANTS: every identity has a token of its own",
    ]
