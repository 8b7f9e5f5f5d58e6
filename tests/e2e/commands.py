"""Running the ``acpref`` command as a person would: a process, its output and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90


def acpref(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "acpref", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env={**clean_environment(), **environment},
        check=False,
    )


@contextmanager
def sandbox(tmp_path: Path, *arguments: str) -> Iterator[tuple[dict[str, Any], subprocess.Popen[str]]]:
    """A sandbox on free ports and its target, until the block ends; it is stopped by SIGTERM."""
    target = tmp_path / "target.json"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "acpref",
            "sandbox",
            "--port",
            "0",
            "--json",
            "--write-target",
            str(target),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        assert json.loads(line) == json.loads(target.read_text())
        yield json.loads(line), process
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def clean_environment() -> dict[str, str]:
    """The environment without this project's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ACPREF_")}
