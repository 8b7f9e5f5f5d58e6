"""Tables and diagrams of the documentation that are made from the code.

``python -m tests.docs.generated`` brings the pages up to date. A generated block stands between two comments::

    <!-- generated: settings -->
    ...
    <!-- end of generated -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from tests.docs.pages import docs
from tests.docs.sources import events_used

from acpref_merchant.settings import AgentSettings, PaymentSettings, Settings
from acpref_protocol.card_numbers import brand_of
from acpref_protocol.lifecycle import OPEN, TERMINAL, TRANSITIONS, Event, Status
from acpref_psp.cards import TEST_CARDS, Verdict
from acpref_psp.settings import Settings as PspSettings

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end of generated -->)", re.DOTALL)

MERCHANT = {
    "database_url": "Where everything is kept: `sqlite:///file.db` (four slashes for an absolute path) or "
    "`postgresql://user@host/name`.",
    "catalog": "The catalog folder. Required.",
    "host": "Address to listen on. `--host` wins. With `0.0.0.0` or `::`, which stand for every address of the machine "
    "and are none to call, set `api_base_url`.",
    "port": "Port to listen on; 0 picks a free one. `--port` wins.",
    "api_base_url": "The address by which agents reach this server, as the discovery document tells it. By default "
    "`http://HOST:PORT`.",
    "agents": "The agents that may call, see [below](#agents-and-tokens). In the environment as JSON. At least one.",
    "payment": "The payment provider, see [below](#payments).",
    "signatures": "`required` refuses requests that are not signed. With `optional`, a signature that is present "
    "must be right.",
    "body_limit": "The longest request body, in bytes.",
    "idempotency_retention_seconds": "How long an idempotency key is remembered. A day at least (IDEM-20).",
    "completion_lease_seconds": "A process that completes a purchase has it to itself for this long (its lease); "
    "then it is taken for dead, and another may finish the purchase.",
    "webhook_timeout_seconds": "A receiver of events has this long to answer; then the event is tried again later.",
    "allow_sandbox_credentials": "Serve sandbox tokens or the sandbox provider beyond this machine all the same.",
}
AGENT = {
    "id": "Your name for the agent. Its sessions, orders and idempotency keys belong to it.",
    "token": "The bearer token, at least 16 characters. Tokens that begin with `sandbox_` are served on loopback only.",
    "webhook_base_url": "Where the agent hears of its orders; the path is fixed. Without it, or without the secret, "
    "its events end as dead letters: given up, but kept, and sent when you [replay](#webhooks) them.",
    "webhook_secret": "The secret that signs the events, at least 16 bytes.",
    "public_keys": "Public keys (PEM, Ed25519 or P-256) by a name of yours, with which the agent's request "
    "signatures are verified.",
}
PAYMENT = {
    "provider": "Which adapter moves the money.",
    "base_url": "The sandbox provider's address.",
    "token": "The merchant's token at the sandbox provider.",
    "stripe_api_key": "The secret key of your Stripe account. Required for `stripe`.",
    "stripe_api_base": "Another address than Stripe's, for tests.",
    "timeout_seconds": "How long to wait for the provider in one call, at most 60.",
}
PROVIDER = {
    "database": "The SQLite file; made when absent.",
    "agents": "Bearer token by agent id, as JSON; these may delegate payment. Required.",
    "merchants": "Bearer token by merchant id, as JSON; these may charge. Required.",
    "agent_keys": "Lists of public keys (PEM) by agent id, for request signatures.",
    "require_signature": "Refuse delegate payment without a signature.",
    "keys": "The key document itself, in place of a key file.",
    "key_file": "The key file; by default the database's name with `.keys.json` appended. Made when absent, mode 0600.",
    "rate_limit_per_minute": "Delegate payments per agent and minute; no limit when absent.",
    "body_limit": "The longest request body, in bytes.",
    "retention_ms": "How long an idempotency key is remembered, in milliseconds. A day at least.",
    "busy_seconds": "Patience with another process that locks the database.",
    "slow_seconds": "Delay of the slow test card and of `slow` faults.",
    "timeout_seconds": "Delay of `timeout` faults.",
}


def settings() -> str:
    """The merchant's settings, by variable and TOML member."""
    return _settings(Settings, MERCHANT, "ACPREF_", toml=True)


def agent_settings() -> str:
    """The members of an entry of ``agents``."""
    return _members(AgentSettings, AGENT)


def payment_settings() -> str:
    """The settings of the payment provider."""
    return _settings(PaymentSettings, PAYMENT, "ACPREF_PAYMENT__", toml=True)


def provider_settings() -> str:
    """The settings of the sandbox payment provider."""
    return _settings(PspSettings, PROVIDER, "ACPREF_PSP_", toml=False)


def _settings(model: type[BaseModel], meaning: dict[str, str], prefix: str, *, toml: bool) -> str:
    _same_names(model, meaning)
    rows = ["| variable | TOML | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        cells = [
            f"`{prefix}{name.upper()}`",
            f"`{name}`",
            _default(name, field),
            _choices(field) + meaning[name],
        ]
        rows.append(_row(cells if toml else [cells[0], *cells[2:]]))
    if not toml:
        rows[:2] = ["| variable | default | meaning |", "|---|---|---|"]
    return "\n".join(rows)


def _members(model: type[BaseModel], meaning: dict[str, str]) -> str:
    _same_names(model, meaning)
    rows = ["| member | required | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        rows.append(_row([f"`{name}`", "yes" if field.is_required() else "", meaning[name]]))
    return "\n".join(rows)


def _same_names(model: type[BaseModel], meaning: dict[str, str]) -> None:
    if list(model.model_fields) != list(meaning):
        raise AssertionError(
            f"{model.__name__} and its description differ: {set(model.model_fields) ^ set(meaning)}"
        )


def _default(name: str, field: FieldInfo) -> str:
    if name == "payment":
        return ""
    value: Any = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not None and all(
        isinstance(each, str) for each in get_args(field.annotation)
    ):
        return " or ".join(f"`{each}`" for each in get_args(field.annotation)) + ". "
    return ""


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# --- The life of a session ------------------------------------------------------------------------------------------


def lifecycle_diagram() -> str:
    """The transitions as a Mermaid state diagram; what every open session can go through starts at ``open``."""
    shared = {
        event: after
        for (status, event), after in TRANSITIONS.items()
        if all(TRANSITIONS.get((each, event)) == after for each in OPEN)
    }
    lines = ["```mermaid", "stateDiagram-v2", "    state open {"]
    lines += [f"        {status}" for status in Status if status in OPEN]
    lines += ["    }", f"    [*] --> {Status.INCOMPLETE}"]
    for event, after in shared.items():
        if after not in OPEN:
            lines.append(f"    open --> {after}: {event}")
    for (status, event), after in TRANSITIONS.items():
        if event not in shared or status not in OPEN:
            lines.append(f"    {status} --> {after}: {event}")
    lines += [f"    {status} --> [*]" for status in Status if status in TERMINAL]
    return "\n".join([*lines, "```"])


def lifecycle_table() -> str:
    """The transitions as a table, one row for each event and status that it leads to."""
    used = events_used()
    rows = ["| event | from | to | by this server |", "|---|---|---|---|"]
    for event in Event:
        for after, before in _by_target(event):
            rows.append(
                _row([f"`{event}`", before, f"`{after}`", "yes" if event.name in used else "not yet"])
            )
    return "\n".join(rows)


def _by_target(event: Event) -> Iterator[tuple[Status, str]]:
    sources: dict[Status, list[Status]] = {}
    for (status, each), after in TRANSITIONS.items():
        if each is event:
            sources.setdefault(after, []).append(status)
    for after, before in sources.items():
        names = ["any open status"] if set(before) >= OPEN else []
        names += [f"`{status}`" for status in before if not (names and status in OPEN)]
        yield after, ", ".join(names)


def lifecycle_statuses() -> str:
    """What each status means to an agent."""
    rows = ["| status | kind | meaning |", "|---|---|---|"]
    for status in Status:
        kind = "open" if status in OPEN else "final" if status in TERMINAL else "between"
        rows.append(_row([f"`{status}`", kind, STATUSES[status]]))
    return "\n".join(rows)


STATUSES = {
    Status.INCOMPLETE: "The buyer has something left to say: an address, an email address, a choice of delivery.",
    Status.NOT_READY_FOR_PAYMENT: "Nothing is missing, but something is in the way, such as an item that is sold out.",
    Status.REQUIRES_ESCALATION: "The merchant has to step in.",
    Status.AUTHENTICATION_REQUIRED: "The buyer has to authenticate before the payment goes on.",
    Status.READY_FOR_PAYMENT: "It can be completed at the total that it shows.",
    Status.PENDING_APPROVAL: "Somebody has to approve the purchase.",
    Status.COMPLETE_IN_PROGRESS: "The money moves. The session cannot be changed or canceled, and does not expire.",
    Status.COMPLETED: "Paid for; there is an order.",
    Status.CANCELED: "Given up by the agent.",
    Status.IN_PROGRESS: "The merchant is working on it.",
    Status.EXPIRED: "Its time is over.",
}


def test_cards() -> str:
    """What the sandbox's issuer answers for which card."""
    rows = ["| number | outcome |", "|---|---|"]
    for number, outcome in TEST_CARDS.items():
        words = VERDICTS[outcome.verdict].replace("CODE", f"`{outcome.code}`")
        rows.append(_row([f"`{number}`", f"{words} ({brand_of(number)})"]))
    return "\n".join(rows)


VERDICTS = {
    Verdict.APPROVED: "approved",
    Verdict.DECLINED: "declined, CODE",
    Verdict.REQUIRES_3DS: "declined, CODE: wants 3-D Secure",
    Verdict.FAILS_ONCE: "500 at the first charge of a token, approved at the next",
    Verdict.SLOW: "approved after two seconds",
}


def decisions() -> str:
    """The pages about decisions, with the requirements that each is about."""
    rows = ["| decision | requirements |", "|---|---|"]
    for each in docs():
        if each.path.parent.name == "decisions" and each.path.name != "README.md":
            title, _, requirements = each.text.splitlines()[:3]
            name = title.removeprefix("# ")
            rows.append(_row([f"[{name}]({each.path.name})", requirements.removeprefix("Requirements: ")]))
    return "\n".join(rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "agent-settings": agent_settings,
    "payment-settings": payment_settings,
    "provider-settings": provider_settings,
    "lifecycle-diagram": lifecycle_diagram,
    "lifecycle-statuses": lifecycle_statuses,
    "lifecycle-table": lifecycle_table,
    "test-cards": test_cards,
    "decisions": decisions,
}


def renewed(text: str) -> str:
    """``text`` with its generated blocks as the code has them now. Raises KeyError for an unknown name."""
    return _BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}\n{found[3]}", text)


def names_in(text: str) -> list[str]:
    """The names of the generated blocks in ``text``."""
    return [found[2] for found in _BLOCK.finditer(text)]


def main() -> None:
    """Write every page that is out of date."""
    for each in docs():
        if (now := renewed(each.text)) != each.text:
            each.path.write_text(now, encoding="utf-8")
            print(f"{each.name}: brought up to date")


if __name__ == "__main__":
    main()
