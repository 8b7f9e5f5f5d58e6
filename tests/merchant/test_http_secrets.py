"""What a purchase leaves behind: no card data, no credential and no secret, in no log line and in no row."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect, text
from structlog.testing import capture_logs
from tests.merchant.domain_world import SHOP
from tests.merchant.shop_server import (
    AGENT,
    APPROVED,
    DECLINED,
    MERCHANT_TOKEN,
    PRODUCTS,
    VERSION,
    Agent,
    Gate,
    Json,
    Provider,
    complete_body,
    create_body,
    path_of,
    said,
    shop_server,
)
from tests.psp.server import serving

from acpref_merchant.clock import new_id, system_clock
from acpref_psp.app import create_app as create_psp
from acpref_psp.settings import Settings as PspSettings

ROOT = Path(__file__).resolve().parents[2]
WEBHOOK_SECRET = "whsec-0123456789abcdef-of-the-agent"
# A code and an expiry that occur nowhere by chance.
AMEX, AMEX_CODE = "378282246310005", "8675"
SECRETS = (AGENT, MERCHANT_TOKEN, WEBHOOK_SECRET)
CARDS = (APPROVED, DECLINED, AMEX)
# Ids and hashes are full of digits; the code alone is another matter.
CODE = re.compile(rb"(?<![0-9A-Za-z.])" + AMEX_CODE.encode() + rb"(?![0-9A-Za-z])")


class Receiver:
    """The agent's webhook receiver: it fails at first, with an answer that repeats what it got."""

    def __init__(self) -> None:
        self.answers = [500, 200]
        self.accepted = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status = self.answers.pop(0) if self.answers else 200
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        if status == 200:
            self.accepted.set()


@dataclass
class Served:
    """A merchant in a process of its own, as ``acpref merchant serve`` runs it."""

    agent: Agent
    receiver: Receiver
    log: list[str]


@contextmanager
def served(folder: Path, database_url: str) -> Iterator[Served]:
    catalog = folder / "catalog"
    catalog.mkdir(parents=True)
    (catalog / "shop.json").write_text(json.dumps(SHOP))
    (catalog / "products.jsonl").write_text("".join(json.dumps(product) + "\n" for product in PRODUCTS))
    with ExitStack() as stack:
        psp = create_psp(
            PspSettings(
                database=folder / "psp.db",
                agents={"agent": SecretStr(AGENT)},
                merchants={SHOP["merchant_id"]: SecretStr(MERCHANT_TOKEN)},
            )
        )
        receiver = Receiver()
        psp_url = stack.enter_context(serving(psp))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ACPREF_")
        } | {
            "ACPREF_DATABASE_URL": database_url,
            "ACPREF_CATALOG": str(catalog),
            "ACPREF_AGENTS": json.dumps(
                [
                    {
                        "id": "agent",
                        "token": AGENT,
                        "webhook_base_url": stack.enter_context(serving(receiver)),
                        "webhook_secret": WEBHOOK_SECRET,
                    }
                ]
            ),
            "ACPREF_PAYMENT__BASE_URL": psp_url,
            "ACPREF_PAYMENT__TOKEN": MERCHANT_TOKEN,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "acpref", "merchant", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        assert process.stdout is not None
        watchdog = threading.Timer(90, process.kill)
        watchdog.start()
        log: list[str] = []
        try:
            first = process.stdout.readline()
            log.append(first)
            assert first.startswith("merchant on http"), first
            # Read on, so that the process never waits for a full pipe.
            reader = threading.Thread(target=lambda: log.extend(process.stdout or ()), daemon=True)
            reader.start()
            url = first.split()[-1]
            http, psp_http = (
                stack.enter_context(httpx.Client(base_url=base, timeout=30, trust_env=False))
                for base in (url, psp_url)
            )
            provider = Provider(psp_url, psp, Gate(psp), psp_http)
            yield Served(Agent(http, provider, system_clock), receiver, log)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) in {0, -signal.SIGTERM}
            reader.join(30)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            process.stdout.close()


def stored(database_url: str) -> str:
    """Every value of every row, as text."""
    found: list[str] = []
    engine = create_engine(database_url)
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                for value in row:
                    raw = bytes(value).decode() if isinstance(value, bytes | memoryview) else str(value)
                    found.append(f"{table}: {raw}")
    engine.dispose()
    return "\n".join(found)


def amex(agent: Agent, session: Json) -> str:
    """A token for a card with a code of four digits."""
    answer = agent.provider.http.post(
        "/agentic_commerce/delegate_payment",
        json={
            "payment_method": {
                "type": "card",
                "card_number_type": "fpan",
                "number": AMEX,
                "exp_month": "12",
                "exp_year": "2035",
                "cvc": AMEX_CODE,
                "display_card_funding_type": "credit",
                "metadata": {},
            },
            "allowance": {
                "reason": "one_time",
                "max_amount": 1_000_000,
                "currency": "usd",
                "checkout_session_id": session["id"],
                "merchant_id": SHOP["merchant_id"],
                "expires_at": "2035-01-01T00:00:00Z",
            },
            "risk_signals": [{"type": "card_testing", "score": 1, "action": "authorized"}],
            "metadata": {},
        },
        headers={"Authorization": f"Bearer {AGENT}", "API-Version": VERSION, "Idempotency-Key": new_id("k")},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shop_around(agent: Agent) -> list[str]:
    """Purchases with everything that can go wrong; returns the payment tokens that were used."""
    tokens = []
    session = agent.ready({"mug": 1})
    # A decline, an unknown outcome, and then the purchase.
    tokens.append(agent.token_for(session, DECLINED))
    assert said(agent.expect(200, agent.pay(session, tokens[-1]))) == [("payment_declined", None)]
    tokens.append(amex(agent, session))
    for failure in ("error_500", "drop_connection"):
        agent.provider.fail(failure)
    body, path = complete_body(tokens[-1]), f"{path_of(session)}/complete"
    given_up = time.monotonic() + 60
    while (answer := agent.post(path, body, key="purchase")).status_code in {409, 503}:
        assert time.monotonic() < given_up, answer.text
    assert agent.expect(200, answer)["status"] == "completed"
    agent.post(path, body, key="purchase")

    # An agent that has not understood what a token is for: it sends the card itself, everywhere.
    careless = agent.ready({"song": 1})
    path = f"{path_of(careless)}/complete"
    card = {"number": APPROVED, "cvc": AMEX_CODE, "exp_month": "12"}
    for instrument in (
        {"type": "card", "credential": {"type": "spt", "token": "vt_nobody", **card}, **card},
        {"type": "card", "credential": {"type": "card", "token": APPROVED}},
        {"type": "card", "credential": {"type": "spt", "token": {"number": APPROVED}}},
        {"type": APPROVED, "credential": card},
        card,
        APPROVED,
    ):
        answer = agent.post(
            path, {"payment_data": {"handler_id": "card_tokenized", "instrument": instrument}}
        )
        assert answer.status_code in {200, 400}
        assert APPROVED not in answer.text
    for body in (create_body(payment=card), create_body(currency=APPROVED), {"payment_method": card}, card):
        assert agent.post("/checkout_sessions", body).status_code == 400
    assert agent.post("/checkout_sessions", raw=f'{{"number": "{APPROVED}"'.encode()).status_code == 400
    agent.post("/checkout_sessions", create_body(), Authorization=f"Bearer x{MERCHANT_TOKEN}")
    return tokens


def assert_clean_files(database: Path) -> None:
    """To the byte, the log of writes included; also where rows have been deleted since."""
    files = list(database.parent.glob(f"{database.name}*"))
    assert len(files) > 1
    for file in files:
        content = file.read_bytes()
        for secret in (*SECRETS, *CARDS):
            assert secret.encode() not in content, file.name
        assert CODE.search(content) is None, file.name


def assert_discovery_leads_here(agent: Agent) -> None:
    """DIS-06: without a configured address, it tells the one that the server listens on."""
    base = agent.http.get("/.well-known/acp.json").json()["api_base_url"]
    answer = agent.http.post(
        f"{base}/checkout_sessions", json=create_body(), headers=agent.headers(new_id("k"))
    )
    assert answer.status_code == 201


def test_a_purchase_leaves_no_secret_behind(tmp_path: Path, store_url: str) -> None:
    """HTTP-14, DIS-06: nor after declines, unknown outcomes, wrong requests and failed deliveries."""
    with served(tmp_path, store_url) as merchant:
        tokens = shop_around(merchant.agent)
        assert merchant.receiver.accepted.wait(60), "the event was not delivered"
        if store_url.startswith("sqlite"):
            assert_clean_files(Path(store_url.removeprefix("sqlite:///")))
        assert_discovery_leads_here(merchant.agent)
    log, rows = "".join(merchant.log), stored(store_url)
    # The looking would be in vain if nothing had been written.
    for told in ("payment_declined", "payment_outcome_unknown"):
        assert told in log
    for kept in ("ada@example.com", "ord_", "completed"):
        assert kept in rows
    for secret in (*SECRETS, *CARDS, *tokens):
        assert secret not in log
        assert secret not in rows
    assert CODE.search(f"{log} {rows}".encode()) is None
    for line in merchant.log[1:]:
        assert "token" not in json.loads(line)


def test_a_failure_that_nobody_expected_is_logged_without_its_words(tmp_path: Path) -> None:
    """HTTP-14, ERR-07: the words of an exception may repeat a body."""
    fail = False

    def ids(prefix: str) -> str:
        if fail:
            raise ValueError(f"cannot take {APPROVED} of {AGENT}")
        return new_id(prefix)

    with shop_server(tmp_path, ids=ids) as shop, capture_logs() as log:
        session = shop.agent.ready({"song": 1})
        token = shop.agent.token_for(session)
        fail = True
        assert shop.agent.post("/checkout_sessions", create_body()).status_code == 500
        assert shop.agent.pay(session, token).status_code == 500
    failures = [entry for entry in log if entry["event"] == "request_failed"]
    assert [(entry["kind"], entry["path"]) for entry in failures] == [
        ("ValueError", "/checkout_sessions"),
        ("ValueError", f"{path_of(session)}/complete"),
    ]
    assert all(entry["where"][-1].endswith(":ids") for entry in failures)
    for secret in (APPROVED, AGENT, token):
        assert secret not in repr(log)


def test_nothing_that_is_printed_shows_a_secret(tmp_path: Path) -> None:
    """HTTP-14: for whoever prints a setting or a merchant while looking for a fault."""
    with shop_server(tmp_path) as shop:
        for shown in (repr(shop.merchant), repr(shop.merchant.settings), str(shop.merchant.agents)):
            for secret in (AGENT, MERCHANT_TOKEN):
                assert secret not in shown
