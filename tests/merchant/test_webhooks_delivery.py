"""Delivery over real HTTP to a receiver that verifies signatures, refuses, hangs, cuts off and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from acpref_merchant.store import orders, outbox
from acpref_merchant.store.store import Store
from acpref_merchant.transport import HttpClient
from acpref_merchant.webhooks.delivery import DeliveryWorker, Summary
from acpref_merchant.webhooks.endpoints import WebhookEndpoint
from acpref_merchant.webhooks.retry import PATIENCE_MS
from acpref_protocol.signing import verify_webhook

SECRET = b"0123456789abcdef0123456789abcdef"
NOW = 1_770_000_000_000
HANG = -1
"""A scripted answer: say nothing until the sender gives up."""
RESET = -2
"""A scripted answer: close the connection."""
CUT = -3
"""A scripted answer: announce more body than is sent, then close."""


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Delivery:
    """A request as it arrived: its headers, lower case, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["request-id"]


Script = Callable[[Delivery], "int | str | Awaitable[int | str]"]


@dataclass
class Receiver:
    """An agent's host. ``script`` says with what status, or which failure, a request is answered."""

    script: Script
    port: int = 0
    seen: list[Delivery] = field(default_factory=list)
    connections: int = 0
    extra_headers: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                delivery = Delivery(
                    first.split(" ")[1], headers, await reader.readexactly(int(headers["content-length"]))
                )
                self.seen.append(delivery)
                answer = self.script(delivery)
                answer = answer if isinstance(answer, int | str) else await answer
                if answer == HANG:
                    await reader.read(1)  # returns when the sender hangs up
                    return
                if answer == RESET:
                    return
                if answer == CUT:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    return
                body = answer if isinstance(answer, str) else '{"received":true}'
                status = answer if isinstance(answer, int) else 200
                writer.write(
                    f"HTTP/1.1 {status} X\r\n{self.extra_headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(script: Script) -> AsyncIterator[Receiver]:
    receiver = Receiver(script)
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()


def add_order(store: Store, order_id: str) -> None:
    store.run_sync(
        lambda tx: orders.insert(
            tx, id=order_id, session_id=f"cs_{order_id}", agent_id="agent", number=order_id, status="confirmed",
            data="{}", created_at=NOW,
        )
    )  # fmt: skip


def add_event(store: Store, order_id: str, number: int, now: int = NOW) -> str:
    """Append an event of the order; ids sort like numbers. Its body tells which it is."""
    event_id = f"evt_{order_id}_{number:03}"
    body = json.dumps({"type": "order_update", "data": {"id": order_id, "number": number}}).encode()
    store.run_sync(
        lambda tx: outbox.append(
            tx, id=event_id, order_id=order_id, agent_id="agent", type="order_update", body=body, now=now
        )
    )
    return event_id


def event_of(store: Store, event_id: str) -> outbox.Event:
    found = store.read_sync(lambda tx: outbox.load(tx, event_id))
    assert found is not None
    return found


@asynccontextmanager
async def working(
    store: Store,
    port: int,
    clock: Clock | None = None,
    *,
    timeout_seconds: float = 5.0,
    concurrency: int = 32,
) -> AsyncIterator[DeliveryWorker]:
    endpoint = WebhookEndpoint(f"http://127.0.0.1:{port}", SECRET)
    async with HttpClient() as http:
        yield DeliveryWorker(
            store,
            http,
            lambda agent: endpoint if agent == "agent" else None,
            clock or Clock(),
            lambda bound: bound,
            timeout_seconds=timeout_seconds,
            concurrency=concurrency,
        )


def test_an_event_is_posted_signed_and_recorded_as_delivered(sqlite_store: Store) -> None:
    """WH-01, WH-02, WH-04, WH-13."""
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)

    async def scenario() -> None:
        async with receiving(lambda _: 200) as receiver, working(sqlite_store, receiver.port) as worker:
            assert await worker.run_once() == Summary(delivered=1)
            assert await worker.run_once() == Summary()
            (delivery,) = receiver.seen
            assert delivery.path == "/agentic_checkout/webhooks/order_events"
            assert delivery.id == event_id
            assert delivery.headers["content-type"] == "application/json"
            assert delivery.headers["timestamp"] == "2026-02-02T02:40:00.000Z"
            signed = verify_webhook(SECRET, delivery.body, delivery.headers["merchant-signature"], NOW / 1000)
            assert signed == NOW // 1000

    asyncio.run(scenario())
    event = event_of(sqlite_store, event_id)
    assert (event.state, event.delivered_at) == ("delivered", NOW)


def test_every_attempt_has_a_fresh_signature_and_the_same_request_id(sqlite_store: Store) -> None:
    """WH-04, WH-13."""
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)
    clock = Clock()
    answers = iter([503, RESET, CUT, 429, 200])

    async def scenario() -> list[Delivery]:
        async with (
            receiving(lambda _: next(answers)) as receiver,
            working(sqlite_store, receiver.port, clock) as worker,
        ):
            for _ in range(4):
                assert await worker.run_once() == Summary(retried=1)
                assert await worker.run_once() == Summary()
                clock.now += 3_600_000
            assert await worker.run_once() == Summary(delivered=1)
            return receiver.seen

    seen = asyncio.run(scenario())
    assert {delivery.id for delivery in seen} == {event_id}
    assert len({delivery.headers["merchant-signature"] for delivery in seen}) == 5
    for index, delivery in enumerate(seen):
        at = NOW // 1000 + index * 3600
        assert verify_webhook(SECRET, delivery.body, delivery.headers["merchant-signature"], at) == at
    assert event_of(sqlite_store, event_id).attempts == 4


def test_a_receiver_that_hangs_is_left_and_tried_again_without_holding_up_others(sqlite_store: Store) -> None:
    for order in ("a", "b", "c"):
        add_order(sqlite_store, order)
        add_event(sqlite_store, order, 1)

    async def scenario() -> None:
        def script(delivery: Delivery) -> int:
            return HANG if "evt_a" in delivery.id else 200

        async with (
            receiving(script) as receiver,
            working(sqlite_store, receiver.port, timeout_seconds=0.3) as worker,
        ):
            assert await worker.run_once() == Summary(delivered=2, retried=1)

    asyncio.run(scenario())
    assert event_of(sqlite_store, "evt_a_001").last_error == "no complete answer within 0.3 s"


def test_an_unreachable_receiver_is_tried_again(sqlite_store: Store) -> None:
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def scenario() -> None:
            async with working(sqlite_store, port) as worker:
                assert await worker.run_once() == Summary(retried=1)

        asyncio.run(scenario())
    event = event_of(sqlite_store, event_id)
    assert (event.state, event.next_attempt_at) == ("pending", NOW + 1000)
    assert "ConnectError" in (event.last_error or "")


def test_events_of_one_order_arrive_in_order_whatever_fails(store: Store) -> None:
    """WH-07: a later state never overtakes an earlier one; other orders do not wait."""
    names = ["a", "b", "c", "d"]
    for order in names:
        add_order(store, order)
        for number in range(1, 6):
            add_event(store, order, number)
    clock = Clock()
    failures = {("a", 1): 3, ("b", 2): 1, ("b", 3): 2, ("d", 5): 1}
    accepted: list[tuple[str, int]] = []

    def script(delivery: Delivery) -> int:
        data = json.loads(delivery.body)["data"]
        key = (data["id"], data["number"])
        if failures.get(key, 0) > 0:
            failures[key] -= 1
            return [500, RESET, 429][failures[key]]
        accepted.append(key)
        return 200

    async def scenario() -> None:
        async with receiving(script) as receiver, working(store, receiver.port, clock) as worker:
            first = await worker.run_once()
            assert first.delivered == 0 + 1 + 5 + 4  # up to the first failure of each order
            for _ in range(4):
                clock.now += 3_600_000
                await worker.run_once()

    asyncio.run(scenario())
    for order in names:
        assert [number for name, number in accepted if name == order] == [1, 2, 3, 4, 5]


def test_retry_after_is_honoured(sqlite_store: Store) -> None:
    """WH-13."""
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)

    async def scenario() -> None:
        async with receiving(lambda _: 429) as receiver, working(sqlite_store, receiver.port) as worker:
            receiver.extra_headers = "Retry-After: 120\r\n"
            await worker.run_once()

    asyncio.run(scenario())
    assert event_of(sqlite_store, event_id).next_attempt_at == NOW + 120_000


def test_redirects_are_not_followed(sqlite_store: Store) -> None:
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)

    async def scenario() -> None:
        async with receiving(lambda _: 200) as other, receiving(lambda _: 307) as receiver:
            receiver.extra_headers = f"Location: http://127.0.0.1:{other.port}/elsewhere\r\n"
            async with working(sqlite_store, receiver.port) as worker:
                assert await worker.run_once() == Summary(retried=1)
            assert not other.seen

    asyncio.run(scenario())
    assert event_of(sqlite_store, event_id).last_error == "answered 307"


def test_a_long_answer_is_not_read_to_its_end(sqlite_store: Store) -> None:
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)

    async def scenario() -> None:
        async with (
            receiving(lambda _: "x" * 50_000_000) as receiver,
            working(sqlite_store, receiver.port) as worker,
        ):
            assert await worker.run_once() == Summary(retried=1)

    asyncio.run(scenario())
    assert "too long" in (event_of(sqlite_store, event_id).last_error or "")


def test_connections_are_used_again(sqlite_store: Store) -> None:
    add_order(sqlite_store, "a")
    for number in range(1, 21):
        add_event(sqlite_store, "a", number)

    async def scenario() -> None:
        async with receiving(lambda _: 200) as receiver, working(sqlite_store, receiver.port) as worker:
            assert await worker.run_once() == Summary(delivered=20)
            assert receiver.connections == 1

    asyncio.run(scenario())


def test_an_event_given_up_is_dead_can_be_replayed_and_holds_up_nothing(store: Store) -> None:
    """WH-13."""
    add_order(store, "a")
    first, second = add_event(store, "a", 1), add_event(store, "a", 2)
    clock = Clock()
    broken = True

    async def scenario() -> None:
        def script(delivery: Delivery) -> int:
            return 410 if broken and delivery.id == first else 200

        async with receiving(script) as receiver, working(store, receiver.port, clock) as worker:
            assert await worker.run_once() == Summary(delivered=1, dead=1)
            assert event_of(store, first).state == "dead"
            assert event_of(store, second).state == "delivered"
            clock.now += 10 * PATIENCE_MS
            assert await worker.run_once() == Summary()
            nonlocal broken
            broken = False
            assert store.run_sync(lambda tx: outbox.replay(tx, first, clock.now))
            assert await worker.run_once() == Summary(delivered=1)
            assert [d.id for d in receiver.seen] == [first, second, first]

    asyncio.run(scenario())


def test_a_receiver_that_stays_away_for_a_day_ends_in_a_dead_letter(sqlite_store: Store) -> None:
    """WH-13."""
    add_order(sqlite_store, "a")
    event_id = add_event(sqlite_store, "a", 1)
    clock = Clock()

    async def scenario() -> None:
        async with (
            receiving(lambda _: 503) as receiver,
            working(sqlite_store, receiver.port, clock) as worker,
        ):
            while event_of(sqlite_store, event_id).state == "pending":
                clock.now = event_of(sqlite_store, event_id).next_attempt_at
                await worker.run_once()
            assert clock.now - NOW >= PATIENCE_MS
            assert 12 <= len(receiver.seen) < 60

    asyncio.run(scenario())


def test_an_agent_without_a_receiver_leaves_a_dead_letter(sqlite_store: Store) -> None:
    add_order(sqlite_store, "a")
    sqlite_store.run_sync(
        lambda tx: outbox.append(
            tx, id="evt_x", order_id="a", agent_id="mute", type="order_create", body=b"{}", now=NOW
        )
    )

    async def scenario() -> None:
        async with working(sqlite_store, 1) as worker:
            assert await worker.run_once() == Summary(dead=1)

    asyncio.run(scenario())
    assert event_of(sqlite_store, "evt_x").last_error == "agent mute has no webhook endpoint"


def test_a_waiting_worker_delivers_at_once_when_told(sqlite_store: Store) -> None:
    """WH-01: order_create right after completion."""
    add_order(sqlite_store, "a")

    async def scenario() -> None:
        arrived = asyncio.Event()

        def script(_: Delivery) -> int:
            arrived.set()
            return 200

        async with receiving(script) as receiver, working(sqlite_store, receiver.port) as worker:
            running = asyncio.create_task(worker.run_forever())
            loop = asyncio.get_running_loop()
            for number in range(1, 4):
                arrived.clear()
                await loop.run_in_executor(None, add_event, sqlite_store, "a", number)
                worker.notify()
                async with asyncio.timeout(0.8):  # less than the poll takes
                    await arrived.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(scenario())


def test_events_of_other_processes_are_found_by_polling(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acpref_merchant.webhooks.delivery.POLL_SECONDS", 0.02)
    add_order(sqlite_store, "a")

    async def scenario() -> None:
        arrived = asyncio.Event()

        def script(_: Delivery) -> int:
            arrived.set()
            return 200

        async with receiving(script) as receiver, working(sqlite_store, receiver.port) as worker:
            running = asyncio.create_task(worker.run_forever())
            await asyncio.get_running_loop().run_in_executor(None, add_event, sqlite_store, "a", 1)
            async with asyncio.timeout(5):
                await arrived.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(scenario())


def test_no_more_attempts_run_at_once_than_allowed(sqlite_store: Store) -> None:
    for index in range(12):
        add_order(sqlite_store, f"o{index:02}")
        add_event(sqlite_store, f"o{index:02}", 1)

    async def scenario() -> None:
        running = peak = 0
        full = asyncio.Event()

        async def script(_: Delivery) -> int:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            if running == 4:
                full.set()
            await full.wait()
            running -= 1
            return 200

        async with (
            receiving(script) as receiver,
            working(sqlite_store, receiver.port, concurrency=4) as worker,
        ):
            assert await worker.run_once() == Summary(delivered=12)
        assert peak == 4

    asyncio.run(scenario())


def test_two_workers_share_the_work_and_deliver_everything_once(store: Store) -> None:
    for index in range(30):
        add_order(store, f"o{index:02}")
        add_event(store, f"o{index:02}", 1)

    async def scenario() -> None:
        async with (
            receiving(lambda _: 200) as receiver,
            working(store, receiver.port, concurrency=4) as one,
            working(store, receiver.port, concurrency=4) as two,
        ):
            first, second = await asyncio.gather(one.run_once(), two.run_once())
            assert first.delivered + second.delivered == 30
            assert first.delivered
            assert second.delivered
            assert len({d.id for d in receiver.seen}) == len(receiver.seen) == 30

    asyncio.run(scenario())


WORKER_PROCESS = textwrap.dedent(
    """
    import asyncio, sys
    from acpref_merchant.store.store import open_store
    from acpref_merchant.transport import HttpClient
    from acpref_merchant.webhooks.delivery import DeliveryWorker
    from acpref_merchant.webhooks.endpoints import WebhookEndpoint

    async def main(url, port, secret):
        endpoint = WebhookEndpoint(f"http://127.0.0.1:{port}", secret.encode())
        async with HttpClient() as http:
            await DeliveryWorker(open_store(url), http, lambda agent: endpoint, lambda: int(sys.argv[4])).run_once()

    asyncio.run(main(*sys.argv[1:4]))
    """
)


def test_a_worker_killed_before_it_records_leaves_the_event_to_another(store: Store, store_url: str) -> None:
    """WH-13: the receiver gets the event again under the same Request-Id once the lease has run out."""
    add_order(store, "a")
    event_id = add_event(store, "a", 1)
    clock = Clock()

    async def scenario() -> None:
        arrived = asyncio.Event()
        killed = asyncio.Event()

        async def script(_: Delivery) -> int:
            if not arrived.is_set():
                arrived.set()
                await killed.wait()  # the answer comes too late for the first worker
            return 200

        async with receiving(script) as receiver:
            process = subprocess.Popen(  # noqa: ASYNC220 - starts at once and is waited for after its kill only

                [sys.executable, "-c", WORKER_PROCESS, store_url, str(receiver.port),
                 SECRET.decode(), str(NOW)]
            )  # fmt: skip
            try:
                async with asyncio.timeout(30):
                    await arrived.wait()
            finally:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                killed.set()
            async with working(store, receiver.port, clock) as worker:
                assert await worker.run_once() == Summary()  # the lease holds
                clock.now += 60_000
                assert await worker.run_once() == Summary(delivered=1)
            assert [d.id for d in receiver.seen] == [event_id, event_id]
            assert receiver.seen[0].body == receiver.seen[1].body

    asyncio.run(scenario())
