"""What the figures were measured on: a benchmark says nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any


def describe(folder: Path) -> dict[str, Any]:
    """The machine, its load before the run, and how long it takes ``folder``'s disk to keep 2 KB for good."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "fsync_ms": round(fsync_ms(folder), 3),
    }


def shares() -> tuple[frozenset[int], frozenset[int]]:
    """A core for the server that is measured, and the others for all that it works with.

    In production those are other machines. On shared cores the scheduler keeps the server waiting behind its own
    database while another core is idle, and the figures say more about that than about the server. Both are empty
    where the system cannot tie processes to cores, or has one core only.
    """
    if not hasattr(os, "sched_getaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        return frozenset(), frozenset()
    return frozenset(cores[:1]), frozenset(cores[1:])


def one_line(machine: dict[str, Any]) -> str:
    """The description for people."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores (load {machine['load_before']}), {machine['system']}, "
        f"Python {machine['python']}, SQLite {machine['sqlite']}, fsync {machine['fsync_ms']} ms"
    )


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def fsync_ms(folder: Path, rounds: int = 100) -> float:
    """The median time to append 2 KB to a file and have it on the disk, in milliseconds."""
    times = []
    with (folder / "fsync-probe").open("wb", buffering=0) as file:
        for _ in range(rounds):
            started = time.perf_counter()
            file.write(b"x" * 2048)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
