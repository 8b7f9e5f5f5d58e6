"""A process killed with SIGKILL: what was answered is there, what was not is there as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from acpref_merchant.store import Store, meta, open_store

# Writes pairs from many tasks without end, and says so after each commit.
ENDLESS = """
import asyncio, sys
from acpref_merchant.store import meta, open_store

store = open_store(sys.argv[1])

def pair(tx, name):
    meta.put(tx, f"{name}.left", "1")
    meta.put(tx, f"{name}.right", "1")

async def write(worker):
    n = 0
    while True:
        await store.run(lambda tx: pair(tx, f"{worker}.{n}"))
        print(f"{worker}.{n}", flush=True)
        n += 1

async def main():
    await asyncio.gather(*(write(worker) for worker in range(16)))

asyncio.run(main())
"""

# Stops inside a transaction, behind another one of the same batch that has done all its work.
MIDWAY = """
import asyncio, sys, threading
from acpref_merchant.store import meta, open_store

store = open_store(sys.argv[1], pool_size=4)

def stop(tx):
    meta.put(tx, "half", "1")
    print("inside", flush=True)
    threading.Event().wait()

async def main():
    await store.run(lambda tx: meta.put(tx, "committed", "1"))
    await asyncio.gather(store.run(lambda tx: meta.put(tx, "same batch", "1")), store.run(stop))

asyncio.run(main())
"""


@contextmanager
def _child(program: str, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the child ended: {process.stderr.read() if process.stderr else ''}"
    return line.rstrip("\n")


def _get(store: Store, *keys: str) -> list[str | None]:
    return store.read_sync(lambda tx: [meta.get(tx, key) for key in keys])


def test_everything_that_was_answered_before_the_kill_is_there_and_nothing_is_half_done(
    store_url: str,
) -> None:
    for kill_after in (1, 150):  # answers, in different places of a batch
        with _child(ENDLESS, store_url) as process:
            answered = [_line(process) for _ in range(kill_after)]
            process.kill()
            assert process.stdout is not None
            answered += [line.rstrip("\n") for line in process.stdout if line.endswith("\n")]
        store = open_store(store_url)
        assert len(answered) >= kill_after
        for name in answered:
            assert _get(store, f"{name}.left", f"{name}.right") == ["1", "1"]
        for worker in range(16):  # and the transaction that was under way
            last = sum(name.startswith(f"{worker}.") for name in answered)
            left, right = _get(store, f"{worker}.{last}.left", f"{worker}.{last}.right")
            assert left == right
        store.run_sync(meta.clear)
        store.close()


def test_a_kill_inside_a_transaction_leaves_nothing_of_it(store_url: str) -> None:
    with _child(MIDWAY, store_url) as process:
        assert _line(process) == "inside"
        process.kill()
        process.wait()
    store = open_store(store_url)
    assert _get(store, "committed", "half") == ["1", None]
    if store.dialect == "sqlite":  # one batch is one transaction
        assert _get(store, "same batch") == [None]
    store.run_sync(lambda tx: meta.put(tx, "half", "2"))  # no lock is left behind
    assert _get(store, "half") == ["2"]
    store.close()
