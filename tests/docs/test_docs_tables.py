"""What pages list is what the code has: settings, errors, messages, events, endpoints."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from tests.docs import generated, sources
from tests.docs.pages import DOCS, ROOT, Page, docs, page, table
from tests.docs.sources import Emitted

from acpref_merchant.agents import AgentRegistry
from acpref_merchant.settings import Settings
from acpref_psp.settings import Settings as PspSettings
from acpref_sandbox.management import Management

ERRORS = page(DOCS / "errors.md")
MERCHANT = page(DOCS / "merchant.md")


@pytest.mark.parametrize("current", docs(), ids=lambda current: current.name)
def test_generated_parts_are_current(current: Page) -> None:
    assert generated.renewed(current.text) == current.text, "run: python -m tests.docs.generated"


def test_every_generated_part_has_its_place() -> None:
    placed = [name for each in docs() for name in generated.names_in(each.text)]
    assert sorted(placed) == sorted(generated.BLOCKS)


@pytest.mark.parametrize(
    ("heading", "folder"), [("The merchant", sources.MERCHANT), ("The payment provider", sources.PROVIDER)]
)
def test_every_error_that_a_server_emits_is_listed_and_no_other(heading: str, folder: Path) -> None:
    """ERR-01."""
    assert _listed(heading) == sorted(sources.emitted(folder))


def test_every_error_of_the_webhook_receiver_is_listed_and_no_other() -> None:
    """WH-09, WH-11."""
    path = sources.AGENT / "webhooks.py"
    signatures = sources.raised(sources.PROTOCOL / "signing.py")
    assert _listed("The webhook receiver") == sorted(sources.raised(path) | signatures)


def test_every_reason_of_a_declined_charge_is_listed() -> None:
    codes = set(
        re.findall(r"^\| `([a-z_]+)` \| [A-Z]", _section(ERRORS.text, "The payment provider"), re.MULTILINE)
    )
    assert codes == sources.declines()


def test_every_message_of_a_session_is_listed() -> None:
    rows = table(ERRORS.text, "Messages in a session")
    assert [(row["type"], row["code"]) for row in rows] == sorted(sources.message_codes())
    codes = set(re.findall(r"^\| `(discount_code_[a-z_]+)`", ERRORS.text, re.MULTILINE))
    assert codes == sources.rejections()


def test_every_code_of_the_operators_commands_is_listed() -> None:
    section = _section(MERCHANT.text, "Operating orders").split("| code | meaning |")[1]
    listed = {
        code for row in section.splitlines() for code in re.findall(r"`([a-z_]+)`", row.partition(" | ")[0])
    }
    # An operator meets neither: commands take neither refund nor adjustment ids.
    assert listed == sources.order_error_codes() - {"unknown_refund", "unknown_adjustment"}


def test_every_event_that_the_server_logs_is_listed() -> None:
    logged = {
        (call.args[0].value, call.func.attr)
        for tree in sources.trees(sources.MERCHANT).values()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "log"
        and isinstance(call.args[0], ast.Constant)
    }
    listed = {
        (event, row["level"])
        for row in table(MERCHANT.text, "Logs and health")
        for event in row["event"].split(", ")
    }
    assert listed == logged


def test_every_management_endpoint_is_listed() -> None:
    router = Management.router(_Anything(), _Anything())  # type: ignore[arg-type]
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    served = {f"{m} {route.path.removeprefix('/_sandbox')}" for route in routes for m in route.methods or ()}
    rows = table(page(DOCS / "implementer.md").text, "Management endpoints")
    assert {row["request"] for row in rows} == served


def test_the_configuration_files_of_the_pages_are_accepted() -> None:
    first, second = (tomllib.loads(fence.text) for fence in MERCHANT.fences if fence.language == "toml")
    first["agents"][0]["public_keys"] = second["agents"]["public_keys"]
    AgentRegistry(Settings(**first).agents)


def test_the_variables_of_the_pages_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for fence in MERCHANT.fences:
        if fence.language == "sh":
            for word in shlex.split(fence.text, comments=True):
                if found := re.fullmatch(r"(ACPREF_[A-Z_]+)=(.*)", word, re.DOTALL):
                    monkeypatch.setenv(found[1], found[2])
    assert [agent.id for agent in Settings().agents] == ["agent_a"]
    assert Settings().payment.provider == "stripe"
    assert "merchant_birch_street" in PspSettings().merchants


def test_every_requirement_that_a_page_names_is_named_in_code_or_tests() -> None:
    known = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("protocol", "merchant_server", "agent_client", "conformance", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "docs" not in path.parts
    )
    named = {
        (each.name, found)
        for each in docs()
        for found in re.findall(r"\b[A-Z]{2,4}(?:-[A-Z]{2,4})?-\d{2}\b", each.text)
    }
    missing = sorted((where, each) for where, each in named if each not in known)
    assert not missing


def test_every_decision_says_the_same_things_in_the_same_order() -> None:
    folder = DOCS / "decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name[:3] for path in pages] == [f"{number:03}" for number in range(1, len(pages) + 1)]
    for path in pages:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith(f"# {path.name[:3]}: ")
        assert lines[2].startswith("Requirements: ")
        headings = [line for line in lines if line.startswith("## ")]
        assert headings == ["## What the documents say", "## Rule", "## Why", "## Switch"], path.name


class _Anything:
    """Stands in for parts that are not used while routes are made."""

    def __getattr__(self, name: str) -> _Anything:
        return self


def _listed(heading: str) -> list[Emitted]:
    rows = table(ERRORS.text, heading)
    return [Emitted(int(row["status"]), row["type"], row["code"]) for row in rows]


def _section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
