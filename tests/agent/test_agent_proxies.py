"""Proxies that the environment names: used on the way to others, never on the way to this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from acpref_agent import AsyncClient, Client, Options, TransportError

NOWHERE = "http://127.0.0.1:1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
Discover = Callable[[str, Options], Any]


def _sync(url: str, options: Options) -> Any:
    with Client(url, "tok_1", options=options) as client:
        return client.discover()


def _async(url: str, options: Options) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, "tok_1", options=options) as client:
            return await client.discover()

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _async])
def discover(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Discover:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    chosen: Discover = request.param
    return chosen


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached_without_a_proxy(
    discover: Discover,
    merchant: Any,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    host: str,
) -> None:
    monkeypatch.setenv(variable, NOWHERE)
    merchant.reply(500, {"type": "processing_error", "code": "x", "message": "Here."})
    merchant.steps *= 4
    with pytest.raises(Exception, match=r"Here\."):
        discover(merchant.url.replace("127.0.0.1", host), options)
    assert {seen.path for seen in merchant.seen} == {"/.well-known/acp.json"}


def test_ipv6_loopback_is_reached_without_a_proxy(
    discover: Discover, merchant: Any, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", merchant.url)
    with pytest.raises(TransportError):
        discover("http://[::1]:1", options)
    assert merchant.seen == []


def test_others_are_reached_by_the_proxy(
    discover: Discover, merchant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", merchant.url)
    merchant.reply(404, {"type": "invalid_request", "code": "not_found", "message": "There."})
    with pytest.raises(Exception, match=r"There\."):
        discover("http://shop.example.com", Options(allow_http=True))
    (seen,) = merchant.seen
    assert seen.path == "http://shop.example.com/.well-known/acp.json"
