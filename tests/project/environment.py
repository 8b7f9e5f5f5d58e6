"""Builds the checkout's virtual environment from `requirements.lock`: what `make setup` runs.

Only the standard library is used: this runs before anything is installed. The installer is uv, at the
version and hashes that the lock pins, fetched with pip: it sets up the whole environment in about a second
where pip needs a minute of CPU time. Wherever uv cannot do it (no build for the platform, an index that only
pip can talk to), pip does the same work. Both verify every hash in the lock.

uv does not read pip's configuration, so the settings that say where packages come from are handed on to it.

Usage, from any directory: `python environment.py install VENV`, or `python environment.py lock VENV
[--upgrade]` to pin what `pyproject.toml` asks for (pins that still fit are kept unless `--upgrade` is given).
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
EXTRAS = "dev"

# pip setting -> the variable by which uv takes the same thing.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name; return the exit status."""
    try:
        match arguments:
            case ["install", directory]:
                prepare(Path(directory).resolve())
            case ["lock", directory, *options] if set(options) <= {"--upgrade"}:
                lock(Path(directory).resolve(), options)
            case _:
                print("usage: environment.py install VENV | lock VENV [--upgrade]", file=sys.stderr)
                return 2
    except subprocess.CalledProcessError as error:
        print(f"failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def lock(directory: Path, options: list[str]) -> None:
    """Write `requirements.lock`: every extra and platform, with hashes, naming no index and no path."""
    environment = uv_environment(pip_settings(pip_command(directory)), os.environ)
    command = [str(directory / "bin" / "uv"), "pip", "compile", "--quiet", "--extra", EXTRAS, "--universal"]
    plain = ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"]
    target = ["--python-version", "3.11", "--generate-hashes", "--output-file", str(LOCK)]
    run([*command, *plain, *target, *options, str(ROOT / "pyproject.toml")], environment)


def prepare(directory: Path) -> None:
    """Leave a complete environment in `directory`; what an interrupted run left is thrown away."""
    unfinished = directory / ".unfinished"
    if not (directory / "bin" / "python").exists() or unfinished.exists():
        print(f"creating {directory.name} with Python {sys.version.split()[0]}", flush=True)
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=False).create(directory)
    unfinished.touch()
    install(directory)
    shutil.rmtree(directory / "bootstrap", ignore_errors=True)
    unfinished.unlink()


def install(directory: Path) -> None:
    """Install what the lock pins, then this project itself, editable."""
    python = str(directory / "bin" / "python")
    pip = pip_command(directory)
    try:
        uv = fetch_uv(directory, pip)
        environment = uv_environment(pip_settings(pip), os.environ)
        command = [uv, "pip", "install", "--quiet", "--python", python]
        run([*command, "--require-hashes", "--requirement", str(LOCK)], environment)
        run([*command, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], environment)
    except (OSError, subprocess.CalledProcessError):
        print("uv cannot install here; pip does it, which takes a minute or two", flush=True)
    else:
        return
    ensure_pip(python)
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"]
    run([*command, "--require-hashes", "--requirement", str(LOCK)], quiet=True)
    run([*command, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], quiet=True)


def pip_command(directory: Path) -> list[str]:
    """The pip to fetch uv with: that of the running Python, else one put into the environment."""
    outer = [sys.executable, "-m", "pip"]
    if subprocess.run([*outer, "--version"], capture_output=True, check=False).returncode == 0:
        return outer
    python = str(directory / "bin" / "python")
    ensure_pip(python)
    return [python, "-m", "pip"]


def ensure_pip(python: str) -> None:
    """Put pip into the environment of `python` from the copy that Python carries."""
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        try:
            run([python, "-m", "ensurepip", "--default-pip"], quiet=True)
        except subprocess.CalledProcessError:
            print(
                "this Python carries no pip (on Debian and Ubuntu: apt-get install python3-venv)",
                file=sys.stderr,
            )
            raise


def fetch_uv(directory: Path, pip: list[str]) -> str:
    """The path of a uv program: the environment's own, or the pinned one fetched for its first set-up."""
    installed = directory / "bin" / "uv"
    if installed.exists():
        return str(installed)
    folder = directory / "bootstrap"
    folder.mkdir(exist_ok=True)
    pinned = folder / "requirements.lock"
    pinned.write_text(locked_entry(LOCK.read_text(), "uv"))
    options = [
        "--quiet",
        "--no-input",
        "--no-deps",
        "--no-compile",
        "--only-binary",
        ":all:",
        "--require-hashes",
    ]
    run([*pip, "install", *options, "--target", str(folder), "--requirement", str(pinned)], quiet=True)
    return str(folder / "bin" / "uv")


def locked_entry(lock: str, name: str) -> str:
    """The lines of the package `name` in the text of a lock file: its version and its hashes."""
    lines = lock.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    end = start + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    return "\n".join(lines[start:end]) + "\n"


def pip_settings(pip: list[str]) -> dict[str, str]:
    """What pip's configuration files and variables say about where packages come from, by option name."""
    listing = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=True).stdout
    return parse_pip_settings(listing)


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Read `pip config list`: variables win over the install section, that over the global one."""
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            key, separator, value = line.partition("=")
            name = key.removeprefix(section)
            if separator and key.startswith(section) and name in UV_VARIABLES:
                settings[name] = str(ast.literal_eval(value))
    return settings


def uv_environment(settings: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """The environment to run uv in: pip's settings, except where uv's own variables are set.

    pip takes the best version from any index it knows, so uv is told to do so too. The hashes in the lock
    make that as safe as naming one index.
    """
    environment = dict(outer)
    for name, variable in UV_VARIABLES.items():
        if name in settings:
            # A configuration file may put several values on lines of their own; uv wants spaces.
            environment.setdefault(variable, " ".join(settings[name].split()))
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    environment["UV_NO_CONFIG"] = "1"
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    return environment


def run(command: list[str], environment: Mapping[str, str] | None = None, *, quiet: bool = False) -> None:
    """Run a command and raise if it fails; `quiet` shows its output only then."""
    if not quiet:
        subprocess.run(command, env=environment, check=True)
        return
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
