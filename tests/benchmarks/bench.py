"""The benchmarks: what an operation of the merchant server costs, as a ratio to bare FastAPI in the same run.

Each server is a process of its own; this process generates the load on 16 connections, one request under way on each.
The measure is operations per CPU second of the server process (user and system time, children included), because wall
time on a shared machine measures the neighbours. Even a CPU second is not always worth the same there, so the work is
done in rounds in which bare FastAPI and every operation take turns: what slows a machine down for a while slows all of
them down. Completing includes what follows from it: the signed webhook of every
order has been delivered before the CPU time is read. The payment provider and the webhook receiver run as further
processes whose time does not count; on PostgreSQL the database's time does not count either. The server that is
measured has a core of its own, where there are several, and all the others share the rest (``machine.shares``).

Usage: ``python -m tests.benchmarks.bench [--json] [--quick] [--only sqlite,postgresql,catalog]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import machine, shopper
from tests.benchmarks.load import CONNECTIONS, Load, LoadError, encode, percentile, run
from tests.benchmarks.servers import Server, ServerError, free_port, on_cores, serving, uvicorn
from tests.postgres import PostgreSQLServer

from acpref_merchant.catalog.generate import write_catalog
from acpref_merchant.catalog.samples import sample

PARTS = ("sqlite", "postgresql", "catalog")
DISCOVERY = "/.well-known/acp.json"

# Percent of what bare FastAPI serves in one CPU second, and milliseconds.
TARGET_RATIO = {"create": 8.0, "update": 7.0, "complete": 3.5}
TARGET_P99_MS = 50.0
TARGET_START_SECONDS = 5.0
TARGET_MIB = 400.0
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Sizes:
    """How many requests are sent in each of ``rounds``; ``products`` is the size of the large catalog."""

    rounds: int = 10
    bare: int = 3_000
    sessions: int = 400
    warm_up: int = 300
    products: int = 100_000


QUICK = Sizes(rounds=2, bare=1_000, sessions=100, warm_up=50, products=10_000)


@dataclass(frozen=True)
class Figure:
    """One operation: how often in a CPU second and in a second, and how long it took (milliseconds)."""

    operation: str
    count: int
    per_cpu_second: float
    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass
class Tally:
    """What one operation has cost so far, in seconds."""

    operation: str
    cpu: float = 0.0
    wall: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def measure(self, server: Server, send: Callable[[], Load]) -> Load:
        """Run ``send`` and add what it did and the CPU time that the server spent meanwhile."""
        before = server.cpu_seconds()
        load = send()
        self.cpu += server.cpu_seconds() - before
        self.wall += load.wall
        self.latencies += load.latencies
        return load

    def figure(self) -> Figure:
        """The costs as rates and percentiles."""
        count = len(self.latencies)
        return Figure(
            operation=self.operation,
            count=count,
            per_cpu_second=round(count / max(self.cpu, 0.01), 1),
            per_second=round(count / self.wall, 1),
            p50_ms=round(percentile(self.latencies, 0.50), 2),
            p99_ms=round(percentile(self.latencies, 0.99), 2),
        )


@dataclass(frozen=True)
class Start:
    """Starting with a large catalog: seconds to the first answer, and the most memory held (MiB)."""

    what: str
    products: int
    seconds: float
    mib: float


@contextmanager
def bare_fastapi(folder: Path, cores: frozenset[int] = frozenset()) -> Iterator[Server]:
    """The yardstick."""
    port = free_port()
    command = uvicorn("tests.benchmarks.bare:app", port)
    with serving("bare", command, port, log=folder / "bare.log", cores=cores) as server:
        yield server


def measure_bare(tally: Tally, server: Server, count: int) -> None:
    """``count`` times the static body."""
    request = encode("GET", "/")
    tally.measure(server, lambda: run(server.port, [request] * count)).expect(200)


@contextmanager
def merchant(
    database: str, catalog: Path, folder: Path, cores: frozenset[int] = frozenset()
) -> Iterator[tuple[Server, int, int]]:
    """The merchant server, on ``cores``, its payment provider and a webhook receiver; yields it and their ports."""
    port, psp_port, sink_port = free_port(), free_port(), free_port()
    shop = json.loads((catalog / "shop.json").read_text(encoding="utf-8"))
    psp = {
        "ACPREF_PSP_DATABASE": str(folder / "psp.db"),
        "ACPREF_PSP_AGENTS": json.dumps({"bench": shopper.AGENT_TOKEN}),
        "ACPREF_PSP_MERCHANTS": json.dumps({shop["merchant_id"]: shopper.MERCHANT_TOKEN}),
    }
    agent = {
        "id": "bench",
        "token": shopper.AGENT_TOKEN,
        "webhook_base_url": f"http://127.0.0.1:{sink_port}",
        "webhook_secret": shopper.WEBHOOK_SECRET,
    }
    seller = {
        "ACPREF_DATABASE_URL": database,
        "ACPREF_CATALOG": str(catalog),
        "ACPREF_AGENTS": json.dumps([agent]),
        "ACPREF_PAYMENT__BASE_URL": f"http://127.0.0.1:{psp_port}",
        "ACPREF_PAYMENT__TOKEN": shopper.MERCHANT_TOKEN,
    }
    with ExitStack() as stack:
        command = ["acpref", "psp", "serve", "--port", str(psp_port)]
        log = folder / "psp.log"
        stack.enter_context(serving("psp", command, psp_port, log=log, environment=psp))
        command = ["tests.benchmarks.sink", str(sink_port)]
        log = folder / "sink.log"
        stack.enter_context(serving("sink", command, sink_port, log=log, ready="/received"))
        command = ["acpref", "merchant", "serve", "--port", str(port)]
        log = folder / "merchant.log"
        server = stack.enter_context(
            serving("merchant", command, port, log=log, ready=DISCOVERY, environment=seller, cores=cores)
        )
        yield server, psp_port, sink_port


OPERATIONS = ("create", "get", "update", "complete")


class Purchases:
    """Sessions that are created, read, updated and completed at one merchant."""

    def __init__(self, merchant: Server, psp_port: int, sink_port: int, catalog: Path) -> None:
        shop = json.loads((catalog / "shop.json").read_text(encoding="utf-8"))
        self._merchant, self._psp_port, self._sink_port = merchant, psp_port, sink_port
        self._buyer = shopper.Shopper(shopper.stocked_items(catalog), shop["merchant_id"], shop["currency"])

    def buy(self, count: int, tallies: dict[str, Tally]) -> None:
        """Take ``count`` sessions all the way to an order whose webhook has arrived."""
        buyer, merchant = self._buyer, self._merchant

        def measured(operation: str, status: int, send: Callable[[], Load]) -> list[dict[str, Any]]:
            load = tallies[operation].measure(merchant, send)
            load.expect(status)
            return load.documents()

        sessions = measured("create", 201, lambda: run(merchant.port, buyer.creates(count)))
        measured("get", 200, lambda: run(merchant.port, buyer.gets(sessions)))
        sessions = measured("update", 200, lambda: run(merchant.port, buyer.updates(sessions)))
        delegated = run(self._psp_port, buyer.delegations(sessions))
        delegated.expect(201)
        tokens = [document["id"] for document in delegated.documents()]
        delivered = _received(self._sink_port) + count

        def complete() -> Load:
            answers = run(merchant.port, buyer.completes(sessions, tokens))
            _drain(self._sink_port, delivered)
            return answers

        done = measured("complete", 200, complete)
        if unpaid := sorted({session["status"] for session in done} - {"completed"}):
            raise LoadError(f"some of {count} purchases ended as {unpaid}")


def _received(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/received", timeout=10) as response:
        return int(json.load(response)["received"])


def _drain(port: int, expected: int) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while _received(port) < expected:
        if time.monotonic() > deadline:
            raise LoadError(
                f"only {_received(port)} of {expected} webhooks came within {DRAIN_SECONDS:.0f} s"
            )
        time.sleep(0.05)


def large_catalog(sizes: Sizes, folder: Path) -> list[Start]:
    """Start twice with many products: into an empty database, and again."""
    catalog = folder / "large"
    for _ in write_catalog(catalog, sizes.products, seed=1):
        pass
    starts = []
    for what in ("first start", "second start"):
        with merchant(f"sqlite:///{folder / 'large.db'}", catalog, folder) as (server, _, _):
            starts.append(
                Start(what, sizes.products, round(server.started_in, 2), round(server.resident_mib(), 1))
            )
    return starts


def compared(part: str, sizes: Sizes, folder: Path) -> dict[str, Any]:
    """The operations on a database, in turns with bare FastAPI."""
    catalog = folder / "catalog"
    shopper.stock_catalog(sample("corner_shop"), catalog)
    bare = Tally("static 2 KB")
    tallies = {operation: Tally(operation) for operation in OPERATIONS}
    own, others = machine.shares()
    with ExitStack() as stack:
        stack.enter_context(on_cores(others))
        if part == "sqlite":
            url = f"sqlite:///{folder / 'merchant.db'}"
        else:
            server = stack.enter_context(PostgreSQLServer.start(durable=True))
            url = stack.enter_context(server.database())
        yardstick = stack.enter_context(bare_fastapi(folder, own))
        purchases = Purchases(*stack.enter_context(merchant(url, catalog, folder, own)), catalog)
        purchases.buy(sizes.warm_up, {operation: Tally(operation) for operation in OPERATIONS})
        measure_bare(Tally("warm-up"), yardstick, sizes.warm_up)
        for _ in range(sizes.rounds):
            measure_bare(bare, yardstick, sizes.bare)
            purchases.buy(sizes.sessions, tallies)
    rate = bare.figure().per_cpu_second
    rows = []
    for tally in tallies.values():
        row = asdict(tally.figure())
        row["percent_of_bare"] = round(100 * row["per_cpu_second"] / rate, 2)
        row["target_percent"] = TARGET_RATIO.get(tally.operation)
        rows.append(row)
    return {"bare": asdict(bare.figure()), "operations": rows}


def report(results: dict[str, Any]) -> Iterator[str]:
    """The results for people, line by line."""
    yield f"machine: {machine.one_line(results['machine'])}"
    for name, title in (("sqlite", "SQLite, synchronous=FULL"), ("postgresql", "PostgreSQL")):
        if name not in results:
            continue
        rate = results[name]["bare"]["per_cpu_second"]
        yield ""
        yield f"{title}; {CONNECTIONS} connections; bare FastAPI with a static 2 KB: {rate:,.0f} a CPU second"
        yield f"  {'':10}{'per CPU s':>11}{'of bare':>10}{'target':>9}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}"
        for row in results[name]["operations"]:
            wanted = row["target_percent"]
            target = f"{wanted} %" if wanted else ""
            reached = row["percent_of_bare"] >= (wanted or 0) and row["p99_ms"] <= TARGET_P99_MS
            yield (
                f"  {row['operation']:10}{row['per_cpu_second']:>11,.0f}{row['percent_of_bare']:>8.2f} %"
                f"{target:>9}{row['per_second']:>9,.0f}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}{_verdict(reached)}"
            )
        yield f"  targets: ratios as above; p99 at most {TARGET_P99_MS:.0f} ms on a quiet machine"
    if "catalog" in results:
        yield ""
        for row in results["catalog"]:
            reached = row["seconds"] < TARGET_START_SECONDS and row["mib"] < TARGET_MIB
            yield (
                f"{row['what']} with {row['products']:,} products: {row['seconds']} s, {row['mib']} MiB at most "
                f"(targets: {TARGET_START_SECONDS:.0f} s, {TARGET_MIB:.0f} MiB){_verdict(reached)}"
            )


def _verdict(reached: bool) -> str:
    return "" if reached else "   <- misses its target"


def benchmark(parts: set[str], sizes: Sizes, say: Callable[[str], None]) -> dict[str, Any]:
    """Run ``parts`` and return every figure. Raises LoadError or ServerError."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="acpref-bench-") as name:
        home = Path(name)
        results["machine"] = machine.describe(home)
        for part in (part for part in PARTS if part in parts):
            say(part)
            folder = home / part
            folder.mkdir()
            if part == "catalog":
                results[part] = [asdict(start) for start in large_catalog(sizes, folder)]
            else:
                results[part] = compared(part, sizes, folder)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, run, print; the exit status is 1 when a benchmark could not be run to its end."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run, not how fast")
    parser.add_argument(
        "--only", default=",".join(PARTS), help=f"parts, separated by commas: {', '.join(PARTS)}"
    )
    options = parser.parse_args(arguments)
    parts = set(options.only.split(","))
    if parts - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(parts - set(PARTS)))}")
    try:
        results = benchmark(
            parts,
            QUICK if options.quick else Sizes(),
            lambda part: print(f"measuring {part} ...", file=sys.stderr, flush=True),
        )
    except (LoadError, ServerError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(results, indent=2) if options.json else "\n".join(report(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
