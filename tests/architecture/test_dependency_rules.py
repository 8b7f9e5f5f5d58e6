"""Which way dependencies point. The rules are data; each one is also shown to catch a planted violation."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import packages_distributions

import pytest
from tests.architecture.source_tree import ROOT, Module, modules, within

WEB = ("fastapi", "starlette", "uvicorn")
DATABASE = ("sqlmodel", "sqlalchemy", "alembic", "psycopg", "sqlite3")
NETWORK = ("httpx", "stripe", "requests", "urllib.request", "http.client", "socket")
OURS = ("acpref", "acpref_protocol", "acpref_merchant", "acpref_psp", "acpref_agent", "acpref_sandbox")


@dataclass(frozen=True)
class Rule:
    """What the modules inside ``subject`` must not import.

    ``only`` names what they may import among the names that lie inside ``among``; ``never`` names what they may not
    import at all. ``excused`` lists modules inside the subject that the rule does not bind.
    """

    subject: str
    reason: str
    among: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()

    def binds(self, module: Module) -> bool:
        """Whether the rule speaks about this module."""
        return within(module.name, self.subject) and not any(
            within(module.name, name) for name in self.excused
        )

    def forbids(self, name: str) -> bool:
        """Whether the import of ``name`` breaks the rule."""
        if any(within(name, prefix) for prefix in self.never):
            return True
        return any(within(name, prefix) for prefix in self.among) and not any(
            within(name, prefix) for prefix in self.only
        )


RULES = (
    Rule(
        "acpref_protocol",
        "the protocol is pure: both sides share it, so it knows neither of them and no framework",
        among=OURS,
        only=("acpref_protocol",),
        never=(*WEB, *DATABASE, *NETWORK),
    ),
    *(
        Rule(
            package,
            "the parties meet over HTTP: they share the protocol and nothing else",
            among=OURS,
            only=("acpref_protocol", package),
        )
        for package in ("acpref_merchant", "acpref_psp", "acpref_agent")
    ),
    Rule(
        "acpref",
        "the root command finds the others by name when they are called, so that each extra works alone",
        among=OURS,
        only=("acpref",),
    ),
    Rule(
        "acpref_agent",
        "an agent has no server's framework and no server's database",
        never=("fastapi", "uvicorn", "sqlmodel", "alembic", "stripe"),
    ),
    Rule(
        "acpref_merchant.domain",
        "decisions are pure: they can be replayed from their arguments",
        among=("acpref_merchant",),
        # Only the spelling of a time; the clock itself and new ids arrive as arguments.
        only=("acpref_merchant.domain", "acpref_merchant.clock.rfc3339"),
        never=(*WEB, *DATABASE, *NETWORK, "os", "time", "random", "secrets", "uuid", "asyncio", "threading"),
    ),
    Rule(
        "acpref_merchant.store",
        "storage serves the operations and knows nothing of what calls it",
        among=("acpref_merchant",),
        only=("acpref_merchant.store", "acpref_merchant.domain", "acpref_merchant.clock"),
        never=(*WEB, *NETWORK),
    ),
    Rule(
        "acpref_merchant.payments",
        "a payment provider moves money and decides nothing about the checkout",
        among=("acpref_merchant",),
        only=(
            "acpref_merchant.payments",
            "acpref_merchant.clock",
            "acpref_merchant.settings",
            "acpref_merchant.transport",
        ),
        never=(*WEB, *DATABASE),
    ),
    Rule(
        "acpref_merchant.transport",
        "whoever speaks to others shares it, so it knows neither of them",
        among=OURS,
        only=(),
        never=(*WEB, *DATABASE, *NETWORK),
    ),
    Rule(
        "acpref_merchant.operations",
        "operations serve every transport and speak to every provider through the port",
        among=(
            "acpref_merchant.http",
            "acpref_merchant.payments",
            "acpref_merchant.cli",
            "acpref_merchant.transport",
        ),
        only=("acpref_merchant.payments.port",),
        never=(*WEB, *NETWORK),
    ),
    Rule(
        "acpref_merchant.webhooks",
        "delivery reads committed events; it takes no part in the request that made them",
        never=("acpref_merchant.http", "acpref_merchant.operations", "acpref_merchant.payments", *WEB),
        excused=("acpref_merchant.webhooks.cli",),
    ),
    Rule(
        "acpref_merchant.catalog",
        "catalogs are data: reading one needs no server",
        never=("acpref_merchant.http", "acpref_merchant.operations", "acpref_merchant.payments", *WEB),
    ),
)


def violations(rules: Iterable[Rule], tree: Iterable[Module]) -> list[str]:
    """One line for each import that breaks a rule."""
    listed = tuple(tree)
    return [
        f"{module.name} imports {name}: {rule.reason}"
        for rule in rules
        for module in listed
        if rule.binds(module)
        for name in sorted(module.imports)
        if rule.forbids(name)
    ]


def test_no_module_imports_what_its_layer_must_not() -> None:
    assert violations(RULES, modules()) == []


def test_every_rule_binds_at_least_one_module() -> None:
    idle = [rule.subject for rule in RULES if not any(rule.binds(module) for module in modules())]
    assert idle == [], "a rule about a package that was renamed or removed protects nothing"


PLANTED = [
    ("acpref_protocol.money", "import fastapi"),
    ("acpref_protocol.money", "from acpref_merchant.domain import item"),
    ("acpref_merchant.http.app", "from acpref_psp.app import build"),
    ("acpref_merchant.http.app", "import acpref_agent"),
    ("acpref_psp.service", "def f():\n    from acpref_merchant import settings"),
    ("acpref_agent.client", "import importlib\nimportlib.import_module('acpref_psp.app')"),
    ("acpref_agent.client", "import sqlmodel"),
    ("acpref.cli", "from acpref_sandbox import cli_demo"),
    (
        "acpref_merchant.domain.item",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sqlmodel",
    ),
    ("acpref_merchant.domain.item", "from ..store import tables"),
    ("acpref_merchant.domain.item", "from acpref_merchant.clock import system_clock"),
    ("acpref_merchant.domain.item", "import time"),
    ("acpref_merchant.store.sessions", "from ..operations.call import Call"),
    ("acpref_merchant.store.sessions", "import httpx"),
    ("acpref_merchant.payments.sandbox", "from acpref_merchant.store import store"),
    ("acpref_merchant.operations.complete", "from acpref_merchant.payments import stripe_adapter"),
    ("acpref_merchant.operations.complete", "from fastapi import Request"),
    ("acpref_merchant.operations.complete", "from acpref_merchant.transport import HttpClient"),
    ("acpref_merchant.transport", "from acpref_merchant.payments.port import Charge"),
    ("acpref_merchant.transport", "import httpx"),
    ("acpref_merchant.webhooks.delivery", "import acpref_merchant.operations.call"),
    ("acpref_merchant.catalog.files", "from acpref_merchant.http import app"),
]


@pytest.mark.parametrize(("name", "text"), PLANTED)
def test_a_planted_violation_is_found(name: str, text: str) -> None:
    assert len(violations(RULES, [Module(name, text)])) >= 1


ALLOWED = [
    (
        "acpref_merchant.http.app",
        "from fastapi import FastAPI\nfrom acpref_protocol.errors import ProtocolError",
    ),
    ("acpref_merchant.domain.orders", "from acpref_merchant.clock import rfc3339\nfrom . import item"),
    ("acpref_merchant.operations.complete", "from acpref_merchant.payments.port import Charge"),
    ("acpref_merchant.payments.sandbox", "from acpref_merchant.transport import HttpClient"),
    ("acpref_sandbox.parties", "import acpref_merchant, acpref_psp, acpref_agent"),
    ("acpref_protocolish", "import fastapi"),
]


@pytest.mark.parametrize(("name", "text"), ALLOWED)
def test_what_the_rules_allow_is_not_reported(name: str, text: str) -> None:
    assert violations(RULES, [Module(name, text)]) == []


# Which extra each package's users install, beside the base dependencies.
EXTRA_OF = {
    "acpref": None,
    "acpref_protocol": None,
    "acpref_merchant": "merchant",
    "acpref_psp": "merchant",
    "acpref_agent": "agent",
    "acpref_sandbox": "sandbox",
}


def distribution(requirement: str) -> str:
    """The normalised name of the distribution that a requirement asks for."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def declared(extra: str | None) -> set[str]:
    """The distributions that the base dependencies and ``extra`` name, other extras of this project followed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    pending = [extra] if extra else []
    while pending:
        for requirement in project["optional-dependencies"][pending.pop()]:
            if match := re.match(r"acpref\[([\w,-]+)\]", requirement):
                pending.extend(match[1].split(","))
            else:
                requirements.append(requirement)
    return {distribution(requirement) for requirement in requirements}


# Installed by a declared dependency that promises it as part of its own interface.
PROMISED = {
    "starlette": "fastapi",
    "sqlalchemy": "sqlmodel",
    "pydantic-core": "pydantic",
    "annotated-types": "pydantic",
    "typing-extensions": "pydantic",
    "click": "typer",
    "anyio": "httpx",
}


@pytest.mark.parametrize("package", sorted(EXTRA_OF))
def test_every_third_party_import_is_declared_by_the_extra_that_brings_the_package(package: str) -> None:
    providers = packages_distributions()
    known = declared(EXTRA_OF[package])
    undeclared = set()
    for module in (module for module in modules() if module.package == package):
        for name in module.imports:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in OURS or top == "__future__":
                continue
            names = {distribution(provider) for provider in providers.get(top, [top])}
            names |= {PROMISED[provider] for provider in names if provider in PROMISED}
            if not names & known:
                undeclared.add(f"{module.name} imports {top}")
    assert sorted(undeclared) == []
