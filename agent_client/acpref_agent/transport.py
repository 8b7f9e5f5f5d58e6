"""Drivers: they carry the requests of a flow over HTTP with httpx, once synchronously and once
asynchronously.

Redirects are not followed, bodies over 4 MiB are refused, and compressed bodies are not unpacked: each
would let a server decide where the buyer's data goes or how much memory it takes.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Self, TypeVar

import httpx

from acpref_agent.exceptions import AcprefError, ProtocolViolation, TransportError
from acpref_agent.flow import Flow, Request, Response, failure_of

MAX_BODY: Final = 4 * 1024 * 1024
"""The longest answer that is read, in bytes."""
MAX_LINE: Final = 1024 * 1024
"""The longest line of a stream that is read, in bytes."""
_DIRECT: Final = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))
"""Where no proxy of the environment is used: to a proxy, this machine would be its own."""

T = TypeVar("T")


class Transport:
    """Drives flows synchronously.

    Proxies come from the environment (``HTTPS_PROXY``, ``NO_PROXY`` and the like), though this machine is
    reached without one. Give it an ``httpx.Client`` to choose proxies, certificates or pool sizes.
    """

    def __init__(self, http: httpx.Client | None = None) -> None:
        self._http = http or httpx.Client(verify=_tls(), mounts=_DIRECT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Carry out ``flow`` and return its result; raises what the flow raises."""
        return self._drive(flow, self._send)

    def lines(self, flow: Flow[Response]) -> Iterator[bytes]:
        """Carry out ``flow``, and yield the lines of the 200 that it ends with as they arrive."""
        response = self._drive(flow, self._send_head)
        if not isinstance(response, _Unread):
            raise failure_of(response)
        lines = _Lines()
        try:
            for chunk in response.answer.iter_raw():
                yield from lines.feed(chunk)
            yield from lines.rest()
        except httpx.HTTPError as error:
            raise _failure(error) from error
        finally:
            response.answer.close()

    def _drive(self, flow: Flow[T], send: Callable[[Request], Response]) -> T:
        try:
            request = next(flow)
            while True:
                try:
                    response = send(request)
                except AcprefError as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    def _send(self, request: Request) -> Response:
        return self._whole(self._open(request), request.timeout)

    def _send_head(self, request: Request) -> Response:
        answer = self._open(request)
        return _unread(answer) if answer.status_code == 200 else self._whole(answer, request.timeout)

    def _open(self, request: Request) -> httpx.Response:
        if request.delay:
            time.sleep(request.delay)
        try:
            return self._http.send(_prepared(self._http, request), stream=True, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error) from error

    def _whole(self, answer: httpx.Response, timeout: float) -> Response:
        body = _Body(answer)
        deadline = time.monotonic() + timeout
        try:
            for chunk in answer.iter_raw():
                body.feed(chunk)
                if time.monotonic() > deadline:
                    raise TransportError("the answer did not end in time")
        except httpx.HTTPError as error:
            raise _failure(error) from error
        finally:
            answer.close()
        return body.response()


class AsyncTransport:
    """Drives flows asynchronously (asyncio). Give it an ``httpx.AsyncClient`` as for ``Transport``."""

    def __init__(self, http: httpx.AsyncClient | None = None) -> None:
        self._http = http or httpx.AsyncClient(verify=_tls(), mounts=_DIRECT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Carry out ``flow`` and return its result; raises what the flow raises."""
        return await self._drive(flow, self._send)

    async def lines(self, flow: Flow[Response]) -> AsyncIterator[bytes]:
        """Carry out ``flow``, and yield the lines of the 200 that it ends with as they arrive."""
        response = await self._drive(flow, self._send_head)
        if not isinstance(response, _Unread):
            raise failure_of(response)
        lines = _Lines()
        try:
            async for chunk in response.answer.aiter_raw():
                for line in lines.feed(chunk):
                    yield line
            for line in lines.rest():
                yield line
        except httpx.HTTPError as error:
            raise _failure(error) from error
        finally:
            await response.answer.aclose()

    async def _drive(self, flow: Flow[T], send: Callable[[Request], Awaitable[Response]]) -> T:
        try:
            request = next(flow)
            while True:
                try:
                    await asyncio.sleep(request.delay)
                    async with asyncio.timeout(request.timeout):
                        response = await send(request)
                except TimeoutError:
                    request = flow.throw(TransportError("the answer did not end in time"))
                except AcprefError as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    async def _send(self, request: Request) -> Response:
        return await self._whole(await self._open(request))

    async def _send_head(self, request: Request) -> Response:
        answer = await self._open(request)
        return _unread(answer) if answer.status_code == 200 else await self._whole(answer)

    async def _open(self, request: Request) -> httpx.Response:
        try:
            return await self._http.send(_prepared(self._http, request), stream=True, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failure(error) from error

    async def _whole(self, answer: httpx.Response) -> Response:
        body = _Body(answer)
        try:
            async for chunk in answer.aiter_raw():
                body.feed(chunk)
        except httpx.HTTPError as error:
            raise _failure(error) from error
        finally:
            await answer.aclose()
        return body.response()


@dataclass(frozen=True, slots=True)
class _Unread(Response):
    """A 200 whose body is still to come."""

    answer: httpx.Response = field(repr=False)


class _Body:
    """Collects a body as long as it stays within the limits."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > MAX_BODY:
            status = self._answer.status_code
            raise ProtocolViolation(f"the answer is longer than {MAX_BODY} bytes", status=status)

    def response(self) -> Response:
        names = _names(self._answer)
        _require_plain(names, self._answer.status_code)
        return Response(self._answer.status_code, names, bytes(self._data))


class _Lines:
    """Cuts chunks into lines, without keeping more than one."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *whole, self._tail = (self._tail + chunk).split(b"\n")
        if len(self._tail) > MAX_LINE or any(len(line) > MAX_LINE for line in whole):
            raise ProtocolViolation(f"a line is longer than {MAX_LINE} bytes")
        yield from (line for line in whole if line.strip())

    def rest(self) -> Iterator[bytes]:
        if self._tail.strip():
            yield self._tail


def _unread(answer: httpx.Response) -> _Unread:
    names = _names(answer)
    _require_plain(names, answer.status_code)
    return _Unread(answer.status_code, names, b"", answer)


def _names(answer: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _require_plain(names: dict[str, str], status: int) -> None:
    if names.get("content-encoding", "identity").lower() != "identity":
        raise ProtocolViolation("the answer is compressed, though that was not accepted", status=status)


def _prepared(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return http.build_request(
        request.method,
        request.url,
        headers=dict(request.headers),
        content=request.body,
        timeout=httpx.Timeout(request.timeout),
    )


def _failure(error: Exception) -> TransportError:
    """httpx's errors quote at most hosts and causes, never bodies."""
    hopeless = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, httpx.DecodingError)
    reason = str(error) or type(error).__name__
    return TransportError(reason, retryable=not isinstance(error, hopeless))


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # HTTP-02
    return context
