"""The shop that a newcomer starts: two terminals, what a page says in each, and a purchase from it."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, ROOT, page

from acpref_agent import Client, PaymentProviderClient, purchase
from acpref_sandbox.demo import wanted
from acpref_sandbox.fixtures import ADDRESSES, CARDS

SECONDS = 60
WANTED = {"currency": "usd", "fixtures": {"cards": CARDS, "addresses": {"serviceable": ADDRESSES["US"]}}}


@contextmanager
def terminal(script: str, folder: Path, **environment: str) -> Iterator[str]:
    """Run a block of a page, whose last command serves; the address that it announces. Ports are picked freely."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ACPREF_")}
    acpref = f'acpref() {{ "{sys.executable}" -m acpref "$@"; }}\n'
    served = re.sub(r"^(acpref \w+ serve)", r"\1 --port 0", script, flags=re.MULTILINE)
    process = subprocess.Popen(
        ["bash", "-ec", acpref + served],
        cwd=folder,
        env={**clean, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r" on (http://127\.0\.0\.1:\d+)", line):
                yield found[1]
                break
        else:
            pytest.fail("it did not come up: " + "".join(said))
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "merchant.md"], ids=lambda path: path.name)
def test_a_shop_that_is_started_as_a_page_says_sells(path: Path, tmp_path: Path) -> None:
    fences = page(path).fences
    provider = next(fence.text for fence in fences if "\nacpref psp serve" in fence.text)
    merchant = next(fence.text for fence in fences if "acpref merchant serve" in fence.text)
    (tmp_path / "catalogs").symlink_to(ROOT / "catalogs")
    for fence in fences:
        if fence.language == "toml" and "database_url" in fence.text:
            (tmp_path / "shop.toml").write_text(fence.text)
    with (
        terminal(provider, tmp_path) as psp,
        terminal(merchant, tmp_path, ACPREF_PAYMENT__BASE_URL=psp) as seller,
        Client(seller, "sandbox_token_of_agent_a") as shop,
        PaymentProviderClient(psp, "sandbox_token_of_agent_a") as payment,
    ):
        bought = purchase(shop, payment, wanted(WANTED, "AA alkaline"))
        assert bought.session.status == "completed"
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("*.db*")}
    assert modes.keys() >= {"shop.db", "psp.db", "psp.db.keys.json"}
    assert set(modes.values()) == {0o600}, modes
