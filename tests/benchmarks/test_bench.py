"""The load generator and the process measurements, on the server that everything is compared with."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from tests.benchmarks import bare, bench, machine
from tests.benchmarks.load import LoadError, _Connection, _Work, encode, run
from tests.benchmarks.servers import ServerError, free_port, serving, uvicorn


@contextmanager
def answering(answer: bytes, *, hang_up: bool = False) -> Iterator[int]:
    """A server that answers whatever it reads with ``answer``; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                self.request.sendall(answer)
                if hang_up:
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_every_request_is_sent_once_and_answered() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nabcd") as port:
        load = run(port, [encode("GET", "/")] * 40, connections=4)
    assert load.bodies == [b"abcd"] * 40
    assert load.statuses == {200: 40}
    assert all(latency > 0 for latency in load.latencies)


@pytest.mark.parametrize("cut", range(1, 46))
def test_an_answer_in_two_pieces_is_put_together(cut: int) -> None:
    answer = b"HTTP/1.1 201 OK\r\ncontent-length: 4\r\n\r\nabcd"
    answers: list[tuple[int, bytes]] = []

    class Work:
        def take(self) -> tuple[int, bytes] | None:
            return None if answers else (0, b"request")

        def answered(self, position: int, latency: float, status: int, body: bytes) -> None:
            answers.append((status, body))

    class Transport:
        def write(self, data: bytes) -> None: ...

    connection = _Connection(cast("_Work", Work()))
    connection.connection_made(cast("asyncio.Transport", Transport()))
    connection.send_next()
    connection.data_received(answer[:cut])
    connection.data_received(answer[cut:])
    assert answers == [(201, b"abcd")]


def test_an_answer_without_a_length_ends_the_run() -> None:
    with (
        answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") as port,
        pytest.raises(LoadError, match="Content-Length"),
    ):
        run(port, [encode("GET", "/")])


def test_a_lost_connection_ends_the_run() -> None:
    with answering(b"HTTP/1.1 2", hang_up=True) as port, pytest.raises(LoadError, match="closed"):
        run(port, [encode("GET", "/")])


def test_a_server_that_does_not_answer_ends_the_run_at_the_deadline() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n") as port, pytest.raises(LoadError, match="not finished"):
        run(port, [encode("GET", "/")], deadline=0.2)


def test_a_refusal_is_not_taken_for_an_operation() -> None:
    with answering(b'HTTP/1.1 400 Bad\r\nContent-Length: 12\r\n\r\n{"code":"x"}') as port:
        load = run(port, [encode("GET", "/")])
    with pytest.raises(LoadError, match="400"):
        load.expect(200)


def test_a_request_carries_its_length_and_its_headers() -> None:
    request = encode("POST", "/x", headers={"Idempotency-Key": "k"}, document={"a": "é"})
    head, _, body = request.partition(b"\r\n\r\n")
    assert json.loads(body) == {"a": "é"}
    assert head.split(b"\r\n")[0] == b"POST /x HTTP/1.1"
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Idempotency-Key: k" in head


def test_the_yardstick_is_measured_in_its_own_process(tmp_path: Path) -> None:
    assert len(bare.BODY) == 2048
    tally = bench.Tally("static 2 KB")
    with bench.bare_fastapi(tmp_path) as server:
        for _ in range(2):
            bench.measure_bare(tally, server, 1_000)
    figure = tally.figure()
    assert figure.count == 2_000
    assert 100 < figure.per_cpu_second < 1_000_000
    assert 0 < figure.p50_ms <= figure.p99_ms


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    port = free_port()
    with (
        pytest.raises(ServerError, match="no_such_module"),
        serving("x", uvicorn("no_such_module:app", port), port, log=tmp_path / "x.log"),
    ):
        pass


def test_the_machine_is_described_in_one_line(tmp_path: Path) -> None:
    line = machine.one_line(machine.describe(tmp_path))
    assert "\n" not in line
    assert "fsync" in line
    assert "SQLite" in line
