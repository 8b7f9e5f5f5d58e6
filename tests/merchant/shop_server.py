"""A merchant and its payment provider on real sockets, and an agent that checks every answer it gets.

Whatever an ``Agent`` receives is JSON, repeats Request-Id and Idempotency-Key, and is valid by the published kind of
JSON Schema for its path, be it a session, an order or an error: no test has to say so again.
"""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from referencing import Registry, Resource
from sqlalchemy import func, select
from tests.merchant.domain_world import RENO, SHOP
from tests.psp.server import HandClock, serving

from acpref_merchant.clock import NewId, new_id
from acpref_merchant.domain.shop import Shop
from acpref_merchant.http.app import create_app
from acpref_merchant.operations.call import Merchant
from acpref_merchant.serve import open_merchant
from acpref_merchant.settings import AgentSettings, PaymentSettings, Settings
from acpref_merchant.store import items
from acpref_merchant.store.statement import Statement
from acpref_merchant.store.tables import CHECKOUT_SESSION as SESSION
from acpref_merchant.store.tables import IDEMPOTENCY, ITEM, ORDER, OUTBOX, PAYMENT
from acpref_protocol import schemas
from acpref_psp.app import create_app as create_psp
from acpref_psp.settings import Settings as PspSettings

Json = dict[str, Any]

VERSION = "2026-04-17"
AGENT, OTHER_AGENT = "token-of-the-first-agent", "token-of-the-other-agent"
MERCHANT_TOKEN = "token-of-the-merchant"
START = 1_776_000_000_000  # 2026-04-12T13:20:00Z
APPROVED, DECLINED, NEEDS_3DS = "4242424242424242", "4000000000000002", "4000002760003184"
BUYER = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Park"}
CAPABILITIES: Json = {"interventions": {"supported": []}}
HANDLER = "card_tokenized"


def _product(item_id: str, price: int, stock: int | None, **more: Any) -> Json:
    variant = {"id": item_id, "title": "One", "price": price, "stock": stock}
    for name in ("weight_grams", "max_quantity_per_order"):
        if name in more:
            variant[name] = more.pop(name)
    return {"id": f"product_{item_id}", "title": item_id.title(), "variants": [variant], **more}


# Items of which a test changes the price or the stock have a name of their own; the others never run out.
PRODUCTS: tuple[Json, ...] = (
    _product(
        "mug",
        1200,
        1_000_000,
        category="mugs",
        weight_grams=400,
        fulfillment=["shipping", "pickup"],
        images=["https://shop.example/mug.jpg"],
        disclosures=["Holds *hot* liquids."],
    ),
    _product(
        "lamp",
        4599,
        1_000_000,
        weight_grams=1500,
        fulfillment=["shipping", "pickup", "local_delivery"],
        max_quantity_per_order=3,
    ),
    _product("book", 2000, 1_000_000, tax_class="exempt"),
    _product("song", 199, None, fulfillment=["digital"]),
    _product("gift", 0, None, fulfillment=["digital"]),
    _product("gone", 900, 0),
    _product("scarce", 900, 2),
    _product("contested", 1500, 10),
    _product("unsteady", 3000, 1_000_000),
    _product("rationed", 700, 1_000_000),
)


@cache
def validator(document: str, name: str) -> Draft202012Validator:
    """A validator for one definition of the JSON Schema documents, formats included."""
    documents = [schemas.document(VERSION, each) for each in schemas.names(VERSION)]
    registry: Registry[Any] = Registry().with_resources(
        [(each["$id"], Resource.from_contents(each)) for each in documents]
    )
    return Draft202012Validator(
        {"$ref": f"{schemas.identifier(VERSION, document)}#/$defs/{name}"},
        registry=registry,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


def assert_valid(value: Any, name: str, document: str = "agentic_checkout") -> None:
    """``value`` matches the definition ``name``."""
    wrong = [f"{e.json_path}: {e.message}" for e in validator(document, name).iter_errors(value)]
    assert wrong == []


def assert_error(response: httpx.Response) -> Json:
    """The answer is a flat error that the schema allows and that a client can act on (ERR-01 to ERR-06)."""
    assert response.headers["content-type"] == "application/json", response.text
    error: Json = response.json()
    assert_valid(error, "Error")
    assert (
        error["type"] == "invalid_request"
        if response.status_code < 500
        else error["type"] != "invalid_request"
    )
    assert error["message"]
    param = error.get("param")
    assert param is None or param.startswith("$") or param in HEADER_PARAMS, param
    if response.status_code == 405:
        assert response.headers["allow"]
    if response.status_code in {409, 503}:
        assert int(response.headers["retry-after"]) >= 1
    return error


HEADER_PARAMS = {"API-Version", "Idempotency-Key", "Content-Type"}


class Gate:
    """Stands before the payment provider and can be closed to charges; those wait until it opens again."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Semaphore(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/charges" and scope["method"] == "POST":
            self._arrived.release()
            await asyncio.get_running_loop().run_in_executor(None, self._open.wait)
        await self.app(scope, receive, send)

    @contextmanager
    def closed(self) -> Iterator[Callable[[], None]]:
        """Close the gate for the block; yields a function that waits until a charge stands before it."""
        self._arrived = threading.Semaphore(0)
        self._open.clear()

        def wait() -> None:
            assert self._arrived.acquire(timeout=20), "no charge came"

        try:
            yield wait
        finally:
            self._open.set()


@dataclass
class Provider:
    """The payment provider, as the test arms it and reads its books."""

    url: str
    app: Any
    gate: Gate
    http: httpx.Client

    def fail(self, kind: str, times: int = 1, where: str = "authorize") -> None:
        """The next ``times`` charges fail as ``kind``."""
        self.app.state.faults.arm(where, kind, times)

    def recover(self) -> None:
        """Nothing fails any more."""
        self.app.state.faults.clear()

    def charges(self, session_id: str | None = None) -> list[Json]:
        """Every charge (of one session), first to last."""
        found: list[Json] = []
        after: int | None = 0
        while after is not None:
            query: dict[str, Any] = {"after": after}
            if session_id is not None:
                query["checkout_session_id"] = session_id
            page = self.http.get(
                "/v1/charges", params=query, headers={"Authorization": f"Bearer {MERCHANT_TOKEN}"}
            )
            assert page.status_code == 200, page.text
            found += page.json()["data"]
            after = page.json()["next"]
        return found


class Agent:
    """A buying agent. Its calls fail the test when an answer breaks a rule that holds for every answer."""

    def __init__(
        self, http: httpx.Client, provider: Provider, clock: Callable[[], int], token: str = AGENT
    ) -> None:
        self.http = http
        self.provider = provider
        self.clock = clock
        self.token = token

    # --- plain requests -------------------------------------------------------------------------------------------

    def headers(self, key: str | None = None, **more: str | None) -> dict[str, str]:
        """The headers of a request; ``more`` with underscores for hyphens, ``None`` to leave one out."""
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token}",
            "API-Version": VERSION,
            "Request-Id": f"req-{uuid.uuid4()}",
            "Idempotency-Key": key,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return {name: value for name, value in sent.items() if value is not None}

    def post(
        self,
        path: str,
        body: Any = ...,
        *,
        key: Any = None,
        raw: Any = None,
        **more: Any,
    ) -> httpx.Response:
        """A POST under a fresh key, unless one is given; ``raw`` sends these bytes instead of a JSON ``body``."""
        more.setdefault("Content_Type", "application/json" if raw is not None or body is not ... else None)
        sent = self.headers(key or str(uuid.uuid4()), **more)
        content = raw if raw is not None or body is ... else json.dumps(body).encode()
        return check(self.http.post(path, content=content, headers=sent))

    def get(self, path: str, **more: str | None) -> httpx.Response:
        return check(self.http.get(path, headers=self.headers(**more)))

    # --- checkout -------------------------------------------------------------------------------------------------

    def create(self, lines: dict[str, int] | None = None, **body: Any) -> Json:
        """A new session of ``lines``, one mug unless said otherwise."""
        return self.expect(201, self.post("/checkout_sessions", create_body(lines, **body)))

    def update(self, session: Json | str, **body: Any) -> Json:
        return self.expect(200, self.post(path_of(session), body))

    def read(self, session: Json | str) -> Json:
        return self.expect(200, self.get(path_of(session)))

    def cancel(self, session: Json | str) -> Json:
        return self.expect(200, self.post(f"{path_of(session)}/cancel"))

    def ready(self, lines: dict[str, int] | None = None, **body: Any) -> Json:
        """A session that only waits for the payment: to Reno by standard shipping, downloads by themselves."""
        session = self.create(lines, buyer=BUYER, fulfillment_details={"address": RENO}, **body)
        standard = next((one for one in session["fulfillment_options"] if one["id"] == "standard"), None)
        if standard is not None:
            shipped = [
                line["id"] for line in session["line_items"] if line["item"]["id"] not in {"song", "gift"}
            ]
            session = self.update(session, selected_fulfillment_options=[choice("standard", *shipped)])
        assert session["status"] == "ready_for_payment", session["messages"]
        return session

    def token_for(self, session: Json, card: str = APPROVED, **allowance: Any) -> str:
        """A payment token for the session's total (PAY-15, PAY-16)."""
        grant = {
            "reason": "one_time",
            "max_amount": max(1, total(session)),
            "currency": session["currency"],
            "checkout_session_id": session["id"],
            "merchant_id": SHOP["merchant_id"],
            "expires_at": datetime.fromtimestamp(self.clock() / 1000 + 900, UTC).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            **allowance,
        }
        answer = self.provider.http.post(
            "/agentic_commerce/delegate_payment",
            json=delegation(card, grant),
            headers={
                "Authorization": f"Bearer {self.token}",
                "API-Version": VERSION,
                "Idempotency-Key": str(uuid.uuid4()),
            },
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def pay(
        self, session: Json, token: str | None = None, *, key: str | None = None, **body: Any
    ) -> httpx.Response:
        """Complete the session with ``token``, or with a fresh one for its total."""
        content = complete_body(token or self.token_for(session), **body)
        return self.post(f"{path_of(session)}/complete", content, key=key)

    def buy(self, lines: dict[str, int] | None = None, **body: Any) -> Json:
        """A completed session."""
        done = self.expect(200, self.pay(self.ready(lines, **body)))
        assert done["status"] == "completed", done["messages"]
        return done

    @staticmethod
    def expect(status: int, response: httpx.Response) -> Json:
        assert response.status_code == status, response.text
        answer: Json = response.json()
        return answer

    def refused(self, response: httpx.Response, status: int, code: str, param: str | None = None) -> Json:
        """The answer is this error, about this place."""
        error: Json = response.json()
        assert (response.status_code, error["code"], error.get("param")) == (status, code, param), (
            response.text
        )
        return error


def check(response: httpx.Response) -> httpx.Response:
    """What holds for every answer: HTTP-03, HTTP-08, HTTP-10, ERR-01 and the JSON Schema of what it holds."""
    sent, got = response.request.headers, response.headers
    assert got["content-type"] == "application/json", response.text
    for header in ("Request-Id", *(["Idempotency-Key"] if response.request.method == "POST" else [])):
        value = sent.get(header)
        if value and value.isascii() and value.isprintable() and len(value) <= 255:
            assert got.get(header) == value, (header, response.status_code)
    if response.status_code >= 400:
        assert_error(response)
        return response
    assert "idempotent-replayed" not in got or got["idempotent-replayed"] == "true"  # IDEM-12
    path = response.request.url.path
    if path.startswith("/checkout_sessions"):
        session = response.json()
        with_order = path.endswith("/complete") and session["status"] == "completed"
        assert_valid(session, "CheckoutSessionWithOrder" if with_order else "CheckoutSession")
        assert session["protocol"] == {"version": VERSION}  # VER-06, VER-07
    elif path.startswith("/orders/"):
        assert_valid(response.json(), "Order")
    return response


@dataclass
class ShopServer:
    """Everything that a test of the REST binding works with."""

    url: str
    merchant: Merchant
    provider: Provider
    clock: HandClock
    http: httpx.Client
    agent: Agent
    other: Agent

    def set_price(self, item_id: str, unit_amount: int) -> None:
        assert self.merchant.store.run_sync(lambda tx: items.set_unit_amount(tx, item_id, unit_amount))

    def set_stock(self, item_id: str, on_hand: int | None) -> None:
        assert self.merchant.store.run_sync(lambda tx: items.set_stock(tx, item_id, on_hand))

    def stock(self, item_id: str) -> tuple[int | None, int]:
        """Units on hand and reserved."""
        rows = self.merchant.store.read_sync(lambda tx: tx.rows(_STOCK))
        return next((row[1], row[2]) for row in rows if row[0] == item_id)

    def counts(self) -> dict[str, int]:
        """How many rows the tables have that a request could add to."""
        return self.merchant.store.read_sync(
            lambda tx: {name: int((tx.row(count) or (0,))[0]) for name, count in _COUNTS.items()}
        )


_STOCK = Statement(select(ITEM.c.id, ITEM.c.on_hand, ITEM.c.reserved))
_COUNTS = {
    table.name: Statement(select(func.count()).select_from(table))
    for table in (SESSION, IDEMPOTENCY, PAYMENT, ORDER, OUTBOX)
}


@contextmanager
def shop_server(
    folder: Path,
    database_url: str | None = None,
    *,
    products: Iterable[Json] = PRODUCTS,
    adapt_shop: Callable[[Shop], Shop] = lambda shop: shop,
    ids: NewId = new_id,
    agents: tuple[AgentSettings, ...] = (),
    timeout_seconds: float = 10.0,
    connections: int = 64,
    **settings: Any,
) -> Iterator[ShopServer]:
    """A shop in ``folder``, by default on SQLite; ``settings`` are further ones of the merchant."""
    clock = HandClock(START)
    folder.mkdir(parents=True, exist_ok=True)
    catalog = folder / "catalog"
    catalog.mkdir()
    (catalog / "shop.json").write_text(json.dumps(SHOP))
    (catalog / "products.jsonl").write_text("".join(json.dumps(product) + "\n" for product in products))
    opened: list[Merchant] = []
    with ExitStack() as stack:
        psp = create_psp(
            PspSettings(
                database=folder / "psp.db",
                agents={"agent": SecretStr(AGENT), "other": SecretStr(OTHER_AGENT)},
                merchants={SHOP["merchant_id"]: SecretStr(MERCHANT_TOKEN)},
            ),
            clock,
        )
        gate = Gate(psp)
        psp_url = stack.enter_context(serving(gate))
        merchant = Settings(
            **{
                "database_url": database_url or f"sqlite:///{folder / 'merchant.db'}",
                "catalog": catalog,
                "api_base_url": "https://shop.example/acp",
                "agents": (
                    AgentSettings(id="agent", token=SecretStr(AGENT)),
                    AgentSettings(id="other", token=SecretStr(OTHER_AGENT)),
                    *agents,
                ),
                "payment": PaymentSettings(
                    base_url=psp_url, token=SecretStr(MERCHANT_TOKEN), timeout_seconds=timeout_seconds
                ),
                **settings,
            }
        )
        app = create_app(
            lambda: open_merchant(merchant, clock=clock, ids=ids, adapt_shop=adapt_shop),
            extend=lambda _, edge: opened.append(edge.merchant),
        )
        url = stack.enter_context(serving(app))
        limits = httpx.Limits(max_connections=connections)
        http, psp_http = (
            stack.enter_context(httpx.Client(base_url=base, timeout=30, limits=limits, trust_env=False))
            for base in (url, psp_url)
        )
        provider = Provider(psp_url, psp, gate, psp_http)
        yield ShopServer(
            url,
            opened[0],
            provider,
            clock,
            http,
            Agent(http, provider, clock),
            Agent(http, provider, clock, OTHER_AGENT),
        )


# --- bodies -----------------------------------------------------------------------------------------------------------


def create_body(lines: dict[str, int] | None = None, **more: Any) -> Json:
    """The body of a create; ``more`` over it."""
    wanted = {"mug": 1} if lines is None else lines
    return {
        "line_items": [{"id": item_id, "quantity": quantity} for item_id, quantity in wanted.items()],
        "currency": "usd",
        "capabilities": copy.deepcopy(CAPABILITIES),
        **more,
    }


def complete_body(token: str, **more: Any) -> Json:
    """The body of a complete; ``more`` over it."""
    instrument = {"type": "card", "credential": {"type": "spt", "token": token}}
    return {"payment_data": {"handler_id": HANDLER, "instrument": instrument}, **more}


def delegation(card: str, allowance: Json) -> Json:
    """The body with which an agent delegates a card."""
    return {
        "payment_method": {
            "type": "card",
            "card_number_type": "fpan",
            "number": card,
            "exp_month": "12",
            "exp_year": "2030",
            "cvc": "1379" if card.startswith("37") else "137",
            "display_card_funding_type": "credit",
            "metadata": {},
        },
        "allowance": allowance,
        "risk_signals": [{"type": "card_testing", "score": 1, "action": "authorized"}],
        "metadata": {},
    }


def choice(option_id: str, *item_ids: str, kind: str = "shipping") -> Json:
    """An entry of selected_fulfillment_options."""
    return {"type": kind, "option_id": option_id, "item_ids": list(item_ids)}


def path_of(session: Json | str) -> str:
    return f"/checkout_sessions/{session if isinstance(session, str) else session['id']}"


def total(session: Json, kind: str = "total") -> int:
    """The amount of the one entry of type ``kind`` in the session's totals; 0 when there is none."""
    found = [entry["amount"] for entry in session["totals"] if entry["type"] == kind]
    assert len(found) <= 1
    return int(found[0]) if found else 0


def said(session: Json, kind: str = "error") -> list[tuple[str, str | None]]:
    """Code and param of every message of a type, in order."""
    return [(one["code"], one.get("param")) for one in session["messages"] if one["type"] == kind]


@dataclass(frozen=True)
class RawAnswer:
    """What came back over a plain socket. ``headers`` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(url: str, *parts: bytes, end: bool = False) -> RawAnswer | None:
    """Send ``parts`` over a plain socket; ``end`` then closes the sending side.

    Returns the one answer that came before the server closed the connection, or ``None`` if there was none. Send
    ``Connection: close`` where an answer is expected.
    """
    host, _, port = url.rpartition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        for part in parts:
            connection.sendall(part)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return received(connection)


def received(connection: socket.socket) -> RawAnswer | None:
    """The answer that comes before the server closes ``connection``."""
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    assert len(headers) == len(fields), f"a header came twice: {lines}"
    return RawAnswer(int(status.split()[1]), headers, body)


def raw_request(method: str, path: str, body: bytes = b"", **more: bytes) -> bytes:
    """The bytes of a request with good headers; ``more``, with underscores for hyphens, replaces or adds some."""
    fields = {
        "Host": b"shop",
        "Authorization": f"Bearer {AGENT}".encode(),
        "API-Version": VERSION.encode(),
        "Idempotency-Key": str(uuid.uuid4()).encode(),
        "Content-Type": b"application/json",
        "Content-Length": str(len(body)).encode(),
        "Connection": b"close",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    lines = [name.encode() + b": " + value for name, value in fields.items()]
    return f"{method} {path} HTTP/1.1".encode() + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body
