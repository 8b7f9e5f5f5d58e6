"""The requests of many purchases: every session is created, read, updated until it can be paid, and completed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.benchmarks.load import encode

VERSION = "2026-04-17"
AGENT_TOKEN = "sandbox_benchmark_agent_token"
MERCHANT_TOKEN = "sandbox_benchmark_merchant_token"
WEBHOOK_SECRET = "sandbox_benchmark_webhook_secret"
STOCK = 10_000_000

BUYER = {
    "first_name": "Ada",
    "last_name": "Park",
    "email": "ada@example.com",
    "phone_number": "15551230000",
}
ADDRESS = {
    "name": "Ada Park",
    "line_one": "500 Howard Street",
    "city": "San Francisco",
    "state": "CA",
    "country": "US",
    "postal_code": "94105",
}


def stock_catalog(sample: Path, target: Path) -> None:
    """Copy a catalog and give everything that ships, in any quantity, enough stock for any run."""
    shutil.copytree(sample, target)
    products = []
    for product in _products(sample):
        for variant in _shipped(product):
            variant["stock"] = STOCK
        products.append(json.dumps(product) + "\n")
    (target / "products.jsonl").write_text("".join(products), encoding="utf-8")


def stocked_items(catalog: Path) -> list[str]:
    """The ids of the items that ``stock_catalog`` has stocked."""
    return [str(variant["id"]) for product in _products(catalog) for variant in _shipped(product)]


def _products(catalog: Path) -> Iterator[dict[str, Any]]:
    for line in (catalog / "products.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _shipped(product: dict[str, Any]) -> list[dict[str, Any]]:
    if "shipping" not in product.get("fulfillment", ["shipping"]):
        return []
    return [
        variant for variant in product["variants"] if "max_quantity_per_order" not in {**product, **variant}
    ]


class Shopper:
    """Writes requests, each POST under an idempotency key of its own."""

    def __init__(self, items: Sequence[str], merchant_id: str, currency: str) -> None:
        self._items = items
        self._merchant_id = merchant_id
        self._currency = currency
        self._keys = 0

    def creates(self, count: int) -> list[bytes]:
        """``count`` sessions with two lines each, a buyer and an address."""
        wanted = len(self._items)
        return [
            self._post(
                "/checkout_sessions",
                {
                    "line_items": [
                        {"id": self._items[number % wanted], "quantity": 1 + number % 2},
                        {"id": self._items[(number + wanted // 2) % wanted]},
                    ],
                    "currency": self._currency,
                    "buyer": BUYER,
                    "fulfillment_details": {
                        "name": "Ada Park",
                        "phone_number": "15551230000",
                        "email": "ada@example.com",
                        "address": ADDRESS,
                    },
                    "capabilities": {"interventions": {"supported": ["3ds"]}},
                },
            )
            for number in range(count)
        ]

    def gets(self, sessions: Iterable[dict[str, Any]]) -> list[bytes]:
        """One read of each session."""
        return [
            encode("GET", f"/checkout_sessions/{session['id']}", headers=self._headers())
            for session in sessions
        ]

    def updates(self, sessions: Iterable[dict[str, Any]]) -> list[bytes]:
        """One update of each session: another quantity, and the shipping option that is offered first."""
        return [self._post(f"/checkout_sessions/{session['id']}", _update(session)) for session in sessions]

    def delegations(self, sessions: Iterable[dict[str, Any]]) -> list[bytes]:
        """For the payment provider: one token for the total of each session."""
        expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        return [
            self._post(
                "/agentic_commerce/delegate_payment",
                {
                    "payment_method": {
                        "type": "card",
                        "card_number_type": "fpan",
                        "number": "4242424242424242",
                        "exp_month": "12",
                        "exp_year": "2030",
                        "cvc": "123",
                        "display_card_funding_type": "credit",
                        "display_brand": "visa",
                        "display_last4": "4242",
                        "metadata": {},
                    },
                    "allowance": {
                        "reason": "one_time",
                        "max_amount": total(session),
                        "currency": self._currency,
                        "checkout_session_id": session["id"],
                        "merchant_id": self._merchant_id,
                        "expires_at": expires,
                    },
                    "risk_signals": [{"type": "card_testing", "score": 10, "action": "authorized"}],
                    "metadata": {},
                },
            )
            for session in sessions
        ]

    def completes(self, sessions: Iterable[dict[str, Any]], tokens: Iterable[str]) -> list[bytes]:
        """Pay for each session with its token."""
        return [
            self._post(
                f"/checkout_sessions/{session['id']}/complete",
                {
                    "payment_data": {
                        "handler_id": session["capabilities"]["payment"]["handlers"][0]["id"],
                        "instrument": {"type": "card", "credential": {"type": "spt", "token": token}},
                    }
                },
            )
            for session, token in zip(sessions, tokens, strict=True)
        ]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {AGENT_TOKEN}", "API-Version": VERSION}

    def _post(self, path: str, document: object) -> bytes:
        self._keys += 1
        headers = {**self._headers(), "Idempotency-Key": f"bench-{self._keys}"}
        return encode("POST", path, headers=headers, document=document)


def total(session: dict[str, Any]) -> int:
    """What the session costs, in minor units."""
    return int(next(entry["amount"] for entry in session["totals"] if entry["type"] == "total"))


def _update(session: dict[str, Any]) -> dict[str, Any]:
    option = next(option for option in session["fulfillment_options"] if option["type"] == "shipping")
    lines = session["line_items"]
    return {
        "line_items": [
            {"id": line["item"]["id"], "quantity": line["quantity"] + (1 if line is lines[0] else 0)}
            for line in lines
        ],
        "selected_fulfillment_options": [
            {
                "type": "shipping",
                "option_id": option["id"],
                "item_ids": [line["item"]["id"] for line in lines],
            }
        ],
    }
