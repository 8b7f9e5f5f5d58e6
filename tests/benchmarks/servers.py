"""Servers as processes of their own, and what they cost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from tests.architecture.source_tree import ROOT

START_SECONDS = 120.0


class ServerError(Exception):
    """A server ended, or did not answer in time; the message carries the end of its log."""


@dataclass(frozen=True)
class Server:
    """A server process on a loopback port. ``started_in`` is seconds from its start to its first answer."""

    name: str
    port: int
    process: psutil.Process
    started_in: float

    def cpu_seconds(self) -> float:
        """User and system time of the process and all its children, dead or alive."""
        times = self.process.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in self.process.children(recursive=True):
            try:
                own = child.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += own.user + own.system
        return float(total)

    def resident_mib(self) -> float:
        """The most memory that the process has held, in MiB (what it holds now, where the system cannot tell)."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return float(self.process.memory_info().rss / 2**20)
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """This thread, and the processes that it starts meanwhile, stay on ``cores``; on any where there are none."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def serving(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    ready: str = "/",
    environment: Mapping[str, str] | None = None,
    cores: frozenset[int] = frozenset(),
) -> Iterator[Server]:
    """Run ``command`` until the block ends; entered when a GET of ``ready`` is answered. Raises ServerError.

    It stays on ``cores``, or where the caller is when none are given.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        with on_cores(cores):
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **(environment or {})},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(name, process, f"http://127.0.0.1:{port}{ready}", log)
            yield Server(name, port, psutil.Process(process.pid), time.perf_counter() - began)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def uvicorn(app: str, port: int) -> list[str]:
    """The command that serves ``app`` the way the merchant server is served."""
    return [
        "uvicorn",
        app,
        "--port",
        str(port),
        "--no-access-log",
        "--no-server-header",
        "--log-level",
        "warning",
    ]


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                response.read()
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:  # it speaks, even if not to strangers
                return
            raise ServerError(f"{name} answers {error.code} on {url}\n{_tail(log)}") from None
        except (OSError, urllib.error.URLError):
            if process.poll() is not None:
                raise ServerError(f"{name} ended with status {process.returncode}\n{_tail(log)}") from None
            time.sleep(0.02)
    raise ServerError(f"{name} did not answer within {START_SECONDS:.0f} s\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
