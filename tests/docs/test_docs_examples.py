"""The Python examples of every page run, in their order, against a real sandbox, and print what the page says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.docs.pages import ROOT, Fence, Page, docs, page

from acpref_merchant.logs import log_to_stderr
from acpref_sandbox.sandbox import Options, open_sandbox
from acpref_sandbox.target import write_target

_ID = re.compile(r"\b(cs|li|ord|evt|vt|ch|pay|re)_[A-Za-z0-9]{20,}")
PAGES = [
    each
    for each in (page(ROOT / "README.md"), *docs())
    if any(fence.language == "python" for fence in each.fences)
]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the target file of a sandbox that runs, as the pages ask for."""
    ready, stop, loops = threading.Event(), asyncio.Event(), []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with open_sandbox(Options(port=0)) as sandbox:
            write_target(tmp_path / "target.json", sandbox.target)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(30), "the sandbox did not start"
    monkeypatch.chdir(tmp_path)
    logging = structlog.get_config()
    log_to_stderr()  # standard output is what the examples print
    yield tmp_path
    structlog.configure(**logging)
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(30)
    assert not thread.is_alive()


def test_some_pages_have_examples() -> None:
    assert {"README.md", "docs/agent.md", "docs/implementer.md"} <= {each.name for each in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_print_what_it_says(page: Page, workplace: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    try:
        for fence, expected in examples(page):
            # Line numbers of a failure are those of the page.
            source = "\n" * fence.line + fence.text
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(source, page.name, "exec"), names)
            if expected is not None:
                assert _without_ids(printed.getvalue()) == _without_ids(expected), f"{page.name}:{fence.line}"
    finally:
        for value in names.values():
            if hasattr(value, "close") and not isinstance(value, type):
                value.close()


def examples(page: Page) -> Iterator[tuple[Fence, str | None]]:
    """The Python blocks, each with the text block that follows it, if one does before any prose."""
    lines = page.text.splitlines()
    for fence, following in zip(page.fences, [*page.fences[1:], None], strict=True):
        if fence.language != "python":
            continue
        expected = None
        if following is not None and following.language == "text":
            between = "".join(lines[fence.end : following.line - 1]).strip()
            expected = following.text if not between else None
        yield fence, expected


def _without_ids(text: str) -> str:
    return _ID.sub(r"\1_...", text)
