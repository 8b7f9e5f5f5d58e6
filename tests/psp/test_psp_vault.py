"""What the vault keeps, what it never keeps, and what survives."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.psp.server import (
    AGENT,
    APPROVED,
    DELEGATE,
    MERCHANT,
    MERCHANT_ID,
    Psp,
    agent_headers,
    body,
    running,
    settings,
)
from typer.testing import CliRunner

from acpref_protocol.models import DelegatePaymentRequest
from acpref_psp import keys
from acpref_psp.cli import app as cli
from acpref_psp.store import Store, StoreClosedError

AMEX, AMEX_CODE = "378282246310005", "7391"


def column(psp: Psp, sql: str) -> list[Any]:
    with sqlite3.connect(psp.folder / "psp.db") as database:
        return [row[0] for row in database.execute(sql)]


def test_no_card_number_and_no_code_is_in_any_file_log_or_answer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """HTTP-14, DP-SEC-01: everything that traffic leaves behind is searched."""
    seen: list[str] = []
    with running(tmp_path) as psp:
        card = {"payment_method__number": AMEX, "payment_method__cvc": AMEX_CODE}
        good = body(**card)
        contents = (
            good,
            body(**card, payment_method__cryptogram="Y3J5cHRvZ3JhbQ"),
            body(**card, allowance__max_amount=0),
            body(**{**card, "payment_method__cvc": AMEX_CODE + "9"}),
            body(**card, extra=AMEX),
            {**good, AMEX: AMEX_CODE},
            {"payment_method": AMEX},
        )
        # Keys without digits by chance: the code would be found in them.
        for number, content in enumerate(contents):
            seen += [psp.delegate(content, key=key).text for key in ("k", f"key-{number}")]
        seen.append(
            psp.http.post(DELEGATE, content=f'{{"{AMEX}": 1, "{AMEX}": 2}}', headers=agent_headers()).text
        )
        seen.append(psp.charge(AMEX).text)
        seen.append(psp.charge(psp.token(**card)).text)
        psp.app.state.faults.arm("delegate_payment", "error_500")
        seen.append(psp.delegate(good).text)
        seen.append(repr(DelegatePaymentRequest.model_validate(good).payment_method))
        files = {file.name: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        assert any(name.startswith("psp.db") and len(content) > 4096 for name, content in files.items())
    out, err = capfd.readouterr()
    for needle in (AMEX, AMEX_CODE, "Y3J5cHRvZ3JhbQ"):
        assert needle not in out + err
        assert not [text for text in seen if needle in text]
    # A code of four digits stands in ciphertext or a random id now and then; with a column apart it would stand alone.
    for name, content in files.items():
        assert AMEX.encode() not in content, name
    for table in ("vault_token", "charge", "refund", "idempotency_record"):
        with sqlite3.connect(tmp_path / "psp.db") as database:
            values = [value for row in database.execute(f"SELECT * FROM {table}") for value in row]
        assert not [
            value for value in values if value == AMEX_CODE or (isinstance(value, str) and AMEX in value)
        ]


def test_a_failure_inside_leaves_no_trace_of_its_reason(
    fresh: Psp, capfd: pytest.CaptureFixture[str]
) -> None:
    """HTTP-14, ERR-07."""
    token = fresh.token(payment_method__number=AMEX, payment_method__cvc=AMEX_CODE)
    with sqlite3.connect(fresh.folder / "psp.db") as database:
        database.execute("UPDATE vault_token SET sealed_number = zeroblob(40)")
    response = fresh.charge(token)
    assert response.status_code == 500
    assert response.json()["code"] == "internal_server_error"
    out, err = capfd.readouterr()
    assert "KeyDocumentError" in out + err
    assert "Traceback" not in out + err


def test_the_number_is_sealed_and_erased_once_the_token_has_paid(fresh: Psp) -> None:
    """DP-SEC-01."""
    token, unused = fresh.token(), fresh.token()
    assert all(
        sealed and APPROVED.encode() not in sealed
        for sealed in column(fresh, "SELECT sealed_number FROM vault_token")
    )
    fresh.charge(token)
    left = column(fresh, "SELECT id FROM vault_token WHERE sealed_number IS NOT NULL")
    assert left == [unused]


def test_the_number_is_erased_once_the_allowance_has_expired(fresh: Psp) -> None:
    """DP-SEC-01."""
    fresh.token()
    fresh.clock.advance(3600)
    later = fresh.token(allowance__expires_at="2026-04-13T00:00:00Z")
    assert column(fresh, "SELECT id FROM vault_token WHERE sealed_number IS NOT NULL") == [later]


def test_fingerprints_tell_cards_apart_but_depend_on_the_key(tmp_path: Path) -> None:
    prints: list[list[str]] = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with running(tmp_path / name) as psp:
            for number in (APPROVED, APPROVED, "5555555555554444"):
                psp.token(payment_method__number=number)
            prints.append(column(psp, "SELECT fingerprint FROM vault_token ORDER BY created_at, rowid"))
    first, second = prints
    assert first[0] == first[1] != first[2]
    assert not set(first) & set(second)


def test_the_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    file = tmp_path / "psp.db.keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    with pytest.raises(keys.KeyDocumentError, match="0600"), running(tmp_path):
        pass


def test_tokens_outlive_restarts_and_key_rotation(tmp_path: Path) -> None:
    with running(tmp_path) as psp:
        old = psp.token()
    file = tmp_path / "psp.db.keys.json"
    result = CliRunner().invoke(cli, ["rotate-keys", str(file)])
    assert result.exit_code == 0, result.output
    assert result.output == f"{file}: k2 seals from the next start on; k1 still opens what was sealed.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with running(tmp_path) as psp:
        new = psp.token()
        assert column(psp, "SELECT key_id FROM vault_token ORDER BY rowid") == ["k1", "k2"]
        assert [psp.charge(token).status_code for token in (old, new)] == [201, 201]


def test_a_rotation_is_told_as_json_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys.from_file(file)
    for current, older in (("k2", ["k1"]), ("k3", ["k1", "k2"])):
        result = CliRunner().invoke(cli, ["rotate-keys", str(file), "--json"])
        assert json.loads(result.stdout) == {"file": str(file), "current": current, "older": older}


def test_a_sealed_number_opens_for_its_own_token_only() -> None:
    ring = keys.parse(keys.generate())
    key_id, sealed = ring.seal(APPROVED, "vt_1")
    assert ring.open(key_id, sealed, "vt_1") == APPROVED
    for broken in (lambda: ring.open(key_id, sealed, "vt_2"), lambda: ring.open("k9", sealed, "vt_1")):
        with pytest.raises(keys.KeyDocumentError):
            broken()
    assert repr(ring) == "KeyRing(current='k1', keys=['k1'])"


@pytest.mark.parametrize(
    "document", ["", "{}", "[]", '{"current": "k1", "sealing": {"k1": "AA"}, "hashing": "AA=="}']
)
def test_a_broken_key_document_is_refused_in_words(tmp_path: Path, document: str) -> None:
    with pytest.raises(keys.KeyDocumentError):
        keys.parse(document)


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "psp.db") as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(RuntimeError, match="newer"):
        Store(tmp_path / "psp.db").open()


@pytest.mark.anyio
async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "psp.db")
    store.open()
    store.close()
    with pytest.raises(StoreClosedError):
        await store.run(lambda _: None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_settings_show_no_secret(tmp_path: Path) -> None:
    shown = repr(settings(tmp_path, keys=SecretStr(keys.generate())))
    assert AGENT not in shown
    assert MERCHANT not in shown
    assert "hashing" not in shown


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "ACPREF_PSP_DATABASE": str(folder / "psp.db"),
        "ACPREF_PSP_AGENTS": f'{{"agent_a": "{AGENT}"}}',
        "ACPREF_PSP_MERCHANTS": f'{{"{MERCHANT_ID}": "{MERCHANT}"}}',
    }


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The service as its users start it, and the URL that it announces once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from acpref_psp.cli import app; app()", "serve", "--port", "0"],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("payment provider on http://127.0.0.1:"), line + process.communicate()[0]
    return process, line.split()[-1]


def test_what_was_answered_survives_kill_9_and_what_is_repeated_happens_once(tmp_path: Path) -> None:
    """IDEM-14, IDEM-22, DP-TOK-03: SIGKILL under load; then every request again under its key."""
    bodies = {
        f"key-{n}": body(allowance__expires_at="2099-01-01T00:00:00Z", payment_method__exp_year="2099")
        for n in range(60)
    }
    tokens: dict[str, str] = {}
    charged: dict[str, str] = {}

    def buy(key: str, http: httpx.Client, answers: dict[str, tuple[str, str | None]]) -> None:
        with suppress(httpx.TransportError):
            token = http.post(DELEGATE, json=bodies[key], headers=agent_headers(key=key)).json()["id"]
            answers[key] = (token, None)
            content = {
                "token": token,
                "amount": 100,
                "currency": "usd",
                "checkout_session_id": "cs_1",
                "capture": True,
            }
            headers = {"Authorization": f"Bearer {MERCHANT}", "Idempotency-Key": key}
            answers[key] = (token, http.post("/v1/charges", json=content, headers=headers).json()["id"])

    for kill_after in (25, None):
        process, base = start(tmp_path)
        answers: dict[str, tuple[str, str | None]] = {}
        with httpx.Client(base_url=base, timeout=10) as http, ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(buy, key, http, answers) for key in bodies]
            if kill_after is not None:
                jobs[kill_after].result()
                process.send_signal(signal.SIGKILL)
            for job in jobs:
                job.result()
        for key, (token, charge) in answers.items():
            assert tokens.setdefault(key, token) == token, "an answered token was lost or made twice"
            if charge is not None:
                assert charged.setdefault(key, charge) == charge, "an answered charge was lost or made twice"
        if kill_after is None:
            with httpx.Client(base_url=base, timeout=10) as http:
                listed = http.get(
                    "/v1/charges", params={"limit": 1000}, headers={"Authorization": f"Bearer {MERCHANT}"}
                ).json()["data"]
            process.terminate()
        output = process.communicate(timeout=20)[0]
        assert APPROVED not in output
    assert len(charged) == len(bodies)
    assert sorted(charge["id"] for charge in listed) == sorted(charged.values())
    assert {charge["amount_captured"] for charge in listed} == {100}


def test_serve_bounds_what_a_connection_may_carry(tmp_path: Path) -> None:
    """ERR-01: flat, as every refusal."""
    process, base = start(tmp_path)
    try:
        response = httpx.get(f"{base}/v1/charges", headers={f"X-{n}": "v" for n in range(200)})
        assert (response.status_code, response.json()["code"]) == (431, "headers_too_large")
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_serve_names_the_setting_that_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["serve"], env={"ACPREF_PSP_DATABASE": str(tmp_path / "psp.db")})
    assert result.exit_code == 2
    assert "ACPREF_PSP_AGENTS" in result.output
    remote = CliRunner().invoke(cli, ["serve", "--host", "0.0.0.0"])
    assert remote.exit_code == 2
    assert "loopback" in remote.output
