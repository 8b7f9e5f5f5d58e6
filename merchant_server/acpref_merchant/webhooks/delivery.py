"""Delivers the events of the outbox: signed, retried, in order within each order, at least once.

The worker turns in cycles. A cycle is one transaction, which records what the attempts since the last cycle came to
and takes the events that are due now, at most one of each order and always the oldest; their attempts then run side
by side while further cycles go on. So many events cost few transactions, a slow receiver holds up nobody but itself,
and an event that committed with its order is sent at once: ``notify`` starts a cycle. Events that other processes
wrote are found by polling.

An event is taken with a lease. A worker that dies, even between the receiver's answer and its record, loses the lease
after a while, and another worker delivers the event again under the same ``Request-Id``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from acpref_merchant.clock import Clock, rfc3339, system_clock
from acpref_merchant.store import outbox
from acpref_merchant.store.store import Store, Tx
from acpref_merchant.transport import AnswerTimeoutError, ConnectTimeoutError, HttpClient, TransportError
from acpref_merchant.webhooks.endpoints import WebhookEndpoint
from acpref_merchant.webhooks.retry import Answer, Jitter, full_jitter, next_attempt, retry_after_ms
from acpref_protocol.signing import sign_webhook

log = structlog.get_logger(__name__)

Endpoints = Callable[[str], WebhookEndpoint | None]
"""Finds the receiver of an agent, by the agent's id."""

LEASE_MARGIN_MS = 2_000
"""What recording the outcome of an attempt may take, beside a second time its timeout."""
POLL_SECONDS = 1.0
PACE_SECONDS = 0.02
"""Pause between cycles while attempts are under way, so that under load a cycle serves many events."""
FAILURE_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What attempts came to: events delivered, to be tried again, and given up."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0

    def __add__(self, other: Summary) -> Summary:
        return Summary(self.delivered + other.delivered, self.retried + other.retried, self.dead + other.dead)


class _Outcome(NamedTuple):
    event: outbox.Event
    answer: Answer
    at: int


class DeliveryWorker:
    """Sends due events of ``store`` to the receivers that ``endpoints`` names.

    ``concurrency`` bounds the attempts under way, ``timeout_seconds`` each of them from connecting to the end of the
    answer. ``clock`` and ``jitter`` decide about retries and are replaced in tests.
    """

    def __init__(
        self,
        store: Store,
        client: HttpClient,
        endpoints: Endpoints,
        clock: Clock = system_clock,
        jitter: Jitter = full_jitter,
        *,
        concurrency: int = 32,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._store = store
        self._client = client
        self._endpoints = endpoints
        self._clock = clock
        self._jitter = jitter
        self._concurrency = concurrency
        self._timeout_seconds = timeout_seconds
        self._lease_ms = int(timeout_seconds * 2000) + LEASE_MARGIN_MS
        self._wake = asyncio.Event()
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._outcomes: list[_Outcome] = []

    def notify(self) -> None:
        """Events may have become due: look now. Call it from the worker's event loop."""
        self._wake.set()

    async def run_once(self) -> Summary:
        """Deliver until nothing is due; events that failed are due again later. Not while ``run_forever`` runs."""
        summary = Summary()
        try:
            while True:
                self._wake.clear()
                summary += await self._cycle()
                if self._outcomes:
                    continue
                if not self._attempts:
                    return summary
                await self._wake.wait()
                await self._pace()
        finally:
            await self._stop()

    async def run_forever(self) -> None:
        """Deliver until cancelled; attempts under way are then abandoned, to be repeated by the next worker."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._cycle()
                except Exception as error:  # noqa: BLE001 - whatever it was, the next cycle may succeed
                    log.error("webhook_cycle_failed", kind=type(error).__name__, error=str(error))
                    await asyncio.sleep(FAILURE_PAUSE_SECONDS)
                    continue
                if not self._outcomes:
                    await self._wait(POLL_SECONDS)
                await self._pace()
        finally:
            await self._stop()

    async def _pace(self) -> None:
        if self._attempts:
            await asyncio.sleep(PACE_SECONDS)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _stop(self) -> None:
        """Record what is known and give up the leases of the rest, which the receivers may see twice therefore."""
        for attempt in self._attempts.values():
            attempt.cancel()
        await asyncio.gather(*self._attempts.values(), return_exceptions=True)
        abandoned, self._attempts = list(self._attempts), {}
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes and not abandoned:
            return

        def record(tx: Tx) -> None:
            self._record(tx, outcomes)
            for event_id in abandoned:
                outbox.retry(tx, event_id, self._clock(), "the sender was stopped")

        await self._store.run(record)

    async def _cycle(self) -> Summary:
        """One transaction: record outcomes, take due events. Then start their attempts."""
        outcomes, self._outcomes = self._outcomes, []
        free = self._concurrency - len(self._attempts)

        def record_and_take(tx: Tx) -> tuple[Summary, list[outbox.Event]]:
            recorded = self._record(tx, outcomes)
            now = self._clock()
            return recorded, outbox.claim(tx, now=now, limit=free, lease_until=now + self._lease_ms)

        try:
            recorded, events = await self._store.run(record_and_take)
        except BaseException:
            self._outcomes = outcomes + self._outcomes
            raise
        for event in events:
            self._attempts[event.id] = asyncio.create_task(self._attempt(event))
        return recorded

    def _record(self, tx: Tx, outcomes: list[_Outcome]) -> Summary:
        delivered = retried = dead = 0
        for event, answer, at in outcomes:
            if answer.delivered:
                outbox.delivered(tx, event.id, at)
                delivered += 1
                continue
            again = next_attempt(
                answer, attempts=event.attempts + 1, created_at=event.created_at, now=at, jitter=self._jitter
            )
            if again is None:
                outbox.give_up(tx, event.id, answer.detail)
                dead += 1
            else:
                outbox.retry(tx, event.id, again, answer.detail)
                retried += 1
        return Summary(delivered, retried, dead)

    async def _attempt(self, event: outbox.Event) -> None:
        try:
            answer = await self._send(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, this event fails and the others go on
            answer = Answer(None, _words(error))
        if not answer.delivered:
            log.warning(
                "webhook_not_delivered", event_id=event.id, order=event.order_id, reason=answer.detail
            )
        self._outcomes.append(_Outcome(event, answer, self._clock()))
        del self._attempts[event.id]  # not when the task is done: the cycle that this wakes counts on it
        self._wake.set()

    async def _send(self, event: outbox.Event) -> Answer:
        endpoint = self._endpoints(event.agent_id)
        if endpoint is None:
            return Answer(410, f"agent {event.agent_id} has no webhook endpoint")
        now = self._clock()
        headers = {
            "Merchant-Signature": sign_webhook(endpoint.secret, event.body, now // 1000),
            "Request-Id": event.id,
            "Timestamp": rfc3339(now),
        }
        try:
            answer = await self._client.post(endpoint.target, headers, event.body, self._timeout_seconds)
        except (ConnectTimeoutError, AnswerTimeoutError):
            return Answer(None, f"no complete answer within {self._timeout_seconds:g} s")
        except TransportError as error:
            return Answer(None, _words(error))
        wait = retry_after_ms(answer.header("retry-after"), self._clock())
        return Answer(answer.status, f"answered {answer.status}", wait)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")[:300]
