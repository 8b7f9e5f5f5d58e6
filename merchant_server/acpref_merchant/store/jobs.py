"""Work handed to the store's threads, and its result handed back to whoever waits.

Results of a batch that belong to one event loop travel in a single wake-up of that loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from acpref_merchant.store.statement import Tx

Waiter = asyncio.Future[Any] | concurrent.futures.Future[Any]


class Job(NamedTuple):
    """A function to run in a transaction; ``loop`` is the waiter's event loop, None for a waiting thread."""

    function: Callable[[Tx], Any]
    waiter: Waiter
    loop: asyncio.AbstractEventLoop | None


class Outcome(NamedTuple):
    """What came of a job: ``error`` or, when that is None, ``result``."""

    waiter: Waiter
    loop: asyncio.AbstractEventLoop | None
    result: Any
    error: BaseException | None


def succeeded(job: Job, result: Any) -> Outcome:
    """The job's function returned ``result``."""
    return Outcome(job.waiter, job.loop, result, None)


def failed(job: Job, error: BaseException) -> Outcome:
    """The job's function, or the transaction around it, failed."""
    if isinstance(error, StopIteration):  # a future refuses it: it would end the generator that awaits
        error = RuntimeError("the function raised StopIteration")
    return Outcome(job.waiter, job.loop, None, error)


def deliver(outcomes: Iterable[Outcome]) -> None:
    """Wake every waiter, each event loop once. Callable from any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.loop is None:
            _resolve((outcome,))
        else:
            by_loop.setdefault(outcome.loop, []).append(outcome)
    for loop, ready in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, ready)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _resolve(outcomes: Iterable[Outcome]) -> None:
    for waiter, _, result, error in outcomes:
        if waiter.done():  # cancelled: the work is done all the same, only the answer is not wanted
            continue
        if error is None:
            waiter.set_result(result)
        else:
            waiter.set_exception(error)
