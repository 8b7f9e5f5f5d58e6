"""The sandbox: the target file, what it promises, and the endpoints that only tests may use."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.commands import acpref, sandbox

from acpref_agent import AsyncClient, AsyncPaymentProviderClient, PaymentDeclined
from acpref_agent.buyer import Purchase, purchase_async
from acpref_sandbox.demo import wanted
from acpref_sandbox.state import open_state

Running = tuple[dict[str, Any], "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with sandbox(tmp_path_factory.mktemp("sandbox")) as both:
        yield both


@pytest.fixture
def target(running: Running) -> Iterator[dict[str, Any]]:
    """The target, as new."""
    yield running[0]
    assert manage(running[0], "POST", "/reset").json() == {"reset": True}


def manage(target: dict[str, Any], method: str, path: str, body: Any = None) -> httpx.Response:
    management = target["management"]
    return httpx.request(
        method,
        management["base_url"] + path,
        json=body,
        headers={"Authorization": f"Bearer {management['token']}"},
        timeout=20,
        trust_env=False,
    )


def ask(target: dict[str, Any], path: str, body: Any) -> Any:
    """What the seller answers to a POST that it does not refuse."""
    answer = post(target, path, body)
    assert answer.is_success, answer.text
    return answer.json()


def post(target: dict[str, Any], path: str, body: Any) -> httpx.Response:
    """The seller's answer to a POST."""
    return httpx.post(
        f"{target['seller']['base_url']}/checkout_sessions{path}",
        json=body,
        headers={
            "Authorization": f"Bearer {target['seller']['token']}",
            "API-Version": "2026-04-17",
            "Idempotency-Key": str(uuid.uuid4()),
        },
        trust_env=False,
    )


def buy(target: dict[str, Any], item: str | None = None, card: dict[str, str] | None = None) -> Purchase:
    async def run() -> Purchase:
        async with (
            AsyncClient(target["seller"]["base_url"], target["seller"]["token"]) as client,
            AsyncPaymentProviderClient(target["psp"]["base_url"], target["psp"]["token"]) as provider,
        ):
            changed = dict(target)
            if card is not None:
                cards = {**target["fixtures"]["cards"], "approved": card}
                changed["fixtures"] = {**target["fixtures"], "cards": cards}
            return await purchase_async(
                client, provider, wanted(changed, item or target["fixtures"]["items"]["in_stock"])
            )

    return asyncio.run(run())


def operate(target: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    """An operator's command on the sandbox's shop, set up as docs/implementer.md says."""
    return acpref(
        "merchant",
        *arguments,
        ACPREF_DATABASE_URL=target["merchant"]["database_url"],
        ACPREF_PAYMENT__BASE_URL=target["psp"]["base_url"],
        ACPREF_PAYMENT__TOKEN=target["merchant"]["psp_token"],
    )


def test_the_target_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with sandbox(tmp_path) as (target, process):
        assert stat.S_IMODE((tmp_path / "target.json").stat().st_mode) == 0o600
        assert target["target_version"] == 1
    assert process.returncode == 0, "SIGTERM ends a sandbox in order"


def test_the_target_file_is_there_only_while_a_sandbox_answers(tmp_path: Path) -> None:
    file = tmp_path / "target.json"
    file.write_text("of a sandbox that was killed")
    failed = acpref("sandbox", "--port", "0", "--database", "nonsense", "--write-target", str(file))
    assert failed.returncode == 2
    assert not file.exists()
    with sandbox(tmp_path):
        assert file.exists()
    assert not file.exists()


def test_a_sandbox_leaves_the_target_file_of_another_alone(target: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "target.json"
    with sandbox(tmp_path):
        file.write_text(json.dumps(target))
    assert json.loads(file.read_text()) == target
    port = target["seller"]["base_url"].rpartition(":")[2]
    assert acpref("sandbox", "--port", port, "--write-target", str(file)).returncode == 2
    assert json.loads(file.read_text()) == target


def test_beside_a_sqlite_file_everything_is_kept_and_for_its_owner_only(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'shop.db'}"
    with sandbox(tmp_path, "--database", database) as (target, _):
        bought = buy(target)
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(files) >= {"shop.db", "shop.db.psp.db", "shop.db.psp.db.keys.json", "shop.db.tokens.json"}
    assert set(files.values()) == {0o600}
    with sandbox(tmp_path, "--database", database) as (again, _):
        assert again["seller"]["token"] == target["seller"]["token"]
        (charge,) = manage(again, "GET", "/charges").json()["charges"]
        assert charge["checkout_session_id"] == bought.session.id
        done = operate(again, "refund", bought.order.id, "--json")
        assert done.returncode == 0, done.stderr
        (charge,) = manage(again, "GET", "/charges").json()["charges"]
        assert charge["amount_refunded"] == bought.charged


def test_a_spoilt_token_file_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "shop.db.tokens.json").write_text("[]")
    done = acpref("sandbox", "--port", "0", "--database", f"sqlite:///{tmp_path / 'shop.db'}")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "shop.db.tokens.json" in done.stderr


def test_a_password_of_the_database_is_not_in_the_target(tmp_path: Path) -> None:
    state = open_state("postgresql://shop:hidden@db.example.com/shop", tmp_path)
    assert state.shown_url == "postgresql://shop@db.example.com/shop"
    assert "hidden" not in repr(state)


def test_the_target_has_what_operators_commands_need(target: dict[str, Any]) -> None:
    bought = buy(target)
    done = operate(target, "ship", bought.order.id, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "shipped"


def test_fixtures_are_as_promised(target: dict[str, Any]) -> None:
    feed = httpx.get(target["seller"]["feed_url"], trust_env=False).text
    items = target["fixtures"]["items"]
    for name in ("in_stock", "second", "digital", "out_of_stock"):
        assert f'"{items[name]}"' in feed
    assert items["unknown"] not in feed
    assert len(items["last_unit"]) == 5


def test_charges_and_deliveries_are_shown(target: dict[str, Any]) -> None:
    """ORD-01, WH-01."""
    bought = buy(target)
    charges = manage(target, "GET", "/charges").json()["charges"]
    assert [(c["checkout_session_id"], c["amount_captured"]) for c in charges] == [
        (bought.session.id, bought.charged)
    ]
    for _ in range(200):
        deliveries = manage(target, "GET", "/webhook_deliveries").json()["webhook_deliveries"]
        if deliveries:
            break
    assert [entry["event"]["data"]["id"] for entry in deliveries] == [bought.order.id]
    assert deliveries[0]["request_id"].startswith("evt_")


def test_reset_forgets_sessions_charges_and_deliveries(target: dict[str, Any]) -> None:
    bought = buy(target)
    manage(target, "POST", "/reset")
    assert manage(target, "GET", "/charges").json() == {"charges": []}
    answer = httpx.get(
        f"{target['seller']['base_url']}/checkout_sessions/{bought.session.id}",
        headers={"Authorization": f"Bearer {target['seller']['token']}", "API-Version": "2026-04-17"},
        trust_env=False,
    )
    assert answer.status_code == 404


def test_price_and_stock_can_be_set(target: dict[str, Any]) -> None:
    item = target["fixtures"]["items"]["in_stock"]
    assert manage(target, "POST", "/price", {"item": item, "unit_amount": 1234}).status_code == 200
    assert buy(target).session.line_items[0].unit_amount == 1234
    assert manage(target, "POST", "/stock", {"item": item, "quantity": 1}).status_code == 200
    feed = httpx.get(target["seller"]["feed_url"], trust_env=False).text
    assert f'"{item}"' in feed


def test_a_fault_strikes_as_often_as_it_was_armed_and_the_purchase_survives_it(
    target: dict[str, Any],
) -> None:
    """IDEM-16: the 503 that an unknown outcome becomes is not stored; the retry finishes the purchase."""
    manage(target, "POST", "/fault", {"where": "authorize", "kind": "error_500", "times": 2})
    manage(target, "POST", "/fault", {"where": "webhook", "kind": "error_500", "times": 1})
    bought = buy(target)
    assert bought.session.status == "completed"
    captured = [c for c in manage(target, "GET", "/charges").json()["charges"] if c["status"] == "captured"]
    assert len(captured) == 1


def test_reset_disarms_faults(target: dict[str, Any]) -> None:
    manage(target, "POST", "/fault", {"where": "authorize", "kind": "error_500", "times": 10_000})
    manage(target, "POST", "/reset")
    assert buy(target).session.status == "completed"


@pytest.mark.parametrize("card", ["declined", "insufficient_funds", "requires_3ds"])
def test_cards_that_are_declined_leave_no_order(target: dict[str, Any], card: str) -> None:
    """CHK-CMP-06. A card that wants authentication cannot be authenticated here yet."""
    with pytest.raises(PaymentDeclined):
        buy(target, card=target["fixtures"]["cards"][card])


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/clock", {"advance_seconds": -1}, "$.advance_seconds"),
        ("/stock", {"item": "x", "quantity": "1"}, "$.quantity"),
        ("/price", {"item": "x"}, "$.unit_amount"),
        ("/fault", {"where": "moon", "kind": "slow"}, "$.where"),
        ("/stock", {"item": "x", "quantity": 2**63}, "$.quantity"),
        ("/price", {"item": "x", "unit_amount": 2**63}, "$.unit_amount"),
    ],
)
def test_management_refuses_what_it_does_not_understand(
    target: dict[str, Any], path: str, body: Any, param: str
) -> None:
    answer = manage(target, "POST", path, body)
    assert answer.status_code == 400
    assert answer.json()["param"] == param


def test_management_bodies_are_bounded(target: dict[str, Any]) -> None:
    """ERR-06."""
    answer = manage(target, "POST", "/stock", "x" * 1024 * 1024)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_the_clock_can_be_advanced_again_and_again_but_not_out_of_the_calendar(
    target: dict[str, Any],
) -> None:
    """HTTP-12: times on the wire have four digits for the year."""
    for _ in range(100):
        answer = manage(target, "POST", "/clock", {"advance_seconds": 400 * 24 * 3600})
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["param"]) == (400, "$.advance_seconds")


def test_the_fullest_session_at_the_highest_price_is_still_an_amount(target: dict[str, Any]) -> None:
    """CHK-TOT-01, CHK-CMP-05: and paying it is refused, since it is more than can be charged at once."""
    item, most = target["fixtures"]["items"]["second"], 100_000
    assert manage(target, "POST", "/price", {"item": item, "unit_amount": 10**11}).status_code == 200
    session = ask(
        target,
        "",
        {
            "line_items": [{"id": item, "quantity": most}],
            "currency": target["currency"],
            "capabilities": {},
            "buyer": {"email": "ada@example.com"},
            "fulfillment_details": {"address": target["fixtures"]["addresses"]["serviceable"]},
        },
    )
    option = next(one["id"] for one in session["fulfillment_options"] if one["type"] == "shipping")
    choice = {"type": "shipping", "option_id": option, "item_ids": [item]}
    session = ask(target, f"/{session['id']}", {"selected_fulfillment_options": [choice]})
    assert session["status"] == "ready_for_payment"
    assert max(entry["amount"] for entry in session["totals"]) > most * 10**11
    credential = {"type": "spt", "token": "vt_nobody"}
    payment = {"handler_id": "card_tokenized", "instrument": {"type": "card", "credential": credential}}
    refused = post(target, f"/{session['id']}/complete", {"payment_data": payment})
    assert (refused.status_code, refused.json()["code"]) == (400, "not_ready_for_payment")
    assert "more than can be charged" in refused.json()["message"]


@pytest.mark.parametrize("party", ["seller", "psp", "agent"])
def test_no_party_takes_endless_heads_or_speaks_anything_but_flat_errors(
    target: dict[str, Any], party: str
) -> None:
    """ERR-01."""
    base = target[party]["base_url"]
    many = httpx.get(base, headers={f"X-{n}": "v" for n in range(200)}, trust_env=False)
    assert (many.status_code, many.json()["code"]) == (431, "headers_too_large")
    host, _, port = base.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(b"hello\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "invalid_request"


def test_management_needs_its_own_token(target: dict[str, Any]) -> None:
    other = {**target, "management": {**target["management"], "token": target["seller"]["token"]}}
    assert manage(other, "GET", "/charges").status_code == 401


def test_a_taken_port_is_wrong_usage(target: dict[str, Any]) -> None:
    port = target["seller"]["base_url"].rpartition(":")[2]
    done = acpref("sandbox", "--port", port)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert port in done.stderr
